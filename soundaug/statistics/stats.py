"""The study's statistics: scores per fold, paired tests, cluster bootstrap, Holm. Pure functions on arrays.

The unit is the fold: seeds are averaged within it, arms are compared on the same fold and the same clips.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Strings = NDArray[np.str_]

BLOCK_CELLS = 20_000_000  # resamples x recordings held at once (160 MB)


@dataclass(frozen=True)
class FoldPredictions:
    """One held-out fold: recording and class of its N clips, and what every arm predicted, [S, N] for S seeds."""

    fs_id: Strings
    class_id: Ints
    predicted: Mapping[str, Ints]


@dataclass(frozen=True)
class Draws:
    """Bootstrap draws of an arm's mean fold accuracy and mean fold macro-F1, [n_resamples] each, in 0..1."""

    accuracy: Floats
    macro_f1: Floats


def accuracy(class_id: Ints, predicted: Ints) -> Floats:
    """Part of the clips predicted right, 0..1: class_id [N], predicted [..., N], result [...]."""
    return np.asarray((predicted == class_id).mean(axis=-1), dtype=np.float64)


def macro_f1(class_id: Ints, predicted: Ints, n_classes: int) -> Floats:
    """F1 averaged over the classes that occur in class_id [N], for predictions [S, N]: per seed [S], 0..1.

    As scikit-learn's ``f1_score(average="macro", labels=np.unique(class_id))``: a class without a clip is left out, so
    that a bootstrap resample that happens to miss one does not count it as failed.
    """
    counts = _count(np.zeros(len(class_id), dtype=np.int64), class_id, predicted, n_classes)
    return _f1(counts.hits[:, 0], counts.guessed[:, 0], counts.actual[0])


def fold_differences(arm: Floats, base: Floats) -> Floats:
    """Paired differences arm minus base, [K]: scores [K, S] of K folds and S seeds, seeds averaged within a fold."""
    if arm.shape != base.shape or arm.ndim != 2:
        raise ValueError(f"found scores of shapes {arm.shape} and {base.shape}, wanted the same [folds, seeds]")
    return np.asarray((arm - base).mean(axis=1), dtype=np.float64)


def corrected_t_test(differences: Floats, test_train_ratio: float) -> float | None:
    """Two-sided p of the corrected resampled t-test over K paired fold differences, n_test / n_train given.

    The variance of the mean is (1 / K + n_test / n_train) times the sample variance, since training sets overlap
    (Nadeau & Bengio 2003, Inference for the generalization error, Machine Learning 52, section 4), K - 1 degrees of
    freedom. None where there is no test: one fold, or differences that are all the same and not zero. All zero: 1.
    """
    from scipy.stats import t as student

    k = len(differences)
    if k < 2:
        return None
    mean = float(differences.mean())
    if float(np.ptp(differences)) < 1e-12:
        return 1.0 if abs(mean) < 1e-12 else None
    statistic = mean / np.sqrt((1 / k + test_train_ratio) * differences.var(ddof=1))
    return float(2 * student.sf(abs(statistic), k - 1))


def sign_flip_test(differences: Floats, rng: np.random.Generator) -> float:
    """Two-sided p of the sign-flip test: under the null each fold's difference is as likely positive as negative.

    Every one of the 2^K sign patterns is tried (Fisher 1935, The Design of Experiments, section 21) where there are no
    more than are drawn otherwise, up to 16 folds; beyond that 99,999 are drawn from ``rng``.
    """
    from scipy.stats import permutation_test

    k = len(differences)
    if k < 2 or not np.any(differences):
        return 1.0
    test = permutation_test(
        (differences,),
        lambda sample, axis: np.mean(sample, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=99_999,
        batch=1024,
        alternative="two-sided",
        rng=rng,
    )
    return float(test.pvalue)


def mcnemar_test(folds: Sequence[FoldPredictions], arm: str, base: str) -> float:
    """Two-sided p of McNemar's exact test on the clips of all folds that one arm has right and the other wrong.

    A clip counts once: with several seeds it speaks for the arm that has it right under more of them (McNemar 1947,
    Psychometrika 12; exact binomial form). Treats clips as independent, hence secondary to the fold tests.
    """
    from scipy.stats import binomtest

    lead = np.concatenate([_hits(fold, arm).sum(axis=0) - _hits(fold, base).sum(axis=0) for fold in folds])
    wins, losses = int((lead > 0).sum()), int((lead < 0).sum())
    return float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down adjusted p per name (Holm 1979, Scandinavian Journal of Statistics 6)."""
    adjusted: dict[str, float] = {}
    floor = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = floor
    return {name: adjusted[name] for name in p_values}


def cluster_bootstrap(
    folds: Sequence[FoldPredictions], n_classes: int, n_resamples: int, rng: np.random.Generator
) -> dict[str, Draws]:
    """Bootstrap draws per arm of the mean over folds of the fold's score, seeds averaged within the fold.

    Recordings (fs_id) are drawn with replacement within each fold; all clips, seeds and arms of a recording move
    together, so draws of two arms may be subtracted: the difference is paired (Davison & Hinkley 1997, Bootstrap
    Methods and their Application, section 3.8; Field & Welsh 2007, JRSS B 69). A fold's runs are drawn too, by
    `drawn_runs`, a seed's in all arms together; drawing both gives at least the variance of either (Owen 2007, The
    pigeonhole bootstrap, Annals of Applied Statistics 1). Training sets are held fixed.
    Each run's draws are spread about its score by `spread_factor`; what leaves 0..1 is brought back.
    """
    arms = list(folds[0].predicted)
    totals = {arm: Draws(np.zeros(n_resamples), np.zeros(n_resamples)) for arm in arms}
    for fold in folds:
        _, recording = np.unique(fold.fs_id, return_inverse=True)
        counts = [_count(recording, fold.class_id, fold.predicted[arm], n_classes) for arm in arms]
        size = np.bincount(recording).astype(np.float64)
        cells = np.concatenate([np.stack([arm.hits, arm.guessed]) for arm in counts], axis=1)  # [2, arms x S, R, C]
        factor = spread_factor(size)

        def scores(
            weights: Floats, size: Floats = size, actual: Floats = counts[0].actual, cells: Floats = cells
        ) -> Floats:
            """Accuracy and macro-F1 [2, arms, S, B] where recordings count ``weights`` [B, R] times."""
            hits, guessed = np.einsum("br,isrc->isbc", weights, cells, optimize=True)
            both = np.stack([hits.sum(axis=-1) / (weights @ size), _f1(hits, guessed, weights @ actual)])
            return np.asarray(both.reshape(2, len(arms), -1, len(weights)))

        found = scores(np.ones((1, len(size))))
        runs = drawn_runs(found.shape[2], n_resamples, rng)
        for rows, weights in _resamples(len(size), n_resamples, rng):  # weights [B, R]
            of_run = np.clip(found + factor * (scores(weights) - found), 0.0, 1.0)
            drawn = np.einsum("iasb,bs->iab", of_run, runs[rows]) / len(folds)
            for arm, right, f1 in zip(arms, *drawn, strict=True):
                totals[arm].accuracy[rows] += right
                totals[arm].macro_f1[rows] += f1
    return totals


def drawn_runs(n: int, n_resamples: int, rng: np.random.Generator) -> Floats:
    """What each of a fold's ``n`` runs counts in every resample, [n_resamples, n], in sum 1.

    One run fewer than there are is drawn with replacement, which makes the variance of their mean unbiased (McCarthy &
    Snowden 1985, The bootstrap and finite population sampling). A single run is held fixed.
    """
    if n == 1:
        return np.ones((n_resamples, 1))
    return rng.multinomial(n - 1, np.full(n, 1 / n), size=n_resamples) / (n - 1)


def spread_factor(sizes: Floats) -> float:
    """What the spread of a fold's bootstrap draws is multiplied by, for recordings of ``sizes`` clips, [R]; 1 for one.

    A resample varies too little where recordings are few or differ in size. The factor is that from the bootstrap's
    standard error to the jackknife's (Efron & Tibshirani 1993, ch. 11), for recordings whose clips vary alike: with R
    of one size the square root of R / (R - 1).
    """
    if len(sizes) < 2:
        return 1.0
    share = sizes / sizes.sum()
    jackknife = (len(sizes) - 1) / len(sizes) * np.square(share / (1 - share)).sum()
    return float(np.sqrt(jackknife / np.square(share).sum()))


def percentile_interval(draws: Floats, confidence: float) -> tuple[float, float]:
    """Percentile interval of bootstrap draws (Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 13)."""
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class _Counts:
    """Clips per recording and class: actual [R, C]; guessed and hits (guessed rightly) per seed, [S, R, C]."""

    actual: Floats
    guessed: Floats
    hits: Floats


def _count(recording: Ints, class_id: Ints, predicted: Ints, n_classes: int) -> _Counts:
    shape = (int(recording.max()) + 1, n_classes)

    def table(classes: Ints, weights: Floats | None = None) -> Floats:
        cells = np.bincount(recording * n_classes + classes, weights, minlength=shape[0] * shape[1])
        return cells.reshape(shape).astype(np.float64)

    return _Counts(
        actual=table(class_id),
        guessed=np.stack([table(row) for row in predicted]),
        hits=np.stack([table(row, (row == class_id).astype(np.float64)) for row in predicted]),
    )


def _f1(hits: Floats, guessed: Floats, actual: Floats) -> Floats:
    """Macro-F1 along the last axis (classes); F1 = 2 hits / (actual + guessed)."""
    occurs = actual > 0
    f1 = 2 * hits / np.where(occurs, actual + guessed, np.inf)
    return np.asarray(f1.sum(axis=-1) / occurs.sum(axis=-1), dtype=np.float64)


def _resamples(n: int, n_resamples: int, rng: np.random.Generator) -> Iterator[tuple[slice, Floats]]:
    """Blocks of resamples: which rows, and how often each of the n recordings is drawn, [B, n]."""
    block = max(1, BLOCK_CELLS // n)
    for start in range(0, n_resamples, block):
        rows = slice(start, min(start + block, n_resamples))
        b = rows.stop - rows.start
        drawn = rng.integers(0, n, size=(b, n)) + n * np.arange(b)[:, None]
        yield rows, np.bincount(drawn.ravel(), minlength=b * n).reshape(b, n).astype(np.float64)


def _hits(fold: FoldPredictions, arm: str) -> Ints:
    return np.asarray(fold.predicted[arm] == fold.class_id, dtype=np.int64)  # [S, N]
