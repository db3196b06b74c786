"""Which clips every optimiser step of a classifier sees."""

import math
from collections.abc import Iterator

import torch

from soundaug.params import Augmentation, Training, extra_per_batch


def n_steps(settings: Training, n_clips: int) -> int:
    """Optimiser steps: the same in every arm, or as many as the epochs of ``n_clips`` take."""
    if settings.steps is not None:
        return settings.steps
    assert settings.epochs is not None
    return settings.epochs * math.ceil(n_clips / settings.batch_size)


def index_batches(n_clips: int, settings: Training, steps: int, random: torch.Generator) -> Iterator[torch.Tensor]:
    """Indices of each step's clips: shuffled passes over all clips.

    Counted in epochs, each pass ends with a smaller batch; counted in steps, batches are all full and run on from one
    pass to the next.
    """
    if settings.epochs is not None:
        for _ in range(settings.epochs):
            yield from torch.randperm(n_clips, generator=random).split(settings.batch_size)
        return
    passes = _Passes(n_clips, random)
    for _ in range(steps):
        yield passes.draw(settings.batch_size)


def mixed_batches(
    n_real: int, n_extra: int, settings: Training, augmentation: Augmentation, steps: int, random: torch.Generator
) -> Iterator[torch.Tensor]:
    """Indices of each step's clips, the ``n_real`` real ones first, then the ``n_extra`` extra ones.

    With ``share``, every batch has as many extra clips as that, real ones beside them. With ``pretraining``, that share
    of the steps is of extra clips alone and comes first, the others are of real clips alone. Either way shuffled passes
    over the clips of a kind run on from batch to batch, and the steps are as many as without. Neither, or no extra
    clips: `index_batches` of all.
    """
    if n_extra == 0 or (augmentation.share is None and augmentation.pretraining == 0):
        yield from index_batches(n_real + n_extra, settings, steps, random)
        return
    real, extra = _Passes(n_real, random), _Passes(n_extra, random)
    size, first = settings.batch_size, round(augmentation.pretraining * steps)
    for step in range(steps):
        if augmentation.share is not None:
            count = extra_per_batch(augmentation.share, size)
        else:
            count = size if step < first else 0
        yield torch.cat([real.draw(size - count), n_real + extra.draw(count)])


class _Passes:
    """Shuffled passes over ``n_clips``, one after another without end."""

    def __init__(self, n_clips: int, random: torch.Generator) -> None:
        self._n_clips = n_clips
        self._random = random
        self._queue = torch.empty(0, dtype=torch.int64)

    def draw(self, count: int) -> torch.Tensor:
        """The next ``count`` indices."""
        while len(self._queue) < count:
            self._queue = torch.cat([self._queue, torch.randperm(self._n_clips, generator=self._random)])
        drawn, self._queue = self._queue[:count], self._queue[count:]
        return drawn
