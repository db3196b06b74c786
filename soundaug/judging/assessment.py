"""The figures of one held-out fold's generated clips: what classifiers make of them, and what they copy."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from soundaug.classification.classifier import SoundClassifier
from soundaug.classification.encoder import embed, probabilities_of
from soundaug.classification.training import train_classifier
from soundaug.folds.packed import ClipSet
from soundaug.interpolation import Pair
from soundaug.judging.copies import ClosePair, copy_report
from soundaug.judging.quality import assess, kernel_distance
from soundaug.params import Params
from soundaug.sound.features import MelFrontEnd

MAX_SHIFT = 0.25  # of a clip: a copy that starts this much earlier or later is still found


@dataclass(frozen=True)
class RealClips:
    """The training and test clips of one held-out fold, and what a classifier makes of them, float32 [., D]."""

    train: ClipSet
    test: ClipSet
    train_embedding: np.ndarray
    test_embedding: np.ndarray

    @classmethod
    def heard_by(cls, model: SoundClassifier, train: ClipSet, test: ClipSet) -> "RealClips":
        """The clips as ``model`` hears them."""
        return cls(train, test, embed(model, train.mel), embed(model, test.mel))


def assess_quality(
    model: SoundClassifier,
    generated: ClipSet,
    real: RealClips,
    n_classes: int,
    params: Params,
    seed: int,
    label: str,
) -> dict[str, float]:
    """Distances and label agreement by ``model``, a classifier of the real training clips; and the accuracy score.

    ``accuracy_score`` is the classification accuracy score of Ravuri & Vinyals 2019: the accuracy on the real test
    clips of a classifier trained on generated clips alone, as long and with the same settings as every other arm.
    """
    if len(generated) == 0:
        return {}
    embedding = embed(model, generated.mel)
    probabilities = probabilities_of(model, embedding)
    figures = assess(embedding, real.train_embedding, real.test_embedding, probabilities, generated.class_id)
    alone = train_classifier(
        generated,
        None,
        real.test,
        n_classes,
        params.features,
        params.training,
        params.classifier,
        seed,
        label=f"generated clips alone, {label}",
    )
    return figures | {"accuracy_score": float(f"{alone.history[-1].test_accuracy:.6g}")}


def assess_parents(
    model: SoundClassifier, pairs: Sequence[Pair], resynthesized: ClipSet, real: RealClips
) -> dict[str, float]:
    """KID to real test clips of the first parents, and of their sound made of their mels: what is left to a generator.

    ``kid_parents`` tells what the choice of clips costs, ``kid_resynthesis`` what the way from mel to sound adds: one
    that gave its parents back would have the latter as ``kid_test``. Nothing below 2 pairs or test clips.
    """
    if min(len(pairs), len(real.test)) < 2:
        return {}
    row_of = {name: row for row, name in enumerate(real.train.name.tolist())}
    parents = real.train_embedding[[row_of[pair.parent_a] for pair in pairs]]
    found = {"kid_parents": parents, "kid_resynthesis": embed(model, resynthesized.mel)}
    return {name: float(f"{kernel_distance(one, real.test_embedding):.6g}") for name, one in found.items()}


def assess_copies(
    mels: Path, pairs: Sequence[Pair], train: ClipSet, test: ClipSet, params: Params
) -> tuple[dict[str, float], list[ClosePair]]:
    """Shares of the generated ``mels`` (a file, in the pairs' order) that copy training clips, and the closest."""
    front_end = MelFrontEnd(params.features)
    train_mel, test_mel = (front_end.log_mel(torch.from_numpy(clips.mel)).numpy() for clips in (train, test))
    row_of = {name: row for row, name in enumerate(train.name.tolist())}
    parents = np.array([[row_of[parent.name] for parent in pair.parents] for pair in pairs], np.int64)
    report = copy_report(
        ClipSet.load(mels).mel,
        train_mel,
        test_mel,
        parents.reshape(len(pairs), -1) if pairs else np.empty((0, 2), np.int64),
        max_shift=round(MAX_SHIFT * train_mel.shape[2]),
        recordings=train.fs_id,
    )
    return report.metrics, report.closest
