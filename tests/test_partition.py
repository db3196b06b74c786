"""Which clips train and which test: shares of recordings are nested, validation turns the folds round."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_clips

from soundaug.folds.packed import ClipSet, fold_by_name, fold_file, split, withheld_clips
from soundaug.folds.partition import Partition, draw_withheld
from soundaug.running.errors import StudyError

FOLDS = (1, 2, 10)


def recordings(clips: ClipSet) -> set[str]:
    return set(clips.fs_id.tolist())


def features(folder: Path, partition: Partition | None = None) -> Path:
    """Three folds of 3 classes x 4 recordings x 3 clips."""
    for fold in FOLDS:
        tiny_clips(fold=fold, recordings=4).save(fold_file(folder, fold))
    if partition is not None:
        partition.save(folder)
    return folder


def drawn(share: float, seed: int = 0) -> frozenset[tuple[int, int, str]]:
    sets = {fold: tiny_clips(fold=fold, recordings=4) for fold in FOLDS}
    named = [
        (fold, class_id, fs_id)
        for fold, clips in sets.items()
        for class_id, fs_id in zip(clips.class_id.tolist(), clips.fs_id.tolist(), strict=True)
    ]
    return draw_withheld(named, share, seed)


def test_a_share_of_each_classs_recordings_in_every_fold() -> None:
    for share, left in ((1.0, 4), (0.75, 3), (0.5, 2), (0.25, 1), (0.01, 1)):
        counts = {(fold, class_id): 0 for fold in FOLDS for class_id in range(3)}
        for fold, class_id, fs_id in drawn(share):
            assert fs_id.startswith(f"{fold}{class_id}")
            counts[fold, class_id] += 1
        assert set(counts.values()) == {4 - left}, share


def test_a_larger_share_keeps_what_a_smaller_one_does() -> None:
    shares = [drawn(share) for share in (1.0, 0.75, 0.5, 0.25)]
    assert all(one < other for one, other in pairwise(shares))
    assert drawn(0.5) == drawn(0.5) != drawn(0.5, seed=1)


def test_a_class_keeps_two_clips_to_pair() -> None:
    """Nine recordings of one clip each, of which a tenth is one; another class has one recording, of one clip."""
    clips = [(1, 0, f"r{number}") for number in range(9)] + [(1, 1, "alone")]
    tenth, third = draw_withheld(clips, 0.1, 0), draw_withheld(clips, 0.33, 0)
    assert (len(tenth), len(third)) == (7, 6)
    assert third < tenth
    assert {class_id for _, class_id, _ in tenth} == {0}


def test_training_clips_are_fewer_and_test_clips_all(tmp_path: Path) -> None:
    whole_train, whole_test = split(features(tmp_path), 2)
    train, test = split(features(tmp_path, Partition("fold", drawn(0.25))), 2)
    assert (len(whole_train), len(train), len(test)) == (72, 18, 36)  # 2 folds x 3 classes x 1 recording x 3 clips
    np.testing.assert_array_equal(test.mel, whole_test.mel)
    assert set(train.name.tolist()) < set(whole_train.name.tolist())
    more = withheld_clips(tmp_path, 2)
    assert sorted([*train.name.tolist(), *more.name.tolist()]) == sorted(whole_train.name.tolist())
    assert not recordings(more) & (recordings(train) | recordings(test))


def test_a_fold_trains_alone(tmp_path: Path) -> None:
    train, test = split(features(tmp_path, Partition("others")), 2)
    np.testing.assert_array_equal(train.mel, tiny_clips(fold=2, recordings=4).mel)
    fold_of = fold_by_name(tmp_path)
    assert [fold_of[name] for name in test.name.tolist()] == [1] * 36 + [10] * 36
    assert Partition("others").tested(10, FOLDS) == [1, 2]
    assert Partition("others").trained(10, FOLDS) == [10]
    assert (Partition().tested(10, FOLDS), Partition().trained(10, FOLDS)) == ([10], [1, 2])


def test_nothing_withheld_is_an_empty_set(tmp_path: Path) -> None:
    more = withheld_clips(features(tmp_path), 1)
    assert (len(more), more.mel.shape[1:]) == (0, tiny_clips().mel.shape[1:])


def test_a_round_trip(tmp_path: Path) -> None:
    partition = Partition("others", drawn(0.5))
    partition.save(tmp_path)
    assert Partition.load(tmp_path) == partition
    assert Partition.load(tmp_path / "none") == Partition("fold", frozenset())


@pytest.mark.parametrize("content", [{"held_out": "none", "withheld": []}, {"held_out": "fold"}, [], {"withheld": [1]}])
def test_something_else_is_told_in_a_line(tmp_path: Path, content: object) -> None:
    (tmp_path / "partition.json").write_text(json.dumps(content))
    with pytest.raises(
        StudyError, match=r"partition\.json: found no partition .*wanted what featurize writes"
    ) as raised:
        Partition.load(tmp_path)
    assert "\n" not in str(raised.value)
