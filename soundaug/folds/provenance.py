"""What a model was fitted on, told beside it: weights, normalisation and embeddings alike. The audit reads it."""

from pathlib import Path

from soundaug.folds.packed import ClipSet
from soundaug.running.outputs import write_csv

TRAIN_CLIPS = "train_clips.csv"


def write_train_clips(folder: Path, real: ClipSet) -> None:
    """Write name and recording of every real clip that the model in ``folder`` was fitted on."""
    rows = zip(real.name.tolist(), real.fs_id.tolist(), strict=True)
    write_csv(folder / TRAIN_CLIPS, ("name", "fs_id"), rows)
