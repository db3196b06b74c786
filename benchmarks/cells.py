"""Cells of the search: clips and hits by arm, fold trained on, fold tested, seed and recording; their intervals."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from soundaug.reporting.evaluation import Study
from soundaug.running.errors import StudyError
from soundaug.running.outputs import read_rows
from soundaug.statistics import stats
from soundaug.statistics.stats import Floats

COLUMNS = ("arm", "trained", "tested", "seed", "fs_id", "clips", "right")
Cells = Sequence[Mapping[str, str]]
Blocks = Mapping[tuple[int, int], tuple[Floats, Floats]]  # (trained, tested): clips [R] and hits [S, R] of recordings


def cell_rows(study: Study, fold_of: Mapping[str, int]) -> list[dict[str, Any]]:
    """For every arm, fold trained on or held out, fold tested, seed and recording: its clips, and those right."""
    rows: dict[tuple[str, int, int, int, str], list[int]] = {}
    for fold in study.folds:
        for arm in study.arms:
            for seed, predicted in zip(study.seeds, fold.predicted[arm], strict=True):
                hits = predicted == fold.class_id
                for clip, fs_id, hit in zip(fold.clips.tolist(), fold.fs_id.tolist(), hits.tolist(), strict=True):
                    counts = rows.setdefault((arm, fold.fold, fold_of[clip], seed, fs_id), [0, 0])
                    counts[0] += 1
                    counts[1] += hit
    return [dict(zip(COLUMNS, (*key, *counts), strict=True)) for key, counts in rows.items()]


def read_cells(path: Path) -> Cells:
    """The table of `cell_rows`; StudyError where it is none.

    Hits are a number of a recording's clips, no line stands there twice, every arm has the same runs (fold trained on,
    fold tested, seed), and all runs that test a fold have the same clips.
    """
    rows = read_rows(path, COLUMNS)
    if not rows:
        raise StudyError(f"{path}: found no rows, wanted one a recording and run")
    seen: set[tuple[str, ...]] = set()
    runs_of: dict[str, set[tuple[str, ...]]] = {}
    of_run: dict[tuple[str, str, str, str], set[tuple[str, str]]] = {}
    for number, row in enumerate(rows, start=2):
        clips, right = row["clips"], row["right"]
        if not (clips.isdecimal() and right.isdecimal() and int(right) <= int(clips) and int(clips) > 0):
            raise StudyError(f"{path} line {number}: found {right} right of {clips} clips, wanted a part of them")
        place = row["trained"], row["tested"], row["seed"]
        if not all(value.isdecimal() for value in place):
            raise StudyError(f"{path} line {number}: found trained, tested, seed {', '.join(place)}, wanted numbers")
        key = row["arm"], *place, row["fs_id"]
        if key in seen:
            raise StudyError(f"{path} line {number}: found {row['arm']}, {', '.join(place)}, {row['fs_id']} once more")
        seen.add(key)
        runs_of.setdefault(row["arm"], set()).add(place)
        run = row["tested"], row["arm"], row["trained"], row["seed"]
        of_run.setdefault(run, set()).add((row["fs_id"], clips))
    _check_runs(path, runs_of)
    of_fold: dict[str, set[tuple[str, str]]] = {}
    for (tested, arm, trained, seed), found in of_run.items():
        wanted = of_fold.setdefault(tested, found)
        if found != wanted:
            raise StudyError(
                f"{path}: fold {tested}: found other clips for {arm}, trained on {trained}, seed {seed}, "
                "wanted the same for every run"
            )
    return rows


def _check_runs(path: Path, runs_of: Mapping[str, set[tuple[str, ...]]]) -> None:
    first, *others = runs_of
    for arm in others:
        if odd := runs_of[first] ^ runs_of[arm]:
            run = min(odd)
            has, lacks = (arm, first) if run in runs_of[arm] else (first, arm)
            told = f"found trained, tested, seed {', '.join(run)} of {has} and not of {lacks}"
            raise StudyError(f"{path}: {told}, wanted the same runs for every arm")


def blocks(cells: Cells, arm: str, base: str | None = None) -> Blocks:
    """Every cell's clips and hits, or hits of ``arm`` less those of ``base``; seeds and recordings in one order."""
    signs = {arm: 1.0} if base is None else {arm: 1.0, base: -1.0}
    of_cell: dict[tuple[int, int], list[Mapping[str, str]]] = {}
    for row in cells:
        if row["arm"] in signs:
            of_cell.setdefault((int(row["trained"]), int(row["tested"])), []).append(row)
    found = {}
    for place, rows in sorted(of_cell.items()):
        seeds = {seed: i for i, seed in enumerate(sorted({int(row["seed"]) for row in rows}))}
        recordings = {fs_id: i for i, fs_id in enumerate(sorted({row["fs_id"] for row in rows}))}
        sizes, hits = np.zeros(len(recordings)), np.zeros((len(seeds), len(recordings)))
        for row in rows:
            where = recordings[row["fs_id"]]
            sizes[where] = float(row["clips"])
            hits[seeds[int(row["seed"])], where] += signs[row["arm"]] * int(row["right"])
        found[place] = sizes, hits
    return found


def cell_means(found: Blocks) -> dict[tuple[int, int], float]:
    """Mean of every cell over its seeds: a share right, 0..1, or a difference of two."""
    return {place: float(hits.mean(axis=0).sum() / sizes.sum()) for place, (sizes, hits) in found.items()}


def fold_means(found: Blocks) -> Floats:
    """Mean of every tested fold over the cells that test it, folds ascending, [K]; 0..1, or differences."""
    means = cell_means(found)
    folds = sorted({tested for _, tested in means})
    return np.array([np.mean([mean for (_, tested), mean in means.items() if tested == fold]) for fold in folds])


def run_means(found: Blocks) -> dict[tuple[int, int], float]:
    """Every run's mean by the fold tested, which a single fold or all others train for, and the place of its seed."""
    means = {place: hits.sum(axis=1) / sizes.sum() for place, (sizes, hits) in found.items()}
    return {(tested, seed): float(value) for (_, tested), row in means.items() for seed, value in enumerate(row)}


def run_deviation(found: Blocks) -> float | None:
    """Standard deviation of what a run comes to on all folds it is tested on, among runs of one training fold; 0..1.

    Pooled over the folds trained on; the recordings are the same for all runs. None where each has a single run.
    """
    squares, free = 0.0, 0
    for fold in {trained for trained, _ in found}:
        cells = [hits.sum(axis=1) / sizes.sum() for (trained, _), (sizes, hits) in found.items() if trained == fold]
        of_run = np.mean(cells, axis=0)
        squares += float(np.square(of_run - of_run.mean()).sum())
        free += len(of_run) - 1
    return float(np.sqrt(squares / free)) if free else None


def seed_deviation(found: Blocks) -> float | None:
    """Standard deviation over seeds of the mean over cells, 0..1; all cells have the same seeds. None for one seed."""
    means = np.mean([hits.sum(axis=1) / sizes.sum() for sizes, hits in found.values()], axis=0)
    return float(means.std(ddof=1)) if len(means) > 1 else None


def draw(found: Blocks, resamples: int, rng: np.random.Generator, *, fixed_runs: bool = False) -> Floats:
    """Bootstrap draws [resamples] of the mean over cells: of the recordings tested and of the runs, each on its own.

    Recordings of a tested fold are drawn with replacement, in all its cells together, and runs of a fold trained on
    likewise, by ``stats.drawn_runs``, but with ``fixed_runs``. As ``stats.cluster_bootstrap``, for runs that are tested
    on more than one fold: each run's draws are spread about its mean by ``stats.spread_factor``.
    """
    n_runs = {trained: len(hits) for (trained, _), (_, hits) in found.items()}
    n_recordings = {tested: len(sizes) for (_, tested), (sizes, _) in found.items()}
    runs = {fold: stats.drawn_runs(n, resamples, rng) for fold, n in sorted(n_runs.items())}
    recordings = {
        fold: rng.multinomial(n, np.full(n, 1 / n), size=resamples) / n for fold, n in sorted(n_recordings.items())
    }
    if fixed_runs:
        runs = {fold: np.full((1, n), 1 / n) for fold, n in n_runs.items()}
    draws = np.zeros(resamples)
    for (trained, tested), (sizes, hits) in found.items():
        weights = recordings[tested]
        means = hits.sum(axis=1) / sizes.sum()
        drawn = weights @ hits.T / (weights @ sizes)[:, None]  # [resamples, S]
        of_run = means + stats.spread_factor(sizes) * (drawn - means)
        draws += (of_run * runs[trained]).sum(axis=1) / len(found)
    return draws


def estimate(
    cells: Cells, arm: str, base: str | None, resamples: int = 10_000, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Mean over cells of the accuracy of ``arm``, or of its difference to ``base``, and its interval by `draw`.

    A cell is a fold trained on and one tested, seeds averaged.
    """
    found = blocks(cells, arm, base)
    mean = float(np.mean(list(cell_means(found).values())))
    low, high = stats.percentile_interval(draw(found, resamples, np.random.default_rng(0)), confidence)
    return mean, low, high
