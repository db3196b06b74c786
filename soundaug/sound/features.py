"""The mel front end: one for real and generated audio, for classifier and generator."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchaudio

from soundaug.params import Features, Workers
from soundaug.running.workers import over_workers
from soundaug.sound.audio import ClipProblem, check_audible, fit, read_mono
from soundaug.sound.mel_bands import MelBands
from soundaug.sound.phase import Stft


class MelFrontEnd:
    """Waveforms to mel spectrograms: Hann window, centred frames, HTK filters (no area normalisation) or Slaney's."""

    def __init__(self, settings: Features) -> None:
        self.settings = settings
        self.reference = float(torch.hann_window(settings.n_fft).square().sum())
        slaney = settings.filters == "slaney"
        filters: torch.Tensor = torchaudio.functional.melscale_fbanks(
            settings.n_fft // 2 + 1,
            settings.fmin_hz,
            settings.fmax_hz,
            settings.n_mels,
            settings.sample_rate,
            norm="slaney" if slaney else None,
            mel_scale=settings.filters,
        ).T
        self.filters = filters  # [n_mels, n_fft / 2 + 1]
        self._stft = Stft(settings.n_fft, settings.hop_length, settings.n_samples)
        self._bands = MelBands(filters)

    def __reduce__(self) -> tuple[Any, tuple[Features]]:
        return front_end_of, (self.settings,)  # a worker of a cluster makes its own, once

    def to(self, device: torch.device) -> "MelFrontEnd":
        """The same front end on ``device``."""
        moved = MelFrontEnd(self.settings)
        moved.filters = self.filters.to(device)
        moved._bands = MelBands(moved.filters)
        return moved

    def power(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Waveforms [B, n_samples] to mel power spectrograms [B, n_mels, T]."""
        # Frame after frame, and in place: half of the time that a mel spectrogram otherwise takes.
        squares = torch.view_as_real(self._stft.spectrum(waveforms).mT).square_()
        return self._bands.power((squares[..., 0] + squares[..., 1]).mT)

    def to_db(self, power: torch.Tensor) -> torch.Tensor:
        """Mel power to dB, cut at floor_db; 0 dB is the power of full-scale white noise in one frequency bin."""
        decibels = 10 * torch.log10(torch.clamp(power / self.reference, min=1e-20))
        return torch.clamp(decibels, min=self.settings.floor_db)

    def from_db(self, decibels: torch.Tensor) -> torch.Tensor:
        """dB back to mel power: the inverse of `to_db` above the floor."""
        return torch.pow(10.0, decibels / 10) * self.reference

    def __call__(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Waveforms [B, n_samples] to what the classifier sees [B, n_mels, T]: dB, or power when scale is linear."""
        power = self.power(waveforms)
        return self.to_db(power) if self.settings.scale == "log" else power

    def log_mel(self, stored: torch.Tensor) -> torch.Tensor:
        """What the classifier sees [..., n_mels, T] as dB, whichever scale it is stored in."""
        return stored if self.settings.scale == "log" else self.to_db(stored)

    def stored(self, log_mel: torch.Tensor) -> torch.Tensor:
        """dB [..., n_mels, T] as what the classifier sees: the inverse of `log_mel` above the floor."""
        return log_mel if self.settings.scale == "log" else self.from_db(log_mel)


@functools.cache
def front_end_of(settings: Features) -> MelFrontEnd:
    """The front end of ``settings`` on the CPU, one a process."""
    return MelFrontEnd(settings)


def mels_of_files(
    paths: Sequence[Path],
    front_end: MelFrontEnd,
    on_problem: Callable[[int, ClipProblem], None],
    label: str,
    workers: Workers = "threads",
) -> tuple[np.ndarray, list[int]]:
    """Decode files side by side and compute their mels: float32 [N, n_mels, T] and the indices of the clips kept.

    ``on_problem(index, problem)`` is called for a clip that cannot be used: it raises, or returns to leave it out.
    """
    settings = front_end.settings
    files = paths if workers == "threads" else [path.absolute() for path in paths]
    mels = np.empty((len(paths), settings.n_mels, settings.n_frames), np.float32)
    kept: list[int] = []
    for index, found in enumerate(over_workers(functools.partial(_mel_of_file, front_end), files, label, workers)):
        if isinstance(found, ClipProblem):
            on_problem(index, found)
        else:
            mels[len(kept)] = found
            kept.append(index)
    return mels[: len(kept)], kept


def mels_of_waveforms(waveforms: np.ndarray, front_end: MelFrontEnd, workers: Workers = "threads") -> np.ndarray:
    """What the classifier sees [N, n_mels, T] of float32 waveforms [N, n_samples]."""
    settings = front_end.settings
    mels = np.empty((len(waveforms), settings.n_mels, settings.n_frames), np.float32)
    made = over_workers(functools.partial(_mel_of_waveform, front_end), list(waveforms), "mels", workers)
    for row, mel in zip(mels, made, strict=True):
        row[:] = mel
    return mels


def _mel_of_file(front_end: MelFrontEnd, path: Path) -> np.ndarray | ClipProblem:
    settings = front_end.settings
    try:
        waveform = fit(check_audible(read_mono(path, settings.sample_rate)), settings.n_samples)
    except ClipProblem as problem:
        return problem
    return _mel_of_waveform(front_end, waveform)


def _mel_of_waveform(front_end: MelFrontEnd, waveform: np.ndarray) -> np.ndarray:
    mel: np.ndarray = front_end(torch.from_numpy(waveform)[None])[0].numpy()
    return mel
