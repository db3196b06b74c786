"""dvc.yaml at work: what a change in the data or in params.yaml makes DVC run again, and what it leaves alone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from tiny_pipeline import ROOT, tiny_params

DVC = [sys.executable, "-m", "dvc"]
CLASSES = ("bell", "rain")


def dvc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # The stages' own `python` must be the one that runs the tests.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [*DVC, *arguments], cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )


def write_params(folder: Path, **changes: object) -> None:
    changes = {"data.source": "directory", "data.root": str(folder / "sounds")} | changes
    changes["leakage.max_share"] = None  # one tone is much like another
    values = tiny_params({name.replace("__", "."): value for name, value in changes.items()})
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))


def write_sound(path: Path, hz: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(8000) / 8000
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * hz * time), 8000)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project on a small folder of its own, fetched and featurized."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("soundaug", "stages"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder / name)
    for index, name in enumerate(CLASSES):
        for recording in range(4):
            write_sound(folder / f"sounds/{name}/r{recording}_a.wav", 300 * (index + 1) + 20 * recording)
    write_params(folder, data__group_pattern=r"/(r\d)_")
    assert dvc(folder, "init", "--no-scm", "-q").returncode == 0
    done = dvc(folder, "repro", "featurize")
    assert done.returncode == 0, done.stderr
    return folder


def changed(folder: Path) -> set[str]:
    """Stages among those that ran that DVC would run again."""
    answer = dvc(folder, "status", "--json", "fetch", "featurize")
    assert answer.returncode == 0, answer.stderr
    return set(json.loads(answer.stdout))


def test_nothing_changed_means_nothing_to_run_and_no_audio_was_copied(project: Path) -> None:
    assert changed(project) == set()
    assert not list((project / "data").rglob("*.wav"))


def test_a_changed_sound_is_noticed_and_put_back_is_not(project: Path) -> None:
    path = project / "sounds/bell/r0_a.wav"
    before = path.read_bytes()
    try:
        write_sound(path, 1234)
        assert changed(project) == {"fetch"}  # and what reads sounds, once fetch has told which changed
        assert "Running stage 'featurize'" in dvc(project, "repro", "featurize").stdout
    finally:
        path.write_bytes(before)
    again = dvc(project, "repro", "featurize")
    assert "Stage 'fetch' is cached" in again.stdout
    assert "Stage 'featurize' is cached" in again.stdout
    assert changed(project) == set()


@pytest.mark.parametrize(
    ("name", "value", "stages"),
    [
        ("features__n_mels", 24, {"featurize"}),
        ("generate__per_class", 7, set()),
        ("training__steps", 99, set()),
        ("seed", 5, {"fetch", "featurize"}),
    ],
)
def test_a_changed_parameter_touches_the_stages_that_read_it(
    project: Path, name: str, value: object, stages: set[str]
) -> None:
    write_params(project, data__group_pattern=r"/(r\d)_", **{name: value})
    try:
        assert changed(project) == stages
    finally:
        write_params(project, data__group_pattern=r"/(r\d)_")


def test_a_mistake_is_one_line_and_keeps_what_was_there(project: Path) -> None:
    before = (project / "data/features/fold1.npz").read_bytes()
    write_params(project, data__group_pattern=r"/(r\d)_", features__clip_seconds="1e-3")
    try:
        failed = subprocess.run(
            [sys.executable, "-m", "stages.featurize"], cwd=project, capture_output=True, text=True, check=False
        )
    finally:
        write_params(project, data__group_pattern=r"/(r\d)_")
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    assert failed.stderr.startswith("error: params.yaml: features.clip_seconds: found '1e-3', wanted a valid number")
    assert (project / "data/features/fold1.npz").read_bytes() == before
