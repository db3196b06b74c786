"""Goals, faults, closest pairs and curves of the generators, as the report tells them."""

import json
from pathlib import Path

import pytest
from fake_study import fake_params, fake_study, write_csv

from soundaug.audit.checks import audit
from soundaug.audit.closeness import Closeness
from soundaug.reporting import plots
from soundaug.reporting.evaluation import compute_metrics, load_study
from soundaug.reporting.generator_report import faults, goals, history_rows
from soundaug.reporting.report import render

PARAMS = fake_params()
COLUMNS = ("generated", "train", "shift", "distance_db", "is_parent")
QUALITY = {
    "accuracy_score": 0.5,
    "label_agreement": 0.9,
    "kid_test": 0.03,
    "kid_train_test": 0.01,
    "copies_beyond_recordings": 0.03,
    "parents_beyond_recordings": 0.02,
}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    fake_study(tmp_path, PARAMS)
    for fold in PARAMS.folds:
        folder = tmp_path / "generated" / f"fold{fold}"
        (folder / "quality.json").write_text(json.dumps(QUALITY | {"accuracy_score": 0.5 + fold / 100}))
        # train rows count through the training folds in order: 12 clips each
        write_csv(folder / "closest.csv", COLUMNS, [(fold, 13, -2, 2.0 + fold, True), (0, 3, 0, 9.0 + fold, False)])
        write_csv(
            tmp_path / "models" / "generator" / f"fold{fold}" / "history.csv",
            ("step", "learning_rate", "loss", "validation_loss"),
            [(10, 0.001, 0.5, ""), (20, 0.001, 0.25, 0.3)],
        )
    return tmp_path


def test_goals_by_hand() -> None:
    found = {goal.name: goal for goal in goals({"generator": QUALITY}, base_accuracy=0.625)}
    assert {name: goal.reached for name, goal in found.items()} == {
        "accuracy_score": True,  # 0.8 x 0.625 = 0.5
        "label_agreement": True,
        "kid_test / kid_train_test": False,  # 3 times, wanted at most 2
        "copies_beyond_recordings": True,
    }
    assert found["kid_test / kid_train_test"].value == pytest.approx(3)
    assert found["accuracy_score"].wanted == "at least 50.0 % (80% of base)"
    assert not goals({"generator": QUALITY | {"accuracy_score": 0.499}}, 0.625)[0].reached
    assert found["copies_beyond_recordings"].wanted == "at most 3.0 % (1% beyond the parents' own)"
    assert not goals({"generator": QUALITY | {"copies_beyond_recordings": 0.0301}}, 0.625)[-1].reached
    alone = {name: value for name, value in QUALITY.items() if name != "parents_beyond_recordings"}
    assert not goals({"generator": alone}, 0.625)[-1].reached
    assert goals({}, 0.625) == []


def test_drift_is_a_fault() -> None:
    quiet = {"generator": {"reconstruction_rmse_db": 3.0, "noise_std": 1.1}}
    assert faults(quiet, PARAMS) == []
    loud = faults({"generator": {"reconstruction_rmse_db": 3.1, "noise_std": 0.76}}, PARAMS)
    assert len(loud) == 2
    assert "3.1 dB (RMSE) from themselves, more than generate.max_reconstruction_db (3)" in loud[0]
    assert loud[0].endswith("; more generate.steps lose less.")
    assert "standard deviation is 0.76, wanted 0.9 to 1.1" in loud[1]
    naive = PARAMS.model_copy(update={"generate": PARAMS.generate.model_copy(update={"inversion": "ddim"})})
    assert faults({"generator": {"reconstruction_rmse_db": 3.1}}, naive)[0].endswith("fixed_point gives them back.")


def test_curves(study: Path) -> None:
    rows = history_rows(study, PARAMS)
    assert rows[:2] == [
        {"step": 10, "fold": 1, "loss": 0.5, "validation_loss": None},
        {"step": 20, "fold": 1, "loss": 0.25, "validation_loss": 0.3},
    ]
    assert len(rows) == 6
    assert plots.generator_figure(rows).startswith(b"\x89PNG")


def test_the_report_tells_goals_and_faults(study: Path) -> None:
    summary = study / "generated/fold1/summary.json"
    summary.write_text(json.dumps({"reconstruction_rmse_db": 9.4, "noise_std": 1.0}))
    found = load_study(study, PARAMS)
    metrics = compute_metrics(found, PARAMS, study)
    assert metrics["generator"]["accuracy_score"] == pytest.approx(0.52)  # mean of folds 1 to 3
    text = render(found, metrics, audit(study, PARAMS), Closeness(36, []), PARAMS, ["closest.png", "generator.png"])
    assert "**Error: Inversion loses the clip" in text
    assert "| label\\_agreement | 0.9 | at least 85% | yes |" in text
    assert "| kid\\_test / kid\\_train\\_test | 3 | at most 2 times that of real training clips | no |" in text
    assert "(figures/closest.png)" in text
    assert "(figures/generator.png)" in text
