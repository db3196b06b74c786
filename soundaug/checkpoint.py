"""A training's state on the disk, to go on from after an interruption."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from soundaug.errors import StudyError
from soundaug.outputs import whole


class Stateful(Protocol):
    """A network, an optimiser, an average of weights."""

    def state_dict(self) -> dict[str, Any]:
        """All that decides how it goes on."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Go on from there."""


def save_checkpoint(
    path: Path, parts: Mapping[str, Stateful], random: torch.Generator, progress: Mapping[str, Any]
) -> None:
    """Write the state of ``parts`` and ``random``, and ``progress`` (numbers, lists), whole or not at all."""
    states = {name: part.state_dict() for name, part in parts.items()}
    with whole(path) as partial:
        torch.save({"parts": states, "random": random.get_state(), "progress": dict(progress)}, partial)


def load_checkpoint(path: Path, parts: Mapping[str, Stateful], random: torch.Generator) -> dict[str, Any] | None:
    """Set ``parts`` and ``random`` to what `save_checkpoint` wrote and return its progress; None without a file.

    Raises StudyError when the file is damaged; it holds nothing but tensors, numbers and lists.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state["parts"][name])
        random.set_state(state["random"])
        progress: dict[str, Any] = state["progress"]
    except (pickle.UnpicklingError, EOFError, KeyError, OSError, RuntimeError, TypeError, ValueError):
        raise StudyError(f"{path}: found a damaged checkpoint, wanted a whole one: delete it to start anew") from None
    return progress
