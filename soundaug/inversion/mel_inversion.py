"""Mel spectrogram to a linear one: what each frequency bin may have held."""

import torch


class MelInversion:
    """Back through mel ``filters`` [n_mels, F], of power or of magnitudes: what comes out is of the same kind."""

    def __init__(self, filters: torch.Tensor) -> None:
        self.filters = filters
        self._inverse = torch.linalg.pinv(filters)
        self._step = 1 / torch.linalg.matrix_norm(filters, 2) ** 2

    def pseudo_inverse(self, mel: torch.Tensor) -> torch.Tensor:
        """Spectrograms [..., F, T] >= 0 of mels [..., n_mels, T]: least squares of least norm, cut off at 0."""
        return (self._inverse @ mel).clamp(min=0)

    def nnls(self, mel: torch.Tensor, iterations: int) -> torch.Tensor:
        """Spectrograms [..., F, T] >= 0 whose mel is nearest to ``mel`` [..., n_mels, T]: non-negative least squares.

        From the `pseudo_inverse` on, by accelerated projected gradients (FISTA: Beck & Teboulle 2009) that restart
        where they point uphill (O'Donoghue & Candes 2015), all frames at once.
        """
        found = ahead = self.pseudo_inverse(mel)
        momentum = torch.ones_like(mel[..., :1, :])
        for _ in range(iterations):
            gradient = self.filters.T @ (self.filters @ ahead - mel)
            last, found = found, (ahead - self._step * gradient).clamp(min=0)
            uphill = (gradient * (found - last)).sum(dim=-2, keepdim=True) > 0
            momentum = torch.where(uphill, 1.0, momentum)
            grown = (1 + torch.sqrt(1 + 4 * momentum.square())) / 2
            ahead = found + torch.where(uphill, 0.0, (momentum - 1) / grown) * (found - last)
            momentum = grown
        return found
