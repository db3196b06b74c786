"""The figures of one held-out fold's generated clips, and of a control's: what classifiers make of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soundaug.classification.arms import run_folder
from soundaug.classification.classifier import SoundClassifier, load_classifier
from soundaug.classification.encoder import embed, probabilities_of
from soundaug.classification.training import train_classifier
from soundaug.folds.packed import ClipSet, class_list, split
from soundaug.interpolation import Pair
from soundaug.judging.quality import NEAREST_K, assess, kernel_distance, label_agreement, prdc
from soundaug.params import Params


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


def judge_of(features: Path, fold: int, seed: int, params: Params) -> tuple[SoundClassifier, RealClips]:
    """The base classifier of a held-out fold and seed, and that fold's real clips as it hears them.

    StudyError: a file is not there or is something else.
    """
    model_path = run_folder("base", fold, seed) / "model.safetensors"
    model = load_classifier(model_path, params.classifier, params.features, len(class_list(features)))
    return model, RealClips.heard_by(model, *split(features, fold))


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


def assess_clips(model: SoundClassifier, clips: ClipSet, real: RealClips) -> dict[str, float]:
    """Label agreement by ``model``, KID to real test clips and their coverage, of a control's clips; {} without any.

    What ``assess_quality`` says of generated ones, by the same classifier. No KID below 2 clips, no coverage below
    ``NEAREST_K`` + 1.
    """
    if len(clips) == 0:
        return {}
    embedding = embed(model, clips.mel)
    agreement, _ = label_agreement(probabilities_of(model, embedding), clips.class_id)
    return {"label_agreement": float(f"{agreement:.6g}")} | _near_test(embedding, real, "kid_test", "coverage")


def assess_parents(
    model: SoundClassifier, pairs: Sequence[Pair], resynthesized: ClipSet, real: RealClips
) -> dict[str, float]:
    """KID to real test clips of the first parents, and of their sound made of their mels; and the coverage of both.

    What is left to a generator: ``kid_parents`` tells what the choice of clips costs, ``kid_resynthesis`` what the way
    from mel to sound adds, and one that gave its parents back would have the latter as ``kid_test``. They are as many
    as the generated clips: where ``coverage`` is above both, these come near test clips that their parents do not.
    Nothing below 2 pairs or test clips, no coverage below ``NEAREST_K`` + 1.
    """
    if min(len(pairs), len(real.test)) < 2:
        return {}
    row_of = {name: row for row, name in enumerate(real.train.name.tolist())}
    parents = real.train_embedding[[row_of[pair.parent_a] for pair in pairs]]
    sound = embed(model, resynthesized.mel)
    return _near_test(parents, real, "kid_parents", "coverage_parents") | _near_test(
        sound, real, "kid_resynthesis", "coverage_resynthesis"
    )


def _near_test(embedding: np.ndarray, real: RealClips, kid: str, coverage: str) -> dict[str, float]:
    """KID and coverage of embeddings [N, D] against the real test clips, under those names, to 6 digits.

    KID is left out below 2 clips on either side, coverage below ``NEAREST_K`` + 1.
    """
    found: dict[str, float] = {}
    fewer = min(len(embedding), len(real.test_embedding))
    if fewer >= 2:
        found[kid] = kernel_distance(embedding, real.test_embedding)
    if fewer > NEAREST_K:
        found[coverage] = prdc(real.test_embedding, embedding)["coverage"]
    return {name: float(f"{value:.6g}") for name, value in found.items()}
