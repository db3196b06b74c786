"""What a stylizer can do, made and measured: every style from text, and one recording restyled by strength."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from soundaug.clips import write_sound
from soundaug.images.files import save_image
from soundaug.outputs import write_csv, write_json
from soundaug.params import Stylize
from soundaug.stylizer.chroma import chroma_similarity, similarity_to_others
from soundaug.stylizer.model import StylizerModel
from soundaug.stylizer.pipeline import Sampling, Wish
from soundaug.stylizer.sound import Styled, sound_to_sound, text_to_sounds
from soundaug.stylizer.style import StyleClassifier

TABLE, CURVE, SUMMARY = "sounds.csv", "curve.csv", "summary.json"


@dataclass(frozen=True)
class Row:
    """One sound of the table; empty is what does not apply to it."""

    file: str
    image: str
    prompt: str
    style: str  # that the prompt names
    heard: str  # the style that the classifier hears
    seed: int
    strength: float | str
    chroma_similarity: float | str  # to the sound it was made of
    chroma_similarity_to_others: float | str


def from_text(
    folder: Path, model: StylizerModel, styles: Mapping[str, str], settings: Stylize, seed: int, judge: StyleClassifier
) -> list[Row]:
    """``settings.samples`` sounds of every style, FLAC and PNG; ``styles`` are prompts by the styles' names."""
    wanted = [
        (style, Wish(prompt, seed + number, settings.negative_prompt))
        for style, prompt in styles.items()
        for number in range(settings.samples)
    ]
    made = text_to_sounds(model, [wish for _, wish in wanted], sampling_of(settings), settings.iterations)
    rows = []
    for (style, wish), styled in zip(wanted, made, strict=True):
        name = f"text/{style}_seed{wish.seed}"
        heard = _write(folder, name, styled, judge)
        rows.append(Row(f"{name}.flac", f"{name}.png", wish.prompt, style, heard, wish.seed, "", "", ""))
    return rows


def restyled(
    folder: Path,
    model: StylizerModel,
    source: np.ndarray,
    others: Sequence[np.ndarray],
    styles: Mapping[str, str],
    settings: Stylize,
    seed: int,
    judge: StyleClassifier,
) -> list[Row]:
    """The ``source`` [1, n] in every prompt at every strength; ``others`` [n] are other tunes, all at the model's rate.

    ``styles`` are prompts by the styles' names; a prompt of the settings that is none of them has no style.
    """
    names = {prompt: style for style, prompt in styles.items()}
    rate = model.form.params.sample_rate
    tune = source.mean(axis=0)
    rows = []
    for prompt in settings.prompts:
        for strength in settings.strengths:
            wish = Wish(prompt, seed, settings.negative_prompt)
            styled = sound_to_sound(
                model, source, wish, sampling_of(settings), strength, settings.overlap, settings.iterations
            )
            name = f"bach/{'_'.join(prompt.split())}_{strength:g}"
            heard = _write(folder, name, styled, judge)
            sound = styled.waveforms.mean(axis=0)
            alike = round(chroma_similarity(sound, tune, rate), 6)
            common = round(similarity_to_others(sound, others, rate), 6)
            style = names.get(prompt, "")
            rows.append(Row(f"{name}.flac", f"{name}.png", prompt, style, heard, seed, float(strength), alike, common))
    return rows


def write_figures(folder: Path, rows: Sequence[Row], judge: StyleClassifier) -> dict[str, Any]:
    """Write the table, the curve over strengths and summary.json; returns what is in the latter.

    ``style_accuracy`` is the share of sounds from text in which the classifier hears the style asked for,
    ``chroma_similarity`` that of restyled sounds to their source, the mean over prompts and strengths.
    """
    write_csv(folder / TABLE, [field.name for field in fields(Row)], [astuple(row) for row in rows])
    restyled_rows = [row for row in rows if row.strength != ""]
    curve = []
    for strength in sorted({float(row.strength) for row in restyled_rows}):
        at = [row for row in restyled_rows if row.strength == strength]
        curve.append((strength, accuracy(at), _mean(at, "chroma_similarity"), _mean(at, "chroma_similarity_to_others")))
    columns = ("strength", "style_accuracy", "chroma_similarity", "chroma_similarity_to_others")
    write_csv(folder / CURVE, columns, [["" if value is None else value for value in row] for row in curve])
    summary = {
        "style_accuracy": accuracy([row for row in rows if row.strength == ""]),
        "restyled_style_accuracy": accuracy(restyled_rows),
        "style_classifier_accuracy": round(judge.held_out_accuracy, 6),
        "chroma_similarity": _mean(restyled_rows, "chroma_similarity"),
        "chroma_similarity_to_others": _mean(restyled_rows, "chroma_similarity_to_others"),
        "sounds": len(rows),
    }
    write_json(folder / SUMMARY, summary)
    return summary


def accuracy(rows: Sequence[Row]) -> float | None:
    """The share of sounds in which the style asked for is heard; those asked for none do not count."""
    told = [row for row in rows if row.style]
    return round(sum(row.heard == row.style for row in told) / len(told), 6) if told else None


def sampling_of(settings: Stylize) -> Sampling:
    """By ``stylize``."""
    return Sampling(settings.steps, settings.guidance, settings.batch_size)


def _mean(rows: Sequence[Row], name: str) -> float | None:
    return round(float(np.mean([getattr(row, name) for row in rows])), 6) if rows else None


def _write(folder: Path, name: str, styled: Styled, judge: StyleClassifier) -> str:
    """Write sound and image; returns the style that is heard."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    write_sound(folder / f"{name}.flac", styled.waveforms, styled.sample_rate)
    save_image(styled.image, folder / f"{name}.png")
    return judge.style_of(styled.waveforms.mean(axis=0), styled.sample_rate)
