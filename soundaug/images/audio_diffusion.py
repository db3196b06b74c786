"""audio-diffusion's spectrogram image: a mel power spectrogram in dB below its maximum, 8-bit grey.

A pixel is 255 (1 + dB / top_db), rounded, low frequencies at the top. The format has neither parameters nor level: they
are put into PNG text chunks, which other programs pass over. Silence, full scale there, is black here.
"""

from dataclasses import asdict, dataclass, fields

import librosa
import numpy as np
from PIL import Image

from soundaug.images.source import source_of
from soundaug.running.errors import StudyError
from soundaug.running.foreign import brief

PREFIX = "soundaug."
REFERENCE_KEY = f"{PREFIX}reference_power"
MOST = 2**20  # of any parameter: beyond, there is no sound
MOST_FILTER_CELLS = 2**24  # n_mels x bins
LARGEST_POWER = 1e20  # that a text chunk may hold: beyond, its square is no float32 number
SMALLEST_POWER = 1e-10  # librosa's, below which all is one


@dataclass(frozen=True)
class MelParams:
    """How sound becomes an image; defaults are those of audio-diffusion's Mel. Raises StudyError for senseless ones."""

    width: int = 256  # frames
    n_mels: int = 256  # librosa's (Slaney's) mel bands, the image's height
    sample_rate: int = 22050  # Hz
    n_fft: int = 2048
    hop_length: int = 512
    top_db: int = 80

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise StudyError(f"{field.name}: found {getattr(self, field.name)}, wanted 1 or more")
            if getattr(self, field.name) > MOST:
                raise StudyError(f"{field.name}: found {getattr(self, field.name):g}, wanted at most {MOST}")
        if self.n_mels > self.n_fft // 2:
            raise StudyError(f"n_mels: found {self.n_mels}, wanted at most n_fft / 2 ({self.n_fft // 2})")
        if self.hop_length > self.n_fft // 2:
            raise StudyError(f"hop_length: found {self.hop_length}, wanted at most n_fft / 2 ({self.n_fft // 2})")
        if self.n_mels * (self.n_fft // 2 + 1) > MOST_FILTER_CELLS:
            raise StudyError(
                f"n_mels: found {self.n_mels} with {self.n_fft // 2 + 1} frequency bins, "
                f"wanted at most {MOST_FILTER_CELLS} filter weights"
            )

    @property
    def slice_samples(self) -> int:
        """Samples that make ``width`` frames."""
        return self.width * self.hop_length - 1


def slice_of(waveform: np.ndarray, params: MelParams, number: int = 0) -> np.ndarray:
    """The slice with this number, from 0, of a waveform [n]; sound shorter than a slice is padded with zeros.

    StudyError when there are not so many: what is left over after the last whole slice is in none.
    """
    n = params.slice_samples
    count = max(1, len(waveform) // n)
    if not 0 <= number < count:
        raise StudyError(f"slice: found {number}, wanted 0 to {count - 1}: the sound has {count} whole slices")
    piece = waveform[number * n : (number + 1) * n]
    return np.pad(piece, (0, n - len(piece)))


def mel_power(waveform: np.ndarray, params: MelParams) -> np.ndarray:
    """Mel power [n_mels, T] of a waveform [n], full scale +-1."""
    return librosa.feature.melspectrogram(
        y=waveform,
        sr=params.sample_rate,
        n_fft=params.n_fft,
        hop_length=params.hop_length,
        n_mels=params.n_mels,
    )


def to_image(power: np.ndarray, params: MelParams) -> Image.Image:
    """A grey image of mel power [n_mels, T] with its parameters and reference level in ``info``, for text chunks."""
    reference = float(power.max())
    if reference > SMALLEST_POWER:
        decibels = librosa.power_to_db(power, ref=np.max, top_db=params.top_db)
        pixels = (((decibels + params.top_db) * 255 / params.top_db).clip(0, 255) + 0.5).astype(np.uint8)
    else:
        pixels, reference = np.zeros(power.shape, np.uint8), 0.0
    image = Image.fromarray(pixels)
    image.info |= {f"{PREFIX}{name}": repr(value) for name, value in asdict(params).items()}
    image.info[REFERENCE_KEY] = repr(reference)
    return image


def params_of(image: Image.Image) -> tuple[MelParams, float]:
    """The parameters and the reference power in an image's text chunks.

    StudyError when one is missing or is no number.
    """
    values = {name: _number(image, f"{PREFIX}{name}") for name in (field.name for field in fields(MelParams))}
    reference = _number(image, REFERENCE_KEY)
    try:
        return MelParams(**{name: int(value) for name, value in values.items()}), reference
    except StudyError as error:
        raise StudyError(f"{source_of(image)}: {error}") from None


def from_image(image: Image.Image, params: MelParams | None = None) -> tuple[np.ndarray, MelParams]:
    """Mel power float64 [n_mels, T] of an image, and its parameters.

    ``params`` take the place of those in the image; its level is then what the image says, or a reference power of 1,
    as audio-diffusion's own. Raises StudyError for an image without parameters when none are given, or of another
    height than they say.
    """
    if params is None:
        params, reference = params_of(image)
    else:
        reference = _number(image, REFERENCE_KEY) if REFERENCE_KEY in image.info else 1.0
    if image.height != params.n_mels:
        raise StudyError(
            f"{source_of(image)}: found an image of {image.height} rows, wanted {params.n_mels}, its n_mels"
        )
    pixels = np.asarray(image.convert("L")).astype(np.float64)
    decibels = pixels * params.top_db / 255 - params.top_db
    return reference * librosa.db_to_power(decibels), params


def _number(image: Image.Image, key: str) -> float:
    found = image.info.get(key)
    if found is None:
        raise StudyError(f"{source_of(image)}: found no text chunk {key}, wanted the image's parameters")
    try:
        value = float(found)
    except (TypeError, ValueError):
        value = float("nan")
    if not 0 <= value <= LARGEST_POWER:
        raise StudyError(
            f"{source_of(image)}: text chunk {key}: found {brief(found)}, wanted a number from 0 to {LARGEST_POWER:g}"
        )
    return value
