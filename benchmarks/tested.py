"""What the search chose, run once on the test folds: every arm's accuracy and gain there, and what diffusion is above.

Reads the folders that benchmarks/tested.sh keeps in reports/search/tested; writes tested.csv, runs.csv and tested.png
there.
"""

import argparse
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from benchmarks.cells import Cells, blocks, estimate, fold_means, run_means
from benchmarks.plots import plot_tested
from benchmarks.search import TESTED, Row, judged_columns, load_rows, points, seed_sd
from soundaug.reporting.verdict import p_text
from soundaug.running.errors import StudyError, run_stage
from soundaug.running.outputs import write_table
from soundaug.statistics import stats
from soundaug.statistics.proof import smallest_sign_flip_p


def regimes(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of the same share of the recordings and kind, fewest recordings first: one a test fold.

    StudyError where those of a regime differ in arms or seeds, which no mean over folds may mix, and where a fold
    stands there twice.
    """

    def regime(row: Row) -> tuple[float, str]:
        return row.params.data.recordings_share, row.kind

    found = [list(group) for _, group in groupby(sorted(rows, key=regime), regime)]
    for group in found:
        whose: dict[int, str] = {}
        for row in group:
            for fold in row.params.folds:
                if fold in whose:
                    raise StudyError(f"tested: {row.name}: found fold {fold} as in {whose[fold]}, wanted it once")
                whose[fold] = row.name
        for row in group[1:]:
            for what in ("arms", "seeds"):
                theirs, own = getattr(group[0].params, what), getattr(row.params, what)
                if theirs != own:
                    raise StudyError(
                        f"tested: {row.name}: found {what} {own}, wanted those of {group[0].name}: {theirs}"
                    )
    return found


def table(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A line an arm and regime, in percent and points with 95 % intervals (``cells.draw``), and p-values over folds.

    ``accuracy`` is the mean over the tested folds and seeds, ``seed_sd`` its standard deviation over seeds in points,
    ``gain`` its difference to base, ``aug_over`` what aug has more than the arm. ``p`` are of the corrected t-test,
    ``p_holm`` over the controls, ``p_sign_flip`` of the sign flips. Aug's line tells what its clips were judged to be
    (``search.JUDGED``).
    """
    lines = []
    for group in regimes(rows):
        params = group[0].params
        cells: Cells = [cell for row in group for cell in row.cells]
        overlap = float(np.mean([_ratio(row) for row in group]))
        tests = {(arm, other): _tests(cells, arm, other, overlap) for arm, other in _compared(params.arms)}
        holm = {
            "gain": _adjusted({arm: tests[arm, "base"]["p"] for arm in params.controls}),
            "aug_over": _adjusted({arm: tests["aug", arm]["p"] for arm in params.controls}),
        }
        for arm in params.arms:
            line: dict[str, Any] = {"recordings": f"{100 * params.data.recordings_share:g}", "kind": group[0].kind}
            line |= {"arm": arm} | points("accuracy", estimate(cells, arm, None))
            line |= {"seed_sd": seed_sd(cells, arm)}
            for name, pair in (("gain", (arm, "base")), ("aug_over", ("aug", arm))):
                line |= points(name, estimate(cells, *pair) if pair in tests else None)
                found = tests.get(pair, {"p": None, "p_sign_flip": None}) | {"p_holm": holm[name].get(arm)}
                line |= {f"{name}_{test}": None if p is None else p_text(p) for test, p in found.items()}
            line |= {"folds": " ".join(map(str, sorted(fold for row in group for fold in row.params.folds)))}
            line |= {"seeds": len(params.seeds)} | judged_columns(group if arm == "aug" else [])
            lines.append(line)
    return lines


def runs(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A line a regime, arm, test fold and seed: accuracy in percent, gain over base under the same seed in points."""
    lines: list[dict[str, Any]] = []
    for group in regimes(rows):
        params = group[0].params
        cells: Cells = [cell for row in group for cell in row.cells]
        regime = {"recordings": f"{100 * params.data.recordings_share:g}", "kind": group[0].kind}
        accuracy = {arm: run_means(blocks(cells, arm)) for arm in params.arms}
        for arm in params.arms:
            for (fold, seed), value in accuracy[arm].items():
                run = {"arm": arm, "fold": fold, "seed": sorted(params.seeds)[seed], "accuracy": f"{100 * value:.2f}"}
                gain = None if arm == "base" else f"{100 * (value - accuracy['base'][fold, seed]):.2f}"
                lines.append(regime | run | {"gain": gain})
    return lines


def _compared(arms: Sequence[str]) -> list[tuple[str, str]]:
    return [(arm, "base") for arm in arms if arm != "base"] + [("aug", arm) for arm in arms if arm != "aug"]


def _adjusted(p_values: Mapping[str, float | None]) -> dict[str, float]:
    return stats.holm({arm: p for arm, p in p_values.items() if p is not None})


def _tests(cells: Cells, arm: str, other: str, overlap: float) -> dict[str, float | None]:
    differences = fold_means(blocks(cells, arm, other))
    return {
        "p": stats.corrected_t_test(differences, overlap),
        "p_sign_flip": stats.sign_flip_test(differences, np.random.default_rng(0)),
    }


def verdict(line: Mapping[str, Any]) -> str:
    """What aug came to in a regime, in a sentence."""
    folds = str(line["folds"]).split()
    interval = f"{line['gain_low']} to {line['gain_high']}"
    text = (
        f"{line['recordings']} % of the recordings, generated clips {line['kind'].replace('_', ' ')}: aug minus base "
        f"{line['gain']} points ({interval}), corrected t-test p = {line['gain_p'] or '-'}"
    )
    if len(folds) > 1:
        text += f"; {len(folds)} folds cannot reach p < {smallest_sign_flip_p(len(folds)):.2g} by sign flips"
    return text


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    rows = load_rows(TESTED)
    lines = table(rows)
    write_table(TESTED / "tested.csv", lines)
    write_table(TESTED / "runs.csv", runs(rows))
    plot_tested(TESTED / "tested.png", lines)
    for line in lines:
        if line["arm"] == "aug":
            print(verdict(line))


def _ratio(row: Row) -> float:
    found = row.metrics.get("test_train_ratio")
    if not isinstance(found, float):
        path = TESTED / row.name / "metrics.json"
        raise StudyError(f"{path}: found test_train_ratio {found!r}, wanted what benchmarks/tested.sh keeps")
    return found


if __name__ == "__main__":
    run_stage(main)
