"""Image files: opened with their parameters, saved with them as PNG, or told in a line what is wrong."""

from pathlib import Path
from typing import Literal

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from soundaug.errors import StudyError
from soundaug.images import audio_diffusion, riffusion
from soundaug.outputs import whole

Kind = Literal["riffusion", "audio-diffusion"]


def open_image(path: Path) -> Image.Image:
    """The image in ``path``, decoded; StudyError when it is missing or is no image."""
    try:
        image = Image.open(path)
        image.load()
    except FileNotFoundError:
        raise StudyError(f"{path}: not there, wanted a spectrogram image") from None
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise StudyError(f"{path}: not readable as an image ({error}), wanted a spectrogram image") from None
    return image


def save_image(image: Image.Image, path: Path) -> None:
    """Write a PNG that holds the image's EXIF tags and text chunks; StudyError when ``path`` does not end in .png."""
    if path.suffix.lower() != ".png":
        raise StudyError(f"{path}: found the ending {path.suffix!r}, wanted .png: others lose levels or parameters")
    text = PngInfo()
    for key, value in image.info.items():
        if isinstance(key, str) and isinstance(value, str):
            text.add_text(key, value)
    with whole(path) as partial:
        image.save(partial, format="PNG", exif=image.getexif(), pnginfo=text)


def kind_of(image: Image.Image) -> Kind | None:
    """Which project's parameters the image holds; None for none."""
    if riffusion.ExifTag.SAMPLE_RATE in image.getexif():
        return "riffusion"
    return "audio-diffusion" if audio_diffusion.REFERENCE_KEY in image.info else None
