"""Windows of a stylizer's spectrogram images: how sound falls into them, and how they become one sound again."""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from soundaug.images import riffusion
from soundaug.images.riffusion import DEFAULT_MAX_VALUE, ExifTag, SpectrogramParams
from soundaug.params import StyleImage
from soundaug.running.errors import StudyError
from soundaug.running.outputs import read_json, write_json

FORMAT_FILE = "spectrogram.json"  # beside a model: what its images are


@dataclass(frozen=True)
class ImageFormat:
    """What a stylizer's images are; the defaults are those of Riffusion's model."""

    params: SpectrogramParams = field(default_factory=SpectrogramParams)
    width: int = 512  # columns of a window
    max_value: float = DEFAULT_MAX_VALUE  # of an image that was made from text alone

    @classmethod
    def of(cls, settings: StyleImage, max_value: float) -> "ImageFormat":
        """By ``stylizer.image``; mono."""
        values = {name: value for name, value in settings.model_dump().items() if name != "width"}
        return cls(SpectrogramParams(stereo=False, **values), settings.width, max_value)

    @property
    def window_samples(self) -> int:
        """Samples that make the columns of a window."""
        return (self.width - 1) * self.params.hop_length

    @property
    def window_seconds(self) -> float:
        """Seconds that the columns of a window stand for."""
        return self.width * self.params.hop_length / self.params.sample_rate

    def columns_of(self, seconds: float) -> int:
        """Columns that stand for at least ``seconds``: a multiple of 8, as Stable Diffusion takes."""
        return max(8, 8 * int(np.ceil(seconds * self.params.sample_rate / self.params.hop_length / 8)))

    def save(self, folder: Path) -> None:
        """Write spectrogram.json."""
        write_json(folder / FORMAT_FILE, asdict(self.params) | {"width": self.width, "max_value": self.max_value})

    @classmethod
    def load(cls, folder: Path) -> "ImageFormat":
        """What is in ``folder``; Riffusion's where there is no spectrogram.json. StudyError when it is none."""
        path = folder / FORMAT_FILE
        if not path.is_file():
            return cls()
        values = read_json(path)
        wanted: dict[str, Any] = {one.name: one.type for one in fields(SpectrogramParams)}
        if not isinstance(values, dict) or set(values) != {*wanted, "width", "max_value"}:
            raise StudyError(f"{path}: found {values!r:.60}, wanted {', '.join([*wanted, 'width', 'max_value'])}")
        try:
            checked = {
                name: TypeAdapter(kind).validate_python(values[name])
                for name, kind in (wanted | {"width": int, "max_value": float}).items()
            }
        except ValidationError as error:
            detail = error.errors()[0]
            raise StudyError(f"{path}: found {detail['input']!r}, wanted {detail['msg']}") from None
        width, max_value = checked.pop("width"), checked.pop("max_value")
        if width < 8 or width % 8 or not max_value > 0:
            raise StudyError(
                f"{path}: found width {width}, max_value {max_value}, wanted a multiple of 8, a number > 0"
            )
        try:
            return cls(SpectrogramParams(**checked), width, max_value)
        except StudyError as error:
            raise StudyError(f"{path}: {error}") from None


@dataclass(frozen=True)
class Windows:
    """A sound's overlapping windows: ``images`` at ``starts`` (columns), and how many columns the sound has."""

    images: list[Image.Image]  # Riffusion's, each with its own maximum in its EXIF
    starts: list[int]
    columns: int


def window_starts(columns: int, width: int, overlap: float) -> list[int]:
    """First columns of windows that cover ``columns`` and share at least ``overlap`` of their width.

    The last one ends with the sound, or is padded when the sound is shorter than a window.
    """
    if columns <= width:
        return [0]
    step = max(1, int(width * (1 - overlap)))
    count = 1 + -(-(columns - width) // step)
    return [round(number * (columns - width) / (count - 1)) for number in range(count)]


def windows_of(waveforms: np.ndarray, form: ImageFormat, overlap: float) -> Windows:
    """Windows of a sound float32 [C, n] at the format's rate, padded with silence to a whole one.

    Channels are averaged for a mono format; mono goes into both channels of a stereo one. StudyError for more than two
    channels where two are wanted.
    """
    if not form.params.stereo:
        waveforms = waveforms.mean(axis=0, keepdims=True)
    elif len(waveforms) == 1:
        waveforms = np.repeat(waveforms, 2, axis=0)
    elif len(waveforms) > 2:
        raise StudyError(f"found sound of {len(waveforms)} channels, wanted one or two for a stereo model")
    columns = 1 + waveforms.shape[1] // form.params.hop_length
    magnitudes = riffusion.mel_magnitudes(torch.from_numpy(np.ascontiguousarray(waveforms)), form.params).numpy()
    return windows_of_magnitudes(magnitudes[..., :columns], form, overlap)


def windows_of_magnitudes(magnitudes: np.ndarray, form: ImageFormat, overlap: float) -> Windows:
    """Windows of mel magnitudes [C, num_frequencies, T], full scale +-1, padded with silence to a whole one."""
    columns = magnitudes.shape[-1]
    starts = window_starts(columns, form.width, overlap)
    spare = max(0, starts[-1] + form.width - columns)
    padded = np.pad(magnitudes, ((0, 0), (0, 0), (0, spare)))
    images = [riffusion.to_image(padded[..., start : start + form.width], form.params) for start in starts]
    return Windows(images, starts, columns)


def joined(windows: Windows, form: ImageFormat) -> Image.Image:
    """One image of the windows: their magnitudes cross-faded over what they share, cut to the sound's columns."""
    channels = 1 + form.params.stereo
    width = windows.starts[-1] + windows.images[0].width
    total = np.zeros((channels, form.params.num_frequencies, width))
    weights = np.zeros(width)
    for number, (image, start) in enumerate(zip(windows.images, windows.starts, strict=True)):
        magnitudes, _ = riffusion.from_image(image)
        weight = np.ones(image.width)
        if number > 0:  # linear fades: two neighbours' weights come to 1 where no third one is
            shared = windows.starts[number - 1] + image.width - start
            weight[:shared] = np.minimum(weight[:shared], (np.arange(shared) + 1) / (shared + 1))
        if number + 1 < len(windows.starts):
            shared = start + image.width - windows.starts[number + 1]
            weight[image.width - shared :] *= 1 - (np.arange(shared) + 1) / (shared + 1)
        total[..., start : start + image.width] += weight * magnitudes
        weights[start : start + image.width] += weight
    magnitudes = (total / weights)[..., : windows.columns]
    return riffusion.to_image(magnitudes.astype(np.float32), form.params)


def max_value_of(image: Image.Image) -> float:
    """The maximum in an image's EXIF, of 16-bit samples; 0 is silence."""
    return riffusion.params_of(image)[1]


def with_parameters(image: Image.Image, form: ImageFormat, max_value: float) -> Image.Image:
    """The RGB image as Riffusion's with this maximum: the channels that are not used as the format has them."""
    pixels = np.asarray(image.convert("RGB"))
    # A model's grey is not quite grey: Riffusion reads the red channel.
    stereo = form.params.stereo
    pixels = pixels * np.array([0, 1, 1], np.uint8) if stereo else np.repeat(pixels[..., :1], 3, axis=-1)
    made = Image.fromarray(np.ascontiguousarray(pixels))
    made.getexif().update(form.params.to_exif() | {int(ExifTag.MAX_VALUE): max_value})
    return made
