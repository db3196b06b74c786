"""Studies drawn at random with a known effect, spread as recorded ones are."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from soundaug.running.errors import StudyError
from soundaug.statistics.stats import FoldPredictions

NORMAL = NormalDist()
BISECTIONS = 40


@dataclass(frozen=True)
class Spread:
    """Where right and wrong come from: shares of the variance of a clip's ease, a normal variable of variance 1.

    A clip is predicted right where its ease is above the threshold that gives ``accuracy``. ``recording``: what is in
    the recording for every arm and seed; ``arm``: what one arm makes of it; ``seed``: what one seed makes of it in all
    arms; ``run``: what one run does; ``clip``: what is in the clip. ``fold`` comes on top, a fold's own variance.
    ``sizes``: clips of each recording, a list a recorded fold.
    """

    accuracy: float
    recording: float
    arm: float
    seed: float
    run: float
    clip: float
    fold: float
    sizes: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Design:
    """What is chosen: folds and seeds; and what a record of few runs cannot tell, in points of a fold's accuracy.

    ``run_points``: s.d. of what a run does to the whole fold. ``training_points``: s.d. of what an arm's training set
    does to it, with the correlation between folds that the corrected t-test assumes, 1 / folds.
    """

    folds: int
    seeds: int
    run_points: float = 0.0
    training_points: float = 0.0


def fit(folds: Sequence[FoldPredictions]) -> Spread:
    """The spread of recorded runs of two or more arms and seeds; raises StudyError with fewer.

    How often two predictions are both right, by whether they share clip, recording, arm and seed, gives a tetrachoric
    correlation of their ease; the shares are differences of these. A recording counts with the number of its pairs of
    clips, as it does in the variance of an accuracy. ``fold`` is what is left of the variance between folds.
    """
    arms = list(folds[0].predicted)
    n_seeds = len(folds[0].predicted[arms[0]])
    if len(arms) < 2 or n_seeds < 2 or len(folds) < 2:
        found = f"{len(folds)} folds, {len(arms)} arms and {n_seeds} seeds"
        raise StudyError(f"data/runs: found {found}, wanted two or more of each to tell their spread")
    arm, seed = np.divmod(np.arange(len(arms) * n_seeds), n_seeds)
    same_arm, same_seed = arm[:, None] == arm, seed[:, None] == seed
    both: defaultdict[tuple[str, bool, bool], float] = defaultdict(float)  # right, by what two predictions share
    pairs: defaultdict[tuple[str, bool, bool], float] = defaultdict(float)
    means, sizes = [], []
    for fold in folds:
        _, recording, size = np.unique(fold.fs_id, return_inverse=True, return_counts=True)
        right = np.concatenate([fold.predicted[name] == fold.class_id for name in arms]).astype(np.float64)  # [AS, N]
        hits = np.stack([np.bincount(recording, row) for row in right])  # [AS, R]
        for arm_too in (True, False):
            for seed_too in (True, False):
                where = (same_arm == arm_too) & (same_seed == seed_too)
                one, all_of = (right @ right.T)[where].sum(), (hits @ hits.T)[where].sum()
                both["clip", arm_too, seed_too] += one
                pairs["clip", arm_too, seed_too] += float(where.sum() * len(recording))
                both["recording", arm_too, seed_too] += all_of - one
                pairs["recording", arm_too, seed_too] += float(where.sum() * (size * (size - 1)).sum())
        means.append(right.mean())
        sizes.append(sorted(size.tolist(), reverse=True))
    accuracy = float(np.mean(means))
    rho = {
        (arm_too, seed_too): _correlation(both[what, arm_too, seed_too] / pairs[what, arm_too, seed_too], accuracy)
        for what, arm_too, seed_too in both
        if what == "recording"
    }
    shared = max(0.0, rho[False, False])
    by_arm, by_seed = max(0.0, rho[True, False] - shared), max(0.0, rho[False, True] - shared)
    by_run = max(0.0, rho[True, True] - shared - by_arm - by_seed)
    clip = max(0.0, 1 - shared - by_arm - by_seed - by_run)
    # What recordings and clips alone would make the folds differ by.
    alone = np.mean([shared * np.square(_shares(size)).sum() + clip / sum(size) for size in sizes])
    by_fold = max(0.0, float(np.var(means, ddof=1)) * 1e4 / _slope(accuracy) ** 2 - float(alone))
    names = ("accuracy", "recording", "arm", "seed", "run", "clip", "fold")
    values = (accuracy, shared, by_arm, by_seed, by_run, clip, by_fold)
    return Spread(**{name: round(value, 4) for name, value in zip(names, values, strict=True)}, sizes=sizes)


def simulate(
    spread: Spread, design: Design, points: Mapping[str, float | Sequence[float]], rng: np.random.Generator
) -> list[FoldPredictions]:
    """A finished study: of every fold, what each arm of ``points`` predicts, [seeds, clips]; class 0 is right.

    ``points``: by arm, how many points its expected accuracy lies above ``spread.accuracy``, or that of each seed.
    """
    n, k, s = len(points), design.folds, design.seeds
    slope = _slope(spread.accuracy)
    expected = [spread.accuracy + np.broadcast_to(value, s) / 100 for value in points.values()]
    thresholds = np.array([[NORMAL.inv_cdf(one) for one in seeds] for seeds in expected])  # [n, s]
    trained = math.sqrt(1 / k) * rng.standard_normal(n) + math.sqrt(1 - 1 / k) * rng.standard_normal((k, n))
    trained *= design.training_points / slope
    folds = []
    for fold in range(k):
        size = np.array(spread.sizes[int(rng.integers(len(spread.sizes)))])
        recording = np.repeat(np.arange(len(size)), size)

        def drawn(variance: float, *shape: int) -> NDArray[np.float64]:
            return math.sqrt(variance) * rng.standard_normal(shape)

        ease = drawn(spread.recording, len(size)) + drawn(spread.arm, n, 1, len(size))
        ease = ease + drawn(spread.seed, s, len(size)) + drawn(spread.run, n, s, len(size))  # [n, s, R]
        ease += drawn((design.run_points / slope) ** 2, n, s, 1) + drawn(spread.fold, 1)
        ease += (thresholds + trained[fold][:, None])[:, :, None]
        wrong = (ease[..., recording] + drawn(spread.clip, len(recording)) < 0).astype(np.int64)  # [n, s, N]
        right = np.zeros(len(recording), np.int64)
        folds.append(FoldPredictions(recording.astype(str), right, dict(zip(points, wrong, strict=True))))
    return folds


def with_classes(
    folds: Sequence[FoldPredictions], shares: Sequence[float], rng: np.random.Generator
) -> list[FoldPredictions]:
    """The same study with classes: each fold's recordings dealt to classes by ``shares``, two or more to each.

    A clip that is predicted wrong is taken for one other class, the same in every run.
    """
    found = []
    for fold in folds:
        _, recording = np.unique(fold.fs_id, return_inverse=True)
        n = int(recording.max()) + 1
        counts = np.maximum(2, np.floor(np.array(shares) * n).astype(np.int64))
        counts[int(np.argmax(counts))] += n - counts.sum()
        class_id = rng.permutation(np.repeat(np.arange(len(shares)), counts))[recording]
        other = (class_id + rng.integers(1, len(shares), len(class_id))) % len(shares)
        predicted = {arm: np.where(rows == fold.class_id, class_id, other) for arm, rows in fold.predicted.items()}
        found.append(FoldPredictions(fold.fs_id, class_id, predicted))
    return found


def first_seeds(folds: Sequence[FoldPredictions], n_seeds: int) -> list[FoldPredictions]:
    """The same study with its first seeds alone."""
    return [
        FoldPredictions(fold.fs_id, fold.class_id, {arm: rows[:n_seeds] for arm, rows in fold.predicted.items()})
        for fold in folds
    ]


def _correlation(both: float, accuracy: float) -> float:
    """Of two standard normals that are both above the threshold of ``accuracy`` with probability ``both``.

    By bisection; the probability is the integral of the bivariate density over the correlation (Plackett 1954,
    Biometrika 41; Sheppard's substitution of its sine).
    """
    square = NORMAL.inv_cdf(accuracy) ** 2
    nodes, weights = np.polynomial.legendre.leggauss(64)

    def probability(rho: float) -> float:
        angle = math.asin(rho)
        density = np.exp(-square / (1 + np.sin(angle * (nodes + 1) / 2)))
        return accuracy**2 + angle / (4 * math.pi) * float(weights @ density)

    low, high = -0.999, 0.999
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if probability(middle) < both else (low, middle)
    return (low + high) / 2


def _slope(accuracy: float) -> float:
    """Points of accuracy a unit of ease, at the threshold."""
    return 100 * NORMAL.pdf(NORMAL.inv_cdf(accuracy))


def _shares(sizes: Sequence[int]) -> NDArray[np.float64]:
    return np.array(sizes) / sum(sizes)
