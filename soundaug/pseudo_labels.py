"""Pseudo-labels (Lee 2013): clips whose labels are withheld, under those that a classifier is sure of."""

from dataclasses import replace

import numpy as np

from soundaug.folds.packed import ClipSet
from soundaug.params import PseudoLabel


def pseudo_labelled(withheld: ClipSet, probabilities: np.ndarray, settings: PseudoLabel) -> ClipSet:
    """The clips that ``probabilities`` [N, n_classes] give a class at least ``confidence``, labelled with that class.

    The classes that ``withheld`` itself names are not read.
    """
    labelled = replace(withheld, class_id=probabilities.argmax(axis=1).astype(np.int64))
    return labelled.take(probabilities.max(axis=1) >= settings.confidence)
