"""What the report shows of clips: a generated one of every class beside its parents, and the closest copies."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundaug.folds.packed import ClipSet, fold_file, folds_of, split
from soundaug.folds.partition import Partition
from soundaug.params import Features
from soundaug.running.errors import StudyError
from soundaug.running.outputs import read_rows

SHOWN_PAIRS = 6

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Example:
    """Log-mels [n_mels, T] in dB of one class: two parents, what was generated from them, and a real test clip."""

    class_name: str
    parent_a: Floats
    generated: Floats
    parent_b: Floats
    test_clip: Floats


@dataclass(frozen=True)
class ClosestPair:
    """A generated clip and the training clip it is nearest to: log mels [n_mels, T] in dB, which, how far."""

    generated: Floats
    real: Floats
    name: str
    real_name: str
    class_name: str
    distance_db: float
    shift: int  # frames
    is_parent: bool
    fold: int  # held out


def load_examples(data: Path, fold: int, features: Features, classes: Sequence[str]) -> list[Example]:
    """The first generated clip of every class for held-out ``fold``, beside its parents and a test clip.

    Empty where nothing was generated. Linear mels are shown in dB, as the generator sees them.
    """
    mels_path = data / "generated" / f"fold{fold}" / "mels.npz"
    if not mels_path.is_file():
        return []
    pairs = read_rows(mels_path.with_name("pairs.csv"), ("class_id", "parent_a", "parent_b", "fold_a", "fold_b"))
    firsts: dict[int, int] = {}
    for index, pair in enumerate(pairs):
        firsts.setdefault(int(pair["class_id"]), index)
    if not firsts:
        return []
    generated = ClipSet.load(mels_path).mel
    if len(generated) != len(pairs):
        raise StudyError(f"{mels_path}: found {len(generated)} mels, wanted the {len(pairs)} of pairs.csv")
    wanted = {(int(pairs[i][f"fold_{side}"]), pairs[i][f"parent_{side}"]) for i in firsts.values() for side in "ab"}
    shown: dict[str, Floats] = {}
    tests: dict[int, Floats] = {}
    tested = Partition.load(data / "features").tested(fold, folds_of(data / "features"))
    for number in sorted({*tested, *(number for number, _ in wanted)}):
        clips = ClipSet.load(fold_file(data / "features", number))
        for mel, name, class_id in zip(clips.mel, clips.name.tolist(), clips.class_id.tolist(), strict=True):
            if (number, name) in wanted:
                shown[name] = decibels(mel, features)
            if number in tested and class_id not in tests:
                tests[class_id] = decibels(mel, features)
    examples = []
    for class_id, index in sorted(firsts.items()):
        a, b = shown.get(pairs[index]["parent_a"]), shown.get(pairs[index]["parent_b"])
        if a is not None and b is not None and class_id in tests:
            examples.append(Example(classes[class_id], a, generated[index].astype(np.float64), b, tests[class_id]))
    return examples


def load_closest(data: Path, folds: Sequence[int], features: Features, classes: Sequence[str]) -> list[ClosestPair]:
    """The closest pairs of the held-out ``folds``, closest first; empty where nothing was generated."""
    pairs = []
    for fold in folds:
        folder = data / "generated" / f"fold{fold}"
        path = folder / "closest.csv"
        rows = read_rows(path, ("generated", "train", "shift", "distance_db", "is_parent")) if path.is_file() else []
        if not rows:
            continue
        generated = ClipSet.load(folder / "mels.npz")
        train, _ = split(data / "features", fold)
        for row in rows:
            try:
                made, place = int(row["generated"]), int(row["train"])
                shift, distance, parent = int(row["shift"]), float(row["distance_db"]), row["is_parent"] == "True"
                mel, original = generated.mel[made], train.mel[place]
            except (ValueError, IndexError) as error:
                raise StudyError(f"{path}: found {row} ({error}), wanted what assess_generator writes") from None
            real = decibels(original, features)
            class_name = classes[int(generated.class_id[made])]
            names = str(generated.name[made]), str(train.name[place])
            pairs.append(ClosestPair(mel, real, *names, class_name, distance, shift, parent, fold))
    return sorted(pairs, key=lambda pair: pair.distance_db)[:SHOWN_PAIRS]


def decibels(mel: Any, features: Features) -> Floats:
    """A mel as the features hold it, in dB: what `MelFrontEnd.log_mel` gives, without torch."""
    if features.scale == "log":
        return np.asarray(mel, dtype=np.float64)
    reference = 0.375 * features.n_fft  # the summed square of the Hann window: the front end's 0 dB
    power = np.maximum(np.asarray(mel, dtype=np.float64) / reference, 1e-20)
    return np.asarray(np.maximum(10 * np.log10(power), features.floor_db))
