"""A classifier that helps to make clips: of the training folds alone."""

from pathlib import Path

from soundaug.classification.training import Trained, train_classifier
from soundaug.folds.packed import ClipSet, class_list, split
from soundaug.params import Params


def train_without(features: Path, held_out: int, params: Params, label: str) -> tuple[Trained, ClipSet]:
    """A classifier of the training folds in ``features`` alone, and their clips; no test clip is looked at."""
    train, _ = split(features, held_out)
    trained = train_classifier(
        train,
        None,
        train,  # its curves are of the training clips
        len(class_list(features)),
        params.features,
        params.training,
        params.classifier,
        params.seed + held_out,
        label=f"{label}, fold {held_out} held out",
    )
    return trained, train
