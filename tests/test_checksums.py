"""The table of checksums: MD5 of the right files, in the clips' order, wherever they lie."""

import csv
import hashlib
from pathlib import Path

import pytest

from soundaug.sources.checksums import write_checksums
from soundaug.sources.corpus import Clip


def clip(name: str, in_root: bool) -> Clip:
    return Clip(name, "r", 1, 0, "rain", f"audio/{name}", in_root)


def test_every_clips_own_file_in_their_order(tmp_path: Path) -> None:
    clips = [clip("b, дождь.wav", True), clip("a.wav", False), clip("c.wav", True)]
    for folder, names in (("raw", ["a.wav"]), ("root", ["b, дождь.wav", "c.wav", "a.wav"])):
        for name in names:
            (tmp_path / folder / "audio").mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / "audio" / name).write_bytes(f"{folder} {name}".encode() * 100_000)
    write_checksums(tmp_path / "MD5.csv", clips, tmp_path / "raw", tmp_path / "root")
    with (tmp_path / "MD5.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    wanted = [("b, дождь.wav", "root"), ("a.wav", "raw"), ("c.wav", "root")]
    assert rows == [["name", "md5"]] + [
        [name, hashlib.md5(f"{folder} {name}".encode() * 100_000).hexdigest()] for name, folder in wanted
    ]


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_checksums(tmp_path / "MD5.csv", [clip("a.wav", False)], tmp_path, tmp_path)
    assert not (tmp_path / "MD5.csv").exists()
