"""Simulated studies: their effect and spread are what was asked for, and the study's tests keep their level on them."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_study import read_csv

from benchmarks import power
from benchmarks.simulated_study import Design, Spread, first_seeds, fit, simulate, with_classes
from soundaug.running.errors import StudyError
from soundaug.statistics import stats
from soundaug.statistics.stats import FoldPredictions

SPREAD = power.read_spread(Path(__file__).parents[1] / "reports/statistics/spread.json")
ERROR = 2 * math.sqrt(0.05 * 0.95 / 300)  # two standard errors of a rate of 5 % among 300


def right(folds: list[FoldPredictions], arm: str) -> np.ndarray:
    return np.array([stats.accuracy(fold.class_id, fold.predicted[arm]) for fold in folds])


def share(k: int, seeds: int, points: float, n: int, **beyond: float) -> dict[str, float]:
    """Of ``n`` simulated studies those in which each test claims a difference."""
    rng = np.random.default_rng([k, seeds])
    design = Design(k, seeds, **beyond)
    found = [power.claims(simulate(SPREAD, design, {"base": 0.0, "aug": points}, rng), rng) for _ in range(n)]
    return {test: float(np.mean([one[test] for one in found])) for test in power.TESTS}


def test_the_effect_is_the_one_asked_for() -> None:
    rng = np.random.default_rng(0)
    studies = [simulate(SPREAD, Design(3, 1), {"base": 0.0, "aug": 5.0}, rng) for _ in range(300)]
    base, aug = (np.array([right(study, arm).mean() for study in studies]) for arm in ("base", "aug"))
    assert base.mean() == pytest.approx(SPREAD.accuracy, abs=3 * base.std() / math.sqrt(300))
    assert (aug - base).mean() == pytest.approx(0.05, abs=3 * (aug - base).std() / math.sqrt(300))


def test_the_spread_is_found_again() -> None:
    spread = Spread(0.7, 0.15, 0.05, 0.06, 0.04, 0.7, 0.0, [[4] * 150])
    arms = {f"arm {i}": 0.0 for i in range(5)}
    found = fit(simulate(spread, Design(12, 3), arms, np.random.default_rng(1)))
    assert found.accuracy == pytest.approx(0.7, abs=0.02)
    for name in ("recording", "arm", "seed", "run", "clip"):
        assert getattr(found, name) == pytest.approx(getattr(spread, name), abs=0.03), name
    assert found.fold == pytest.approx(0.0, abs=0.003)
    assert found.sizes == [[4] * 150] * 12
    far = replace(spread, fold=0.2)
    assert fit(simulate(far, Design(40, 2), {"a": 0.0, "b": 0.0}, np.random.default_rng(2))).fold == pytest.approx(
        0.2, abs=0.1
    )


def test_too_few_runs_tell_no_spread() -> None:
    study = simulate(SPREAD, Design(3, 2), {"base": 0.0, "aug": 0.0}, np.random.default_rng(0))
    with pytest.raises(StudyError, match="found 3 folds, 2 arms and 1 seeds, wanted two or more of each"):
        fit(first_seeds(study, 1))


def test_the_same_seed_draws_the_same_study() -> None:
    one, other = (simulate(SPREAD, Design(3, 2), {"base": 0.0}, np.random.default_rng(5)) for _ in range(2))
    assert all(np.array_equal(a.predicted["base"], b.predicted["base"]) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(("k", "seeds"), [(3, 2), (10, 1)])
def test_the_interval_and_the_t_test_keep_their_level(k: int, seeds: int) -> None:
    found = share(k, seeds, 0.0, 300)
    assert found["interval"] <= 0.05 + ERROR
    assert found["t"] <= 0.05 + ERROR
    assert found["sign_flip"] <= 0.05 + ERROR
    assert found["mcnemar"] > 0.15  # it takes clips for independent


def test_the_interval_keeps_its_level_though_runs_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    assert share(3, 2, 0.0, 300, run_points=1.4)["interval"] <= 0.05 + ERROR
    monkeypatch.setattr(stats, "drawn_runs", lambda n, draws, rng: np.full((draws, n), 1 / n))  # runs held fixed
    assert share(3, 2, 0.0, 300, run_points=1.4)["interval"] > 0.1


@pytest.mark.parametrize("layout", list(power.LAYOUTS))
def test_the_searchs_interval_keeps_its_level_though_runs_differ(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power, "RUN_POINTS", (1.4,))
    (found,) = power.search_false_positives(SPREAD, layout, 600, 1)
    assert found["interval"] <= 0.05 + found["error"]
    if layout == "search":  # where a run is tested on two folds, recordings alone are not enough
        assert found["recordings_alone"] > 0.05 + found["error"]


def test_classes_leave_right_and_wrong_as_they_were() -> None:
    rng = np.random.default_rng(6)
    plain = simulate(SPREAD, Design(2, 2), {"base": 0.0, "aug": 3.0}, rng)
    for before, after in zip(plain, with_classes(plain, [0.88, 0.11, 0.01], rng), strict=True):
        recordings = {fs_id: set(after.class_id[after.fs_id == fs_id].tolist()) for fs_id in np.unique(after.fs_id)}
        assert all(len(found) == 1 for found in recordings.values())
        counts = np.bincount([found.pop() for found in recordings.values()], minlength=3)
        assert counts.min() >= 2
        assert counts[0] / counts.sum() == pytest.approx(0.88, abs=0.03)
        for arm, rows in after.predicted.items():
            assert np.array_equal(rows == after.class_id, before.predicted[arm] == before.class_id)


def test_macro_f1s_interval_keeps_its_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power, "FOLDS", (3,))
    monkeypatch.setattr(power, "SEEDS", (1, 2))
    for row in power.macro_f1_false_positives(SPREAD, "88, 11 and 1 %", 300, 0):
        assert row["interval"] <= 0.05 + row["error"]
    real = simulate(SPREAD, Design(3, 2), {"base": 0.0, "aug": 10.0}, np.random.default_rng(0))
    study = with_classes(real, [0.5, 0.5], np.random.default_rng(0))
    draws = stats.cluster_bootstrap(study, 2, 400, np.random.default_rng(0))
    assert stats.percentile_interval(draws["aug"].macro_f1 - draws["base"].macro_f1, 0.95)[0] > 0  # it can claim


def test_small_folders_are_simulated_with_their_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power, "SEEDS", (1, 2))
    sizes = []
    monkeypatch.setattr(
        power, "claims", lambda folds, rng: sizes.append([len(f.fs_id) for f in folds]) or dict.fromkeys(power.TESTS, 1)
    )
    rows = list(power.small_false_positives(SPREAD, "10 of 4 clips", 3, 0))
    assert sizes == [[40] * 3] * 6 + [[40] * 5] * 6
    assert [(row["recordings"], row["folds"], row["seeds"], row["interval"]) for row in rows] == [
        ("10 of 4 clips", folds, seeds, 1.0) for folds in (3, 5) for seeds in (1, 2)
    ]


def test_a_bootstrap_of_clips_does_not() -> None:
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(150):
        study = simulate(SPREAD, Design(3, 1), {"base": 0.0, "aug": 0.0}, rng)
        clips = [FoldPredictions(np.arange(len(f.fs_id)).astype(str), f.class_id, f.predicted) for f in study]
        wrong += power.claims(clips, rng)["interval"]
    assert wrong / 150 > 0.15


def test_the_t_test_bears_training_sets_that_differ() -> None:
    found = share(10, 2, 0.0, 300, training_points=1.0)
    assert found["t"] <= 0.05 + ERROR
    assert share(3, 10, 0.0, 300, training_points=1.0)["interval"] > 0.15  # it holds the training sets fixed


def test_power_grows_with_effect_folds_and_seeds() -> None:
    least = share(3, 1, 2.0, 60)
    assert share(3, 1, 5.0, 60)["interval"] > least["interval"] + 0.2
    assert share(10, 1, 2.0, 60)["interval"] > least["interval"] + 0.2
    assert share(3, 10, 2.0, 60)["interval"] > least["interval"]
    assert least["sign_flip"] == 0.0  # three folds cannot give less than 0.25


def test_more_seeds_are_tried_where_a_test_takes_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power, "FOLDS", (10,))
    monkeypatch.setattr(power, "MORE_FOLDS", ())
    monkeypatch.setattr(power, "SEEDS", (2,))
    monkeypatch.setattr(power, "MORE_SEEDS", (3, 4))
    monkeypatch.setattr(power, "POINTS", (0.5, 20.0))
    rows = power.powers(SPREAD, 4, 0)
    assert [(row["points"], row["seeds"]) for row in rows] == [(0.5, 2), (0.5, 3), (0.5, 4), (20.0, 2)]
    few = [{"points": 0.5, "folds": 10, "seeds": s, "interval": r, "t": 0.1} for s, r in ((2, 0.79), (3, 0.8), (4, 1))]
    assert power.needed(few)[0] == {"points": 0.5, "folds": 10, "interval": 3, "t": ""}


def test_holm_holds_over_a_family() -> None:
    rng = np.random.default_rng(4)
    arms = {"base": 0.0} | {f"control {i}": 0.0 for i in range(5)}
    wrong = [power.holm_claims(simulate(SPREAD, Design(5, 1), arms, rng)) for _ in range(200)]
    assert np.mean(wrong) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 200)
    better = arms | {"control 3": 15.0}
    assert np.mean([power.holm_claims(simulate(SPREAD, Design(5, 1), better, rng)) for _ in range(20)]) > 0.8


def test_the_command_writes_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power, "REPORTS", tmp_path)
    monkeypatch.setattr(power, "FOLDS", (2, 3))
    monkeypatch.setattr(power, "SEEDS", (1, 2))
    monkeypatch.setattr(power, "MORE_FOLDS", (4,))
    monkeypatch.setattr(power, "MORE_SEEDS", (3,))  # two folds' t-test takes more of anything
    monkeypatch.setattr(power, "POINTS", (20.0,))
    monkeypatch.setattr("sys.argv", ["power", "--studies", "5"])
    with pytest.raises(StudyError, match=r"spread\.json: not there|spread\.json: found no spread"):
        power.main()
    (tmp_path / "spread.json").write_text(json.dumps(power.asdict(SPREAD)))
    power.main()
    rows = read_csv(tmp_path / "power.csv")
    found = [(row["folds"], row["seeds"]) for row in rows]
    assert [place for place in found if place[1] != "3"] == [(k, s) for k in "234" for s in "12"]
    assert ("2", "3") in found
    assert all(float(row["interval"]) == 1.0 for row in rows)
    assert [row["interval"] for row in read_csv(tmp_path / "needed.csv")] == ["2"] * 3  # one seed knows no runs
    assert len(read_csv(tmp_path / "false_positives.csv")) == 3 * 2 * 2 + 2
    assert len(read_csv(tmp_path / "macro_f1.csv")) == 3 * 2 * 2
    assert (tmp_path / "power.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_tells_what_the_tables_hold() -> None:
    root = Path(__file__).parents[1]
    page = (root / "docs/statistics.md").read_text(encoding="utf-8")
    for row in read_csv(root / "reports/statistics/false_positives.csv"):
        if row["spread"] == "recorded":
            shown = [f"{100 * float(row[test]):.1f} %" for test in power.TESTS]
            assert f"| {row['folds']} | {row['seeds']} | {' | '.join(shown)} |" in page
    for layout, shown in (("search", "search: three"), ("tested", "what is run once: three")):
        rows = [row for row in read_csv(root / "reports/statistics/search.csv") if row["layout"] == layout]
        for column in ("interval", "recordings_alone"):
            assert f"| {' | '.join(f'{100 * float(row[column]):.1f} %' for row in rows)} |" in page, shown
    alike = read_csv(root / "reports/statistics/macro_f1.csv")
    for classes, k in {(row["classes"], row["folds"]) for row in alike}:
        found = [row["interval"] for row in alike if (row["classes"], row["folds"]) == (classes, k)]
        assert f"| {classes} | {k} | {' | '.join(f'{100 * float(rate):.1f} %' for rate in found)} |" in page
    needed = {(float(row["points"]), row["folds"]): row for row in read_csv(root / "reports/statistics/needed.csv")}
    for points in power.POINTS:
        folds = (*power.FOLDS, *power.MORE_FOLDS)
        more = f"more than {max(power.MORE_SEEDS)}"
        cells = [needed[points, str(k)][test] or more for test in ("interval", "t") for k in folds]
        assert f"| {points:g} point{'s' * (points != 1)} | {' | '.join(cells)} |" in page
