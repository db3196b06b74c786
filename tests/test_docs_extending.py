"""The patches of docs/extending.md apply, touch one file and the schema each, and the pipeline runs with them."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_pipeline import ROOT

PATCHES = re.findall(r"^```diff\n(.*?)^```$", (ROOT / "docs/extending.md").read_text(encoding="utf-8"), re.M | re.S)

PIPELINE = """
import json, sys
from pathlib import Path
import numpy as np
from soundaug.interpolation import read_pairs
from soundaug.folds.packed import ClipSet
from soundaug.reporting.tables import ARMS
from tiny_pipeline import run, tiny_params, workspace

values = tiny_params({
    "data.source": "esc50",
    "data.root": sys.argv[1],
    "folds": [1],
    "controls": ["reverse"],
    "control.reverse": {},
    "generate.sampler": "half_ddpm",
    "generate.candidates": 1,
})
with workspace(Path("study").resolve(), values):
    run("fetch")
    run("featurize")
    for stage in ("train_helper", "train_generator", "generate"):
        run(stage, "--fold", 1)
    run("train_control", "--control", "reverse", "--fold", 1, "--seed", 0)
    pairs = read_pairs(Path("data/generated/fold1/pairs.csv"))
    made = ClipSet.load(Path("data/generated/fold1/mels.npz"))
    summary = json.loads(Path("data/runs/reverse/fold1/seed0/summary.json").read_text())
    print(json.dumps({
        "recordings": sorted({pair.fs_id_a for pair in pairs}),
        "finite": bool(np.isfinite(made.mel).all()),
        "made": len(made),
        "arm": ARMS["reverse"],
        "summary": summary,
    }))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code with all patches applied."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("soundaug", "stages", "presets"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tests").mkdir()
    shutil.copy(ROOT / "tests/tiny_pipeline.py", folder / "tests")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for patch in PATCHES:
        command = ["git", "apply", "-C1", "-"]
        done = subprocess.run(command, cwd=folder, input=patch, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def esc50(tmp_path: Path) -> Path:
    """Three classes, two folds, two recordings of two clips each, in ESC-50's layout."""
    rng, rows = np.random.default_rng(0), []
    (tmp_path / "meta").mkdir()
    (tmp_path / "audio").mkdir()
    for fold in (1, 2):
        for target, category in enumerate(("dog", "rain", "clapping")):
            for recording in range(2):
                for take in "AB":
                    source = 1000 * fold + 10 * target + recording
                    name = f"{fold}-{source}-{take}-{target}.wav"
                    soundfile.write(tmp_path / "audio" / name, 0.1 * rng.standard_normal(8000), 8000)
                    rows.append([name, fold, target, category, False, source, take])
    with (tmp_path / "meta/esc50.csv").open("w", newline="") as file:
        columns = ["filename", "fold", "target", "category", "esc10", "src_file", "take"]
        csv.writer(file).writerows([columns, *rows])
    return tmp_path


def test_each_patch_touches_one_file_and_the_schema() -> None:
    assert [sorted(re.findall(r"^\+\+\+ b/(.*)$", patch, re.M)) for patch in PATCHES] == [
        ["soundaug/controls.py", "soundaug/params.py"],
        ["soundaug/generation/solvers.py", "soundaug/params.py"],
        ["soundaug/params.py", "soundaug/sources/kinds.py"],
    ]


def test_the_patched_code_is_styled_as_the_rest(project: Path) -> None:
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            ["ruff", *command, "--no-cache", "soundaug"], cwd=project, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


def test_the_pipeline_runs_with_the_new_control_sampler_and_source(project: Path, esc50: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PIPELINE, str(esc50)],
        cwd=project,
        env={"PYTHONPATH": f"{project}:{project / 'tests'}", "SOUNDAUG_DEVICE": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "recordings": ["2000", "2001", "2010", "2011", "2020", "2021"],
        "finite": True,
        "made": 9,
        "arm": "and the same parents played backwards",
        "summary": {"n_train": 12, "n_extra": 9, "n_test": 12, "steps": 12},
    }
