"""Mel spectrograms of packed files, read from the disk as they are asked for: however many there are, few are held."""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from soundaug.running.foreign import reading

LOCAL_HEADER = 30  # bytes of a zip file before a member's name, the lengths of name and extra field in the last four
PART = 256  # clips that are read at once


class PackedMels:
    """float32 [N, n_mels, T] of the clips ``names`` among ``files``, which `ClipSet.save` or `save_clips` wrote.

    ``change`` is done to what is read, [B, n_mels, T] to as much. Raises StudyError for a file that is something else,
    KeyError for a clip in none of them.
    """

    def __init__(
        self, files: Sequence[Path], names: Sequence[str], change: Callable[[np.ndarray], np.ndarray] = np.asarray
    ) -> None:
        self._change = change
        place_of: dict[str, tuple[Path, int]] = {}
        self._shape: tuple[int, ...] = ()
        for file in files:
            with reading(file, "no packed features", "what featurize writes"):
                start, (count, *shape) = _mels_in(file)
                size = 4 * int(np.prod(shape))
                with np.load(file, allow_pickle=False) as arrays:
                    rows = zip(arrays["name"].tolist(), range(count), strict=True)
                    place_of |= {name: (file, start + row * size) for name, row in rows}
            self._shape = tuple(shape)
        self._places = [place_of[name] for name in names]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, part: slice) -> np.ndarray:
        """Those of a part of the names, float32 [B, n_mels, T]."""
        count = int(np.prod(self._shape))
        mels = [np.fromfile(file, np.float32, count, offset=offset) for file, offset in self._places[part]]
        return self._change(np.array(mels, np.float32).reshape(-1, *self._shape))

    def all(self) -> np.ndarray:
        """All of them, float32 [N, n_mels, T]."""
        mels = np.empty((len(self), *self._shape), np.float32)
        for start in range(0, len(self), PART):
            mels[start : start + PART] = self[start : start + PART]
        return mels


def _mels_in(file: Path) -> tuple[int, tuple[int, ...]]:
    """Where the numbers of a packed file's mels begin, in bytes, and their shape.

    By the zip format's local header (APPNOTE.TXT, 4.3.7): zipfile reads all that lies before a place to get there.
    """
    with zipfile.ZipFile(file) as archive:
        member = archive.getinfo("mel.npy")
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError("compressed mels")
    with file.open("rb") as opened:
        opened.seek(member.header_offset)
        header = opened.read(LOCAL_HEADER)
        opened.seek(sum(int.from_bytes(header[place : place + 2], "little") for place in (26, 28)), 1)
        if np.lib.format.read_magic(opened) != (1, 0):
            raise ValueError("mels of another format")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(opened)
        if fortran or dtype != np.float32:
            raise ValueError(f"mels of {dtype}")
        return opened.tell(), shape
