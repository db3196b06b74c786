"""Results that grow on the disk: rows of one shape, appended to a file, kept through an interruption."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from soundaug.running.outputs import room_for

PART = 256  # rows that are summed up at once


class Rows:
    """Float32 tensors [*shape] in the file ``path``, one after the other; what is there already is kept.

    Nothing but what is asked for is held in memory. A row that an interruption cut short is dropped.
    """

    def __init__(self, path: Path, shape: Sequence[int]) -> None:
        self.path = path
        self.shape = tuple(shape)
        self._bytes = 4 * int(np.prod(self.shape))
        path.touch()
        self.keep(len(self))

    def __len__(self) -> int:
        return self.path.stat().st_size // self._bytes

    def keep(self, count: int) -> None:
        """Drop all but the first ``count`` rows."""
        with self.path.open("r+b") as file:
            file.truncate(count * self._bytes)

    def append(self, rows: torch.Tensor) -> None:
        """Add rows [N, *shape]."""
        if tuple(rows.shape[1:]) != self.shape:
            raise ValueError(f"found rows of shape {tuple(rows.shape[1:])}, wanted {self.shape}")
        with room_for(self.path), self.path.open("ab") as file:
            file.write(np.ascontiguousarray(rows.numpy(), np.float32).tobytes())

    def __iter__(self) -> Iterator[np.ndarray]:
        """Each row [*shape] in turn."""
        with self.path.open("rb") as file:
            for _ in range(len(self)):
                yield np.frombuffer(file.read(self._bytes), np.float32).reshape(self.shape)

    def __getitem__(self, rows: Sequence[int]) -> torch.Tensor:
        """The rows [N, *shape] at these places."""
        return torch.from_numpy(self.array()[list(rows)])

    def deviation(self) -> float:
        """The standard deviation of all numbers, the mean taken off."""
        array = self.array()
        total = squares = 0.0
        for start in range(0, len(array), PART):
            part = array[start : start + PART].astype(np.float64)
            total += float(part.sum())
            squares += float(np.square(part).sum())
        mean = total / array.size
        return math.sqrt(max(0.0, squares / array.size - mean**2))

    def array(self) -> np.ndarray:
        """All rows [len, *shape], read from the disk as they are looked at."""
        if len(self) == 0:  # an empty file cannot be mapped
            return np.empty((0, *self.shape), np.float32)
        return np.memmap(self.path, np.float32, mode="r", shape=(len(self), *self.shape))
