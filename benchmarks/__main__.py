"""Every comparison side by side, one after the other: ``python -m benchmarks``, after `dvc repro`.

Each runs in a process of its own and may be run alone (``python -m benchmarks.train``), with options. The table of
all that have run, reports/benchmarks/speed.csv, and its picture have the ratios, and how near the peak they are.
"""

import argparse
import subprocess
import sys

from benchmarks.comparison import FOLDER, Comparison, read_comparison
from benchmarks.plots import plot_speed
from soundaug.running.errors import StudyError, run_stage
from soundaug.running.outputs import write_table

NAMES = ("featurize", "invert", "generate", "train", "repro")


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, help="those to run (all)")
    parser.add_argument("--table", action="store_true", help="run none, make the table of those that have run")
    args = parser.parse_args()
    for name in () if args.table else args.only:
        print(f"benchmarks.{name}", flush=True)
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False)  # noqa: S603 - one of NAMES
        if done.returncode:
            raise StudyError(f"benchmarks.{name}: found exit code {done.returncode}, wanted 0")
    found = [read_comparison(name) for name in NAMES if (FOLDER / f"{name}.csv").exists()]
    if not found:
        raise StudyError(f"{FOLDER}: found no benchmark that has run, wanted one or more")
    write_table(FOLDER.with_suffix(".csv"), [row_of(one) for one in found])
    plot_speed(FOLDER.with_suffix(".png"), found)
    print("\n".join(lines(found)))


def row_of(one: Comparison) -> dict[str, object]:
    """A row of the table."""
    return {
        "benchmark": one.name,
        "work": one.work,
        "against": one.against,
        "seconds_theirs": round(one.theirs, 6),
        "seconds_study": round(one.ours, 6),
        "ratio": round(one.ratio, 2),
        "bound": one.bound,
        "seconds_at_peak": round(one.at_peak, 6),
        "share_of_peak": round(one.at_peak / one.ours, 4),
    }


def lines(found: list[Comparison]) -> list[str]:
    """The table for a terminal."""
    rows = [("", "seconds", "against", "seconds", "ratio", "of the peak")]
    for one in found:
        share = f"{one.at_peak / one.ours:.0%}"
        rows.append((one.work, f"{one.ours:.4g}", one.against, f"{one.theirs:.4g}", f"{one.ratio:.1f}", share))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


if __name__ == "__main__":
    run_stage(main)
