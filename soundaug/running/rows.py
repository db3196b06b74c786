"""Arrays of one shape written one after the other, as the .npy of all of them. Without torch."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from soundaug.running.outputs import whole


def save_rows(path: Path, rows: Iterable[np.ndarray], count: int, shape: Sequence[int], dtype: type) -> None:
    """Write ``count`` arrays [*shape] as one .npy [count, *shape], one after the other: the bytes of np.save."""
    with whole(path) as partial, partial.open("wb") as file:
        write_rows(file, rows, count, shape, dtype)


def write_rows(file: IO[bytes], rows: Iterable[np.ndarray], count: int, shape: Sequence[int], dtype: type) -> None:
    """The same into an open file."""
    described = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (count, *shape)}
    np.lib.format.write_array_header_1_0(file, described)
    for _, row in zip(range(count), rows, strict=True):
        file.write(np.ascontiguousarray(row, dtype).tobytes())
