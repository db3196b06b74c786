"""Work in progress that survives an interruption: a git-ignored folder a task, keyed by what decides its result."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(os.environ.get("SOUNDAUG_SCRATCH", ".scratch"))


class Scratch:
    """The folder of one task; the same ``decides`` (settings, seeds, arrays, source files) give the same folder."""

    def __init__(self, task: str, *decides: Any) -> None:
        digest = hashlib.sha256()
        for part in decides:
            if isinstance(part, np.ndarray):
                digest.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
            elif isinstance(part, Path):
                digest.update(part.read_bytes())
            else:
                digest.update(repr(part).encode())
            digest.update(b"\0")
        self.folder = ROOT / task / digest.hexdigest()[:24]
        self.folder.mkdir(parents=True, exist_ok=True)

    def file(self, name: str) -> Path:
        """A file of this task."""
        return self.folder / name

    def remove(self) -> None:
        """Forget the task: its result is written."""
        shutil.rmtree(self.folder, ignore_errors=True)
