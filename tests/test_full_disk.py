"""A full disk is told in a line that names the file, whichever library meets it, and leaves nothing half-written."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from soundaug.classification.classifier import SoundClassifier, save_classifier
from soundaug.folds.packed import ClipSet
from soundaug.images.files import save_image
from soundaug.params import Classifier
from soundaug.running import outputs
from soundaug.running.checkpoint import save_checkpoint
from soundaug.running.errors import StudyError
from soundaug.running.kept_rows import Rows
from soundaug.running.outputs import room_for, whole, write_csv, write_json
from soundaug.sound.audio import write_flac
from soundaug.sound.excerpts import write_sound

NOISE = np.random.default_rng(0).integers(-(2**15), 2**15, 400_000, dtype=np.int16)
TOLD = "No space left on device, wanted room for it on the disk: free some, then run the same command to go on"


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk of 128 KiB, in memory; skips where none can be mounted."""
    folder = tmp_path_factory.mktemp("small")
    command = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("no small disk can be mounted here: it takes the rights of root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def checkpoint(path: Path) -> None:
    save_checkpoint(path, {"network": nn.Linear(300, 300)}, torch.Generator(), {})


def classifier(path: Path) -> None:
    settings = Classifier(channels=[64, 64], kernel=5, padding=1, pool=1, batch_norm=False, hidden=64)
    save_classifier(path, SoundClassifier(settings, 16, 10))


def folder_of_audio(path: Path) -> None:
    with whole(path) as partial:
        write_flac(partial / "audio" / "x.flac", NOISE, 8000)


def picture(path: Path) -> None:
    save_image(Image.fromarray(NOISE.astype(np.uint8).reshape(400, -1)), path)


WRITERS: dict[str, Callable[[Path], object]] = {
    "fold1.npz": ClipSet.pack(NOISE.astype(np.float32).reshape(1, 400, -1), [0], ["1"], ["a"]).save,
    "checkpoint.pt": checkpoint,
    "model.safetensors": classifier,
    "values.json": lambda path: write_json(path, NOISE.tolist()),
    "table.csv": lambda path: write_csv(path, ["a"], NOISE[:, None].tolist()),
    "clips": folder_of_audio,
    "sound.wav": lambda path: write_sound(path, NOISE[None] / 2**15, 8000),
    "sound.ogg": lambda path: write_sound(path, NOISE[None] / 2**15, 8000),
    "image.png": picture,
}


@pytest.mark.parametrize("name", WRITERS)
def test_nothing_is_left(name: str, small_disk: Path) -> None:
    path = small_disk / name
    with pytest.raises(StudyError) as raised:
        WRITERS[name](path)
    assert str(raised.value) == f"{path}: {TOLD}"
    assert list(small_disk.iterdir()) == []


def test_the_old_file_stays(small_disk: Path) -> None:
    path = small_disk / "values.json"
    write_json(path, [1])
    with pytest.raises(StudyError, match="No space left on device"):
        write_json(path, NOISE.tolist())
    assert path.read_text() == "[\n  1\n]\n"
    path.unlink()


def test_rows_that_were_whole_stay(small_disk: Path) -> None:
    rows = Rows(small_disk / "rows", (1000,))
    rows.append(torch.ones(3, 1000))
    with pytest.raises(StudyError) as raised:
        rows.append(torch.zeros(200, 1000))
    assert str(raised.value) == f"{small_disk / 'rows'}: {TOLD}"
    again = Rows(small_disk / "rows", (1000,))
    assert len(again) >= 3
    assert bool((again[[0, 1, 2]] == 1).all())
    again.path.unlink()


def test_what_is_no_full_disk_is_not_taken_for_one(tmp_path: Path) -> None:
    for error in (ValueError("x"), OSError(errno.EACCES, "no", "x"), OSError("no number"), RuntimeError("x")):
        with pytest.raises(type(error)) as raised, room_for(tmp_path / "a"):
            raise error
        assert raised.value is error


def test_an_error_of_a_librarys_own_counts_where_nothing_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "LEAST_FREE", 2**60)
    with pytest.raises(StudyError, match=rf"a: {os.strerror(errno.ENOSPC)}"), room_for(tmp_path / "a"):
        raise RuntimeError("iostream error")
    monkeypatch.setattr(outputs, "LEAST_FREE", 0)
    quota = rf"a: {os.strerror(errno.EDQUOT)}, wanted room for it within the quota"
    with pytest.raises(StudyError, match=quota), room_for(tmp_path / "a"):
        raise OSError(errno.EDQUOT, "quota")
