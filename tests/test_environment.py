"""What is told of the machine and of the stages."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_study import fake_params

from soundaug.reporting.environment import environment, stage_usage
from soundaug.running import scratch
from soundaug.running.usage import record_usage


def test_environment_names_versions() -> None:
    found = environment()
    assert isinstance(found["packages"], dict)
    assert re.match(r"\d+\.\d+", found["packages"]["numpy"])
    assert found["cores"]


def test_instructions_are_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    told = "model name\t: A\nflags\t\t: fpu avx2 avx512f avx512_bf16_not\nmodel name\t: B\nflags\t\t: fpu amx_bf16\n"
    monkeypatch.setattr(Path, "is_file", lambda path: True)
    monkeypatch.setattr(Path, "read_text", lambda path, **options: told)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.0")
    found = environment()
    assert (found["processor"], found["instructions"]) == ("A", ["avx2", "avx512f"])
    monkeypatch.setattr(Path, "is_file", lambda path: False)
    assert environment()["instructions"] == []


def note(folder: Path, name: str, arguments: list[str], seconds: float, peak_mb: int) -> None:
    found = {"stage": name, "arguments": arguments, "seconds": seconds, "peak_mb": peak_mb}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}{len(list(folder.iterdir()))}.json").write_text(json.dumps(found))


def test_runs_are_summed_by_stage_the_slowest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "ROOT", tmp_path)
    params = fake_params(folds=[1, 2], seeds=[0], controls=["mixup"])
    assert stage_usage(params) == {}
    note(tmp_path / "usage", "fetch", [], 2.0, 90)
    note(tmp_path / "usage", "train_base", ["--fold", "1", "--seed", "0"], 10.5, 300)
    note(tmp_path / "usage", "train_base", ["--fold", "2", "--seed", "0"], 12.0, 200)
    note(tmp_path / "usage", "train_base", ["--fold", "3", "--seed", "0"], 99.0, 999)  # no fold of this run
    note(tmp_path / "usage", "train_control", ["--control", "duplicate", "--fold", "1", "--seed", "0"], 99.0, 999)
    note(tmp_path / "usage", "evaluate", [], 99.0, 999)
    assert list(stage_usage(params).items()) == [
        ("train_base", {"runs": 2, "seconds": 22.5, "longest": 12.0, "peak_mb": 300}),
        ("fetch", {"runs": 1, "seconds": 2.0, "longest": 2.0, "peak_mb": 90}),
    ]


SLEEPER = """
import time
from soundaug.running.errors import StudyError, run_stage
HELD = bytearray(200 * 2**20)
def main():
    time.sleep(0.3)
    import sys
    if "--fail" in sys.argv:
        raise StudyError("no")
run_stage(main)
"""


def test_a_stage_notes_its_time_and_peak_when_it_ends_well(tmp_path: Path) -> None:
    script = tmp_path / "stages" / "sleep.py"
    script.parent.mkdir()
    script.write_text(SLEEPER)
    root = str(Path(__file__).parents[1])
    # Of a process that is started anew Linux counts what the one before had, which is a lot here: the shell has little.
    command = ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, str(script), "--fold", "1"]
    for more in (["--fail"], []):
        subprocess.run([*command, *more], cwd=tmp_path, env={"PYTHONPATH": root}, check=False, capture_output=True)
    (path,) = (tmp_path / ".scratch/usage").iterdir()
    assert path.name == "sleep_fold_1.json"
    found = json.loads(path.read_text())
    assert (found["stage"], found["arguments"]) == ("sleep", ["--fold", "1"])
    assert 0.3 <= found["seconds"] < 30
    assert 200 <= found["peak_mb"] < 2000


def test_no_other_program_notes_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "ROOT", tmp_path)
    record_usage()
    assert list(tmp_path.iterdir()) == []
