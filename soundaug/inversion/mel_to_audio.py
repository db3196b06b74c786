"""Mel spectrogram to audio, the level kept: what `invert` says of the mel, the phases and a vocoder."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, overload

import numpy as np
import torch
from tqdm import tqdm

from soundaug.inversion.mel_inversion import MelInversion
from soundaug.inversion.vocoder import Vocoder, load_vocoder
from soundaug.params import Features, Invert, Workers
from soundaug.running.device import choose_device
from soundaug.running.workers import over_workers
from soundaug.sound.audio import from_pcm16, to_pcm16
from soundaug.sound.features import MelFrontEnd
from soundaug.sound.mel_bands import MelBands
from soundaug.sound.phase import Stft, admm, griffin_lim, mel_griffin_lim, power_of

BATCH = 64  # clips at a time on a GPU; on a CPU one a core, since spectrograms of more leave the cache


class Mels(Protocol):
    """Log mels [N, n_mels, T] in dB, of which parts can be had: an array, or what reads them from the disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> np.ndarray: ...


@dataclass(frozen=True)
class RoundTrip:
    """How far a clip's audio is from the log mel it was made of."""

    level_error_db: float  # of the whole clip's mel power
    log_mel_error_db: float  # root mean square over bands and frames
    limited_share: float  # 1 when the clip was turned down to stay within full scale, else 0


class MelToAudio:
    """Log mels of one front end to waveforms on `choose_device()`; raises StudyError when the vocoder cannot be read.

    ``griffin_lim`` and ``admm`` find phases for the magnitudes that ``mel_inversion`` makes of the mel: 64 bands leave
    most of 1,025 bins open, and what was guessed wrong stays. ``mel_griffin_lim`` starts there and holds the mel alone.
    """

    def __init__(self, front_end: MelFrontEnd, settings: Invert) -> None:
        features = front_end.settings
        self.device = choose_device()
        self.front_end = front_end.to(self.device)
        self.settings = settings
        self.stft = Stft(features.n_fft, features.hop_length, features.n_samples)
        self._inversion = MelInversion(self.front_end.filters)
        self._bands = MelBands(self.front_end.filters)
        self.vocoder: Vocoder | None = None
        if settings.vocoder is not None:
            self.vocoder = load_vocoder(settings.vocoder, features.sample_rate)

    def __reduce__(self) -> tuple[Any, tuple[Features, Invert]]:
        return mel_to_audio_of, (self.front_end.settings, self.settings)  # a worker of a cluster makes its own, once

    @torch.inference_mode()
    def __call__(self, log_mels: torch.Tensor, seeds: Sequence[int]) -> torch.Tensor:
        """Log mels [B, n_mels, T] in dB to waveforms [B, n_samples], which may pass +-1; ``seeds`` [B] draw phases.

        Each is scaled by one gain so that its mel power sums to that of the log mel: phase reconstruction from an
        inconsistent spectrogram loses energy.
        """
        wanted = self.front_end.from_db(log_mels.to(self.device))
        waveforms = self._find_phases(wanted, seeds)
        if self.vocoder is not None:
            waveforms = self.vocoder(waveforms)
        reached = self._bands.power(power_of(self.stft.spectrum(waveforms))).sum(dim=(1, 2))
        gains = torch.sqrt(wanted.sum(dim=(1, 2)) / torch.clamp(reached, min=1e-20))
        return (waveforms * gains[:, None]).cpu()

    def _find_phases(self, mel_power: torch.Tensor, seeds: Sequence[int]) -> torch.Tensor:
        """Of mel power [B, n_mels, T] to [B, n_samples]."""
        settings = self.settings
        if settings.mel_inversion == "nnls":
            power = self._inversion.nnls(mel_power, settings.nnls_iterations)
        else:
            power = self._inversion.pseudo_inverse(mel_power)
        magnitudes = power.sqrt()
        if settings.method == "griffin_lim":
            return griffin_lim(magnitudes, self.stft, seeds, settings.iterations, settings.momentum)
        if settings.method == "admm":
            return admm(magnitudes, self.stft, seeds, settings.iterations, settings.momentum, settings.rho)
        return mel_griffin_lim(
            mel_power, self._bands, magnitudes, self.stft, seeds, settings.iterations, settings.momentum
        )


@functools.cache
def mel_to_audio_of(features: Features, settings: Invert) -> MelToAudio:
    """The way to audio by these settings, one a process."""
    return MelToAudio(MelFrontEnd(features), settings)


def sounds(
    log_mels: Mels, seeds: Sequence[int], mel_to_audio: MelToAudio, label: str, workers: Workers = "threads"
) -> Iterator[tuple[np.ndarray, RoundTrip]]:
    """A 16-bit waveform int16 [n_samples] for each of the log mels [N, n_mels, T] in dB, and what it lost on the way.

    A clip that would pass full scale is turned down as a whole. Some clips are held at a time, however many there are.
    """
    on_cpu = mel_to_audio.device.type == "cpu"
    parts = _Parts(log_mels, seeds, 1 if on_cpu else BATCH)
    work = functools.partial(_sound_part, mel_to_audio)
    if on_cpu or workers != "threads":
        made = over_workers(work, parts, label, workers)
    else:
        made = map(work, tqdm(parts, desc=label, unit="batch", disable=None))
    for heard, lost in made:
        yield from zip(heard, lost, strict=True)


def sound(
    log_mels: np.ndarray, seeds: Sequence[int], mel_to_audio: MelToAudio, label: str
) -> tuple[np.ndarray, list[RoundTrip]]:
    """What `sounds` makes, all of it: int16 [N, n_samples], and what each clip lost."""
    samples = np.empty((len(log_mels), mel_to_audio.front_end.settings.n_samples), np.int16)
    errors = []
    for row, (heard, lost) in zip(samples, sounds(log_mels, seeds, mel_to_audio, label), strict=True):
        row[:] = heard
        errors.append(lost)
    return samples, errors


class _Parts(Sequence[tuple[np.ndarray, list[int]]]):
    """Log mels [B, n_mels, T] and their seeds, ``size`` clips a part, had when they are asked for."""

    def __init__(self, log_mels: Mels, seeds: Sequence[int], size: int) -> None:
        self.log_mels = log_mels
        self.seeds = seeds
        self.starts = range(0, len(log_mels), size)

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, index: int) -> tuple[np.ndarray, list[int]]: ...

    @overload
    def __getitem__(self, index: slice) -> list[tuple[np.ndarray, list[int]]]: ...

    def __getitem__(self, index: int | slice) -> tuple[np.ndarray, list[int]] | list[tuple[np.ndarray, list[int]]]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        part = slice(self.starts[index], self.starts[index] + self.starts.step)
        return self.log_mels[part], list(self.seeds[part])


def _sound_part(mel_to_audio: MelToAudio, part: tuple[np.ndarray, Sequence[int]]) -> tuple[np.ndarray, list[RoundTrip]]:
    """Waveforms int16 [B, n_samples] of log mels [B, n_mels, T] and their seeds."""
    log_mels, seeds = part
    wanted = torch.from_numpy(np.array(log_mels))
    waveforms = mel_to_audio(wanted, seeds)
    peaks = waveforms.abs().amax(dim=1)
    heard = to_pcm16((waveforms / peaks.clamp(min=1)[:, None]).numpy())
    again = torch.from_numpy(from_pcm16(heard))
    return heard, round_trips(wanted, again, (peaks > 1).tolist(), mel_to_audio.front_end)


def round_trips(
    log_mels: torch.Tensor, waveforms: torch.Tensor, limited: Sequence[bool], front_end: MelFrontEnd
) -> list[RoundTrip]:
    """Compare ``waveforms`` [B, n_samples] with the ``log_mels`` [B, n_mels, T] they were made of."""
    device = front_end.filters.device
    wanted = log_mels.to(device)
    power = front_end.power(waveforms.to(device))
    level = 10 * torch.log10((power.sum(dim=(1, 2)) / front_end.from_db(wanted).sum(dim=(1, 2))).clamp(min=1e-20))
    error = (front_end.to_db(power) - wanted).square().mean(dim=(1, 2)).sqrt()
    return [
        RoundTrip(*figures) for figures in zip(level.abs().tolist(), error.tolist(), map(float, limited), strict=True)
    ]


def mean_errors(errors: Sequence[RoundTrip]) -> dict[str, float]:
    """The mean of every figure over the clips; nothing for no clips."""
    if not errors:
        return {}
    return {name: round(float(np.mean([getattr(one, name) for one in errors])), 4) for name in vars(errors[0])}
