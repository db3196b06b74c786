"""Statistics against values worked out by hand and against SciPy and scikit-learn."""

import math
import time

import numpy as np
import pytest
from scipy import stats as scipy_stats

from soundaug.statistics import stats
from soundaug.statistics.proof import smallest_sign_flip_p
from soundaug.statistics.stats import FoldPredictions


def one_fold(fs_id: list[str], right: np.ndarray) -> FoldPredictions:
    """Two classes, all clips of class 0; ``right`` [S, N] says which the arm ``base`` has right."""
    predicted = np.where(right, 0, 1)
    return FoldPredictions(np.array(fs_id), np.zeros(len(fs_id), dtype=np.int64), {"base": predicted})


def bootstrap(fold: FoldPredictions, n_resamples: int = 2000, seed: int = 0) -> np.ndarray:
    draws = stats.cluster_bootstrap([fold], 2, n_resamples, np.random.default_rng(seed))
    return draws["base"].accuracy


def test_accuracy_and_macro_f1_by_hand() -> None:
    class_id = np.array([0, 0, 1, 1])
    predicted = np.array([[0, 0, 1, 1], [0, 1, 1, 1], [2, 2, 2, 2]])
    assert stats.accuracy(class_id, predicted).tolist() == [1.0, 0.75, 0.0]
    # second row: class 0 has 1 hit of 1 guess and 2 clips, F1 2/3; class 1 has 2 hits of 3 guesses and 2 clips, 4/5
    np.testing.assert_allclose(stats.macro_f1(class_id, predicted, 3), [1.0, (2 / 3 + 4 / 5) / 2, 0.0])
    single = np.array([0, 1, 1])  # a class of one clip counts like any other
    np.testing.assert_allclose(stats.macro_f1(single, np.array([[0, 1, 0]]), 3), [2 / 3])


def test_accuracy_is_of_the_last_axis() -> None:
    class_id = np.array([0, 1, 1, 2])
    predicted = np.array([[[0, 1, 1, 2], [0, 1, 1, 0]], [[0, 0, 0, 2], [1, 0, 0, 0]]])
    assert stats.accuracy(class_id, predicted).tolist() == [[1.0, 0.75], [0.5, 0.0]]
    assert stats.accuracy(class_id, predicted[0, 1]) == 0.75


def test_macro_f1_is_scikit_learns() -> None:
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(1)
    class_id, predicted = rng.integers(0, 5, 200), rng.integers(0, 6, (3, 200))
    expected = [f1_score(class_id, row, labels=range(5), average="macro") for row in predicted]
    np.testing.assert_allclose(stats.macro_f1(class_id, predicted, 6), expected)


def test_seeds_are_averaged_within_a_fold() -> None:
    arm, base = np.array([[0.8, 0.6], [0.5, 0.7]]), np.array([[0.5, 0.5], [0.6, 0.6]])
    np.testing.assert_allclose(stats.fold_differences(arm, base), [0.2, 0.0], atol=1e-12)
    with pytest.raises(ValueError, match="wanted the same"):
        stats.fold_differences(arm, base[:1])


def test_corrected_t_by_hand() -> None:
    # mean 2, s^2 = 1, factor 1/3 + 1/2 = 5/6: t^2 = 4 / (5/6) = 4.8; with 2 degrees p = 1 - t / sqrt(2 + t^2)
    expected = 1 - math.sqrt(4.8 / 6.8)
    assert stats.corrected_t_test(np.array([1.0, 2.0, 3.0]), 0.5) == pytest.approx(expected)
    assert stats.corrected_t_test(np.array([0.01, 0.02, 0.03]), 0.5) == pytest.approx(expected)  # parts, not points


def test_corrected_t_of_two_folds_by_hand() -> None:
    # mean 2, s^2 = 2, factor 1/2 + 1/2: t = sqrt(2); with 1 degree p = 1 - 2 atan(t) / pi
    expected = 1 - 2 * math.atan(math.sqrt(2)) / math.pi
    assert stats.corrected_t_test(np.array([1.0, 3.0]), 0.5) == pytest.approx(expected)


def test_corrected_t_without_correction_is_the_paired_t() -> None:
    differences = np.random.default_rng(2).normal(0.3, 1, 10)
    assert stats.corrected_t_test(differences, 0.0) == pytest.approx(scipy_stats.ttest_1samp(differences, 0).pvalue)
    corrected = stats.corrected_t_test(differences, 1 / 9)
    assert corrected is not None
    assert corrected > scipy_stats.ttest_1samp(differences, 0).pvalue


def test_corrected_t_where_there_is_none() -> None:
    assert stats.corrected_t_test(np.array([0.1]), 0.1) is None
    assert stats.corrected_t_test(np.array([0.1, 0.1, 0.1]), 0.5) is None
    assert stats.corrected_t_test(np.zeros(3), 0.5) == 1.0


@pytest.mark.parametrize(("k", "smallest"), [(0, 1.0), (1, 1.0), (2, 0.5), (3, 0.25), (10, 2 / 1024)])
def test_sign_flip_reaches_its_smallest_p(k: int, smallest: float) -> None:
    assert smallest_sign_flip_p(k) == pytest.approx(smallest)
    found = stats.sign_flip_test(np.linspace(0.01, 0.02, k), np.random.default_rng(0))
    assert found == pytest.approx(smallest)


def test_sign_flip_by_hand() -> None:
    # means of (+-3, +-1, +-1): 5 3 3 1 -1 -3 -3 -5, each / 3; observed 1: 4 of 8 as large; two-sided 1
    assert stats.sign_flip_test(np.array([3.0, -1.0, -1.0]), np.random.default_rng(0)) == 1.0
    # observed (3, 1, -1) = 3: 3 of 8 as large
    assert stats.sign_flip_test(np.array([3.0, 1.0, -1.0]), np.random.default_rng(0)) == pytest.approx(0.75)
    assert stats.sign_flip_test(np.zeros(4), np.random.default_rng(0)) == 1.0


def test_sign_flip_of_many_folds_is_drawn_and_seeded() -> None:
    differences = np.random.default_rng(3).normal(0.5, 1, 20)
    found = [stats.sign_flip_test(differences, np.random.default_rng(7)) for _ in range(2)]
    assert found[0] == found[1]
    assert found[0] == pytest.approx(scipy_stats.ttest_1samp(differences, 0).pvalue, abs=0.02)


def test_sign_flip_is_exact_up_to_16_folds_and_drawn_beyond() -> None:
    """Patterns are drawn 99,999 times, and the one that was observed counts as well."""
    differences = np.random.default_rng(3).normal(0.5, 1, 17)
    for k, different in ((14, 1), (16, 1), (17, 3)):
        found = [stats.sign_flip_test(differences[:k], np.random.default_rng(seed)) for seed in range(3)]
        assert len(set(found)) == different
        patterns = 2**k if different == 1 else 100_000
        assert all(patterns * p == pytest.approx(round(patterns * p), abs=1e-6) for p in found)


def test_mcnemar_counts_a_clip_once() -> None:
    class_id = np.zeros(12, dtype=np.int64)
    base, aug = np.zeros((1, 12), dtype=np.int64), np.zeros((1, 12), dtype=np.int64)
    base[0, :8] = 1  # 8 clips that only aug has right
    aug[0, 8:10] = 1  # 2 that only base has right
    fold = FoldPredictions(np.array(["r"] * 12), class_id, {"base": base, "aug": aug})
    expected = scipy_stats.binomtest(8, 10).pvalue  # 2 (1 + 10 + 45) / 1024
    assert expected == pytest.approx(112 / 1024)
    assert stats.mcnemar_test([fold], "aug", "base") == pytest.approx(expected)
    doubled = FoldPredictions(fold.fs_id, class_id, {"base": np.repeat(base, 2, 0), "aug": np.repeat(aug, 2, 0)})
    assert stats.mcnemar_test([doubled], "aug", "base") == pytest.approx(expected)
    assert stats.mcnemar_test([fold], "aug", "aug") == 1.0


def test_holm_by_hand() -> None:
    # sorted 0.005 0.01 0.03 0.04 times 4 3 2 1: 0.02 0.03 0.06 0.04 -> step-down 0.02 0.03 0.06 0.06
    found = stats.holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert list(found) == ["a", "b", "c", "d"]
    assert stats.holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert stats.holm({}) == {}


def test_bootstrap_of_two_recordings_is_binomial() -> None:
    fold = one_fold(["x", "x", "y", "y"], np.array([[True, True, False, False]]))
    draws = bootstrap(fold, 8000)
    values, counts = np.unique(draws, return_counts=True)
    assert values.tolist() == [0.0, 0.5, 1.0]
    np.testing.assert_allclose(counts / 8000, [0.25, 0.5, 0.25], atol=0.02)
    assert stats.percentile_interval(draws, 0.95) == (0.0, 1.0)
    assert stats.percentile_interval(np.linspace(0, 1, 1001), 0.9) == pytest.approx((0.05, 0.95))


def test_bootstrap_draws_runs_and_averages_folds() -> None:
    # every recording alike: one of two runs, 1 and 1/2, is drawn; the other fold's runs have 1/4 both
    fold = one_fold(["x", "x", "y", "y"], np.array([[True] * 4, [True, False, True, False]]))
    other = one_fold(["z"] * 4, np.array([[True, False, False, False], [False, True, False, False]]))
    draws = stats.cluster_bootstrap([fold, other], 2, 8000, np.random.default_rng(0))["base"]
    values, counts = np.unique(draws.accuracy, return_counts=True)
    np.testing.assert_allclose(values, [(0.5 + 0.25) / 2, (1 + 0.25) / 2])
    np.testing.assert_allclose(counts / 8000, 0.5, atol=0.02)
    # F1 of the only class, 2 a / (1 + a) of those accuracies
    np.testing.assert_allclose(np.unique(draws.macro_f1.round(12)), [(2 / 3 + 0.4) / 2, (1 + 0.4) / 2])


def test_drawn_runs_vary_as_their_mean_does() -> None:
    drawn = stats.drawn_runs(5, 20_000, np.random.default_rng(0))
    np.testing.assert_allclose(drawn.sum(axis=1), 1.0)
    accuracy = np.array([0.61, 0.64, 0.66, 0.67, 0.72])
    assert (drawn @ accuracy).mean() == pytest.approx(accuracy.mean(), abs=0.001)
    assert (drawn @ accuracy).std() == pytest.approx(accuracy.std(ddof=1) / math.sqrt(5), rel=0.03)
    assert np.array_equal(stats.drawn_runs(1, 3, np.random.default_rng(0)), np.ones((3, 1)))


def test_bootstrap_moves_arms_together() -> None:
    rng = np.random.default_rng(4)
    class_id, fs_id = rng.integers(0, 3, 60), np.repeat([f"r{i}" for i in range(12)], 5)
    base = rng.integers(0, 3, (2, 60))
    fold = FoldPredictions(fs_id, class_id, {"base": base, "aug": base.copy()})
    draws = stats.cluster_bootstrap([fold], 3, 500, np.random.default_rng(0))
    assert np.ptp(draws["base"].accuracy) > 0
    assert np.array_equal(draws["aug"].accuracy, draws["base"].accuracy)
    assert np.array_equal(draws["aug"].macro_f1, draws["base"].macro_f1)


def test_bootstrap_is_seeded_and_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    fold = one_fold([f"r{i // 3}" for i in range(30)], rng.random((3, 30)) < 0.6)
    whole = bootstrap(fold, 300)
    monkeypatch.setattr(stats, "BLOCK_CELLS", 70)  # 7 resamples at once
    assert np.array_equal(bootstrap(fold, 300), whole)
    assert not np.array_equal(bootstrap(fold, 300, seed=1), whole)


def test_clusters_widen_the_interval() -> None:
    right = np.repeat(np.arange(40) % 2 == 0, 10)[None]  # 40 recordings of 10 clips, all right or all wrong
    clustered = bootstrap(one_fold([str(i // 10) for i in range(400)], right), 4000)
    independent = bootstrap(one_fold([str(i) for i in range(400)], right), 4000)
    assert clustered.std() == pytest.approx(math.sqrt(0.25 / 40), rel=0.05)
    assert independent.std() == pytest.approx(math.sqrt(0.25 / 400), rel=0.05)


def test_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(6)
    fs_id = [str(i // 5) for i in range(200)]  # 40 recordings of 5 clips
    covered = 0
    for trial in range(300):
        skill = np.repeat(rng.beta(2, 1, 40), 5)  # mean 2/3
        draws = bootstrap(one_fold(fs_id, rng.random((1, 200)) < skill), 400, seed=trial)
        low, high = stats.percentile_interval(draws, 0.9)
        covered += low <= 2 / 3 <= high
    assert 0.84 <= covered / 300 <= 0.95


def test_bootstrap_of_a_whole_data_set_is_quick() -> None:
    rng = np.random.default_rng(0)
    folds = []
    for _ in range(10):
        class_id = rng.integers(0, 10, 870)
        predicted = {arm: rng.integers(0, 10, (2, 870)) for arm in "abcdefg"}
        folds.append(FoldPredictions(np.array([str(i // 7) for i in range(870)]), class_id, predicted))
    start = time.process_time()
    stats.cluster_bootstrap(folds, 10, 2000, rng)
    assert time.process_time() - start < 4  # 0.3 s on an idle processor


def test_draws_of_few_recordings_are_spread() -> None:
    assert stats.spread_factor(np.array([3.0])) == 1.0
    assert stats.spread_factor(np.full(2, 4.0)) == pytest.approx(math.sqrt(2))
    assert stats.spread_factor(np.full(10, 4.0)) == pytest.approx(math.sqrt(10 / 9))
    # shares 1/2, 1/4, 1/4: 2/3 x (1 + 1/9 + 1/9) over 3/8
    assert stats.spread_factor(np.array([2.0, 1.0, 1.0])) == pytest.approx(math.sqrt(2 / 3 * 11 / 9 / (3 / 8)))
    right = np.repeat(np.arange(10) % 2 == 0, 3)[None]
    draws = bootstrap(one_fold([str(i // 3) for i in range(30)], right), 8000)
    assert draws.std() == pytest.approx(math.sqrt(0.25 / 9), rel=0.04)


def test_draws_stay_within_0_and_1() -> None:
    right = np.array([[True] * 9 + [False]])
    draws = bootstrap(one_fold(["a"] * 5 + ["b"] * 4 + ["c"], right))
    assert draws.min() == 0.0
    assert draws.max() == 1.0
