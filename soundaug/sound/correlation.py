"""Mels compared at every shift in time, each of one set with each of another, block by block and by FFT."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from scipy.fft import next_fast_len
from tqdm import tqdm

# Clips compared at once; what is held grows with these, the clip's size and max_shift, not with the number of clips.
QUERY_BLOCK = 64
REFERENCE_BLOCK = 256


class Block(NamedTuple):
    """Queries ``rows`` against references ``columns`` at the S shifts of `shifts_up_to`, in their order.

    ``products`` [S, N, R]: the sum over the overlap of the products; ``query_energy`` [S, N] and ``reference_energy``
    [S, R]: of the squares there.
    """

    rows: slice
    columns: slice
    products: torch.Tensor
    query_energy: torch.Tensor
    reference_energy: torch.Tensor


def shifts_up_to(max_shift: int) -> list[int]:
    """0, -1, 1, -2, 2, ...: the least first."""
    return sorted(range(-max_shift, max_shift + 1), key=abs)


def correlations(
    queries: np.ndarray,
    references: np.ndarray,
    max_shift: int,
    device: torch.device,
    label: str,
    centre: np.ndarray | float = 0.0,
) -> Iterator[Block]:
    """Every block of queries [N, n_mels, T] and references [R, n_mels, T], less ``centre`` [n_mels, 1], in float32.

    A shift of s frames lays frame t + s of the query on frame t of the reference; nothing wraps round. ``label`` names
    the progress bar.
    """
    shifts = shifts_up_to(max_shift)
    length = int(next_fast_len(queries.shape[2] + max_shift, real=True))  # long enough that no shift wraps round
    for column in tqdm(range(0, len(references), REFERENCE_BLOCK), desc=label, unit="block", disable=None):
        columns = slice(column, column + REFERENCE_BLOCK)
        # What is left of the reference at shift s is what is left of the query at -s.
        spectrum, reference_energy = _spectra(references[columns] - centre, [-s for s in shifts], length, device)
        conjugate = spectrum.conj().transpose(1, 2).resolve_conj()  # [F, n_mels, R]
        for row in range(0, len(queries), QUERY_BLOCK):
            rows = slice(row, row + QUERY_BLOCK)
            spectrum, query_energy = _spectra(queries[rows] - centre, shifts, length, device)
            products = torch.fft.irfft(torch.bmm(spectrum, conjugate), n=length, dim=0)[shifts]
            yield Block(rows, columns, products, query_energy, reference_energy)


def _spectra(
    mels: np.ndarray, shifts: list[int], length: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fourier transforms along time [F, N, n_mels] of mels [N, n_mels, T], and the energy [S, N] left at each shift.

    Shift s > 0 leaves frames s to T, s < 0 frames 0 to T + s.
    """
    n_frames = mels.shape[2]
    power = np.square(mels, dtype=np.float64).sum(axis=1)  # [N, T]
    before = np.concatenate([np.zeros((len(mels), 1)), power.cumsum(axis=1)], axis=1)  # of the frames before each
    energy = [before[:, n_frames + min(shift, 0)] - before[:, max(shift, 0)] for shift in shifts]
    images = torch.from_numpy(mels.astype(np.float32)).to(device)
    spectrum = torch.fft.rfft(images, n=length).permute(2, 0, 1).contiguous()
    return spectrum, torch.from_numpy(np.stack(energy).astype(np.float32)).to(device)
