"""Mel spectrogram to a linear one: what each frequency bin may have held."""

import torch


def pseudo_inverse(mel: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """Spectrograms [..., F, T] >= 0 of mels [..., n_mels, T]: least squares of least norm, what is negative cut off.

    ``filters`` [n_mels, F] made the mel, of power or of magnitudes: the result is of the same kind.
    """
    return (torch.linalg.pinv(filters) @ mel).clamp(min=0)


def nnls(mel: torch.Tensor, filters: torch.Tensor, iterations: int) -> torch.Tensor:
    """Spectrograms [..., F, T] >= 0 whose mel is nearest to ``mel`` [..., n_mels, T]: non-negative least squares.

    From the `pseudo_inverse` on, by accelerated projected gradients (FISTA: Beck & Teboulle 2009) that restart where
    they point uphill (O'Donoghue & Candes 2015), all frames at once. ``filters`` [n_mels, F].
    """
    step = 1 / torch.linalg.matrix_norm(filters, 2) ** 2
    found = ahead = pseudo_inverse(mel, filters)
    momentum = torch.ones_like(mel[..., :1, :])
    for _ in range(iterations):
        gradient = filters.T @ (filters @ ahead - mel)
        last, found = found, (ahead - step * gradient).clamp(min=0)
        uphill = (gradient * (found - last)).sum(dim=-2, keepdim=True) > 0
        momentum = torch.where(uphill, 1.0, momentum)
        grown = (1 + torch.sqrt(1 + 4 * momentum.square())) / 2
        ahead = found + torch.where(uphill, 0.0, (momentum - 1) / grown) * (found - last)
        momentum = grown
    return found
