"""A recorded run's gain with an interval of today's `evaluate`, from what it kept of base and aug."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from fake_study import CLASSES, fake_params, fake_study, read_csv, write_csv

from benchmarks.recorded import gain, main, predictions
from soundaug.reporting.evaluation import compute_metrics, load_study, plot_tables
from soundaug.running.errors import StudyError
from soundaug.running.outputs import write_table
from soundaug.sources.corpus import Clip, read_clips, write_clips

PARAMS = fake_params()
Rows = list[dict[str, str]]


def by_chance(arm: str, fold: int, seed: int, class_id: np.ndarray) -> np.ndarray:
    """Classes at random, other ones for every arm, fold and seed; aug has more right."""
    rng = np.random.default_rng([PARAMS.arms.index(arm), fold, seed])
    right = rng.random(len(class_id)) < (0.8 if arm == "aug" else 0.4)
    return np.where(right, class_id, rng.integers(0, len(CLASSES), len(class_id)))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study on disk, what it recorded in ``run`` and its clips as a folder's metadata in ``folder``."""
    fake_study(tmp_path / "data", PARAMS, by_chance)
    found = load_study(tmp_path / "data", PARAMS)
    tables = plot_tables(found, compute_metrics(found, PARAMS, tmp_path / "data"))
    for name in ("confusion_base", "confusion_aug", "accuracy"):
        (tmp_path / "run/plots").mkdir(parents=True, exist_ok=True)
        write_table(tmp_path / "run/plots" / f"{name}.csv", tables[name])
    (tmp_path / "run/params.yaml").write_text(yaml.safe_dump(PARAMS.model_dump(mode="json")), encoding="utf-8")
    (tmp_path / "folder/metadata").mkdir(parents=True)
    clips = [
        Clip(row["clip"], row["fs_id"], fold, int(row["class_id"]), CLASSES[int(row["class_id"])], path="")
        for fold in PARAMS.folds
        for row in read_csv(tmp_path / "data/runs/base" / f"fold{fold}" / "seed0/predictions.csv")
    ]
    write_clips(tmp_path / "folder/metadata/UrbanSound8K.csv", clips)
    return tmp_path


def recorded(study: Path) -> tuple[float, float, float]:
    clips = read_clips(study / "folder/metadata/UrbanSound8K.csv")
    folds = predictions(study / "run", PARAMS.folds, PARAMS.seeds, clips)
    return gain(folds, len(CLASSES), PARAMS.evaluate)


def test_is_what_evaluate_says_of_the_same_runs(study: Path) -> None:
    metrics = compute_metrics(load_study(study / "data", PARAMS), PARAMS, study / "data")
    expected = metrics["delta"]["accuracy"]
    assert expected["ci_low"] < expected["mean"] < expected["ci_high"]
    assert recorded(study) == pytest.approx([expected[key] for key in ("mean", "ci_low", "ci_high")], abs=1e-6)


def test_recordings_are_those_of_the_folder(study: Path) -> None:
    before = recorded(study)
    table = study / "folder/metadata/UrbanSound8K.csv"
    rows = read_csv(table)
    for number, row in enumerate(rows):  # as if every clip were a recording of its own
        row["fsID"] = str(1000 + number)
    write_csv(table, list(rows[0]), [list(row.values()) for row in rows])
    mean, low, high = recorded(study)
    assert mean == before[0]
    assert (low, high) != before[1:]


def test_runs_are_checked_against_what_was_recorded(study: Path) -> None:
    table = study / "run/plots/accuracy.csv"
    rows = read_csv(table)
    rows[1]["accuracy"] = "0.123456"
    write_csv(table, list(rows[0]), [list(row.values()) for row in rows])
    with pytest.raises(StudyError, match=r"confusion_base.csv: found accuracy .* of fold 1, seed 1, wanted 0.123456"):
        recorded(study)
    write_csv(table, list(rows[0]), [list(row.values()) for row in rows if row["fold"] == "2"])
    with pytest.raises(StudyError, match=r"confusion_base.csv: found accuracy .* of fold 1, seed 0, wanted none"):
        recorded(study)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:-1], r"confusion_aug.csv: found 71 rows, wanted 72, one a seed and test clip"),
        (lambda rows: rows[::-1], r"confusion_aug.csv: found other clips of fold 1, seed 0, wanted the folder's"),
    ],
)
def test_a_table_of_other_clips_is_refused(study: Path, change: Callable[[Rows], Rows], message: str) -> None:
    table = study / "run/plots/confusion_aug.csv"
    rows = change(read_csv(table))
    write_csv(table, list(rows[0]), [list(row.values()) for row in rows])
    with pytest.raises(StudyError, match=message):
        recorded(study)


def test_the_command_says_it_in_a_line(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["recorded", str(study / "folder"), "--run", str(study / "run")])
    main()
    mean, low, high = (100 * value for value in recorded(study))
    assert capsys.readouterr().out == f"aug minus base {mean:+.1f} points ({low:+.1f} to {high:+.1f})\n"


def test_the_readme_opens_with_the_recorded_run(
    real_audio: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(__file__).parents[1]
    run = root / "reports/recorded/real-folds"
    monkeypatch.setattr("sys.argv", ["recorded", str(real_audio), "--run", str(run)])
    main()
    found = capsys.readouterr().out.strip().removeprefix("aug minus base ")
    mean, interval = found.split(" points ")
    opening = (root / "README.md").read_text(encoding="utf-8").split("| Arm")[0]
    assert f"{mean} points (95 % interval {interval.strip('()')})" in " ".join(opening.split())
