"""What the search for near-duplicates found: the pairs, their table, and whether there are too many. Without torch."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from soundaug.params import Params
from soundaug.running.errors import StudyError
from soundaug.running.foreign import reading
from soundaug.running.outputs import read_rows, write_csv

REAL, GENERATED = "real", "generated"


@dataclass(frozen=True)
class NearDuplicate:
    """A test clip of a held-out fold and the clip nearest to it that was trained on: a real one or a generated one.

    ``similarity``: the correlation of their fingerprints, at most 1; ``shift_seconds``: how much later the test clip
    has the sound.
    """

    held_out: int
    kind: str
    test: str
    test_fs_id: str
    train: str
    train_fs_id: str
    similarity: float
    shift_seconds: float


COLUMNS = [field.name for field in fields(NearDuplicate)]


@dataclass(frozen=True)
class Closeness:
    """The near-duplicates of ``test_clips`` test clips, summed over the held-out folds; most similar first."""

    test_clips: int
    pairs: Sequence[NearDuplicate]

    @property
    def share(self) -> float:
        """Of the test clips, those with a near-duplicate of either kind."""
        return len({(pair.held_out, pair.test) for pair in self.pairs}) / max(1, self.test_clips)

    @property
    def metrics(self) -> dict[str, float]:
        """The figures that go into metrics.json under ``audit``: test clips near to a real one, a generated one."""
        real, generated = (sum(pair.kind == kind for pair in self.pairs) for kind in (REAL, GENERATED))
        return {"near_duplicates": real, "near_generated": generated, "near_share": round(self.share, 6)}


def refuse(found: Closeness, params: Params, named: Path) -> None:
    """Raise StudyError when more test clips than leakage.max_share, if set, have one; ``named`` lists them."""
    most = params.leakage.max_share
    if most is not None and found.share > most:
        raise StudyError(
            f"leak: {found.share:.2%} of the test clips are nearly the same as a clip trained on (in {named}), "
            f"wanted at most {most:.2%} (leakage.max_share)"
        )


def write_pairs(table: Path, found: Closeness) -> None:
    """Write a row a pair; the header alone where there is none."""
    write_csv(table, COLUMNS, (astuple(pair) for pair in found.pairs))


def read_closeness(table: Path, test_clips: int) -> Closeness:
    """Read what `write_pairs` wrote; StudyError when it is missing or something else."""
    rows = read_rows(table, COLUMNS)
    with reading(table, "no near-duplicates", "what audit writes"):
        pairs = [
            NearDuplicate(
                held_out=int(row["held_out"]),
                kind=row["kind"],
                test=row["test"],
                test_fs_id=row["test_fs_id"],
                train=row["train"],
                train_fs_id=row["train_fs_id"],
                similarity=float(row["similarity"]),
                shift_seconds=float(row["shift_seconds"]),
            )
            for row in rows
        ]
    return Closeness(test_clips, pairs)
