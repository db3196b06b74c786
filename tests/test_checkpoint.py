"""Checkpoints: what is read goes on as what was written would have; a damaged one is told."""

import copy
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from soundaug.running.checkpoint import load_checkpoint, save_checkpoint
from soundaug.running.errors import StudyError


class Training:
    """A line fitted by Adam to random points."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network = nn.Linear(2, 1)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=0.1)
        self.random = torch.Generator().manual_seed(1)
        self.parts = {"network": self.network, "optimizer": self.optimizer}

    def go_on(self, steps: int) -> list[torch.Tensor]:
        for _ in range(steps):
            self.optimizer.zero_grad()
            self.network(torch.randn(4, 2, generator=self.random)).square().mean().backward()
            self.optimizer.step()
        return [parameter.detach().clone() for parameter in self.network.parameters()]


def test_it_goes_on_to_the_bit(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    first = Training()
    first.go_on(3)
    save_checkpoint(path, first.parts, first.random, {"step": 3, "losses": [0.5, 0.25]})
    wanted = first.go_on(4)
    second = Training()
    assert load_checkpoint(path, second.parts, second.random) == {"step": 3, "losses": [0.5, 0.25]}
    assert all(torch.equal(a, b) for a, b in zip(second.go_on(4), wanted, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(Training().go_on(4), wanted, strict=True))


def test_without_a_file_nothing_changes(tmp_path: Path) -> None:
    training = Training()
    before = copy.deepcopy(training.network.state_dict())
    assert load_checkpoint(tmp_path / "checkpoint.pt", training.parts, training.random) is None
    assert all(torch.equal(value, before[name]) for name, value in training.network.state_dict().items())


@pytest.mark.parametrize("kept", [0, 10, 500, 0.5, 0.95])
def test_a_truncated_file_is_told(kept: float, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    training = Training()
    save_checkpoint(path, training.parts, training.random, {})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept if kept > 1 else kept * len(whole))])
    with pytest.raises(StudyError, match=f"^{re.escape(str(path))}: found a damaged checkpoint, wanted a whole one"):
        load_checkpoint(path, training.parts, training.random)


def test_another_networks_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    training = Training()
    save_checkpoint(path, {"network": nn.Linear(3, 1), "optimizer": training.optimizer}, training.random, {})
    with pytest.raises(StudyError, match="found a damaged checkpoint"):
        load_checkpoint(path, training.parts, training.random)
    save_checkpoint(path, {"network": training.network}, training.random, {})
    with pytest.raises(StudyError, match="found a damaged checkpoint"):
        load_checkpoint(path, training.parts, training.random)
