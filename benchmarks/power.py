"""How often the study's tests claim a difference, in simulated studies with and without one.

Reads reports/statistics/spread.json, what recorded runs are spread like (--runs FOLDER: measures it first, from the
data/runs and data/features of a finished study in FOLDER). Writes tables and a picture to reports/statistics.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from benchmarks.cells import Blocks, draw, run_deviation
from benchmarks.plots import plot_power
from benchmarks.simulated_study import Design, Spread, first_seeds, fit, simulate, with_classes
from soundaug.params import load_params
from soundaug.reporting.evaluation import load_study
from soundaug.running.errors import run_stage
from soundaug.running.foreign import reading
from soundaug.running.outputs import write_csv, write_json
from soundaug.statistics import stats
from soundaug.statistics.stats import FoldPredictions

REPORTS = Path("reports/statistics")
LEVEL = 0.05
RESAMPLES = 400
FOLDS, SEEDS, POINTS = (3, 5, 10), (1, 2, 5, 10), (1.0, 2.0, 3.0, 5.0)
MORE_FOLDS, MORE_SEEDS = (20,), (20, 50)  # of power alone; seeds where an effect takes more than those above
ENOUGH = 0.8  # of the studies that claim a true difference
CONTROLS = 6  # of a family that Holm's correction is over
BEYOND = {  # what a record of few runs cannot tell
    "recorded": {},
    "runs differ by 1 point": {"run_points": 1.0},
    "training sets differ by 1 point": {"training_points": 1.0},
}
LAYOUTS = {  # of the search: folds trained on, each by itself, seeds; and of what is run once on held-out folds
    "search": (3, 3),
    "tested": (3, 5),
}
CLASSES = {  # how a corpus's recordings fall into classes
    "ten alike": [1 / 10] * 10,
    "88, 11 and 1 %": [0.88, 0.11, 0.01],
    "thirty, from few to many": [i / 465 for i in range(1, 31)],
}
SMALL = {  # a fold's recordings, by their clips
    "2 of 10 clips": [10] * 2,
    "10 of 4 clips": [4] * 10,
    "30 of 1 clip": [1] * 30,
}
RUN_POINTS = (0.0, 1.0, 1.4, 2.0)  # s.d. of what a run does to a fold; of a difference of two runs 1.4 times as much
TESTS = ("interval", "t", "sign_flip", "mcnemar")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=Path, help="folder of a finished study: params.yaml and data")
    parser.add_argument(
        "--studies", type=int, default=400, help="simulated for each effect; five times as many of none"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with threadpool_limits(1):  # several threads take four times as long for such small matrices
        if args.runs is not None:
            measure(args.runs, args.seed)
        write_tables(args.studies, args.seed)


def measure(runs: Path, seed: int) -> None:
    """Write what the finished study in the folder ``runs`` is spread like, and how studies drawn from that compare."""
    folds = load_study(runs / "data", load_params(runs / "params.yaml")).folds
    spread = fit(folds)
    write_json(REPORTS / "spread.json", asdict(spread))
    compare(folds, spread, seed)


def write_tables(studies: int, seed: int) -> None:
    """Write and print the rates of ``studies`` an effect, and draw those with one."""
    spread = read_spread(REPORTS / "spread.json")
    false = false_positives(spread, 5 * studies, seed)
    write_rows(REPORTS / "false_positives.csv", false)
    search = [row for layout in LAYOUTS for row in search_false_positives(spread, layout, 5 * studies // 2, seed)]
    write_rows(REPORTS / "search.csv", search)
    alike = [row for name in CLASSES for row in macro_f1_false_positives(spread, name, studies, seed)]
    write_rows(REPORTS / "macro_f1.csv", alike)
    few = [row for name in SMALL for row in small_false_positives(spread, name, 5 * studies, seed)]
    write_rows(REPORTS / "small.csv", few)
    power = powers(spread, studies, seed)
    write_rows(REPORTS / "power.csv", power)
    write_rows(REPORTS / "needed.csv", needed(power))
    plot_power(REPORTS / "power.png", power)
    for row in [*false, *search, *alike, *few, *needed(power)]:
        print(", ".join(f"{key} {value}" for key, value in row.items()))


def claims(folds: Sequence[FoldPredictions], rng: np.random.Generator, arm: str = "aug") -> dict[str, bool]:
    """Which of the study's tests claim, at 5 %, that ``arm`` differs from base."""
    scores = {
        one: np.array([stats.accuracy(fold.class_id, fold.predicted[one]) for fold in folds]) for one in ("base", arm)
    }
    differences = stats.fold_differences(scores[arm], scores["base"])
    draws = stats.cluster_bootstrap(folds, 2, RESAMPLES, rng)
    low, high = stats.percentile_interval(draws[arm].accuracy - draws["base"].accuracy, 1 - LEVEL)
    p = stats.corrected_t_test(differences, 1 / (len(folds) - 1))
    return {
        "interval": low > 0 or high < 0,
        "t": p is not None and p < LEVEL,
        "sign_flip": stats.sign_flip_test(differences, rng) < LEVEL,
        "mcnemar": stats.mcnemar_test(folds, arm, "base") < LEVEL,
    }


def holm_claims(folds: Sequence[FoldPredictions]) -> bool:
    """Whether any arm but base differs from it by the corrected t-test after Holm's correction."""
    scores = {
        arm: np.array([stats.accuracy(f.class_id, f.predicted[arm]) for f in folds]) for arm in folds[0].predicted
    }
    differences = {arm: stats.fold_differences(scores[arm], scores["base"]) for arm in scores if arm != "base"}
    found = {arm: stats.corrected_t_test(values, 1 / (len(folds) - 1)) for arm, values in differences.items()}
    return min(stats.holm({arm: 1.0 if p is None else p for arm, p in found.items()}).values()) < LEVEL


def rates(
    spread: Spread,
    k: int,
    points: float,
    beyond: Mapping[str, float],
    n: int,
    seed: int,
    seeds: Sequence[int] | None = None,
) -> Iterator[dict[str, Any]]:
    """For every number of seeds (SEEDS): the share of ``n`` simulated studies in which each test claims one."""
    seeds = seeds or SEEDS
    rng = np.random.default_rng([seed, k, round(100 * points), *(round(100 * value) for value in beyond.values())])
    found = {s: np.zeros(len(TESTS)) for s in seeds}
    design = Design(k, max(seeds), **beyond)
    for _ in tqdm(range(n), desc=f"{k} folds, {points:g} points", unit="study", disable=None):
        study = simulate(spread, design, {"base": 0.0, "aug": points}, rng)
        for s in seeds:
            found[s] += list(claims(first_seeds(study, s), rng).values())
    for s, counts in found.items():
        yield {"folds": k, "seeds": s} | {
            test: round(float(count) / n, 4) for test, count in zip(TESTS, counts, strict=True)
        }


def false_positives(spread: Spread, n: int, seed: int) -> list[dict[str, Any]]:
    """Rows of the rates where arms do not differ; ``error``: two standard errors of a rate of 5 %."""
    rows = []
    for name, beyond in BEYOND.items():
        studies = n // (1 if name == "recorded" else 4)
        error = round(2 * float(np.sqrt(LEVEL * (1 - LEVEL) / studies)), 4)
        for k in FOLDS:
            rows += [{"spread": name} | row | {"error": error} for row in rates(spread, k, 0.0, beyond, studies, seed)]
    arms = {"base": 0.0} | {f"control {i}": 0.0 for i in range(CONTROLS)}
    for k in FOLDS:
        rng = np.random.default_rng([seed, k])
        wrong = [holm_claims(simulate(spread, Design(k, 2), arms, rng)) for _ in range(n // 4)]
        error = round(2 * float(np.sqrt(LEVEL * (1 - LEVEL) / len(wrong))), 4)
        row = {
            "spread": f"any of {CONTROLS} controls, Holm",
            "folds": k,
            "seeds": 2,
            "t": round(float(np.mean(wrong)), 4),
        }
        rows.append(row | {"error": error})
    return rows


def small_false_positives(spread: Spread, recordings: str, n: int, seed: int) -> Iterator[dict[str, Any]]:
    """Rows of the rates where arms do not differ and every fold has no more than these ``recordings``."""
    few = replace(spread, sizes=[SMALL[recordings]])
    error = round(2 * float(np.sqrt(LEVEL * (1 - LEVEL) / n)), 4)
    for k in FOLDS[:2]:
        for row in rates(few, k, 0.0, {}, n, seed):
            yield {"recordings": recordings} | row | {"error": error}


def macro_f1_false_positives(spread: Spread, classes: str, n: int, seed: int) -> Iterator[dict[str, Any]]:
    """Rows of how often the interval of macro-F1 claims a difference where arms do not differ."""
    shares = CLASSES[classes]
    for k in FOLDS:
        rng = np.random.default_rng([seed, list(CLASSES).index(classes), k])
        wrong = dict.fromkeys(SEEDS, 0)
        for _ in tqdm(range(n), desc=f"macro-F1, {classes}, {k} folds", unit="study", disable=None):
            study = simulate(spread, Design(k, max(SEEDS)), {"base": 0.0, "aug": 0.0}, rng)
            study = with_classes(study, shares, rng)
            for s in SEEDS:
                draws = stats.cluster_bootstrap(first_seeds(study, s), len(shares), RESAMPLES, rng)
                low, high = stats.percentile_interval(draws["aug"].macro_f1 - draws["base"].macro_f1, 1 - LEVEL)
                wrong[s] += low > 0 or high < 0
        error = round(2 * float(np.sqrt(LEVEL * (1 - LEVEL) / n)), 4)
        for s, count in wrong.items():
            yield {"classes": classes, "folds": k, "seeds": s, "interval": round(count / n, 4), "error": error}


def search_false_positives(spread: Spread, layout: str, n: int, seed: int) -> Iterator[dict[str, Any]]:
    """Rows of how often the search's interval (``cells.draw``) claims a difference where arms do not differ.

    ``width``: its mean width, in points; ``recordings_alone``: how often one does that holds runs fixed; ``run_sd``:
    the mean over studies of what differences of runs of a training fold deviate by (``cells.run_deviation``), points.
    """
    for run_points in RUN_POINTS:
        rng = np.random.default_rng([seed, list(LAYOUTS).index(layout), round(100 * run_points)])
        wrong, wrong_alone, widths, deviations = 0, 0, [], []
        alone = np.random.default_rng([seed, 1])
        for _ in tqdm(range(n), desc=f"{layout}, runs differ by {run_points:g}", unit="study", disable=None):
            study = simulated_cells(spread, layout, run_points, rng)
            low, high = stats.percentile_interval(draw(study, RESAMPLES, rng), 1 - LEVEL)
            wrong += low > 0 or high < 0
            ends = stats.percentile_interval(draw(study, RESAMPLES, alone, fixed_runs=True), 1 - LEVEL)
            wrong_alone += ends[0] > 0 or ends[1] < 0
            widths.append(high - low)
            deviations.append(run_deviation(study) or 0.0)
        error = round(2 * float(np.sqrt(LEVEL * (1 - LEVEL) / n)), 4)
        found = {"interval": round(wrong / n, 4), "recordings_alone": round(wrong_alone / n, 4)}
        found |= {"width": round(100 * float(np.mean(widths)), 2)}
        found |= {"run_sd": round(100 * float(np.mean(deviations)), 2)}
        yield {"layout": layout, "run_points": run_points} | found | {"error": error}


def simulated_cells(spread: Spread, layout: str, run_points: float, rng: np.random.Generator) -> Blocks:
    """Cells of aug minus base, which do not differ: a run is tested on both other folds, or on its own held-out one."""
    k, seeds = LAYOUTS[layout]
    places = [(a, b) for a in range(k) for b in range(k) if (a == b) == (layout == "tested")]
    # Whatever a run does to accuracy it does on every fold it is tested on: given as what is expected of each seed.
    expected = {f"{arm} {a}": rng.normal(0, run_points, seeds).tolist() for a in range(k) for arm in ("base", "aug")}
    folds = simulate(spread, Design(k, seeds), expected, rng)
    found = {}
    for trained, tested in places:
        fold = folds[tested]
        _, recording = np.unique(fold.fs_id, return_inverse=True)
        aug, base = (fold.predicted[f"{arm} {trained}"] == fold.class_id for arm in ("aug", "base"))
        lead = aug.astype(np.float64) - base
        sizes = np.bincount(recording).astype(np.float64)
        found[trained, tested] = sizes, np.stack([np.bincount(recording, row).astype(np.float64) for row in lead])
    return found


def powers(spread: Spread, n: int, seed: int) -> list[dict[str, Any]]:
    """Rows of the rates where aug is better by 1, 2, 3 and 5 points; more seeds where a test takes more."""
    rows = []
    for points in POINTS:
        for k in (*FOLDS, *MORE_FOLDS):
            found = list(rates(spread, k, points, {}, n, seed))
            if min(found[-1]["interval"], found[-1]["t"]) < ENOUGH:
                found += rates(spread, k, points, {}, n, seed + 1, MORE_SEEDS)
            rows += [{"points": points} | row for row in found]
    return rows


def needed(power: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For every effect and number of folds: the fewest seeds with which a test finds it four times of five.

    Of the interval two or more: that of a single seed does not know how runs differ, and claims too often.
    """
    rows = []
    for points in POINTS:
        for k in (*FOLDS, *MORE_FOLDS):
            found = [row for row in power if (row["points"], row["folds"]) == (points, k)]
            enough = {test: [row["seeds"] for row in found if row[test] >= ENOUGH] for test in ("interval", "t")}
            enough["interval"] = [seeds for seeds in enough["interval"] if seeds > 1]
            rows.append({"points": points, "folds": k} | {test: min(s, default="") for test, s in enough.items()})
    return rows


def compare(folds: Sequence[FoldPredictions], spread: Spread, seed: int, n: int = 200) -> None:
    """Write how recorded and simulated runs differ between folds, seeds and arms."""
    rng = np.random.default_rng(seed)
    arms = dict.fromkeys(folds[0].predicted, 0.0)
    design = Design(len(folds), len(folds[0].predicted["base"]))
    drawn = [deviations(simulate(spread, design, arms, rng)) for _ in range(n)]
    rows = []
    for name, value in deviations(folds).items():
        values = [one[name] for one in drawn]
        low, high = np.quantile(values, [0.025, 0.975])
        rows.append({"figure": name, "recorded": value, "simulated": float(np.mean(values)), "low": low, "high": high})
    write_rows(
        REPORTS / "spread.csv", [{k: v if k == "figure" else round(v, 3) for k, v in row.items()} for row in rows]
    )


def deviations(folds: Sequence[FoldPredictions]) -> dict[str, float]:
    """Standard deviations in points, and shares of predictions that two runs have differently right."""
    arms = list(folds[0].predicted)
    accuracy = 100 * np.array(
        [[stats.accuracy(f.class_id, f.predicted[arm]) for arm in arms] for f in folds]
    )  # [K, A, S]
    first, second = np.triu_indices(len(arms), 1)
    right = [np.stack([f.predicted[arm] == f.class_id for arm in arms]) for f in folds]  # [A, S, N]
    return {
        "s.d. between folds": float(accuracy.mean(axis=(1, 2)).std(ddof=1)),
        "s.d. between seeds of a fold": float(np.sqrt(accuracy.var(axis=2, ddof=1).mean())),
        "s.d. of an arm minus another, a fold and seed": float(
            np.sqrt(np.square(accuracy[:, first] - accuracy[:, second]).mean())
        ),
        "s.d. of an arm minus another, mean": float(
            np.sqrt(np.square((accuracy[:, first] - accuracy[:, second]).mean(axis=(0, 2))).mean())
        ),
        "clips that two seeds tell differently, %": 100 * float(np.mean([(r[:, 0] != r[:, 1]).mean() for r in right])),
        "clips that two arms tell differently, %": 100
        * float(np.mean([(r[first] != r[second]).mean() for r in right])),
    }


def read_spread(path: Path) -> Spread:
    """What --runs measured."""
    with reading(path, "no spread of recorded runs", "what --runs measures"):
        return Spread(**json.loads(path.read_text(encoding="utf-8")))


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows that may lack columns of the first."""
    columns = list(rows[0])
    write_csv(path, columns, [[row.get(column, "") for column in columns] for row in rows])


if __name__ == "__main__":
    run_stage(main)
