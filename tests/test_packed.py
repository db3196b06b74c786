"""Packed clips: the same bytes for the same clips, and one line for a file that is something else."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from soundaug.folds.packed import ClipSet, class_list, concatenate, fold_file, folds_of, save_clips, split
from soundaug.running.errors import StudyError


def clips(fold: int, count: int = 3) -> ClipSet:
    mel = np.arange(count * 8, dtype=np.float32).reshape(count, 2, 4) + 100 * fold
    return ClipSet.pack(mel, list(range(count)), [f"r{fold}"] * count, [f"{fold}-{n} дождь.wav" for n in range(count)])


def features(folder: Path, folds: tuple[int, ...] = (1, 2, 10)) -> Path:
    for fold in folds:
        clips(fold).save(fold_file(folder, fold))
    return folder


def test_a_round_trip_keeps_every_array(tmp_path: Path) -> None:
    before = clips(1)
    before.save(tmp_path / "clips.npz")
    after = ClipSet.load(tmp_path / "clips.npz")
    assert len(after) == 3
    for name in ("mel", "class_id", "fs_id", "name"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
        assert getattr(after, name).dtype == getattr(before, name).dtype
    assert (after.mel.dtype, after.class_id.dtype) == (np.float32, np.int64)
    assert after.name.tolist() == ["1-0 дождь.wav", "1-1 дождь.wav", "1-2 дождь.wav"]


def test_the_same_clips_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips(1).save(tmp_path / "first.npz")
    later = time.time() + 5 * 24 * 3600
    monkeypatch.setattr(time, "time", lambda: later)  # a zip file may hold the time it was written
    clips(1).save(tmp_path / "second.npz")
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()
    clips(2).save(tmp_path / "other.npz")
    assert (tmp_path / "first.npz").read_bytes() != (tmp_path / "other.npz").read_bytes()


def test_clips_that_come_one_by_one_have_the_bytes_of_numpys(tmp_path: Path) -> None:
    one = clips(1)
    np.savez(tmp_path / "wanted.npz", mel=one.mel, class_id=one.class_id, fs_id=one.fs_id, name=one.name)
    one.save(tmp_path / "whole.npz")
    lists = one.class_id.tolist(), one.fs_id.tolist(), one.name.tolist()
    save_clips(tmp_path / "rows.npz", iter(one.mel), (2, 4), *lists)
    wanted = (tmp_path / "wanted.npz").read_bytes()
    assert (tmp_path / "whole.npz").read_bytes() == (tmp_path / "rows.npz").read_bytes() == wanted
    with pytest.raises(ValueError, match="shorter"):
        save_clips(tmp_path / "short.npz", iter(one.mel[:2]), (2, 4), *lists)
    assert not (tmp_path / "short.npz").exists()


def test_no_clips_are_a_set_too(tmp_path: Path) -> None:
    ClipSet.pack(np.empty((0, 2, 4), np.float32), [], [], []).save(tmp_path / "none.npz")
    none = ClipSet.load(tmp_path / "none.npz")
    assert (len(none), none.mel.shape, none.class_id.dtype) == (0, (0, 2, 4), np.int64)
    assert (none.fs_id.dtype.kind, none.name.dtype.kind) == ("U", "U")


def test_take_and_concatenate() -> None:
    taken = clips(1).take(np.array([2, 0]))
    assert taken.name.tolist() == ["1-2 дождь.wav", "1-0 дождь.wav"]
    assert taken.mel[:, 0, 0].tolist() == [116.0, 100.0]
    both = concatenate([taken, clips(2).take(np.array([False, True, False]))])
    assert both.class_id.tolist() == [2, 0, 1]
    assert both.fs_id.tolist() == ["r1", "r1", "r2"]
    assert both.mel[:, 0, 0].tolist() == [116.0, 100.0, 208.0]


def test_arrays_of_different_lengths_are_no_set() -> None:
    with pytest.raises(ValueError, match="arrays of different lengths"):
        ClipSet.pack(np.zeros((2, 2, 4), np.float32), [0], ["r"], ["n"])


def write(path: Path, kind: str) -> None:
    """Something else than `save` writes, in place of ``path``."""
    clips(1).save(path)
    content = path.read_bytes()
    arrays = {"class_id": np.zeros(1), "fs_id": np.zeros(1), "name": np.zeros(1)}
    if kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "damaged":
        path.write_bytes(content[:160] + b"damage" + content[166:])
    elif kind == "text":
        path.write_text("<html>404</html>")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "pickled":
        np.savez(path, mel=np.array([{}], dtype=object), **arrays)
    elif kind == "an array missing":
        np.savez(path, **arrays)
    elif kind == "lengths":
        np.savez(path, mel=np.zeros((2, 2, 4)), **arrays)
    elif kind == "one array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif kind == "a number":
        np.savez(path, mel=np.float32(0), class_id=0, fs_id="r", name="n")


@pytest.mark.parametrize(
    "kind",
    [
        "truncated",
        "damaged",
        "text",
        "empty",
        "pickled",
        "an array missing",
        "lengths",
        "one array",
        "a number",
    ],
)
def test_something_else_is_told_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "fold1.npz"
    write(path, kind)
    with pytest.raises(StudyError) as raised:
        ClipSet.load(path)
    line = str(raised.value)
    assert line.startswith(f"{path}: found no packed features (")
    assert line.endswith("), wanted what featurize writes")


def test_a_missing_file_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(StudyError) as raised:
        ClipSet.load(tmp_path / "fold1.npz")
    assert str(raised.value) == f"{tmp_path / 'fold1.npz'}: not there, wanted packed features (dvc repro makes them)"


def test_the_folds_are_sorted_as_numbers(tmp_path: Path) -> None:
    assert folds_of(features(tmp_path)) == [1, 2, 10]


def test_the_split_holds_one_fold_out(tmp_path: Path) -> None:
    train, test = split(features(tmp_path), 2)
    assert train.fs_id.tolist() == ["r1"] * 3 + ["r10"] * 3
    assert test.fs_id.tolist() == ["r2"] * 3
    assert not set(train.name) & set(test.name)
    assert train.mel[:, 0, 0].tolist() == [100.0, 108.0, 116.0, 1000.0, 1008.0, 1016.0]


def test_two_folds_are_enough(tmp_path: Path) -> None:
    train, test = split(features(tmp_path, (1, 2)), 2)
    assert (train.fs_id.tolist(), test.fs_id.tolist()) == (["r1"] * 3, ["r2"] * 3)


@pytest.mark.parametrize(
    ("folds", "held_out", "line"),
    [
        ((1, 2, 10), 3, "params.yaml: folds: found 3, wanted one of the corpus's [1, 2, 10], of at least two"),
        ((1,), 1, "params.yaml: folds: found 1, wanted one of the corpus's [1], of at least two"),
    ],
)
def test_a_fold_that_cannot_be_held_out(tmp_path: Path, folds: tuple[int, ...], held_out: int, line: str) -> None:
    with pytest.raises(StudyError) as raised:
        split(features(tmp_path, folds), held_out)
    assert str(raised.value) == line


def test_the_list_of_classes(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text(json.dumps(["hund", "雨"]), encoding="utf-8")
    assert class_list(tmp_path) == ["hund", "雨"]
    for content, line in (
        (None, "not there, wanted a file made by an earlier stage (dvc repro makes it)"),
        ("[", "not valid JSON: Expecting value: line 1 column 2 (char 1)"),
        ("{}", "found {}, wanted the list of classes that featurize writes"),
        ("[1]", "found [1], wanted the list of classes that featurize writes"),
    ):
        (tmp_path / "classes.json").unlink(missing_ok=True)
        if content is not None:
            (tmp_path / "classes.json").write_text(content)
        with pytest.raises(StudyError) as raised:
            class_list(tmp_path)
        assert str(raised.value) == f"{tmp_path / 'classes.json'}: {line}"
