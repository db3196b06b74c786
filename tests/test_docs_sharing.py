"""The commands of docs/sharing.md, on a toy pipeline, a folder as remote and a bare Git repository as origin."""

import os
import sys
from pathlib import Path

import pytest
import yaml
from documented import commands, run_shell
from tiny_pipeline import ROOT

PIPELINE = {
    "stages": {
        "generate": {
            "cmd": 'echo generate >> "$RUNS"; mkdir -p data; grep per_class params.yaml > data/clips.txt',
            "params": ["generate"],
            "outs": ["data/clips.txt"],
        },
        "evaluate": {
            "cmd": 'echo evaluate >> "$RUNS"; python evaluate.py',
            "deps": ["data/clips.txt", "evaluate.py"],
            "metrics": [{"reports/metrics.json": {"cache": False}}],
        },
    }
}

EVALUATE = """
import json, pathlib
gain = int(pathlib.Path("data/clips.txt").read_text().split(":")[1]) / 1000
figures = {"base": {"accuracy": {"mean": 0.6}}, "aug": {"accuracy": {"mean": 0.6 + gain}}}
figures["delta"] = {"accuracy": {"mean": gain, "ci_low": gain - 0.1, "ci_high": gain + 0.1}}
pathlib.Path("reports").mkdir(exist_ok=True)
pathlib.Path("reports/metrics.json").write_text(json.dumps(figures))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the page's commands said, and how often the stages ran by the end, under ``runs``."""
    home = tmp_path_factory.mktemp("home")
    study = home / "study"
    study.mkdir()
    (study / "dvc.yaml").write_text(yaml.safe_dump(PIPELINE))
    (study / "evaluate.py").write_text(EVALUATE)
    (study / "params.yaml").write_text("generate:\n  per_class: 50\n  steps: 8\n")
    (study / ".gitignore").write_text("/data/\n")
    identity = {f"GIT_{who}_{what}": "test@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | identity | {"PATH": path, "HOME": str(home), "RUNS": str(home / "runs"), "COLUMNS": "80"}
    before = [
        "git init -q -b main",
        "dvc init -q",
        "dvc config core.analytics false",
        "git init -q --bare -b main ../study.git",
        "git remote add origin ../study.git",
        "dvc repro -q",
        "git add -A",
        "git commit -q -m run",
    ]
    told = run_shell([*before, *commands(ROOT / "docs/sharing.md")], study, environment)
    return told | {"runs": (home / "runs").read_text(), "home": str(home)}


def test_a_clone_computes_nothing_what_was_pushed_is_enough(said: dict[str, str]) -> None:
    assert said["runs"].split() == ["generate", "evaluate"] * 3  # the first run and two experiments
    assert "Data and pipelines are up to date." in said["dvc repro"]
    for folder, text in {"study": "per_class: 50", "theirs": "per_class: 100"}.items():
        assert text in (Path(said["home"]) / folder / "params.yaml").read_text()
    assert "per_class: 100" in (Path(said["home"]) / "theirs/data/clips.txt").read_text()


def test_experiments_are_listed_where_they_were_pushed(said: dict[str, str]) -> None:
    assert "hundred" in said["dvc exp list origin"]
    assert "twenty-five" not in said["dvc exp list origin"]


def test_the_tables_of_experiments_fit_80_columns(said: dict[str, str]) -> None:
    one, other = (text for line, text in said.items() if line.startswith("dvc exp show --no-pager"))
    for table, columns in (
        (one, ["Experiment", "delta.accuracy.mean", "generate.per_class"]),
        (other, ["Experiment", "aug.accuracy.mean", "delta.accuracy.mean"]),
    ):
        assert max(map(len, table.splitlines())) <= 80, table
        assert all(column in table for column in columns), table
        assert "[hundred]" in table
        assert "0.025" in table
        assert "…" not in table


def test_runs_are_compared(said: dict[str, str]) -> None:
    (metrics,) = (text for line, text in said.items() if line.startswith("dvc metrics diff"))
    row = next(line.split() for line in metrics.splitlines() if "delta.accuracy.mean" in line)
    assert row[1:] == ["delta.accuracy.mean", "0.1", "0.025", "-0.075"]
    assert "generate.per_class  100        25" in said["dvc params diff hundred twenty-five"]
