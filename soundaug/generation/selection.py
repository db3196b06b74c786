"""Best of n: a classifier of the training folds picks, among the candidates of a class, the clips it believes most."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from soundaug.classification.classifier import SoundClassifier, load_classifier
from soundaug.interpolation import Pair
from soundaug.params import Classifier, Features
from soundaug.running.foreign import reading


def best_candidates(
    pairs: Sequence[Pair], probabilities: np.ndarray, per_class: int, classes: Sequence[str]
) -> tuple[np.ndarray, dict[str, dict[str, float]]]:
    """The indices, in order, of the ``per_class`` candidates of each class with the highest probability of it.

    ``probabilities`` [M, n_classes] of the candidates ``pairs`` [M], by a classifier that has seen no test clip. Also
    figures by class name: ``accepted``, the share of all candidates that it gives their own class; ``kept``, the share
    kept; ``kept_probability``, the mean probability of those; ``lowest_probability``, the worst of them.
    """
    class_ids = np.array([pair.class_id for pair in pairs], np.int64)
    own = probabilities[np.arange(len(pairs)), class_ids]
    accepted = probabilities.argmax(axis=1) == class_ids
    kept: list[int] = []
    figures = {}
    for class_id in np.unique(class_ids):
        members = np.flatnonzero(class_ids == class_id)
        best = members[np.argsort(-own[members], kind="stable")[:per_class]]
        kept += sorted(best.tolist())
        figures[classes[class_id]] = {
            "accepted": round(float(accepted[members].mean()), 4),
            "kept": round(len(best) / len(members), 4),
            "kept_probability": round(float(own[best].mean()), 4),
            "lowest_probability": round(float(own[best].min()), 4),
        }
    return np.array(kept, np.int64), figures


def load_selector(folder: Path, features: Features, n_classes: int) -> SoundClassifier:
    """The classifier that train_helper wrote into ``folder``; StudyError when it is not there or is another's."""
    path = folder / "summary.json"
    with reading(path, "no selector's settings", "what train_helper writes"):
        settings = Classifier.model_validate(json.loads(path.read_text(encoding="utf-8"))["classifier"])
    return load_classifier(folder / "model.safetensors", settings, features, n_classes)
