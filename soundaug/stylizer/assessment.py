"""What a stylizer reaches, in figures: the style that is heard, and how much of the tune stays, by strength."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from soundaug.running.outputs import write_json, write_table

TABLE, CURVE, SUMMARY = "sounds.csv", "curve.csv", "summary.json"
TEXT, PIECE, BACH, ORIGINAL = "text", "piece", "bach", "original"


@dataclass(frozen=True)
class Row:
    """One sound of the table, and what is heard in it; None is what does not apply to it."""

    # text: from a prompt alone; piece: a held-out piece restyled; bach: the prelude restyled; original: the prelude.
    kind: str
    file: str  # its image is beside it
    prompt: str | None
    style: str | None  # that the prompt names
    heard: str  # the style that the classifier hears
    seed: int | None = None
    source: str | None = None  # what was restyled
    strength: float | None = None
    chroma_similarity: float | None = None  # to the source
    chroma_similarity_to_others: float | None = None  # to other tunes in the source's style


def accuracy(rows: Sequence[Row]) -> float | None:
    """The share of sounds in which the style asked for is heard; those asked for none do not count."""
    told = [row for row in rows if row.style is not None]
    return round(sum(row.heard == row.style for row in told) / len(told), 6) if told else None


def curve_of(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The figures of restyled sounds, a row a kind and strength."""
    restyled = [row for row in rows if row.strength is not None]
    keys = sorted({(row.kind, row.strength) for row in restyled}, key=lambda key: (key[0] != PIECE, key))
    return [
        {"kind": kind, "strength": strength, **figures_of(at), "sounds": len(at)}
        for kind, strength in keys
        for at in [[row for row in restyled if (row.kind, row.strength) == (kind, strength)]]
    ]


def figures_of(rows: Sequence[Row]) -> dict[str, float | None]:
    """Style accuracy and mean chroma similarities of restyled sounds."""
    return {
        "style_accuracy": accuracy(rows),
        "chroma_similarity": _mean([row.chroma_similarity for row in rows]),
        "chroma_similarity_to_others": _mean([row.chroma_similarity_to_others for row in rows]),
    }


def summary_of(rows: Sequence[Row], strength: float) -> dict[str, float | None]:
    """``style_accuracy`` is that of sounds from text, the other figures are of sounds restyled at ``strength``.

    Those without a prefix are of held-out pieces, of which there are more than of Bach's.
    """
    text = [row for row in rows if row.kind == TEXT]
    restyled = [row for row in rows if row.strength == strength]
    pieces = [row for row in restyled if row.kind == PIECE]
    found = figures_of(pieces)
    return {
        "style_accuracy": accuracy(text),
        "text_sounds": len(text),
        "strength": strength,
        "restyled_sounds": len(pieces),
        "restyled_style_accuracy": found.pop("style_accuracy"),
        **found,
        **{f"bach_{name}": value for name, value in figures_of([r for r in restyled if r.kind == BACH]).items()},
    }


def write_figures(folder: Path, rows: Sequence[Row], summary: dict[str, Any]) -> None:
    """Write the table of sounds, the curve over strengths and summary.json."""
    write_table(folder / TABLE, [asdict(row) for row in rows])
    write_table(folder / CURVE, curve_of(rows))
    write_json(folder / SUMMARY, summary)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 6) if known else None
