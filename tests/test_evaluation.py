"""Metrics of a study with known predictions, each worked out by hand; broken runs."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from fake_study import fake_params, fake_study, read_csv, write_csv

from soundaug.audit.checks import Audit
from soundaug.audit.closeness import Closeness
from soundaug.reporting import evaluation
from soundaug.reporting.evaluation import Metrics, compute_metrics, load_study
from soundaug.reporting.verdict import verdict
from soundaug.running.errors import StudyError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    fake_study(folder, fake_params())
    return folder


@pytest.fixture(scope="module")
def metrics(data: Path) -> Metrics:
    return compute_metrics(load_study(data, fake_params()), fake_params(), data)


def test_accuracy(metrics: Metrics) -> None:
    # of 12 clips base has 8 (seed 0) and 7 (seed 1) right, aug 10, 9, 8 in folds 1, 2, 3, the controls 8
    assert metrics["base"]["accuracy"]["mean"] == 0.625
    assert metrics["aug"]["accuracy"]["mean"] == 0.75
    assert metrics["mixup"]["accuracy"]["mean"] == 0.666667
    for arm in ("base", "aug", "duplicate", "mixup"):
        found = metrics[arm]["accuracy"]
        assert 0 <= found["ci_low"] <= found["mean"] <= found["ci_high"] <= 1


def test_macro_f1(metrics: Metrics) -> None:
    # base, seed 0: class 0 none, class 1 2*4/(4+8), class 2 all; seed 1: 0, 2*3/(4+7), 2*4/(4+5)
    expected = ((0 + 8 / 12 + 1) / 3 + (0 + 6 / 11 + 8 / 9) / 3) / 2
    assert metrics["base"]["macro_f1"]["mean"] == pytest.approx(expected, abs=1e-6)
    pairs = [(metrics["mixup"]["delta"], "mixup", "base"), (metrics["over"]["mixup"], "aug", "mixup")]
    for found, arm, other in [(metrics["delta"], "aug", "base"), *pairs]:
        difference = found["macro_f1"]
        wanted = metrics[arm]["macro_f1"]["mean"] - metrics[other]["macro_f1"]["mean"]
        assert difference["mean"] == pytest.approx(wanted, abs=2e-6)
        assert abs(wanted) > 0.01
        assert difference["ci_low"] <= difference["mean"] <= difference["ci_high"]


def test_best_epoch_and_seed_spread(metrics: Metrics) -> None:
    assert metrics["base"]["best_epoch_on_test"]["accuracy"] == 0.833333  # 10 of 12, aug 11
    found = metrics["delta"]["best_epoch_on_test"]["accuracy"]
    assert found["mean"] == 0.083333
    # The second clip of the first of six recordings makes the difference, under both seeds of two folds or under one:
    # it is drawn k times of 6, k binomial.
    assert found["ci_low"] == 0
    assert 0.083333 < found["ci_high"] < 0.25
    assert metrics["base"]["seed_std"] == pytest.approx(1 / 12 / math.sqrt(2), abs=1e-6)
    assert metrics["aug"]["seed_std"] == 0.0


def test_difference_to_base(metrics: Metrics) -> None:
    found = metrics["delta"]["accuracy"]
    assert found["mean"] == 0.125  # folds: 2.5, 1.5, 0.5 of 12
    # s = 1/12, factor 1/3 + 12/24: t^2 = (1.5/12)^2 / ((1/12)^2 * 5/6) = 2.7, 2 degrees
    assert found["p_value"] == pytest.approx(1 - math.sqrt(2.7 / 4.7), abs=1e-6)
    assert found["p_sign_flip"] == found["p_sign_flip_smallest"] == 0.25
    assert found["p_mcnemar"] == 2 / 64  # 3 + 2 + 1 clips better with aug, none worse
    assert metrics["delta"]["changed_predictions"] == 0.125
    # wrong clips are the first recordings of class 0 and 1: a resample may miss or repeat them, which makes a
    # difference of 0, spread a little; and the base run may be drawn that has one clip less wrong
    assert found["ci_low"] == pytest.approx(0.0, abs=0.01)
    assert found["ci_high"] > 0.125


def test_controls(metrics: Metrics) -> None:
    assert metrics["mixup"]["delta"]["accuracy"]["mean"] == pytest.approx(0.5 / 12, abs=1e-6)
    assert "p_value" not in metrics["mixup"]["delta"]["accuracy"]  # the same in every fold
    assert metrics["mixup"]["delta"]["accuracy"]["p_sign_flip"] == 0.25
    over = metrics["over"]["mixup"]["accuracy"]  # folds: 2, 1, 0 of 12
    assert over["mean"] == pytest.approx(1 / 12, abs=1e-6)
    p = 1 - math.sqrt(1.2 / 3.2)
    assert over["p_value"] == pytest.approx(p, abs=1e-6)
    assert over["p_holm"] == pytest.approx(2 * p, abs=1e-6)
    assert over["p_sign_flip"] == 0.5


def test_counts_and_summaries(metrics: Metrics) -> None:
    assert metrics["corpus"] == {
        "clips": 36,
        "recordings": 18,
        "classes": 3,
        "excluded": 1,
        "test_clips": 36,
        "test_recordings": 18,
        "largest_class": pytest.approx(1 / 3, abs=1e-6),
    }
    assert metrics["generator"] == {"loss": 0.3, "clips": 6.0, "train_clips": 24.0}
    assert metrics["mixup"]["clips"] == {"label_agreement": 0.82, "kid_test": 0.2, "coverage": 0.5}
    assert metrics["inversion"] == {"level_error_db": 0.2, "log_mel_error_db": 2.0}


def test_metrics_are_nested_finite_numbers(metrics: Metrics) -> None:
    def leaves(node: Any) -> list[Any]:
        return [leaf for value in node.values() for leaf in leaves(value)] if isinstance(node, dict) else [node]

    assert all(isinstance(leaf, int | float) and math.isfinite(leaf) for leaf in leaves(metrics))
    json.dumps(metrics, allow_nan=False)


def test_every_figure_is_documented_under_the_schemas_number(metrics: Metrics) -> None:
    def names(node: Any, above: str = "") -> set[str]:
        if not isinstance(node, dict):
            return {above.removesuffix(".")}
        return set().union(*(names(value, f"{above}{key}.") for key, value in node.items()))

    text = (Path(__file__).parents[1] / "docs/metrics.md").read_text(encoding="utf-8")
    assert f"**schema {metrics['schema']}**" in text
    documented = {name for row in text.splitlines() if row.startswith("| `") for name in re.findall("`([^`]+)`", row)}
    controls = "mixup|duplicate|waveform|specaugment|slerp|resynthesis"

    def pattern(name: str) -> str:
        literal = re.escape(name).replace(r"\*", ".+").replace("<control>", f"({controls})")
        return literal.replace("<arm>", f"(base|aug|{controls})")

    found = names(metrics | {"audit": Audit(0, 0, 0, 0, 0, 0, ()).metrics | Closeness(0, []).metrics})
    assert [name for name in found if not any(re.fullmatch(pattern(one), name) for one in documented)] == []
    # The same in every fold here; not made here.
    undefined = {"<control>.delta.accuracy.p_value", "<control>.delta.accuracy.p_holm", "stylize.*"}
    assert {one for one in documented if not any(re.fullmatch(pattern(one), name) for name in found)} == undefined


def test_one_fold_and_one_seed_leave_out_what_is_undefined(data: Path) -> None:
    params = fake_params(folds=[1], seeds=[0], controls=[])
    found = compute_metrics(load_study(data, params), params, data)
    assert "seed_std" not in found["base"]
    assert "p_value" not in found["delta"]["accuracy"]
    assert found["delta"]["accuracy"]["p_sign_flip_smallest"] == 1.0
    assert "over" not in found
    assert "no p-value" in verdict(found, params)


def test_tables(data: Path, metrics: Metrics) -> None:
    study = load_study(data, fake_params())
    accuracy = evaluation.accuracy_table(study)
    assert len(accuracy) == 4 * 3 * 2
    assert [accuracy[9][key] for key in ("arm", "fold", "seed", "accuracy")] == ["aug", 2, 1, 0.75]
    summary = {row["arm"]: row for row in evaluation.summary_table(study, metrics)}
    assert summary["base"]["delta"] is None
    assert summary["aug"]["delta"] == 0.125
    assert summary["mixup"]["p_sign_flip"] == 0.25
    confusion = evaluation.confusion_table(study, "base")
    assert len(confusion) == 3 * 2 * 12
    assert confusion.count({"actual": "dog_bark", "predicted": "siren"}) == 3 * 2 * 4
    assert study.confusion("base").tolist() == [[0, 24, 0], [0, 21, 3], [0, 0, 24]]
    classes = {(row["class"], row["arm"]): row["accuracy"] for row in evaluation.class_table(study)}
    assert classes["dog_bark", "base"] == 0
    assert classes["siren", "base"] == pytest.approx(21 / 24)
    assert classes["dog_bark", "aug"] == pytest.approx((2 + 1 + 0) / 12)
    curves = [row for row in evaluation.curves_table(study) if row["arm"] == "base"]
    assert curves[0] == {"step": 10, "arm": "base", "test_accuracy": 0.9, "train_loss": 1.0}
    assert curves[1] == {"step": 20, "arm": "base", "test_accuracy": 0.625, "train_loss": 0.5}


def test_curves_of_different_length_meet_at_the_same_part(data: Path, tmp_path: Path) -> None:
    fake_study(tmp_path, fake_params(), lambda arm, fold, seed, class_id: class_id)
    path = tmp_path / "runs" / "base" / "fold1" / "seed0" / "history.csv"
    rows = read_csv(path)
    write_csv(path, list(rows[0]), [(30, 1, 0, 1.0, 0, 0, 0.6), (60, 2, 0, 0.8, 0, 0, 1.0)])
    steps, accuracy = evaluation.curves(load_study(tmp_path, fake_params()), "base", "test_accuracy")
    assert steps[-1] == pytest.approx((60 + 5 * 20) / 6)
    assert accuracy[0].tolist() == [0.6, 1.0]


BROKEN = "runs/aug/fold2/seed1"


@pytest.mark.parametrize("name", ["predictions.csv", "history.csv", "summary.json"])
def test_missing_run_is_named(tmp_path: Path, name: str) -> None:
    fake_study(tmp_path, fake_params())
    (tmp_path / BROKEN / name).unlink()
    with pytest.raises(StudyError, match="not there") as caught:
        load_study(tmp_path, fake_params())
    assert f"{BROKEN}/{name}" in str(caught.value)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("clip", "other.wav", "found clip, fs_id, class_id other.wav, 200, 0, wanted 200-0-0-0.wav, 200, 0"),
        ("fs_id", "9", "wanted 200-0-0-0.wav, 200, 0"),
        ("class_id", "1", "wanted 200-0-0-0.wav, 200, 0"),
        ("predicted", "3", "found predicted '3', wanted 0 to 2"),
        ("predicted", "-1", "found predicted '-1', wanted 0 to 2"),
        ("predicted_at_best_epoch", "3", "found predicted_at_best_epoch '3', wanted 0 to 2"),
    ],
)
def test_disagreeing_clips_are_named(tmp_path: Path, column: str, value: str, message: str) -> None:
    fake_study(tmp_path, fake_params())
    path = tmp_path / BROKEN / "predictions.csv"
    rows = read_csv(path)
    rows[0][column] = value
    write_csv(path, list(rows[0]), [list(row.values()) for row in rows])
    with pytest.raises(StudyError, match="line 2") as caught:
        load_study(tmp_path, fake_params())
    assert message in str(caught.value)
    write_csv(path, list(rows[0]), [list(row.values()) for row in rows[:-1]])
    with pytest.raises(StudyError, match="found 11 clips, wanted the 12"):
        load_study(tmp_path, fake_params())


def test_history_must_end_where_the_predictions_are(tmp_path: Path) -> None:
    fake_study(tmp_path, fake_params())
    path = tmp_path / BROKEN / "history.csv"
    rows = read_csv(path)
    write_csv(path, list(rows[0]), [list(rows[0].values())])
    with pytest.raises(StudyError, match=r"last test_accuracy of 0\.900000, wanted 0\.750000"):
        load_study(tmp_path, fake_params())
    write_csv(path, list(rows[0]), [list((rows[0] | {"test_accuracy": ""}).values())])
    with pytest.raises(StudyError, match=r"last test_accuracy of nan, wanted 0\.750000"):
        load_study(tmp_path, fake_params())
