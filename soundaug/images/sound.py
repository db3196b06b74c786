"""Spectrogram images to sound and back, whichever project's they are: the level kept, silence silent."""

import math
from dataclasses import dataclass, replace
from functools import cache

import librosa
import numpy as np
import torch
from PIL import Image

from soundaug.images import audio_diffusion, riffusion
from soundaug.images.audio_diffusion import MelParams
from soundaug.images.files import Kind, kind_of
from soundaug.images.riffusion import SpectrogramParams
from soundaug.images.source import source_of
from soundaug.inversion.mel_inversion import MelInversion
from soundaug.running.errors import StudyError
from soundaug.sound.phase import Stft, griffin_lim

MOST_CELLS = 2**28  # frames x frequency bins, five minutes of Riffusion's: 2 GB an array of phases
MOMENTUM = 0.99  # fast Griffin-Lim, as Riffusion and librosa run it


@dataclass(frozen=True)
class Sound:
    """What an image sounds like."""

    waveforms: np.ndarray  # float32 [C, n], full scale +-1; may pass it
    sample_rate: int


def image_of(waveforms: np.ndarray, params: SpectrogramParams | MelParams, number: int = 0) -> Image.Image:
    """The image of waveforms float32 [C, n] of the parameters' rate; for MelParams of the slice with this ``number``.

    Channels are averaged for a mono image; mono sound goes into both channels of a stereo one. Raises StudyError for
    more than two channels where two are wanted.
    """
    if isinstance(params, MelParams):
        piece = audio_diffusion.slice_of(waveforms.mean(axis=0), params, number)
        return audio_diffusion.to_image(audio_diffusion.mel_power(piece, params), params)
    if not params.stereo:
        waveforms = waveforms.mean(axis=0, keepdims=True)
    elif len(waveforms) == 1:
        waveforms = np.repeat(waveforms, 2, axis=0)
    elif len(waveforms) > 2:
        raise StudyError(f"found sound of {len(waveforms)} channels, wanted one or two for a stereo image")
    magnitudes = riffusion.mel_magnitudes(torch.from_numpy(waveforms), params)
    return riffusion.to_image(magnitudes.numpy(), params)


def sound_of(
    image: Image.Image,
    seed: int,
    iterations: int = 32,
    assume: SpectrogramParams | MelParams | None = None,
) -> Sound:
    """What an image sounds like; ``seed`` draws the first phases. ``assume`` stands in for parameters it lacks.

    Raises StudyError for an image without parameters when nothing is assumed.
    """
    kind: Kind | None = kind_of(image)
    if kind is None and assume is not None:
        kind = "audio-diffusion" if isinstance(assume, MelParams) else "riffusion"
    elif kind is not None:
        assume = None
    if kind == "audio-diffusion":
        assert not isinstance(assume, SpectrogramParams)
        return _of_mel_power(image, assume, seed, iterations)
    if kind == "riffusion":
        assert not isinstance(assume, MelParams)
        return _of_magnitudes(image, assume, seed, iterations)
    found = "EXIF without Riffusion's tags" if len(image.getexif()) else "no EXIF and no text chunks of parameters"
    raise StudyError(f"{source_of(image)}: found {found}, wanted an image with its parameters, or some to assume")


def _of_magnitudes(image: Image.Image, assume: SpectrogramParams | None, seed: int, iterations: int) -> Sound:
    magnitudes, params = riffusion.from_image(image, assume)
    _check_size(image, params.n_fft)
    mel = torch.from_numpy(magnitudes)
    linear = _inversion(params).pseudo_inverse(mel)
    stft = Stft(params.n_fft, params.hop_length, (image.width - 1) * params.hop_length, params.win_length)
    waveforms = _with_phases(linear, stft, seed, iterations)
    reached = riffusion.mel_magnitudes(waveforms, params).square().sum()
    return Sound(_scaled(waveforms, mel.square().sum(), reached), params.sample_rate)


def _of_mel_power(image: Image.Image, assume: MelParams | None, seed: int, iterations: int) -> Sound:
    power, params = audio_diffusion.from_image(image, assume)
    _check_size(image, params.n_fft)
    params = replace(params, width=image.width)
    mel = torch.from_numpy(power.astype(np.float32))
    linear = _inversion(params).pseudo_inverse(mel[None]).sqrt()
    waveform = _with_phases(linear, Stft(params.n_fft, params.hop_length, params.slice_samples), seed, iterations)
    reached = torch.from_numpy(audio_diffusion.mel_power(waveform[0].numpy(), params)).sum()
    return Sound(_scaled(waveform, mel.sum(), reached), params.sample_rate)


def _check_size(image: Image.Image, n_fft: int) -> None:
    """Raise StudyError for an image whose spectrogram no memory holds."""
    bins = n_fft // 2 + 1
    if image.width * bins > MOST_CELLS:
        raise StudyError(
            f"{source_of(image)}: found {image.width} columns of {bins} frequency bins, "
            f"wanted at most {MOST_CELLS // bins} columns: cut the image"
        )


@cache
def _inversion(params: SpectrogramParams | MelParams) -> MelInversion:
    if isinstance(params, SpectrogramParams):
        return MelInversion(riffusion.mel_filters(params))
    filters = librosa.filters.mel(sr=params.sample_rate, n_fft=params.n_fft, n_mels=params.n_mels)
    return MelInversion(torch.from_numpy(filters))


def _scaled(waveforms: torch.Tensor, wanted: torch.Tensor, reached: torch.Tensor) -> np.ndarray:
    """Waveforms [C, n] at the energy that is wanted: reconstructed phases lose some of it."""
    gain = math.sqrt(float(wanted) / max(float(reached), 1e-20))  # in Python's numbers: it may pass float32's
    return (gain * waveforms).numpy()


def _with_phases(magnitudes: torch.Tensor, stft: Stft, seed: int, iterations: int) -> torch.Tensor:
    """Waveforms [C, n] of one sound's magnitudes [C, F, T].

    Fewer frames than a window mirrors at its edges are followed by silent ones, which are cut off again.
    """
    longer = replace(stft, n_samples=max(stft.n_samples, stft.n_fft // 2 + stft.hop_length))
    missing = 1 + longer.n_samples // stft.hop_length - magnitudes.shape[-1]
    magnitudes = torch.nn.functional.pad(magnitudes, (0, max(0, missing)))
    seeds = [seed + channel for channel in range(len(magnitudes))]
    return griffin_lim(magnitudes, longer, seeds, iterations, MOMENTUM)[:, : stft.n_samples]
