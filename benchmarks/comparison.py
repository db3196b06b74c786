"""One comparison a benchmark: whose time against the study's, and what the machine itself would need for it."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from soundaug.running.outputs import read_rows, write_table

FOLDER = Path("reports/benchmarks/speed")


@dataclass(frozen=True)
class Comparison:
    """Seconds that the same ``work`` takes: the others', the study's, and at the machine's own peak ``bound``."""

    name: str  # of the benchmark
    work: str
    against: str
    theirs: float
    ours: float
    at_peak: float
    bound: str

    @property
    def ratio(self) -> float:
        """How many times as fast the study is."""
        return self.theirs / self.ours

    def tell(self) -> None:
        """Write it for the table of all comparisons, and print the ratio as the last line."""
        write_table(FOLDER / f"{self.name}.csv", [dataclasses.asdict(self)])
        print(f"at the machine's peak ({self.bound}): {self.at_peak / self.ours:.0%} of the study's time")
        print(f"ratio {self.ratio:.1f}")


def read_comparison(name: str) -> Comparison:
    """What the benchmark ``name`` told last; StudyError where it has not run."""
    fields = [field.name for field in dataclasses.fields(Comparison)]
    (row,) = read_rows(FOLDER / f"{name}.csv", fields)
    texts = {field: row[field] for field in ("name", "work", "against", "bound")}
    return Comparison(**texts, theirs=float(row["theirs"]), ours=float(row["ours"]), at_peak=float(row["at_peak"]))
