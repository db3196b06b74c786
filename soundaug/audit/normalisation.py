"""Whether what classifiers take off and divide by was fitted on their training clips: computed anew and compared."""

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from soundaug.audit.checks import runs_of
from soundaug.folds.packed import split
from soundaug.params import Params
from soundaug.running.errors import StudyError
from soundaug.running.foreign import reading

TOLERANCE = 1e-3  # of the deviation: float32 sums of half a billion values


def check_normalisation(data: Path, params: Params) -> None:
    """Raise StudyError that names the first classifier under ``data``/runs fitted to other clips than it may be."""
    for fold in params.folds:
        real, _ = split(data / "features", fold)
        mean, deviation = fitted(real.mel, params.features.normalization)
        for arm, seed, run in runs_of(data, fold, params):
            path = run / "model.safetensors"
            with reading(path, "no such classifier", "what train_base writes"):
                model = load_file(path)
                found = (model["mean"][:, 0], model["std"][:, 0])
            off = max(float(np.abs(one - own).max()) for one, own in zip(found, (mean, deviation), strict=True))
            if not off <= TOLERANCE * float(deviation.max()):
                raise StudyError(
                    f"leak, held-out fold {fold}: the normalisation of the classifier of {arm}, seed {seed}, is off by "
                    f"{off:.3g}, wanted that of its training clips"
                )


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
