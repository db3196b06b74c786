"""Clips packed as arrays: the mel spectrograms of a fold, or of generated clips, in one file."""

import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np

from soundaug.folds.packed_mels import PackedMels
from soundaug.folds.partition import Partition
from soundaug.running.errors import StudyError
from soundaug.running.foreign import brief, reading
from soundaug.running.outputs import read_json, whole
from soundaug.running.rows import write_rows


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
        save_clips(path, self.mel, self.mel.shape[1:], self.class_id, self.fs_id, self.name)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raises StudyError when the file is missing or is something else."""
        with _arrays(path) as arrays:
            return cls(*(arrays[field.name] for field in fields(cls)))


@contextmanager
def _arrays(path: Path) -> Iterator[Mapping[str, np.ndarray]]:
    """The arrays of a packed file, each read when it is asked for."""
    if not path.is_file():
        raise StudyError(f"{path}: not there, wanted packed features (dvc repro makes them)")
    with reading(path, "no packed features", "what featurize writes"), np.load(path, allow_pickle=False) as arrays:
        yield arrays


def save_clips(
    path: Path,
    mels: Iterable[np.ndarray],
    shape: Sequence[int],
    class_ids: Sequence[int] | np.ndarray,
    fs_ids: Sequence[str] | np.ndarray,
    names: Sequence[str] | np.ndarray,
) -> None:
    """Write what `ClipSet.load` reads, of ``mels`` [*shape] that come one after the other: the bytes of np.savez."""
    rest = {
        "class_id": np.asarray(class_ids, np.int64),
        "fs_id": np.asarray(fs_ids, dtype=str),
        "name": np.asarray(names, dtype=str),
    }
    with whole(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        with archive.open("mel.npy", "w", force_zip64=True) as file:
            write_rows(file, mels, len(names), shape, np.float32)
        for name, array in rest.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


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
    train = _training(features, partition.trained(held_out, folds), partition, labelled=True)
    test = [ClipSet.load(fold_file(features, fold)) for fold in partition.tested(held_out, folds)]
    return train, concatenate(test)


def withheld_clips(features: Path, held_out: int) -> ClipSet:
    """The clips of the training folds whose recordings are withheld (data.recordings_share): no label may be used."""
    partition, folds = _partition(features, held_out)
    return _training(features, partition.trained(held_out, folds), partition, labelled=False)


def _training(features: Path, folds: Sequence[int], partition: Partition, labelled: bool) -> ClipSet:
    """The clips of ``folds`` that are labelled, or those that are not; nothing is held twice on the way."""
    files, kept = [fold_file(features, fold) for fold in folds], []
    for fold, file in zip(folds, files, strict=True):
        with _arrays(file) as arrays:
            class_id, fs_id, name = arrays["class_id"], arrays["fs_id"], arrays["name"]
            chosen = partition.keeps(fold, class_id, fs_id) == labelled
            kept.append((class_id[chosen], fs_id[chosen], name[chosen]))
    class_id, fs_id, name = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    return ClipSet(PackedMels(files, name.tolist()).all(), class_id, fs_id, name)


def _partition(features: Path, held_out: int) -> tuple[Partition, list[int]]:
    folds = folds_of(features)
    if held_out not in folds or len(folds) < 2:
        raise StudyError(f"params.yaml: folds: found {held_out}, wanted one of the corpus's {folds}, of at least two")
    return Partition.load(features), folds
