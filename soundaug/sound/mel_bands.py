"""Mel filters as what they are: sparse. A frequency bin is in two bands at most."""

import warnings

import torch

SMALLEST_WEIGHT = 1e-12


class MelBands:
    """Products with mel ``filters`` [n_mels, F], in a tenth of the time that they take as dense matrices on a CPU.

    Spectrograms [..., F, T] are quickest as `phase.by_frames` has them, and come out so.
    """

    def __init__(self, filters: torch.Tensor) -> None:
        self._filters = _factor(filters.T)
        self._shares = _factor(filters / filters.sum(dim=0).clamp(min=SMALLEST_WEIGHT))

    def power(self, power: torch.Tensor) -> torch.Tensor:
        """Mel power [..., n_mels, T] of a power spectrogram [..., F, T]."""
        return _product(power, self._filters)

    def spread(self, values: torch.Tensor) -> torch.Tensor:
        """Each bin's mean [..., F, T] of its bands' ``values`` [..., n_mels, T], weighted as the filters weigh it."""
        return _product(values, self._shares)


def _factor(matrix: torch.Tensor) -> torch.Tensor:
    """``matrix`` for `_product`: compressed on a CPU, where that is quicker."""
    if matrix.device.type != "cpu":
        return matrix
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CS. tensor support is in beta state")
        return matrix.to_sparse_csc()


def _product(spectrogram: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """``spectrogram`` [..., K, T] by ``factor`` [K, N], frame by frame: [..., N, T]."""
    frames = spectrogram.mT
    return (frames.flatten(0, -2) @ factor).view(*frames.shape[:-1], -1).mT
