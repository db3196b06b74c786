"""Windows along time: where they lie, that a local network is not changed by them, and loops without a seam."""

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from soundaug.diffusion.windows import Windowed, window_starts


class Local(nn.Module):
    """Predicts twice its input plus the class, column by column: windows must not show."""

    config = SimpleNamespace(sample_size=(4, 8), num_class_embeds=3)

    def forward(self, x: torch.Tensor, timestep: Any, class_labels: torch.Tensor) -> Any:
        assert x.shape[-1] == 8
        return SimpleNamespace(sample=2 * x + class_labels.view(-1, 1, 1, 1))


class Ramp(Local):
    """Predicts the column's place within its window: the worst neighbour there is."""

    def forward(self, x: torch.Tensor, timestep: Any, class_labels: torch.Tensor) -> Any:
        return SimpleNamespace(sample=torch.arange(8.0).expand_as(x))


@pytest.mark.parametrize(
    ("width", "overlap", "loop", "starts"),
    [
        (8, 0.5, False, [0]),
        (16, 0.5, False, [0, 4, 8]),
        (16, 0.0, False, [0, 8]),
        (18, 0.25, False, [0, 5, 10]),
        (16, 0.5, True, [0, 4, 8, 12]),
        (8, 0.5, True, [0, 4]),
        (18, 0.5, True, [0, 3, 7, 10, 14]),
    ],
)
def test_where_the_windows_lie(width: int, overlap: float, loop: bool, starts: list[int]) -> None:
    assert window_starts(width, 8, overlap, loop) == starts
    last = starts[-1] + 8
    assert last >= width if loop else last == width
    assert all(after - before <= 8 * (1 - overlap) for before, after in pairwise(starts))


def test_narrower_than_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="found a width of 7, wanted at least the window's 8"):
        window_starts(7, 8, 0.5, False)


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("width", [8, 13, 40])
def test_a_local_network_is_not_changed(width: int, loop: bool) -> None:
    x = torch.randn(2, 3, 4, width, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 2])
    found = Windowed(Local(), 0.5, loop)(x, 7, class_labels=labels).sample
    torch.testing.assert_close(found, 2 * x + labels.view(-1, 1, 1, 1))


def test_neighbours_are_cross_faded() -> None:
    """By hand: two windows over 12 columns share 4, where the weights cross by half a cosine."""
    found = Windowed(Ramp(), 0.5)(torch.zeros(1, 1, 1, 12), 0, class_labels=torch.zeros(1)).sample[0, 0, 0]
    rise = 0.5 - 0.5 * torch.cos(torch.pi * (torch.arange(4) + 0.5) / 4)
    shared = (torch.arange(4.0, 8.0) * rise.flip(0) + torch.arange(4.0) * rise) / (rise + rise.flip(0))
    torch.testing.assert_close(found, torch.cat([torch.arange(4.0), shared, torch.arange(4.0, 8.0)]))


def test_a_loop_has_no_seam() -> None:
    """Rolled by whole hops, a looped input gives the rolled output: no column is an end."""
    x = torch.randn(1, 1, 4, 16, generator=torch.Generator().manual_seed(0))
    looped = Windowed(Ramp(), 0.5, loop=True)
    plain = looped(x, 0, class_labels=torch.zeros(1)).sample
    torch.testing.assert_close(looped(x.roll(4, -1), 0, class_labels=torch.zeros(1)).sample, plain.roll(4, -1))
    steps = (plain - plain.roll(1, -1)).abs()
    assert float(steps[..., 0].max()) <= float(steps.max()) + 1e-6
    ends = Windowed(Ramp(), 0.5)(x, 0, class_labels=torch.zeros(1)).sample[..., [0, -1]]
    torch.testing.assert_close(ends[0, 0, 0], torch.tensor([0.0, 7.0]))  # of one that is no loop
