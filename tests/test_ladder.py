"""The ladder: every rung changes what it names and nothing else, and the table's figures are worked out by hand."""

import itertools
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import ladder
from benchmarks.ladder import RUNGS, Estimate, Finished, changed, finished, network, rows, together
from soundaug.params import Params, load_params, parse_params
from soundaug.running.errors import StudyError

ROOT = Path(__file__).parents[1]
EXPERIMENTS = list(dict.fromkeys(rung.experiment for rung in RUNGS))
# Stands in for DVC: applies the -S settings as it does, notes them, and makes the metrics that `evaluate` would.
DVC = """#!/bin/sh
[ "$2" = run ] || exit 0
shift 2
python3 - "$@" <<'EOF'
import json, pathlib, sys, yaml
values = yaml.safe_load(pathlib.Path("params.yaml").read_text())
arguments = sys.argv[1:]
name = arguments[arguments.index("--name") + 1]
for option, setting in zip(arguments, arguments[1:]):
    if option == "-S":
        key, _, text = setting.partition("=")
        *sections, last = key.split(".")
        section = values
        for part in sections:
            section = section[part]
        if last not in section:
            sys.exit(f"unknown {key}")
        section[last] = yaml.safe_load(text)
pathlib.Path("params.yaml").write_text(yaml.safe_dump(values))
pathlib.Path("reports/plots").mkdir(parents=True, exist_ok=True)
pathlib.Path("reports/plots/accuracy.csv").write_text(name)
pathlib.Path("reports/metrics.json").write_text(json.dumps({"of": name}))
pathlib.Path("reports/environment.json").write_text("{}")
with open("log", "a") as log:
    log.write(name + "\\n")
if pathlib.Path("fails").exists() and pathlib.Path("fails").read_text() == name:
    sys.exit(1)
EOF
"""


def project(folder: Path) -> Path:
    """A folder with the script and the preset, a `dvc` that stands in and a table that is not made."""
    for name in ("benchmarks/ladder.sh", "benchmarks/folder.sh", "presets/subset.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for fold in (1, 2, 10):
        (folder / f"sounds/audio/fold{fold}").mkdir(parents=True)
    (folder / "sounds/metadata").mkdir()
    (folder / "sounds/metadata/UrbanSound8K.csv").touch()
    checks = f'#!/bin/sh\n[ "$3" != check ] || exec "{sys.executable}" "$@"\n'
    for name, text in (("dvc", DVC), ("python", checks)):
        (folder / "bin").mkdir(exist_ok=True)
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    return folder


def climb(folder: Path, *names: str, settings: str = "") -> subprocess.CompletedProcess[str]:
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "benchmarks/ladder.sh", "sounds", *names],
        cwd=folder,
        env=os.environ | {"PATH": path, "LADDER_SETTINGS": settings, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def ran(folder: Path) -> list[str]:
    return (folder / "log").read_text().split()


@pytest.fixture(scope="module")
def climbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = project(tmp_path_factory.mktemp("ladder"))
    done = climb(folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.fixture(scope="module")
def params(climbed: Path) -> dict[str, Params]:
    return {name: load_params(climbed / "reports/ladder" / name / "params.yaml") for name in EXPERIMENTS}


# the script


def test_every_experiment_is_run_once_in_order_and_kept(climbed: Path) -> None:
    assert ran(climbed) == [f"ladder-{name}" for name in EXPERIMENTS]
    for name in EXPERIMENTS:
        assert json.loads((climbed / "reports/ladder" / name / "metrics.json").read_text()) == {"of": f"ladder-{name}"}
        assert (climbed / "reports/ladder" / name / "accuracy.csv").read_text() == f"ladder-{name}"


def test_every_rungs_settings_are_accepted_and_change_what_it_names(params: dict[str, Params]) -> None:
    for before, rung in itertools.pairwise(RUNGS):
        found = changed(params[before.experiment], params[rung.experiment])
        if rung.name == "study":  # whole sections
            assert {name.split(".")[0] for name in found} == set(rung.params)
        elif rung.name == "last_epoch":
            assert found == []
            assert before.experiment == rung.experiment
            assert (before.best_epoch, rung.best_epoch) == (True, False)
        else:
            assert sorted(found) == sorted(rung.params), rung.name
            assert before.best_epoch == rung.best_epoch


def test_the_first_rung_is_the_published_protocol_but_for_what_is_said(params: dict[str, Params]) -> None:
    published = load_params(ROOT / "presets/published.yaml")
    found = params["published"]
    assert found.features == published.features
    assert found.training == published.training
    assert found.data.split == "random"
    assert found.classifier == published.classifier.model_copy(
        update={"channels": [16, 32, 64], "pool": 2, "hidden": 64}
    )
    invert = {"stretch": 2.0, "level_db": found.invert.level_db, "nnls_iterations": found.invert.nnls_iterations}
    assert found.invert == published.invert.model_copy(update=invert)
    assert found.invert.level_db is not None
    same = {"per_class": 22, "batch_size": found.generate.batch_size}
    assert found.generate == published.generate.model_copy(update=same)


def test_equal_steps_are_those_of_the_published_epochs_of_the_real_clips(params: dict[str, Params]) -> None:
    training, clips = params["log"].training, {1: 873, 2: 888, 10: 837}  # of UrbanSound8K's folds
    assert training.epochs is not None
    for fold in params["log"].folds:
        real = sum(count for other, count in clips.items() if other != fold)
        steps = training.epochs * math.ceil(real / training.batch_size)
        assert params["equal_steps"].training.steps == steps


def test_the_last_rung_is_the_subset_preset(params: dict[str, Params]) -> None:
    preset = load_params(ROOT / "presets/subset.yaml")
    others = {name.split(".")[0] for name in changed(preset, params["study"])}
    assert others == {"controls", "music", "stylizer", "stylize"}


def test_finished_rungs_are_not_run_again_and_those_of_other_settings_are(tmp_path: Path) -> None:
    folder = project(tmp_path)
    assert climb(folder, "log", "official").returncode == 0
    done = climb(folder, "log", "equal_steps")
    assert done.stdout == "rung log: finished before\n"
    assert ran(folder) == ["ladder-official", "ladder-log", "ladder-equal_steps"]
    other = climb(folder, "log", settings="generator.steps=20 generate.per_class=5")
    message = "error: reports/ladder/log: found other settings than rung log has now, wanted it moved away\n"
    assert (other.returncode, other.stderr) == (1, message)
    (folder / "reports/ladder/official").rename(folder / "first")  # found before the rungs ahead of it are run
    other = climb(folder, settings="generator.steps=20 generate.per_class=5")
    assert (other.returncode, other.stderr, other.stdout) == (1, message, "")
    assert ran(folder)[3:] == []
    (folder / "reports/ladder/log").rename(folder / "before")
    assert climb(folder, "log", settings="generator.steps=20 generate.per_class=5").returncode == 0
    assert ran(folder)[3:] == ["ladder-log"]
    kept = load_params(folder / "reports/ladder/log/params.yaml")
    assert (kept.generator.steps, kept.generate.per_class, kept.features.scale) == (20, 5, "log")


def test_what_is_kept_does_not_tell_where_the_clips_lie(tmp_path: Path) -> None:
    folder = project(tmp_path)
    assert climb(folder, "log").returncode == 0
    ran_with, kept = load_params(folder / "params.yaml"), load_params(folder / "reports/ladder/log/params.yaml")
    assert ran_with.data.root != kept.data.root == load_params(ROOT / "presets/subset.yaml").data.root
    assert changed(ran_with, kept) == []
    assert "data.root" not in (folder / "reports/ladder/log/settings.txt").read_text()


def test_a_rung_that_fails_stops_the_script_and_leaves_what_was_kept(tmp_path: Path) -> None:
    folder = project(tmp_path)
    (folder / "fails").write_text("ladder-log")
    assert climb(folder, "official", "log", "equal_steps").returncode != 0
    assert sorted(path.name for path in (folder / "reports/ladder").iterdir()) == ["official"]
    (folder / "fails").unlink()
    assert climb(folder, "official", "log", "equal_steps").stdout == "rung official: finished before\n"
    assert ran(folder) == ["ladder-official", "ladder-log", "ladder-log", "ladder-equal_steps"]


def test_an_unknown_rung_and_no_folder_are_a_line_each(tmp_path: Path) -> None:
    folder = project(tmp_path)
    done = climb(folder, "log", "logg")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: ladder: found the rung logg, wanted one of: {' '.join(EXPERIMENTS)}\n"
    assert not (folder / "log").exists()
    bare = subprocess.run(["sh", "benchmarks/ladder.sh"], cwd=folder, capture_output=True, text=True, check=False)
    assert bare.returncode != 0
    assert bare.stderr.count("\n") == 1
    assert "the folder in UrbanSound8K's layout" in bare.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("generator.stepz=2", "generator.stepz: unknown parameter, wanted one of presets/subset.yaml's"),
        ("generator.steps=abc", "generator.steps: found 'abc', wanted a valid integer"),
        ("data.root=/tmp", "data.root: found it among the settings, wanted it as FOLDER"),
    ],
)
def test_settings_are_checked_before_anything_runs(tmp_path: Path, settings: str, message: str) -> None:
    folder = project(tmp_path)
    done = climb(folder, "log", settings=settings)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: ladder: rung published: {message}")
    assert done.stderr.count("\n") == 1
    assert not (folder / "log").exists()
    assert not (folder / "params.yaml").exists()


# the table


def estimate(mean: float, width: float) -> dict[str, float]:
    return {"mean": mean, "ci_low": mean - width, "ci_high": mean + 2 * width}


def metrics(base: float, delta: float, best: float) -> dict[str, Any]:
    """Accuracies 0..1; intervals reach 1 point below and 2 above, at the best epoch 2 and 4."""
    return {
        "base": {"accuracy": estimate(base, 0.05), "best_epoch_on_test": {"accuracy": base + 0.03}},
        "aug": {"accuracy": estimate(base + delta, 0.05), "best_epoch_on_test": {"accuracy": base + 0.03 + best}},
        "delta": {"accuracy": estimate(delta, 0.01), "best_epoch_on_test": {"accuracy": estimate(best, 0.02)}},
        "corpus": {"clips": 2598},
    }


def test_the_difference_of_two_estimates() -> None:
    found = Estimate(5.0, 2.0, 9.0) - Estimate(1.0, -3.0, 4.0)
    assert found == Estimate(4.0, 4.0 - math.hypot(3, 3), 4.0 + math.hypot(4, 4))
    assert Estimate(5.0, 5.0, 5.0) - Estimate(1.0, -3.0, 4.0) == Estimate(4.0, 1.0, 8.0)


def test_what_each_rung_explains(params: dict[str, Params]) -> None:
    found = {
        "published": Finished(metrics(0.5, 0.02, 0.04), params["published"]),
        "official": Finished(metrics(0.4, 0.005, 0.01), params["official"]),
        "log": Finished(metrics(0.45, 0.01, 0.02), params["log"]),
        "own_generator": Finished(metrics(0.5, -0.01, 0.0), params["own_generator"]),
    }
    published = load_params(ROOT / "presets/published.yaml").classifier
    table = rows(found, published)
    assert [row["rung"] for row in table] == [
        "as_published",
        "published",
        "official",
        "last_epoch",
        "log",
        "own_generator",
    ]
    assert [row["delta"] for row in table] == [5.04, 4.0, 1.0, 0.5, 1.0, -1.0]
    assert [row["explained"] for row in table] == [None, 1.04, 3.0, 0.5, -0.5, None]  # equal_steps is not there
    assert [row["base"] for row in table] == [57.73, 53.0, 43.0, 40.0, 45.0, 50.0]
    assert [row["aug"] for row in table] == [62.77, 57.0, 44.0, 40.5, 46.0, 49.0]
    assert [row["best_epoch_delta"] for row in table] == [None, 4.0, 1.0, 1.0, 2.0, 0.0]
    assert [row["epoch"] for row in table] == [*3 * ["best on test"], *3 * ["last"]]
    # the published figure has no interval: what is missing to it is as uncertain as the rung
    assert (table[1]["explained_low"], table[1]["explained_high"]) == (-2.96, 3.04)
    assert (table[2]["explained_low"], table[2]["explained_high"]) == (
        round(3 - math.hypot(2, 4), 3),
        round(3 + math.hypot(4, 2), 3),
    )
    assert (table[4]["delta_low"], table[4]["delta_high"]) == (0.0, 3.0)
    assert table[0]["network"] == "published"
    assert table[1]["network"] == "stand-in: 16-32-64, 5x5, pooled by 2"
    assert (table[1]["clips"], table[1]["generated_per_class"], table[1]["generator_steps"]) == (2598, 22, 800)
    whole = rows({name: Finished(metrics(0.5, 0.01, 0.02), params[name]) for name in EXPERIMENTS}, published)
    assert sum(row["explained"] for row in whole[1:]) + whole[-1]["delta"] == pytest.approx(5.04)
    assert sum(row["explained"] for row in whole[2:]) == pytest.approx(1.0)
    assert whole[-1]["network"] == "stand-in: 16-32-64, 3x3, pooled by 2, batch norm"
    assert network(published, published) == "published"


def test_what_all_changes_explain_together(params: dict[str, Params]) -> None:
    found = {
        "published": Finished(metrics(0.5, 0.02, 0.04), params["published"]),
        "study": Finished(metrics(0.4, 0.005, 0.01), params["study"]),
    }
    # at the best epoch less at the last
    assert together(found) == pytest.approx((3.5, 3.5 - math.hypot(2, 2), 3.5 + math.hypot(4, 1)))
    for name in found:
        assert together({name: found[name]}) is None


def keep(folder: Path, name: str, params: Params, **figures: float) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "metrics.json").write_text(
        json.dumps(metrics(**{"base": 0.5, "delta": 0.02, "best": 0.04} | figures))
    )
    (folder / name / "params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json")))


def test_table_and_picture_are_written(
    tmp_path: Path, params: dict[str, Params], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ladder, "LADDER", tmp_path)
    monkeypatch.setattr(ladder, "PUBLISHED", ROOT / "presets/published.yaml")
    monkeypatch.setattr("sys.argv", ["ladder"])
    with pytest.raises(StudyError, match="found no finished rung, wanted one or more"):
        ladder.main()
    keep(tmp_path, "published", params["published"])
    keep(tmp_path, "official", params["official"], delta=-0.01)
    ladder.main()
    lines = (tmp_path / "ladder.csv").read_text().splitlines()
    assert lines[1].startswith("as_published,as published,best on test,57.73,62.77,5.04,,,")
    assert lines[4].startswith(
        "last_epoch,best epoch on test -> last epoch,last,50.0,49.0,-1.0,-2.0,1.0,4.0,2.0,8.0,5.0,"
    )
    assert (tmp_path / "ladder.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "best epoch on test -> last epoch" in printed
    assert "together" not in printed
    keep(tmp_path, "study", params["study"], delta=0.01)
    ladder.main()
    assert capsys.readouterr().out.endswith("from published to study together: +3.00 points (+0.17 to +7.12)\n")


@pytest.mark.parametrize("values", [{}, [], {"delta": {"accuracy": 3}}, {"corpus": {"clips": 3}, "base": None}])
def test_metrics_that_are_none_are_named(tmp_path: Path, params: dict[str, Params], values: Any) -> None:
    keep(tmp_path, "official", params["official"])
    path = tmp_path / "official/metrics.json"
    path.write_text(json.dumps(values))
    with pytest.raises(StudyError) as error:
        finished(tmp_path)
    assert str(error.value).startswith(f"{path}: found no metrics of a study (")
    assert str(error.value).endswith("wanted what evaluate writes")


def test_rungs_that_differ_in_more_are_refused(tmp_path: Path, params: dict[str, Params]) -> None:
    keep(tmp_path, "official", params["official"])
    values = params["log"].model_dump(mode="json")
    values["generator"]["steps"] = 20
    values["data"]["root"] = "elsewhere"
    values["leakage"]["max_share"] = None
    keep(tmp_path, "log", parse_params(values))
    with pytest.raises(StudyError) as error:
        finished(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}/log/params.yaml: found generator.steps other than of the rung last_epoch, "
        "wanted a change of features.scale alone (run both rungs again)"
    )


def test_rungs_that_differ_are_found_over_one_that_is_not_there(tmp_path: Path, params: dict[str, Params]) -> None:
    keep(tmp_path, "published", params["published"])
    keep(tmp_path, "log", params["log"])
    assert list(finished(tmp_path)) == ["published", "log"]
    values = params["published"].model_dump(mode="json") | {"seed": 3}
    (tmp_path / "published/params.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(StudyError) as error:
        finished(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}/log/params.yaml: found seed other than of the rung published, ")
    assert "wanted a change of data.split" in str(error.value)
    assert "features.scale alone" in str(error.value)


@pytest.mark.parametrize("figure", ["NaN", "Infinity", '"high"'])
def test_a_figure_that_is_none_is_named(tmp_path: Path, params: dict[str, Params], figure: str) -> None:
    keep(tmp_path, "official", params["official"])
    path = tmp_path / "official/metrics.json"
    path.write_text(path.read_text().replace("0.5", figure, 1))
    with pytest.raises(StudyError, match=r"official/metrics\.json: found no metrics of a study \(.*\), wanted what"):
        finished(tmp_path)


def test_another_preset_is_told_before_anything_runs(tmp_path: Path) -> None:
    folder = project(tmp_path)
    assert climb(folder, "study").returncode == 0
    preset = (folder / "presets/subset.yaml").read_text()
    (folder / "presets/subset.yaml").write_text(preset.replace("\nseed: 0", "\nseed: 1", 1))
    done = climb(folder, "log", "study")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: reports/ladder/study/params.yaml: found seed other than the rung has now, wanted it moved away\n"
    )
    assert ran(folder) == ["ladder-study"]
    (folder / "reports/ladder/study/params.yaml").unlink()
    told = "error: reports/ladder/study: found no params.yaml, wanted a finished rung, or nothing\n"
    assert climb(folder, "study").stderr == told
