"""Phase reconstruction: waveforms whose spectra have given magnitudes, or whose mels are given."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from soundaug.device import generator_of

SMALLEST_POWER = 1e-12
SMALLEST_MAGNITUDE = 1e-16
LARGEST_GAIN = 1e4  # of a bin's power in one projection, 40 dB


@dataclass(frozen=True)
class Stft:
    """Short-time Fourier transform with a Hann window and centred frames, and its inverse, of ``n_samples``.

    ``win_length`` is the window's, centred in ``n_fft`` samples; None: as long.
    """

    n_fft: int
    hop_length: int
    n_samples: int
    win_length: int | None = None

    def spectrum(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Complex [..., n_fft / 2 + 1, T] of waveforms [..., n_samples]."""
        return torch.stft(
            waveforms,
            self.n_fft,
            self.hop_length,
            self.win_length,
            window=self._window(waveforms),
            return_complex=True,
        )

    def waveform(self, spectra: torch.Tensor) -> torch.Tensor:
        """Waveforms [..., n_samples]: those whose spectra are nearest to [..., n_fft / 2 + 1, T] (least squares)."""
        return torch.istft(
            spectra,
            self.n_fft,
            self.hop_length,
            self.win_length,
            window=self._window(spectra.real),
            length=self.n_samples,
        )

    def consistent(self, spectra: torch.Tensor) -> torch.Tensor:
        """The spectra of the waveforms nearest to these."""
        return self.spectrum(self.waveform(spectra))

    def _window(self, like: torch.Tensor) -> torch.Tensor:
        return torch.hann_window(self.win_length or self.n_fft, device=like.device, dtype=like.dtype)


def first_spectra(magnitudes: torch.Tensor, seeds: Sequence[int]) -> torch.Tensor:
    """``magnitudes`` [B, F, T] with uniformly random phases, each clip's from its own of the ``seeds`` [B].

    Drawn on the CPU, so that every device gets the same.
    """
    draws = [torch.rand(magnitudes.shape[1:], generator=generator_of(seed)) for seed in seeds]
    phases = 2 * torch.pi * torch.stack(draws).to(magnitudes)
    return torch.polar(magnitudes, phases)


def griffin_lim(
    magnitudes: torch.Tensor, stft: Stft, seeds: Sequence[int], iterations: int, momentum: float
) -> torch.Tensor:
    """Waveforms [B, n_samples] of ``magnitudes`` [B, F, T] by alternating projections (Griffin & Lim 1984).

    ``momentum`` 0.99 is the fast variant (Perraudin, Balazs & Sondergaard 2013), 0 the original.
    """
    spectra = first_spectra(magnitudes, seeds)
    last = None
    for _ in range(iterations):
        found = stft.consistent(spectra)
        ahead = found if last is None else torch.lerp(last, found, 1 + momentum)
        last = found
        spectra = with_magnitudes(ahead, magnitudes)
    return stft.waveform(spectra)


def admm(
    magnitudes: torch.Tensor, stft: Stft, seeds: Sequence[int], iterations: int, momentum: float, rho: float
) -> torch.Tensor:
    """Waveforms [B, n_samples] of ``magnitudes`` [B, F, T] by the method of multipliers (Masuyama et al. 2019, GLADMM).

    Half the squared distance to consistent spectra is minimised among those of these magnitudes; ``rho`` weighs the
    agreement of the two. ``momentum`` carries the projection on, as in the fast `griffin_lim`: 0 is the paper's, 0.2
    gains most of a decibel.
    """
    agreed = first_spectra(magnitudes, seeds)
    dual = torch.zeros_like(agreed)
    last = None
    for _ in range(iterations):
        wanted = with_magnitudes(agreed - dual, magnitudes) + dual
        found = stft.consistent(wanted)
        ahead = found if last is None else torch.lerp(last, found, 1 + momentum)
        last = found
        agreed = (rho * wanted + ahead) / (1 + rho)
        dual = wanted - agreed
    return stft.waveform(with_magnitudes(agreed, magnitudes))


def mel_griffin_lim(
    mel_power: torch.Tensor,
    filters: torch.Tensor,
    first: torch.Tensor,
    stft: Stft,
    seeds: Sequence[int],
    iterations: int,
    momentum: float,
) -> torch.Tensor:
    """Waveforms [B, n_samples] whose mel power is ``mel_power`` [B, n_mels, T], from ``first`` magnitudes [B, F, T].

    Holds the mel and not the magnitudes, which some bands leave open: in every projection each bin is multiplied by the
    root of how much too little power there is in the bands that it is in, by ``filters`` [n_mels, F], as in
    non-negative matrix factorisation (Lee & Seung 2001); all else may become what is consistent.
    """
    waveforms = stft.waveform(first_spectra(first, seeds))
    share = filters.T / torch.clamp(filters.sum(dim=0), min=SMALLEST_POWER)[:, None]  # of each band in a bin
    last = None
    for _ in range(iterations):
        found = stft.spectrum(waveforms)
        ahead = found if last is None else torch.lerp(last, found, 1 + momentum)
        last = found
        ratio = mel_power / torch.clamp(filters @ (ahead.real.square() + ahead.imag.square()), min=SMALLEST_POWER)
        waveforms = stft.waveform(ahead * (share @ ratio).clamp(max=LARGEST_GAIN).sqrt())
    return waveforms


def with_magnitudes(spectra: torch.Tensor, magnitudes: torch.Tensor) -> torch.Tensor:
    """``spectra`` with their phases kept and these ``magnitudes``, of the same shape."""
    return spectra * (magnitudes / torch.clamp(spectra.abs(), min=SMALLEST_MAGNITUDE))


def spectral_convergence_db(magnitudes: torch.Tensor, waveforms: torch.Tensor, stft: Stft) -> torch.Tensor:
    """Spectral convergence [B] in dB of ``waveforms`` [B, n_samples] to ``magnitudes`` [B, F, T]; lower is nearer.

    The norm of the difference of magnitudes over that of the magnitudes (Sturmel & Daudet 2011).
    """
    difference = stft.spectrum(waveforms).abs() - magnitudes
    return 20 * torch.log10(torch.linalg.matrix_norm(difference) / torch.linalg.matrix_norm(magnitudes))
