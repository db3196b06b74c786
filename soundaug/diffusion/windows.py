"""Sound longer than the network's window: overlapping windows denoised together and cross-faded; loops."""

import math
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from soundaug.diffusion.model import Unet
from soundaug.params import Generate


class Windowed(nn.Module):
    """A network of images [B, C, H, w] that takes any width from w: MultiDiffusion (Bar-Tal et al. 2023) along time.

    At every step each window is predicted alone and neighbours are cross-faded, so that windows agree from the first
    step on. ``overlap`` (0 to 1) is the least share of a window that its neighbour covers; ``loop`` joins the end to
    the start.
    """

    def __init__(self, unet: Unet, overlap: float, loop: bool = False) -> None:
        super().__init__()
        self.unet = unet
        self.window = window_of(unet)
        self.overlap = overlap
        self.loop = loop

    @property
    def config(self) -> Any:
        """The network's."""
        return self.unet.config

    def forward(self, x: torch.Tensor, timestep: Any, **told: torch.Tensor | None) -> SimpleNamespace:
        """As diffusers' networks: ``.sample`` of ``x``, both [B, C, H, W]; ValueError below the window's width."""
        starts = window_starts(x.shape[-1], self.window, self.overlap, self.loop)
        weight = _cross_fade(self.window, self.overlap, x)
        total, weights = torch.zeros_like(x), x.new_zeros(x.shape[-1])
        for start in starts:
            columns = (torch.arange(self.window, device=x.device) + start) % x.shape[-1]
            part = x.index_select(-1, columns).contiguous(memory_format=torch.channels_last)
            output = self.unet(part, timestep, **told).sample
            total.index_add_(-1, columns, output.to(x.dtype) * weight)
            weights.index_add_(0, columns, weight)
        return SimpleNamespace(sample=total / weights)


def windowed(unet: Unet, width: int, settings: Generate) -> Unet | Windowed:
    """The network for images of ``width`` columns: itself where that is its own width and no loop is asked for."""
    if window_of(unet) == width and not settings.loop:
        return unet
    return Windowed(unet, settings.overlap, settings.loop)


def window_of(unet: Unet) -> int:
    """The width of the images the network was made for."""
    size = unet.config.sample_size
    return int(size if isinstance(size, int) else size[1])


def window_starts(width: int, window: int, overlap: float, loop: bool) -> list[int]:
    """First columns of the windows over ``width`` columns, evenly spread; in a loop the last one reaches round."""
    if width < window:
        raise ValueError(f"found a width of {width}, wanted at least the window's {window}")
    hop = max(1, math.floor(window * (1 - overlap)))
    if loop:
        count = math.ceil(width / hop)
        return [index * width // count for index in range(count)]
    count = 1 + math.ceil((width - window) / hop)
    return [index * (width - window) // max(1, count - 1) for index in range(count)]


def _cross_fade(window: int, overlap: float, like: torch.Tensor) -> torch.Tensor:
    """Weights [window] that rise from the edges over the overlap, by half a cosine, and never reach 0."""
    ramp = max(1, round(window * min(overlap, 0.5)))
    position = (torch.arange(window, device=like.device, dtype=like.dtype) + 0.5) / ramp
    edge = torch.minimum(position, position.flip(0)).clamp(max=1)
    return 0.5 - 0.5 * torch.cos(math.pi * edge)
