"""What a model was fitted on, told beside it: weights, normalisation and embeddings alike. The audit reads it."""

from collections.abc import Iterable
from pathlib import Path

from soundaug.folds.packed import ClipSet
from soundaug.running.outputs import write_csv

TRAIN_CLIPS = "train_clips.csv"
EXTRA_CLIPS = "extra_clips.csv"
COLUMNS = ("name", "fs_id")


def write_train_clips(folder: Path, real: ClipSet) -> None:
    """Write name and recording of every real clip that the model in ``folder`` was fitted on."""
    write_csv(folder / TRAIN_CLIPS, COLUMNS, _rows(real))


def write_extra_clips(folder: Path, extra: ClipSet | None) -> None:
    """Write name and recording of every clip that was added: a made clip's recording is its first parent's."""
    write_csv(folder / EXTRA_CLIPS, COLUMNS, () if extra is None else _rows(extra))


def _rows(clips: ClipSet) -> Iterable[tuple[str, str]]:
    return zip(clips.name.tolist(), clips.fs_id.tolist(), strict=True)
