"""Correlation at every shift, against sums frame by frame; the blocks cover every pair once, and change nothing."""

import numpy as np
import pytest
import torch

from soundaug.sound import correlation
from soundaug.sound.correlation import correlations, shifts_up_to

QUERIES = np.random.default_rng(0).normal(-20, 10, (5, 3, 17)).astype(np.float32)
REFERENCES = np.random.default_rng(1).normal(-20, 10, (7, 3, 17)).astype(np.float32)
CENTRE = np.random.default_rng(2).normal(-20, 1, (3, 1)).astype(np.float32)


def by_hand(centre: np.ndarray | float, max_shift: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Products [S, N, R] and both energies [S, N], [S, R], frame by frame."""
    queries, references = (mels.astype(np.float64) - centre for mels in (QUERIES, REFERENCES))
    products, query_energy, reference_energy = [], [], []
    for shift in sorted(range(-max_shift, max_shift + 1), key=abs):
        frames = [t for t in range(17) if 0 <= t + shift < 17]
        ours, theirs = queries[:, :, [t + shift for t in frames]], references[:, :, frames]
        products.append(np.einsum("nmt,rmt->nr", ours, theirs))
        query_energy.append(np.square(ours).sum(axis=(1, 2)))
        reference_energy.append(np.square(theirs).sum(axis=(1, 2)))
    return np.array(products), np.array(query_energy), np.array(reference_energy)


def test_the_least_shifts_come_first() -> None:
    assert shifts_up_to(2) == [0, -1, 1, -2, 2]
    assert shifts_up_to(0) == [0]


@pytest.mark.parametrize("max_shift", [0, 1, 8])
@pytest.mark.parametrize("blocks", [(64, 256), (2, 3), (1, 7), (5, 1)])
def test_blocks_hold_every_pair_once(monkeypatch: pytest.MonkeyPatch, blocks: tuple[int, int], max_shift: int) -> None:
    monkeypatch.setattr(correlation, "QUERY_BLOCK", blocks[0])
    monkeypatch.setattr(correlation, "REFERENCE_BLOCK", blocks[1])
    wanted = by_hand(CENTRE, max_shift)
    met = np.zeros((5, 7), int)
    for block in correlations(QUERIES, REFERENCES, max_shift, torch.device("cpu"), "test", CENTRE):
        met[block.rows, block.columns] += 1
        assert block.products.shape[1:] == met[block.rows, block.columns].shape
        assert block.products.shape[1] <= blocks[0]
        assert block.products.shape[2] <= blocks[1]
        found = (block.products, block.query_energy, block.reference_energy)
        assert {values.dtype for values in found} == {torch.float32}
        np.testing.assert_allclose(found[0], wanted[0][:, block.rows, block.columns], rtol=1e-4, atol=0.1)
        np.testing.assert_allclose(found[1], wanted[1][:, block.rows], rtol=1e-5)
        np.testing.assert_allclose(found[2], wanted[2][:, block.columns], rtol=1e-5)
    assert (met == 1).all()


def test_without_a_centre_mels_are_taken_as_they_are() -> None:
    (block,) = correlations(QUERIES, REFERENCES, 2, torch.device("cpu"), "test")
    found = (block.products, block.query_energy, block.reference_energy)
    for values, wanted in zip(found, by_hand(0.0, 2), strict=True):
        np.testing.assert_allclose(values, wanted, rtol=1e-4)
