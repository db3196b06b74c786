"""What the report tells of the stylizer: its figures, its curve over strengths, and sounds to play. Without torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from soundaug.reporting.tables import Table
from soundaug.running.errors import StudyError
from soundaug.running.outputs import read_json, read_rows
from soundaug.stylizer.assessment import BACH, CURVE, ORIGINAL, PIECE, SUMMARY, TABLE, TEXT

MEASURES = {
    "style_accuracy": "style accuracy",
    "chroma_similarity": "chroma similarity to the tune",
    "chroma_similarity_to_others": "chroma similarity to other tunes",
}
KINDS = {PIECE: "held-out pieces", BACH: "Bach"}
POWER_TAG = 11070  # Riffusion's POWER_FOR_IMAGE
LEAST = 1e-4  # of the loudest: -80 dB

STYLE_GOAL = 0.8  # share of sounds in which the style asked for is heard
EXPLAINED = (
    "Style: what a classifier hears that was trained on the held-out pieces, which the stylizer never learned. Chroma "
    "similarity: mean correlation of the twelve pitch classes, frame by frame; 1 is the same tune. Other tunes: other "
    "held-out pieces in the style that the sound was in before. A restyled piece is a window of a held-out tune, taken "
    "from one style to another."
)
NOT_THERE = "data/stylized is not there: the stage stylize makes it."


@dataclass(frozen=True)
class Heard:
    """A sound to play: int16 [n], its mel spectrogram [bands, T] in dB below its loudest, low bands first."""

    kind: str
    prompt: str
    strength: float | None
    heard: str
    samples: np.ndarray
    sample_rate: int
    log_mel: np.ndarray


@dataclass(frozen=True)
class Stylized:
    """``summary`` and ``curve`` as the stage wrote them, and the sounds that are played: Bach's, and one a style."""

    summary: Mapping[str, float]
    curve: Sequence[Mapping[str, Any]]  # kind, strength and the measures
    sounds: Sequence[Heard]

    def of(self, kind: str) -> list[Heard]:
        """The sounds of a kind."""
        return [one for one in self.sounds if one.kind == kind]


def load_stylized(folder: Path) -> Stylized | None:
    """What the stage `stylize` wrote, None where it did not run; StudyError when it is something else."""
    if not folder.is_dir():
        return None
    summary = {name: value for name, value in read_json(folder / SUMMARY).items() if value is not None}
    curve = [
        {"kind": row["kind"], "strength": float(row["strength"])}
        | {name: float(row[name]) if row[name] else None for name in MEASURES}
        for row in read_rows(folder / CURVE, ("kind", "strength", *MEASURES))
    ]
    rows = read_rows(folder / TABLE, ("kind", "file", "prompt", "style", "heard", "strength"))
    first = {row["style"]: row["file"] for row in reversed(rows) if row["kind"] == TEXT}
    chosen = [row for row in rows if row["kind"] in (ORIGINAL, BACH) or row["file"] in first.values()]
    return Stylized(summary, curve, [_heard(folder, row) for row in chosen])


def curve_rows(stylized: Stylized) -> list[dict[str, Any]]:
    """The curve as a plot's table, a row a point: the line that it is on, strength, value."""
    return [
        {"line": f"{KINDS[row['kind']]}: {words}", "strength": row["strength"], "value": row[name]}
        for name, words in MEASURES.items()
        for row in stylized.curve
        if row[name] is not None
    ]


def stylize_table(summary: Mapping[str, float]) -> Table:
    """The figures in words, beside what they are measured by; those that are not there are left out."""
    at = f"restyled at strength {summary['strength']:g}"
    pieces, texts = (
        f"{summary['restyled_sounds']:g} held-out pieces {at}",
        f"{summary['text_sounds']:g} sounds from text",
    )
    reached = f"wanted: {100 * STYLE_GOAL:g} % or more"
    listed = [
        ("style_accuracy", f"style heard as asked, {texts}", reached),
        ("restyled_style_accuracy", f"style heard as asked, {pieces}", reached),
        ("bach_style_accuracy", f"style heard as asked, Bach {at}", reached),
        ("reconstruction_style_accuracy", "style heard, held-out pieces not restyled", "through the autoencoder alone"),
        ("judge_accuracy", "style heard, the training pieces themselves", "which the classifier never heard"),
        ("chroma_similarity", f"chroma similarity to the tune, {pieces}", "wanted: more than to other tunes"),
        ("chroma_similarity_to_others", f"chroma similarity to other tunes, {pieces}", ""),
        ("bach_chroma_similarity", f"chroma similarity to the prelude, Bach {at}", "wanted: more than to other tunes"),
        ("bach_chroma_similarity_to_others", f"chroma similarity to other tunes, Bach {at}", ""),
        ("reconstruction_chroma_similarity", "chroma similarity, not restyled", "through the autoencoder alone"),
        ("played_chroma_similarity", "chroma similarity, the same tunes as the music plays them in those styles", ""),
    ]
    rows = [
        [words, f"{100 * summary[name]:.1f} %" if name.endswith("accuracy") else f"{summary[name]:.2f}", beside]
        for name, words, beside in listed
        if name in summary
    ]
    return Table(["figure", "value", "beside"], rows)


def _heard(folder: Path, row: Mapping[str, str]) -> Heard:
    path = folder / row["file"]
    try:
        samples, sample_rate = soundfile.read(path, dtype="int16", always_2d=True)
        image = Image.open(path.with_suffix(".png"))
        power = float(image.getexif()[POWER_TAG])
        # Grey, or Riffusion's stereo in green and blue: the last channel has sound in both.
        curve = 1 - np.asarray(image.convert("RGB"), np.float32)[::-1, :, 2] / 255
    except (OSError, KeyError, ValueError, soundfile.LibsndfileError) as error:
        raise StudyError(f"{path}: found no sound with its image ({error}), wanted what stylize writes") from None
    strength = float(row["strength"]) if row["strength"] else None
    log_mel = 20 * np.log10(np.maximum(curve ** (1 / power), LEAST))
    return Heard(row["kind"], row["prompt"], strength, row["heard"], samples[:, 0], sample_rate, log_mel)
