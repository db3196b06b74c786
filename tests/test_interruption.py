"""The program that kills the pipeline, on a pipeline of seconds; and a stage that Ctrl-C meets while it imports."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from benchmarks.interruption import Clone, Life, interrupted, plan
from soundaug import INTERRUPTED

ROOT = Path(__file__).parents[1]

MAKE = """
import os, sys, time
from pathlib import Path
time.sleep(0.5)
Path(sys.argv[1]).parent.mkdir(exist_ok=True)
Path(sys.argv[1]).write_text(sys.argv[2] if len(sys.argv) > 2 else str(os.getpid()))
"""
WAIT = """Path("begun").touch()
while not Path("go").exists():
    time.sleep(0.1)"""
STAGES = """
stages:
  one: {cmd: python make.py data/one 1, deps: [make.py], outs: [data/one]}
  two: {cmd: python make.py data/two, deps: [data/one], outs: [data/two]}
  three:
    cmd: python make.py reports/metrics.json 3
    deps: [data/two]
    metrics: [{reports/metrics.json: {cache: false}}]
"""


def call(folder: Path, *command: str) -> None:
    identity = {f"GIT_{who}_{what}": "x@y" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=os.environ | identity)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three stages of half a second; what the second one writes differs from run to run."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "make.py").write_text(MAKE)
    (folder / "dvc.yaml").write_text(STAGES)
    call(folder, "git", "init", "--quiet")
    call(folder, sys.executable, "-m", "dvc", "init", "--quiet")
    call(folder, "git", "add", "--all")
    call(folder, "git", "commit", "--quiet", "--message", "project")
    return folder


def test_the_moments_are_spread_over_the_stages() -> None:
    found = plan(30, 48, seed=1)
    assert found == sorted(found) == plan(30, 48, seed=1) != plan(30, 48, seed=2)
    stages = [kill.stage for kill in found]
    assert len(set(stages)) >= 24
    assert all(abs(stage - 48 * index / 30) <= 3 for index, stage in enumerate(stages))
    assert all(0 <= kill.share < 1 for kill in found)
    assert {kill.stage for kill in plan(30, 3, seed=1)} == {0, 1, 2}


def test_a_stage_takes_until_the_next_starts() -> None:
    assert Life([("a", 1.0), ("b", 3.5)], ended=4.0).seconds() == {"a": 2.5, "b": 0.5}


def test_killed_and_started_again(project: Path, tmp_path: Path) -> None:
    found = interrupted(project, tmp_path, None, None, count=2, seed=3)  # early in the first and in the last stage
    assert found.kills == 2
    assert found.differing == ["data/two"]  # what differs of itself is found
    assert found.compared == 3
    assert found.most_repeated < 60
    assert found.seconds_killed > found.seconds_alone


def test_a_half_written_lock_is_put_back(project: Path, tmp_path: Path) -> None:
    clone = Clone(project, tmp_path / "clone", None, "one")
    assert clone.repro().code == 0
    call(clone.folder, "git", "add", "dvc.lock")
    lock = (clone.folder / "dvc.lock").read_text()
    (clone.folder / "dvc.lock").write_text(lock[: lock.index("outs:") + 6])
    life = clone.repro()
    assert life.code != 0
    assert clone.mend(life)
    assert (clone.folder / "dvc.lock").read_text() == lock
    assert not clone.mend(Life(said=["ERROR: something else"]))


def test_two_at_once(project: Path, tmp_path: Path) -> None:
    """The second is refused with a line that says who is at work, and does not disturb the first."""
    clone = Clone(project, tmp_path / "clone", None, "one")
    (clone.folder / "make.py").write_text(MAKE.replace("time.sleep(0.5)", WAIT))
    lives: list[Life] = []
    first = threading.Thread(target=lambda: lives.append(clone.repro()))
    first.start()
    while not (clone.folder / "begun").exists():
        time.sleep(0.1)
    second = clone.repro()
    (clone.folder / "go").touch()
    first.join()
    assert second.code != 0
    assert any("busy" in line or "lock" in line for line in second.said)
    assert not any("Traceback" in line for line in second.said)
    assert lives[0].code == 0
    assert (clone.folder / "data/one").read_text() == "1"


@pytest.mark.parametrize("command", [["stages.train_base", "--fold", "1", "--seed", "0"], ["soundaug.cli", "--help"]])
def test_ctrl_c_while_it_imports_ends_with_a_line(command: list[str], tmp_path: Path) -> None:
    stop = "import os, signal; os.kill(os.getpid(), signal.SIGINT)\n"
    (tmp_path / "numpy.py").write_text(stop)  # met in the midst of the imports, before main is called
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it is inherited where a shell ignores it
    try:
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.returncode == -signal.SIGINT
    assert done.stderr == f"{INTERRUPTED}\n"
