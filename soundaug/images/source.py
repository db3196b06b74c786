"""Where an image comes from, for messages."""

from PIL import Image


def source_of(image: Image.Image) -> str:
    """The file that it was read from, or just `image`."""
    return str(getattr(image, "filename", "") or "image")
