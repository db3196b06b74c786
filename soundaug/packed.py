"""Clips packed as arrays: the mel spectrograms of a fold, or of generated clips, in one file."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np

from soundaug.errors import StudyError
from soundaug.foreign import brief, reading
from soundaug.outputs import read_json, whole
from soundaug.partition import Partition


@dataclass(frozen=True)
class ClipSet:
    """``mel`` float32 [N, n_mels, T]; ``class_id`` int64 [N]; ``fs_id`` (the recording) and ``name`` text [N]."""

    mel: np.ndarray
    class_id: np.ndarray
    fs_id: np.ndarray
    name: np.ndarray

    def __post_init__(self) -> None:
        if len({len(getattr(self, field.name)) for field in fields(self)}) != 1:
            raise ValueError("arrays of different lengths")

    def __len__(self) -> int:
        return len(self.name)

    @classmethod
    def pack(cls, mel: np.ndarray, class_ids: Sequence[int], fs_ids: Sequence[str], names: Sequence[str]) -> Self:
        """A set from ``mel`` and plain lists."""
        return cls(mel, np.array(class_ids, np.int64), np.array(fs_ids, dtype=str), np.array(names, dtype=str))

    def take(self, index: np.ndarray) -> Self:
        """The clips at ``index`` (integers or booleans), in that order."""
        return type(self)(self.mel[index], self.class_id[index], self.fs_id[index], self.name[index])

    def save(self, path: Path) -> None:
        """Write one .npz, the same bytes for the same arrays."""
        with whole(path) as partial, partial.open("wb") as file:
            np.savez(file, mel=self.mel, class_id=self.class_id, fs_id=self.fs_id, name=self.name)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raises StudyError when the file is missing or is something else."""
        if not path.is_file():
            raise StudyError(f"{path}: not there, wanted packed features (dvc repro makes them)")
        with (
            reading(path, "no packed features", "what featurize writes"),
            np.load(path, allow_pickle=False) as arrays,
        ):
            return cls(*(arrays[field.name] for field in fields(cls)))


def concatenate(sets: Sequence[ClipSet]) -> ClipSet:
    """All clips of ``sets`` (at least one) in order."""
    return ClipSet(*(np.concatenate([getattr(one, field.name) for one in sets]) for field in fields(ClipSet)))


def fold_file(features: Path, fold: int) -> Path:
    """Where featurize packs ``fold``."""
    return features / f"fold{fold}.npz"


def folds_of(features: Path) -> list[int]:
    """The folds that featurize packed, ascending."""
    return sorted(int(path.stem.removeprefix("fold")) for path in features.glob("fold*.npz"))


def class_list(features: Path) -> list[str]:
    """The names of the classes by id, as featurize wrote them."""
    path = features / "classes.json"
    names = read_json(path)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise StudyError(f"{path}: found {brief(names)}, wanted the list of classes that featurize writes")
    return names


def fold_by_name(features: Path) -> dict[str, int]:
    """The fold of every clip that featurize packed, by its name."""
    found: dict[str, int] = {}
    for fold in folds_of(features):
        with np.load(fold_file(features, fold), allow_pickle=False) as arrays:  # the mels are not read
            found |= dict.fromkeys(arrays["name"].tolist(), fold)
    return found


def split(features: Path, held_out: int) -> tuple[ClipSet, ClipSet]:
    """Training clips and test clips where ``held_out`` is, folds ascending; StudyError if it is not there.

    Every other fold trains, but for what the partition withholds; or, with data.held_out others, it trains alone.
    """
    partition, folds = _partition(features, held_out)
    train = [_training(features, fold, partition, labelled=True) for fold in partition.trained(held_out, folds)]
    test = [ClipSet.load(fold_file(features, fold)) for fold in partition.tested(held_out, folds)]
    return concatenate(train), concatenate(test)


def withheld_clips(features: Path, held_out: int) -> ClipSet:
    """The clips of the training folds whose recordings are withheld (data.recordings_share): no label may be used."""
    partition, folds = _partition(features, held_out)
    trained = partition.trained(held_out, folds)
    return concatenate([_training(features, fold, partition, labelled=False) for fold in trained])


def _training(features: Path, fold: int, partition: Partition, labelled: bool) -> ClipSet:
    clips = ClipSet.load(fold_file(features, fold))
    return clips.take(partition.keeps(fold, clips.class_id, clips.fs_id) == labelled)


def _partition(features: Path, held_out: int) -> tuple[Partition, list[int]]:
    folds = folds_of(features)
    if held_out not in folds or len(folds) < 2:
        raise StudyError(f"params.yaml: folds: found {held_out}, wanted one of the corpus's {folds}, of at least two")
    return Partition.load(features), folds
