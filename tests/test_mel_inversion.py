"""Mel inversion: against scipy's non-negative least squares, and what the cut costs the pseudo-inverse."""

import pytest
import torch
import torchaudio
from scipy.optimize import nnls as scipy_nnls

from soundaug.inversion.mel_inversion import MelInversion

FILTERS = torchaudio.functional.melscale_fbanks(129, 0.0, 4000.0, 24, 8000).T
INVERSION = MelInversion(FILTERS)
# Neighbours that differ more than any spectrum of overlapping bands lets them: two clips of six frames.
MEL = torch.rand(2, 24, 6, generator=torch.Generator().manual_seed(1)) ** 4


def error(found: torch.Tensor, mel: torch.Tensor) -> float:
    return float(torch.linalg.norm(FILTERS @ found - mel) / torch.linalg.norm(mel))


def test_the_pseudo_inverse_is_least_squares_cut_at_zero() -> None:
    uncut = torch.linalg.lstsq(FILTERS.double(), MEL[0].double(), driver="gelsd").solution
    assert uncut.min() < -0.05
    assert (INVERSION.pseudo_inverse(MEL)[0] - uncut.clamp(min=0)).abs().max() < 1e-4


def test_nnls_is_as_near_as_scipys() -> None:
    """The least distance is above 0, and known."""
    frames = MEL.double().movedim(1, -1).reshape(-1, 24).numpy()
    squares = sum(scipy_nnls(FILTERS.double().numpy(), frame)[1] ** 2 for frame in frames)
    best = squares**0.5 / float(torch.linalg.norm(MEL))
    assert best > 0.03
    found = INVERSION.nnls(MEL, 500)
    assert found.min() >= 0
    assert error(found, MEL) == pytest.approx(best, rel=1e-3)
    assert error(INVERSION.nnls(MEL, 50), MEL) < 1.15 * best
    assert error(INVERSION.pseudo_inverse(MEL), MEL) > 4 * best


def test_nnls_finds_a_spectrum_of_the_mel_where_the_cut_leaves_an_error() -> None:
    power = torch.rand(2, 129, 6, generator=torch.Generator().manual_seed(0)) ** 8
    power[:, 40] += 3
    mel = FILTERS @ power
    assert error(INVERSION.pseudo_inverse(mel), mel) > 0.03
    assert error(INVERSION.nnls(mel, 200), mel) < 1e-3


def test_frames_do_not_know_of_each_other() -> None:
    together = INVERSION.nnls(MEL, 20)
    assert (INVERSION.nnls(MEL[:1, :, 2:3], 20) - together[:1, :, 2:3]).abs().max() < 1e-5


def test_silence_stays_silence() -> None:
    assert torch.equal(INVERSION.nnls(torch.zeros(1, 24, 3), 5), torch.zeros(1, 129, 3))
