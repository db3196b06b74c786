"""Image files: opened with their parameters, saved with them as PNG, or told in a line what is wrong."""

import io
import warnings
from pathlib import Path
from typing import Literal

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from soundaug.images import audio_diffusion, riffusion
from soundaug.running.errors import StudyError
from soundaug.running.foreign import SYSTEM, reason
from soundaug.running.outputs import whole

FORMATS = ("PNG", "JPEG", "WEBP")  # not all that Pillow knows: it hands some to other programs, as EPS to Ghostscript

Kind = Literal["riffusion", "audio-diffusion"]


def open_image(path: Path) -> Image.Image:
    """The image in ``path``, decoded with its EXIF; StudyError when it is missing or is no image of FORMATS."""
    if not path.is_file():
        raise StudyError(f"{path}: not there, wanted a spectrogram image")
    try:
        with warnings.catch_warnings(
            action="error", category=Image.DecompressionBombWarning
        ):  # of images made to fill the memory
            image = Image.open(path, formats=FORMATS)
            image.load()
            exif = image.getexif()
            for tag in list(exif):
                exif.get(tag)  # decoded now, so that what is wrong with it is told here
    except Exception as error:  # of damaged bytes Pillow's decoders raise anything
        if isinstance(error, OSError) and error.errno in SYSTEM:
            raise
        raise StudyError(f"{path}: not readable as an image ({reason(error)}), wanted a spectrogram image") from None
    return image


def save_image(image: Image.Image, path: Path) -> None:
    """Write a PNG that holds the image's EXIF tags and text chunks; StudyError when ``path`` does not end in .png."""
    if path.suffix.lower() != ".png":
        raise StudyError(f"{path}: found the ending {path.suffix!r}, wanted .png: others lose levels or parameters")
    text = PngInfo()
    for key, value in image.info.items():
        if isinstance(key, str) and isinstance(value, str):
            text.add_text(key, value)
    encoded = io.BytesIO()  # on a full disk Pillow removes the file, and with it the reason
    image.save(encoded, format="PNG", exif=image.getexif(), pnginfo=text)
    with whole(path) as partial:
        partial.write_bytes(encoded.getvalue())


def kind_of(image: Image.Image) -> Kind | None:
    """Which project's parameters the image holds; None for none."""
    if riffusion.ExifTag.SAMPLE_RATE in image.getexif():
        return "riffusion"
    return "audio-diffusion" if audio_diffusion.REFERENCE_KEY in image.info else None
