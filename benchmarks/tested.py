"""What the search chose, run once on the test folds: every arm's accuracy and gain there, and what diffusion is above.

Reads the folders that benchmarks/tested.sh keeps in reports/search/tested; writes tested.csv and tested.png there.
"""

import argparse
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from benchmarks.plots import plot_tested
from benchmarks.search import TESTED, Row, estimate, load_rows, points
from soundaug.running.errors import StudyError, run_stage
from soundaug.running.outputs import write_table


def regimes(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows with the same share of the recordings, fewest first: one a test fold.

    StudyError where those of a share differ in arms or seeds, which no mean over folds may mix.
    """

    def share(row: Row) -> float:
        return row.params.data.recordings_share

    found = [list(group) for _, group in groupby(sorted(rows, key=share), share)]
    for group in found:
        for row in group[1:]:
            for what in ("arms", "seeds"):
                theirs, own = getattr(group[0].params, what), getattr(row.params, what)
                if theirs != own:
                    raise StudyError(
                        f"tested: {row.name}: found {what} {own}, wanted those of {group[0].name}: {theirs}"
                    )
    return found


def table(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A line an arm and share of the recordings, in percent and points with 95 % intervals.

    ``accuracy`` is the mean over the tested folds and seeds, ``gain`` its difference to base, ``aug_over`` what aug has
    more than the arm. The intervals draw recordings and hold trained models fixed (``search.estimate``).
    """
    lines = []
    for group in regimes(rows):
        params = group[0].params
        cells: list[Mapping[str, str]] = [cell for row in group for cell in row.cells]
        for arm in params.arms:
            line: dict[str, Any] = {"recordings": f"{100 * params.data.recordings_share:g}", "arm": arm}
            line |= points("accuracy", estimate(cells, arm, None))
            line |= points("gain", None if arm == "base" else estimate(cells, arm, "base"))
            line |= points("aug_over", None if arm == "aug" else estimate(cells, "aug", arm))
            line |= {"folds": " ".join(str(fold) for row in group for fold in row.params.folds)}
            lines.append(line | {"seeds": len(params.seeds)})
    return lines


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    lines = table(load_rows(TESTED))
    write_table(TESTED / "tested.csv", lines)
    plot_tested(TESTED / "tested.png", lines)
    for line in lines:
        if line["arm"] == "aug":
            interval = f"{line['gain_low']} to {line['gain_high']}"
            print(f"{line['recordings']} % of the recordings: aug minus base {line['gain']} points ({interval})")


if __name__ == "__main__":
    run_stage(main)
