"""Mels read from packed files as they are asked for: those of `ClipSet.load`, in any order, few at a time."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from soundaug.folds import packed_mels
from soundaug.folds.packed import ClipSet
from soundaug.folds.packed_mels import PackedMels
from soundaug.running.errors import StudyError


def names(fold: int, count: int) -> list[str]:
    return [f"{fold}-{number} дождь.wav" for number in range(count)]


def save(folder: Path, fold: int, count: int = 5) -> Path:
    mel = np.random.default_rng(fold).normal(size=(count, 3, 4)).astype(np.float32)
    ClipSet.pack(mel, [0] * count, ["r"] * count, names(fold, count)).save(folder / f"fold{fold}.npz")
    return folder / f"fold{fold}.npz"


def test_rows_are_those_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [save(tmp_path, 1), save(tmp_path, 2, 3)]
    wanted = {}
    for file in files:
        clips = ClipSet.load(file)
        wanted |= dict(zip(clips.name.tolist(), clips.mel, strict=True))
    chosen = [*names(2, 3)[::-1], *names(1, 5)[::2], names(2, 3)[0]]
    mels = PackedMels(files, chosen)
    assert len(mels) == 7
    for part in (slice(0, 2), slice(2, 7), slice(6, None), slice(3, 3)):
        found = mels[part]
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, np.reshape([wanted[name] for name in chosen[part]], (-1, 3, 4)))
    monkeypatch.setattr(packed_mels, "PART", 3)
    np.testing.assert_array_equal(mels.all(), [wanted[name] for name in chosen])


def test_what_is_read_is_changed(tmp_path: Path) -> None:
    file = save(tmp_path, 1)
    found = PackedMels([file], names(1, 2), lambda mels: 2 * mels)[:]
    np.testing.assert_array_equal(found, 2 * ClipSet.load(file).mel[:2])


def test_none_are_no_rows(tmp_path: Path) -> None:
    mels = PackedMels([save(tmp_path, 1)], [])
    assert (len(mels), mels[:].shape, mels.all().shape) == (0, (0, 3, 4), (0, 3, 4))


def test_a_clip_that_is_in_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="other"):
        PackedMels([save(tmp_path, 1)], ["other.wav"])


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("text", "File is not a zip file"),
        ("compressed", "compressed mels"),
        ("double", "mels of float64"),
        ("fortran", "mels of float32"),
        ("version 2", "mels of another format"),
        ("no mels", "There is no item named 'mel.npy' in the archive"),
        ("lengths", "argument 2 is shorter than argument 1"),
    ],
)
def test_something_else_is_told_in_one_line(tmp_path: Path, kind: str, why: str) -> None:
    file, mel = save(tmp_path, 1), np.zeros((2, 3, 4), np.float32)
    if kind == "text":
        file.write_text("no archive")
    elif kind == "compressed":
        np.savez_compressed(file, mel=mel, name=np.array(["a", "b"]))
    elif kind == "double":
        np.savez(file, mel=mel.astype(float), name=np.array(["a", "b"]))
    elif kind == "fortran":
        np.savez(file, mel=np.asfortranarray(mel), name=np.array(["a", "b"]))
    elif kind == "version 2":
        with zipfile.ZipFile(file, "w") as archive, archive.open("mel.npy", "w") as opened:
            np.lib.format.write_array(opened, mel, version=(2, 0))
    elif kind == "no mels":
        np.savez(file, name=np.array(["a", "b"]))
    else:
        np.savez(file, mel=mel[:1], name=np.array(["a", "b"]))
    with pytest.raises(StudyError) as raised:
        PackedMels([file], ["a"])
    line = str(raised.value)
    assert line.startswith(f"{file}: found no packed features (")
    assert line.endswith("), wanted what featurize writes")
    assert why in line
