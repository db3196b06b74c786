"""Mel spectrogram to audio: least-squares mel inversion, then Griffin-Lim's projections, held to the mel or not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torchaudio
from tqdm import tqdm

from soundaug.audio import from_pcm16, to_pcm16
from soundaug.device import generator_of
from soundaug.features import MelFrontEnd
from soundaug.params import Invert

SMALLEST_POWER = 1e-12
LARGEST_GAIN = 1e4  # of a bin's power in one projection, 40 dB


@dataclass(frozen=True)
class RoundTrip:
    """How far a clip's audio is from the log mel it was made of."""

    level_error_db: float  # of the whole clip's mel power
    log_mel_error_db: float  # root mean square over bands and frames
    limited_share: float  # 1 when the clip was turned down to stay within full scale, else 0


class PhaseReconstruction:
    """Log mels of one front end to waveforms, the level kept.

    ``griffin_lim`` holds the magnitudes to those that least squares makes of the mel (Griffin & Lim 1984; faster by
    momentum: Perraudin et al. 2013): 64 bands leave most of 1,025 bins open, and what was guessed wrong stays.
    ``mel_griffin_lim`` holds the mel alone: in every projection each bin is multiplied by the root of how much too
    little power there is in the bands that it is in, as in non-negative matrix factorisation (Lee & Seung 2001), and
    all else may become what is consistent.
    """

    def __init__(self, front_end: MelFrontEnd, settings: Invert) -> None:
        features = front_end.settings
        self.front_end = front_end
        self.settings = settings
        self._window = torch.hann_window(features.n_fft)
        self._filters = front_end.filters
        self._to_linear = torchaudio.transforms.InverseMelScale(
            n_stft=features.n_fft // 2 + 1,
            n_mels=features.n_mels,
            sample_rate=features.sample_rate,
            f_min=features.fmin_hz,
            f_max=features.fmax_hz,
            norm="slaney" if features.filters == "slaney" else None,
            mel_scale=features.filters,
            driver="gelsd",
        )

    def __call__(self, log_mel: torch.Tensor, seed: int) -> torch.Tensor:
        """One clip's log mel [n_mels, T] in dB to its waveform [n_samples] (may pass +-1); ``seed`` draws first phases.

        The result is scaled by one gain so that its mel power sums to that of ``log_mel``: phase reconstruction from an
        inconsistent spectrogram loses energy.
        """
        power = self.front_end.from_db(log_mel)
        run = self._griffin_lim if self.settings.method == "griffin_lim" else self._mel_griffin_lim
        waveform = run(power, seed)
        reached = self.front_end.power(waveform[None]).sum()
        return waveform * torch.sqrt(power.sum() / torch.clamp(reached, min=1e-20))

    def _griffin_lim(self, power: torch.Tensor, seed: int) -> torch.Tensor:
        """Of mel power [n_mels, T] to [n_samples]."""
        features = self.front_end.settings
        # torchaudio draws the first phases from the global generator, which takes no argument: lend it one seed.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            waveform: torch.Tensor = torchaudio.functional.griffinlim(
                self._to_linear(power),
                window=self._window,
                n_fft=features.n_fft,
                hop_length=features.hop_length,
                win_length=features.n_fft,
                power=2.0,
                n_iter=self.settings.iterations,
                momentum=self.settings.momentum,
                length=features.n_samples,
                rand_init=True,
            )
        return waveform

    def _mel_griffin_lim(self, power: torch.Tensor, seed: int) -> torch.Tensor:
        """Of mel power [n_mels, T] to [n_samples]."""
        magnitude = self._to_linear(power).clamp(min=0).sqrt()
        phase = 2 * torch.pi * torch.rand(magnitude.shape, generator=generator_of(seed))
        waveform = self._to_waveform(torch.polar(magnitude, phase))
        last = None
        for _ in range(self.settings.iterations):
            spectrum = self._to_spectrum(waveform)
            ahead = spectrum if last is None else spectrum + self.settings.momentum * (spectrum - last)
            last = spectrum
            ratio = power / torch.clamp(self._filters @ ahead.abs().square(), min=SMALLEST_POWER)
            gain = self._filters.T @ ratio / torch.clamp(self._filters.sum(dim=0), min=SMALLEST_POWER)[:, None]
            waveform = self._to_waveform(ahead * gain.clamp(max=LARGEST_GAIN).sqrt())
        return waveform

    def _to_spectrum(self, waveform: torch.Tensor) -> torch.Tensor:
        """Short-time Fourier transform of [n_samples]: complex [n_fft / 2 + 1, T]."""
        features = self.front_end.settings
        return torch.stft(waveform, features.n_fft, features.hop_length, window=self._window, return_complex=True)

    def _to_waveform(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Inverse short-time Fourier transform of [n_fft / 2 + 1, T]: [n_samples]."""
        features = self.front_end.settings
        return torch.istft(
            spectrum, features.n_fft, features.hop_length, window=self._window, length=features.n_samples
        )


def reconstruct(
    log_mels: np.ndarray, seeds: Sequence[int], phase: PhaseReconstruction, label: str
) -> tuple[np.ndarray, list[RoundTrip]]:
    """16-bit waveforms int16 [N, n_samples] for log mels [N, n_mels, T] in dB, and what each lost on the way.

    A clip that would pass full scale is turned down as a whole. Clip by clip: on a CPU faster than a batch, whose
    spectrograms leave the cache between two Fourier transforms.
    """
    samples = np.empty((len(log_mels), phase.front_end.settings.n_samples), np.int16)
    errors = []
    for row, log_mel, seed in zip(samples, tqdm(log_mels, desc=label, disable=None, unit="clip"), seeds, strict=True):
        target = torch.from_numpy(log_mel)
        waveform = phase(target, seed)
        peak = float(waveform.abs().max())
        row[:] = to_pcm16((waveform / max(1.0, peak)).numpy())
        errors.append(round_trip(target, torch.from_numpy(from_pcm16(row)), peak > 1, phase.front_end))
    return samples, errors


def round_trip(log_mel: torch.Tensor, waveform: torch.Tensor, limited: bool, front_end: MelFrontEnd) -> RoundTrip:
    """Compare ``waveform`` [n_samples] with the ``log_mel`` [n_mels, T] it was made of."""
    power = front_end.power(waveform[None])[0]
    level = 10 * torch.log10(torch.clamp(power.sum() / front_end.from_db(log_mel).sum(), min=1e-20))
    error = (front_end.to_db(power) - log_mel).square().mean().sqrt()
    return RoundTrip(abs(float(level)), float(error), float(limited))


def mean_errors(errors: Sequence[RoundTrip]) -> dict[str, float]:
    """The mean of every figure over the clips; nothing for no clips."""
    if not errors:
        return {}
    return {name: round(float(np.mean([getattr(one, name) for one in errors])), 4) for name in vars(errors[0])}
