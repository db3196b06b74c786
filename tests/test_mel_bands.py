"""Mel filters as sparse matrices, against the dense ones."""

import pytest
import torch
import torchaudio

from soundaug.sound.mel_bands import MelBands

F, N_MELS = 129, 24


@pytest.mark.parametrize(("scale", "norm"), [("htk", None), ("slaney", "slaney")])
def test_products_are_those_of_the_dense_filters(scale: str, norm: str | None) -> None:
    filters = torchaudio.functional.melscale_fbanks(F, 100.0, 3900.0, N_MELS, 8000, norm, scale).T
    bands = MelBands(filters)
    power = torch.rand(2, F, 6, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(bands.power(power), filters @ power, rtol=1e-5)
    assert torch.allclose(bands.power(power[0]), filters @ power[0], rtol=1e-5)
    values = torch.rand(2, N_MELS, 6, generator=torch.Generator().manual_seed(1))
    found = bands.spread(values)
    assert found.shape == (2, F, 6)
    for bin_ in (10, 60, 120):
        weights = filters[:, bin_]
        assert torch.allclose(found[:, bin_], (weights[:, None] * values).sum(dim=1) / weights.sum(), rtol=1e-4)
    assert (found[:, 0] == 0).all()  # 0 Hz is in no band
    assert torch.allclose(bands.spread(torch.ones(N_MELS, 1))[10:-10], torch.ones(F - 20, 1))


def test_frames_stay_side_by_side_in_memory() -> None:
    bands = MelBands(torchaudio.functional.melscale_fbanks(F, 0.0, 4000.0, N_MELS, 8000).T)
    power = torch.rand(2, 6, F).mT
    assert bands.power(power).mT.is_contiguous()
    assert bands.spread(bands.power(power)).mT.is_contiguous()


@pytest.mark.filterwarnings("error")
def test_nothing_is_warned_of() -> None:
    MelBands(torchaudio.functional.melscale_fbanks(F, 0.0, 4000.0, N_MELS, 8000).T)
