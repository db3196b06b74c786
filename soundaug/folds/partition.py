"""Which clips of the corpus train and which test: one table that every stage reads, so that all see the same."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

import numpy as np

from soundaug.running.foreign import reading
from soundaug.running.outputs import read_json, write_json

FILE = "partition.json"


@dataclass(frozen=True)
class Partition:
    """``held_out``: a fold is tested and all others train, or it trains alone and all others are tested.

    ``withheld`` are the recordings that do not train, or without their labels only: (fold, class_id, fs_id).
    """

    held_out: Literal["fold", "others"] = "fold"
    withheld: frozenset[tuple[int, int, str]] = field(default_factory=frozenset)

    def tested(self, fold: int, folds: Sequence[int]) -> list[int]:
        """Of the corpus's ``folds``, those that are tested where ``fold`` is at work; ascending."""
        return [other for other in sorted(folds) if (other == fold) == (self.held_out == "fold")]

    def trained(self, fold: int, folds: Sequence[int]) -> list[int]:
        """Of the corpus's ``folds``, those that train where ``fold`` is at work; ascending."""
        return [other for other in sorted(folds) if (other == fold) != (self.held_out == "fold")]

    def keeps(self, fold: int, class_id: np.ndarray, fs_id: np.ndarray) -> np.ndarray:
        """Which clips of ``fold`` (bool [N], of classes and recordings [N]) may train with their labels."""
        kept = [
            (fold, one, recording) not in self.withheld
            for one, recording in zip(class_id.tolist(), fs_id.tolist(), strict=True)
        ]
        return np.array(kept, bool)

    def save(self, features: Path) -> None:
        """Write it into the folder of the features."""
        write_json(features / FILE, {"held_out": self.held_out, "withheld": sorted(self.withheld)})

    @classmethod
    def load(cls, features: Path) -> Self:
        """Read what `save` wrote; where there is nothing, every other fold trains. StudyError: it is something else."""
        path = features / FILE
        if not path.is_file():
            return cls()
        found = read_json(path)
        with reading(path, "no partition", "what featurize writes"):
            if found["held_out"] not in ("fold", "others"):
                raise ValueError(f"held_out is {found['held_out']!r}")
            withheld = frozenset((int(fold), int(one), str(fs_id)) for fold, one, fs_id in found["withheld"])
            return cls(found["held_out"], withheld)


def draw_withheld(clips: Iterable[tuple[int, int, str]], share: float, seed: int) -> frozenset[tuple[int, int, str]]:
    """The recordings (fold, class_id, fs_id) that all but ``share`` of each class's, in every fold, come to.

    Of ``clips``, each named by its recording. A class keeps at least one recording and, where it has them, two clips in
    a fold: what a pair takes. A larger share keeps what a smaller one does.
    """
    recordings: dict[tuple[int, int], Counter[str]] = {}
    for fold, class_id, fs_id in clips:
        recordings.setdefault((fold, class_id), Counter())[fs_id] += 1
    withheld = set()
    for (fold, class_id), members in recordings.items():
        order = np.random.default_rng([seed, fold, class_id]).permutation(sorted(members)).tolist()
        kept = max(1, int(share * len(members) + 0.5))
        while kept < len(order) and sum(members[fs_id] for fs_id in order[:kept]) < 2:
            kept += 1
        withheld |= {(fold, class_id, fs_id) for fs_id in order[kept:]}
    return frozenset(withheld)
