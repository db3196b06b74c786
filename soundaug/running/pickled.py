"""Pickled weights, of which nothing but tensors is read."""

import warnings
from pathlib import Path
from typing import Any

import torch

from soundaug.running.errors import StudyError
from soundaug.running.foreign import SYSTEM


def read_tensors(path: Path, instead: str, top: str | None = None, device: str = "cpu") -> dict[str, torch.Tensor]:
    """Tensors by name, which may be below the key ``top``; nothing that the pickle could run is run.

    Raises StudyError when it holds anything else or is damaged; ``instead`` is what to give in its place.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of pickles that torch did not write
            found: Any = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # of damaged bytes the unpickler raises anything
        if isinstance(error, OSError) and error.errno in SYSTEM:
            raise
        raise StudyError(
            f"{path}: found a pickle that holds more than tensors, or is damaged (refused: it could run code), "
            f"wanted {instead}"
        ) from None
    if isinstance(found, dict) and top is not None:
        found = found.get(top, found)
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise StudyError(f"{path}: found {type(found).__name__} of more than tensors, wanted names with their tensors")
    return found
