"""Riffusion's spectrogram image: mel magnitudes under a power curve, its parameters and maximum in EXIF tags.

A pixel is 255 (1 - (S / max)^power), cut to 8 bits; low frequencies at the bottom; mono is grey, stereo is in green and
blue. The maximum is that of a waveform in 16-bit units, as Riffusion reads its audio.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import cache
from typing import Any

import numpy as np
import torch
import torchaudio
from PIL import Image

from soundaug.images.source import source_of
from soundaug.running.errors import StudyError
from soundaug.running.foreign import brief

FULL_SCALE = 2.0**15  # of 16-bit samples
MOST = {  # beyond which there is no sound, and no memory holds the filters
    "sample_rate": 2**20,
    "step_size_ms": 10_000,
    "window_duration_ms": 10_000,
    "padded_duration_ms": 10_000,
    "num_frequencies": 2**14,
    "power_for_image": 100.0,
}
SMALLEST_POWER = 0.001  # of the curve: the inverse of a smaller one leaves the numbers
MOST_FILTER_CELLS = 2**24  # num_frequencies x bins
LARGEST_MAX_VALUE = 1e15  # of 16-bit samples; what Riffusion writes is below 1e10
DEFAULT_MAX_VALUE = 30e6  # what Riffusion decodes every image with


class ExifTag(IntEnum):
    """Riffusion's own EXIF tags."""

    SAMPLE_RATE = 11000
    STEREO = 11005
    TRIPLE_RES_MONO = 11007  # of an experiment: three frequencies a pixel
    STEP_SIZE_MS = 11010
    WINDOW_DURATION_MS = 11020
    PADDED_DURATION_MS = 11030
    NUM_FREQUENCIES = 11040
    MIN_FREQUENCY = 11050
    MAX_FREQUENCY = 11060
    POWER_FOR_IMAGE = 11070
    MAX_VALUE = 11080


@dataclass(frozen=True)
class SpectrogramParams:
    """How sound becomes an image; names and defaults are Riffusion's.

    Raises StudyError for values that make no spectrogram.
    """

    stereo: bool = False
    sample_rate: int = 44100  # Hz
    step_size_ms: int = 10  # a pixel of the time axis
    window_duration_ms: int = 100
    padded_duration_ms: int = 400
    num_frequencies: int = 512  # mel bands, HTK's scale without area normalisation
    min_frequency: int = 0  # Hz
    max_frequency: int = 10000  # Hz
    power_for_image: float = 0.25

    def __post_init__(self) -> None:
        if 0 < self.power_for_image < SMALLEST_POWER:
            raise StudyError(f"power_for_image: found {self.power_for_image}, wanted at least {SMALLEST_POWER}")
        for name, most in MOST.items():
            if getattr(self, name) <= 0:
                raise StudyError(f"{name}: found {getattr(self, name)}, wanted more than 0")
            if getattr(self, name) > most:
                raise StudyError(f"{name}: found {getattr(self, name):g}, wanted at most {most}")
        if not 0 <= self.min_frequency < self.max_frequency:
            found = f"{self.min_frequency}, {self.max_frequency}"
            raise StudyError(f"min_frequency, max_frequency: found {found}, wanted 0 <= min < max")
        if not 2 * self.hop_length <= self.win_length <= self.n_fft or self.hop_length == 0:
            found = f"{self.step_size_ms}, {self.window_duration_ms}, {self.padded_duration_ms}"
            raise StudyError(
                f"step_size_ms, window_duration_ms, padded_duration_ms: found {found}, "
                "wanted 2 steps <= window <= padded, a sample or more"
            )
        if self.num_frequencies * (self.n_fft // 2 + 1) > MOST_FILTER_CELLS:
            raise StudyError(
                f"num_frequencies: found {self.num_frequencies} with {self.n_fft // 2 + 1} frequency bins, "
                f"wanted at most {MOST_FILTER_CELLS} filter weights"
            )

    @property
    def hop_length(self) -> int:
        """Samples from one frame to the next."""
        return int(self.step_size_ms / 1000.0 * self.sample_rate)

    @property
    def win_length(self) -> int:
        """Samples of the window."""
        return int(self.window_duration_ms / 1000.0 * self.sample_rate)

    @property
    def n_fft(self) -> int:
        """Samples of the window with its padding."""
        return int(self.padded_duration_ms / 1000.0 * self.sample_rate)

    def to_exif(self) -> dict[int, int | float]:
        """Tag numbers and values."""
        values = {ExifTag[field.name.upper()]: getattr(self, field.name) for field in fields(self)}
        return {int(tag): value for tag, value in values.items()} | {
            int(ExifTag.STEREO): bool(self.stereo),
            int(ExifTag.POWER_FOR_IMAGE): float(self.power_for_image),
        }

    @classmethod
    def from_exif(cls, exif: Mapping[int, Any]) -> "SpectrogramParams":
        """From tag numbers and values; StudyError when one is missing or is no number."""
        values: dict[str, Any] = {}
        for field in fields(cls):
            tag = ExifTag[field.name.upper()]
            found = exif.get(tag)
            if tag == ExifTag.STEREO:
                values[field.name] = bool(found)
            elif not isinstance(found, (int, float)) or not np.isfinite(found):
                raise StudyError(f"EXIF tag {int(tag)} ({tag.name}): found {brief(found)}, wanted a number")
            else:
                values[field.name] = float(found) if tag == ExifTag.POWER_FOR_IMAGE else int(found)
        if exif.get(ExifTag.TRIPLE_RES_MONO):
            raise StudyError(f"EXIF tag {int(ExifTag.TRIPLE_RES_MONO)} (TRIPLE_RES_MONO): found true, wanted false")
        return cls(**values)


def mel_magnitudes(waveforms: torch.Tensor, params: SpectrogramParams) -> torch.Tensor:
    """Mel magnitudes [C, num_frequencies, T] of waveforms [C, n], full scale +-1.

    A waveform that is shorter than half of n_fft is padded with zeros at its end, so that its edges can be mirrored.
    """
    missing = params.n_fft // 2 + 1 - waveforms.shape[-1]
    if missing > 0:
        waveforms = torch.nn.functional.pad(waveforms, (0, missing))
    spectra = torch.stft(
        waveforms,
        params.n_fft,
        params.hop_length,
        params.win_length,
        window=torch.hann_window(params.win_length),
        return_complex=True,
    )
    return mel_filters(params) @ spectra.abs()


@cache
def mel_filters(params: SpectrogramParams) -> torch.Tensor:
    """Triangles [num_frequencies, n_fft / 2 + 1]."""
    # Bands above half the sample rate are empty: low rates keep the scale of the others, and torchaudio would warn.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bank: torch.Tensor = torchaudio.functional.melscale_fbanks(
            params.n_fft // 2 + 1,
            params.min_frequency,
            params.max_frequency,
            params.num_frequencies,
            params.sample_rate,
            norm=None,
            mel_scale="htk",
        )
    return bank.T


def to_image(magnitudes: np.ndarray, params: SpectrogramParams) -> Image.Image:
    """An RGB image with its EXIF tags of mel magnitudes [C, num_frequencies, T], full scale +-1.

    Silence is white with a maximum of 0. StudyError when the channels or the bands are not those of ``params``.
    """
    wanted = (1 + params.stereo, params.num_frequencies)
    if magnitudes.shape[:2] != wanted:
        raise StudyError(f"spectrogram: found {magnitudes.shape[:2]} channels and bands, wanted {wanted}")
    scaled = magnitudes.astype(np.float32) * np.float32(FULL_SCALE)
    max_value = float(scaled.max())
    curve = np.power(scaled / max_value, params.power_for_image) if max_value > 0 else np.zeros_like(scaled)
    pixels = (255 - curve * 255).astype(np.uint8)[:, ::-1]  # low frequencies at the bottom
    channels = (np.zeros_like(pixels[0]), *pixels) if params.stereo else (pixels[0],) * 3
    image = Image.fromarray(np.stack(channels, axis=-1))
    image.getexif().update(params.to_exif() | {int(ExifTag.MAX_VALUE): max_value})
    return image


def params_of(image: Image.Image) -> tuple[SpectrogramParams, float]:
    """The parameters and the maximum in an image's EXIF; DEFAULT_MAX_VALUE where no maximum is in it.

    Raises StudyError for an image without Riffusion's tags, with broken ones or of another height than they say.
    """
    exif = image.getexif()
    if ExifTag.SAMPLE_RATE not in exif:
        found = f"EXIF without tag {int(ExifTag.SAMPLE_RATE)} (SAMPLE_RATE)" if len(exif) else "no EXIF"
        raise StudyError(f"{source_of(image)}: found {found}, wanted a spectrogram image with Riffusion's parameters")
    try:
        params = SpectrogramParams.from_exif(exif)
        max_value = exif.get(ExifTag.MAX_VALUE, DEFAULT_MAX_VALUE)
        if not isinstance(max_value, (int, float)) or not 0 <= max_value <= LARGEST_MAX_VALUE:
            raise StudyError(
                f"EXIF tag {int(ExifTag.MAX_VALUE)} (MAX_VALUE): found {brief(max_value)}, "
                f"wanted 0 to {LARGEST_MAX_VALUE:g}"
            )
    except StudyError as error:
        raise StudyError(f"{source_of(image)}: {error}") from None
    return params, float(max_value)


def from_image(
    image: Image.Image, params: SpectrogramParams | None = None, max_value: float | None = None
) -> tuple[np.ndarray, SpectrogramParams]:
    """Mel magnitudes float32 [C, num_frequencies, T] of an image, full scale +-1, and its parameters.

    ``params`` and ``max_value`` (of 16-bit samples) take the place of those in the image. Raises StudyError for an
    image without parameters when none are given, or of another height than they say.
    """
    if params is None:
        params, stored = params_of(image)
    else:
        stored = DEFAULT_MAX_VALUE
    if image.height != params.num_frequencies:
        raise StudyError(
            f"{source_of(image)}: found an image of {image.height} rows, "
            f"wanted {params.num_frequencies}, its num_frequencies"
        )
    pixels = np.asarray(image.convert("RGB"))[::-1].transpose(2, 0, 1)  # [3, num_frequencies, T]
    pixels = pixels[1:] if params.stereo else pixels[:1]
    curve = (255 - pixels.astype(np.float32)) / 255
    maximum = (stored if max_value is None else max_value) / FULL_SCALE
    return np.power(curve, 1 / params.power_for_image) * np.float32(maximum), params
