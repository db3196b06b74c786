"""One table of what every audio file holds: what depends on the corpus has it to watch, not thousands of files."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tqdm import tqdm

from soundaug.running.outputs import write_csv
from soundaug.sources.corpus import Clip, audio_path

CHECKSUMS = Path("metadata/MD5.csv")  # relative to the corpus's folder


def write_checksums(table: Path, clips: Sequence[Clip], raw: Path, root: Path) -> None:
    """Write name and MD5 of the audio of ``clips``, which lies in the corpus's folder ``raw`` or in ``root``."""
    paths = [audio_path(clip, raw, root) for clip in clips]
    with ThreadPoolExecutor() as pool:
        found = list(tqdm(pool.map(_md5, paths), total=len(paths), desc="checksums", disable=None, unit="clip"))
    write_csv(table, ("name", "md5"), [(clip.name, one) for clip, one in zip(clips, found, strict=True)])


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
