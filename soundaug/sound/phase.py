"""Phase reconstruction: waveforms whose spectra have given magnitudes, or whose mels are given."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch

from soundaug.running.device import generator_of
from soundaug.sound.mel_bands import MelBands

SMALLEST_MEL_POWER = 1e-12
SMALLEST_POWER = 1e-32  # of a bin
SMALLEST_ENVELOPE = 1e-11
LARGEST_GAIN = 1e4  # of a bin's power in one projection, 40 dB


@dataclass(frozen=True)
class Stft:
    """Short-time Fourier transform with a Hann window and centred frames, and its inverse, of ``n_samples``.

    ``win_length`` is the window's, centred in ``n_fft`` samples; None: as long. Spectra are complex
    [..., n_fft / 2 + 1, T] and lie in memory frame after frame, as `by_frames` has it.
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
            window=_hann(self.win_length or self.n_fft, waveforms.dtype, waveforms.device),
            return_complex=True,
        )

    def waveform(self, spectra: torch.Tensor) -> torch.Tensor:
        """Waveforms [..., n_samples]: those whose spectra are nearest to [..., n_fft / 2 + 1, T] (least squares).

        torch.istft in a quarter of its time, most of which it takes to add up frames sample by sample.
        """
        frames = torch.fft.irfft(spectra.mT, self.n_fft)
        window, envelope = _synthesis(self, frames.shape[-2], frames.dtype, frames.device)
        start = self.n_fft // 2
        return _overlap_add(frames.mul_(window), self.hop_length, start + self.n_samples)[..., start:] / envelope

    def consistent(self, spectra: torch.Tensor) -> torch.Tensor:
        """The spectra of the waveforms nearest to these."""
        return self.spectrum(self.waveform(spectra))


@cache
def _hann(length: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    return torch.hann_window(length, dtype=dtype, device=device)


@cache
def _synthesis(
    stft: Stft, n_frames: int, dtype: torch.dtype, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """The window [n_fft], and what the squares of all frames' windows add up to [n_samples]."""
    length = stft.win_length or stft.n_fft
    left = (stft.n_fft - length) // 2
    window = torch.nn.functional.pad(_hann(length, dtype, device), (left, stft.n_fft - length - left))
    start = stft.n_fft // 2
    squares = window.square().expand(n_frames, -1)
    envelope = _overlap_add(squares, stft.hop_length, start + stft.n_samples)[start:]
    return window, envelope.clamp(min=SMALLEST_ENVELOPE)


def _overlap_add(frames: torch.Tensor, hop_length: int, length: int) -> torch.Tensor:
    """Frames [..., T, n_fft], each ``hop_length`` after the last, added up: [..., length].

    A hop's length of every frame at a time, so that few and long sums do it.
    """
    n_frames, n_fft = frames.shape[-2:]
    hops = -(-n_fft // hop_length)
    rows = max(n_frames + hops - 1, -(-length // hop_length))
    total = frames.new_zeros(*frames.shape[:-2], rows, hop_length)
    for hop, start in enumerate(range(0, n_fft, hop_length)):
        part = frames[..., start : start + hop_length]
        total[..., hop : hop + n_frames, : part.shape[-1]] += part
    return total.flatten(-2)[..., :length]


def by_frames(spectrograms: torch.Tensor) -> torch.Tensor:
    """The same [..., F, T] with each frame's bins side by side in memory: two layouts in one operation are slow."""
    return spectrograms.mT.contiguous().mT


def first_spectra(magnitudes: torch.Tensor, seeds: Sequence[int]) -> torch.Tensor:
    """``magnitudes`` [B, F, T] with uniformly random phases, each clip's from its own of the ``seeds`` [B].

    Drawn on the CPU, so that every device gets the same.
    """
    draws = [torch.rand(magnitudes.shape[1:], generator=generator_of(seed)) for seed in seeds]
    phases = 2 * torch.pi * by_frames(torch.stack(draws).to(magnitudes))
    return torch.complex(magnitudes * phases.cos(), magnitudes * phases.sin())


def griffin_lim(
    magnitudes: torch.Tensor, stft: Stft, seeds: Sequence[int], iterations: int, momentum: float
) -> torch.Tensor:
    """Waveforms [B, n_samples] of ``magnitudes`` [B, F, T] by alternating projections (Griffin & Lim 1984).

    ``momentum`` 0.99 is the fast variant (Perraudin, Balazs & Sondergaard 2013), 0 the original.
    """
    magnitudes = by_frames(magnitudes)
    last = found = stft.waveform(first_spectra(magnitudes, seeds))
    for _ in range(iterations):
        # The transform is linear: waveforms carried on are spectra carried on, of a fourth of the numbers.
        ahead = stft.spectrum(torch.lerp(last, found, 1 + momentum))
        last, found = found, stft.waveform(with_magnitudes(ahead, magnitudes))
    return found


def admm(
    magnitudes: torch.Tensor, stft: Stft, seeds: Sequence[int], iterations: int, momentum: float, rho: float
) -> torch.Tensor:
    """Waveforms [B, n_samples] of ``magnitudes`` [B, F, T] by the method of multipliers (Masuyama et al. 2019, GLADMM).

    Half the squared distance to consistent spectra is minimised among those of these magnitudes; ``rho`` weighs the
    agreement of the two. ``momentum`` carries the projection on, as in the fast `griffin_lim`: 0 is the paper's, 0.2
    gains most of a decibel.
    """
    magnitudes = by_frames(magnitudes)
    agreed = first_spectra(magnitudes, seeds)
    dual = torch.zeros_like(agreed)
    last = None
    for _ in range(iterations):
        wanted = with_magnitudes(agreed.sub_(dual), magnitudes).add_(dual)
        found = stft.waveform(wanted)
        ahead = stft.spectrum(found if last is None else torch.lerp(last, found, 1 + momentum))
        last = found
        dual = torch.sub(wanted, ahead, out=ahead).mul_(1 / (1 + rho))
        agreed = wanted.sub_(dual)
    return stft.waveform(with_magnitudes(agreed, magnitudes))


def mel_griffin_lim(
    mel_power: torch.Tensor,
    bands: MelBands,
    first: torch.Tensor,
    stft: Stft,
    seeds: Sequence[int],
    iterations: int,
    momentum: float,
) -> torch.Tensor:
    """Waveforms [B, n_samples] whose mel power is ``mel_power`` [B, n_mels, T], from ``first`` magnitudes [B, F, T].

    Holds the mel and not the magnitudes, which some ``bands`` leave open: in every projection each bin is multiplied by
    the root of how much too little power there is in the bands that it is in, as in non-negative matrix factorisation
    (Lee & Seung 2001); all else may become what is consistent.
    """
    mel_power = by_frames(mel_power)
    last = found = stft.waveform(first_spectra(by_frames(first), seeds))
    for _ in range(iterations):
        ahead = stft.spectrum(torch.lerp(last, found, 1 + momentum))
        ratio = mel_power / bands.power(power_of(ahead)).clamp_(min=SMALLEST_MEL_POWER)
        last, found = found, stft.waveform(ahead * bands.spread(ratio).clamp_(max=LARGEST_GAIN).sqrt_())
    return found


def power_of(spectra: torch.Tensor) -> torch.Tensor:
    """The squared magnitudes of complex ``spectra``, a fifth of the work of their magnitudes."""
    return spectra.real.square() + spectra.imag.square()


def with_magnitudes(spectra: torch.Tensor, magnitudes: torch.Tensor) -> torch.Tensor:
    """``spectra`` with their phases kept and these ``magnitudes``, of the same shape."""
    return spectra * power_of(spectra).clamp_(min=SMALLEST_POWER).rsqrt_().mul_(magnitudes)


def spectral_convergence_db(magnitudes: torch.Tensor, waveforms: torch.Tensor, stft: Stft) -> torch.Tensor:
    """Spectral convergence [B] in dB of ``waveforms`` [B, n_samples] to ``magnitudes`` [B, F, T]; lower is nearer.

    The norm of the difference of magnitudes over that of the magnitudes (Sturmel & Daudet 2011).
    """
    difference = stft.spectrum(waveforms).abs() - magnitudes
    return 20 * torch.log10(torch.linalg.matrix_norm(difference) / torch.linalg.matrix_norm(magnitudes))
