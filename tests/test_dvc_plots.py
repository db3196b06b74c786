"""The plots of dvc.yaml between two revisions, drawn: `dvc plots diff`, and what the VS Code extension shows."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import vl_convert
import yaml
from fake_study import fake_params, fake_study, wrong_at_first

from soundaug.reporting import evaluation
from soundaug.reporting.evaluation import compute_metrics, load_study
from soundaug.running.outputs import write_json, write_table
from soundaug.stylizer.report import KINDS

ROOT = Path(__file__).parents[1]
PLOTS: list[dict[str, Any]] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["plots"]
ARMS = ("base", "aug", "duplicate", "mixup")


def run(folder: Path, *command: str) -> str:
    identity = {f"GIT_{who}_{what}": "test@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(command, cwd=folder, env=os.environ | identity, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_reports(folder: Path, data: Path) -> None:
    """Metrics and the tables of the plots, as the stage evaluate writes them."""
    params = fake_params()
    study = load_study(data, params)
    metrics = compute_metrics(study, params, data)
    generator = [{"step": step, "fold": fold, "loss": 1 / step} for fold in (1, 2) for step in (10, 20)]
    lines = [f"{kind}: style accuracy" for kind in KINDS.values()]
    stylize = [{"line": line, "strength": strength, "value": strength} for line in lines for strength in (0.5, 1.0)]
    tables = evaluation.plot_tables(study, metrics) | {"generator": generator, "stylize": stylize}
    write_json(folder / "reports/metrics.json", metrics)
    for name, rows in tables.items():
        write_table(folder / f"reports/plots/{name}.csv", rows)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository with the project's plots and templates, and reports of two runs: in its head and before."""
    folder = tmp_path_factory.mktemp("project")
    run(folder, "git", "init", "-q", "-b", "main")
    run(folder, sys.executable, "-m", "dvc", "init", "-q")
    shutil.copytree(ROOT / ".dvc/plots", folder / ".dvc/plots", dirs_exist_ok=True)
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"plots": PLOTS, "metrics": ["reports/metrics.json"]}))
    fake_study(folder.parent / "first", fake_params())
    fake_study(
        folder.parent / "second", fake_params(), lambda arm, fold, seed, known: wrong_at_first("base", 1, seed, known)
    )
    for data in ("first", "second"):
        write_reports(folder, folder.parent / data)
        run(folder, "git", "add", "-A")
        run(folder, "git", "commit", "-q", "-m", data)
        run(folder, "git", "tag", data)
    return folder


@pytest.fixture(scope="module")
def drawn(project: Path) -> dict[str, str]:
    """The SVG of every plot."""
    answer = json.loads(run(project, sys.executable, "-m", "dvc", "plots", "diff", "--json", "first", "second"))
    assert answer.get("errors", []) == []
    found = {}
    for title, (plot,) in answer["data"].items():
        assert plot["revisions"] == ["first", "second"]
        content = plot["content"]
        found[title] = vl_convert.vegalite_to_svg(json.loads(content) if isinstance(content, str) else content)
    return found


def count(svg: str, kind: str) -> int:
    return len(re.findall(f'aria-roledescription="{kind}"', svg))


def test_every_plot_is_drawn_with_both_runs(drawn: dict[str, str]) -> None:
    assert set(drawn) == {next(iter(plot)) for plot in PLOTS}
    for title, svg in drawn.items():
        assert ">first<" in svg, title
        assert ">second<" in svg, title


def test_intervals_and_differences(drawn: dict[str, str]) -> None:
    for title, arms in (("Accuracy per arm", ARMS), ("Difference to base", ARMS[1:])):
        svg = drawn[title]
        assert count(svg, "rule mark") == count(svg, "point") == 2 * len(arms)
        assert all(f">{arm}<" in svg for arm in arms)
    assert ">base<" not in drawn["Difference to base"]
    assert 'aria-label="mean: 0.125; arm: aug; rev: first;' in drawn["Difference to base"]


def test_lines_are_those_of_arms_folds_or_music(drawn: dict[str, str]) -> None:
    for title in ("Test accuracy while training", "Training loss"):
        assert count(drawn[title], "line mark") == 2 * len(ARMS)
    assert count(drawn["Generator loss"], "line mark") == 2 * 2
    assert ">fold 2<" in drawn["Generator loss"]
    assert count(drawn["Restyled music"], "line mark") == 2 * len(KINDS)
    assert ">Bach: style accuracy<" in drawn["Restyled music"]


def test_metrics_are_compared_by_readable_names(project: Path) -> None:
    text = run(project, sys.executable, "-m", "dvc", "metrics", "diff", "first", "second", "--md")
    table = [row.split("|") for row in text.splitlines() if row]
    rows = {cells[2].strip(): [cell.strip() for cell in cells[3:6]] for cells in table}
    assert rows["delta.accuracy.mean"] == ["0.125", "0.0", "-0.125"]
    assert rows["aug.accuracy.mean"] == ["0.75", "0.625", "-0.125"]
