"""Soft labels: what a classifier of the training clips takes an extra clip for, mixed with the clip's class."""

from pathlib import Path

import numpy as np

from soundaug.classification.classifier import load_classifier
from soundaug.classification.training import predict
from soundaug.folds.packed import ClipSet
from soundaug.params import Params
from soundaug.running.device import choose_device


def teacher_probabilities(clips: ClipSet, model: Path, n_classes: int, params: Params) -> np.ndarray:
    """Probabilities float64 [N, n_classes] of ``clips`` by the classifier in the file ``model``."""
    if len(clips) == 0:
        return np.empty((0, n_classes))
    device = choose_device()
    teacher = load_classifier(model, params.classifier, params.features, n_classes)
    return predict(teacher.to(device), clips.mel, device)


def soft_labels(clips: ClipSet, probabilities: np.ndarray, weight: float) -> np.ndarray:
    """Labels [N, n_classes] that sum to 1: ``weight`` of ``probabilities`` [N, n_classes], the rest its class."""
    hard = np.eye(probabilities.shape[1])[clips.class_id]
    return (1 - weight) * hard + weight * probabilities
