"""Whether what models take off and divide by was fitted on their training clips: computed anew and compared."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from soundaug.audit.checks import ENCODER, classifier_of, helpers_of, runs_of
from soundaug.classification.encoder import SoundEncoder, load_encoder
from soundaug.folds.packed import split
from soundaug.params import Params
from soundaug.running.errors import StudyError
from soundaug.running.foreign import reading

TOLERANCE = 1e-3  # of the deviation: float32 sums of half a billion values


def check_normalisation(data: Path, params: Params) -> None:
    """Raise StudyError that names the first model under ``data`` fitted to other clips than it may be.

    Classifiers under runs/, and under models/ the selector and the encoder with its embeddings, where there are any.
    """
    for fold in params.folds:
        real, _ = split(data / "features", fold)
        wanted = fitted(real.mel, params.features.normalization)
        for what, path in _classifiers(data, fold, params):
            with reading(path, "no such classifier", "what train_base writes"):
                model = load_file(path)
                found = (model["mean"][:, 0], model["std"][:, 0])
            refuse_other(what, "normalisation", found, wanted, fold)
        if ENCODER in helpers_of(params):
            encoder = load_encoder(data / "models" / ENCODER / f"fold{fold}", params.features)
            anew = SoundEncoder.fit(encoder.model, real.mel)
            found, wanted = ((one.mean.numpy(), one.deviation.numpy()) for one in (encoder, anew))
            refuse_other(ENCODER, "scale of the embeddings", found, wanted, fold)


def refuse_other(
    what: str, scale: str, found: tuple[np.ndarray, np.ndarray], wanted: tuple[np.ndarray, np.ndarray], fold: int
) -> None:
    """Raise StudyError where a model's mean or deviation is not the one ``wanted`` of its training clips.

    Arrays of one shape each; the model is called ``what`` and is of the held-out ``fold``.
    """
    off = max(float(np.abs(one - own).max()) for one, own in zip(found, wanted, strict=True))
    if not off <= TOLERANCE * float(wanted[1].max()):
        raise StudyError(
            f"leak, held-out fold {fold}: the {scale} of the {what} is off by {off:.3g}, wanted that of its training "
            "clips"
        )


def _classifiers(data: Path, fold: int, params: Params) -> Iterator[tuple[str, Path]]:
    """Every classifier of a held-out fold, and its file."""
    for model in helpers_of(params):
        yield model, data / "models" / model / f"fold{fold}" / "model.safetensors"
    for arm, seed, run in runs_of(data, fold, params):
        yield classifier_of(arm, seed), run / "model.safetensors"


def fitted(mel: np.ndarray, normalization: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each band, float64 [n_mels], of ``mel`` [N, n_mels, T] (features.normalization)."""
    n, bands, frames = mel.shape
    zeros, ones = np.zeros(bands), np.ones(bands)
    if normalization == "none":
        return zeros, ones
    if normalization == "clip_mean":
        squares = sum(float(np.square(clip - clip.mean(axis=1, keepdims=True), dtype=np.float64).sum()) for clip in mel)
        return zeros, np.maximum(np.sqrt(squares / (n * bands * frames - 1)), 1e-5) * ones
    mean = mel.mean(axis=(0, 2), dtype=np.float64)
    squares_of = sum(np.square(clip - mean[:, None], dtype=np.float64).sum(axis=1) for clip in mel)
    return mean, np.maximum(np.sqrt(squares_of / (n * frames - 1)), 1e-5)
