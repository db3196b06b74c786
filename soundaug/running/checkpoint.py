"""A training's state on the disk, to go on from after an interruption."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from soundaug.running.errors import StudyError
from soundaug.running.foreign import SYSTEM
from soundaug.running.gradients import Gradients, whole_gradients
from soundaug.running.outputs import whole
from soundaug.running.scratch import Scratch


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

    Raises StudyError when the file is damaged, and removes it, so that the next run starts anew; it holds nothing but
    tensors, numbers and lists.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state["parts"][name])
        random.set_state(state["random"])
        progress: dict[str, Any] = state["progress"]
    except Exception as error:  # of damaged bytes the unpickler raises anything
        if isinstance(error, OSError) and error.errno in SYSTEM:
            raise
        path.unlink()
        raise StudyError(
            f"{path}: found a damaged checkpoint, wanted a whole one; "
            "it was removed: run the same command to start this training anew"
        ) from None
    return progress


class ResumableTraining:
    """What trainings that go on where they were have in common; ``parts`` is all that the steps change."""

    def __init__(self, scratch: Scratch, parts: Mapping[str, Stateful], random: torch.Generator) -> None:
        self.random = random
        self.step = 0
        self.history: list[tuple[Any, ...]] = []  # the rows of the curves
        self._gradients: Gradients = whole_gradients  # while it runs, by parts side by side
        self._losses: list[Any] = []  # of the steps since the last row
        self._parts = parts
        self._scratch = scratch

    def _checkpoint(self) -> None:
        progress = {"step": self.step, "history": self.history, "losses": self._losses}
        save_checkpoint(self._scratch.file("checkpoint.pt"), self._parts, self.random, progress)

    def _resume(self) -> None:
        progress = load_checkpoint(self._scratch.file("checkpoint.pt"), self._parts, self.random)
        if progress is not None:
            self.step, self._losses = progress["step"], progress["losses"]
            self.history = [tuple(row) for row in progress["history"]]
