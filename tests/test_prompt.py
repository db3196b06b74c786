"""Every stage at the prompt: its help, its progress bar on a terminal, its silence in a pipe."""

import ast
import importlib
import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_pipeline import ROOT, tiny_params

STAGES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


@pytest.mark.parametrize("stage", STAGES)
def test_help_names_what_a_stage_does_reads_and_writes(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # without params.yaml or data
    monkeypatch.setattr(sys, "argv", [f"{stage}.py", "--help"])
    monkeypatch.setenv("COLUMNS", "1000")
    module = importlib.import_module(f"stages.{stage}")
    with pytest.raises(SystemExit) as left:
        module.main()
    assert left.value.code == 0
    told = capsys.readouterr().out
    assert told.startswith(f"usage: {stage}.py [-h]")
    assert f"\n{stage}: " in told
    definition = STAGES[stage]
    read = [path for path in definition["deps"] if path.startswith("data/")]
    outputs = [*definition["outs"], *definition.get("metrics", []), *definition.get("plots", [])]
    written = [next(iter(path)) if isinstance(path, dict) else path for path in outputs]
    for path in [*read, *written]:
        top, second, *_ = path.split("/")
        assert (second if top == "reports" else f"{top}/{second.partition('$')[0]}") in told, path
    for path in written:
        name = path.rpartition("/")[2]
        assert "$" in name or name in told, path
    for name in definition.get("matrix", {}):
        assert re.search(rf"\n  --{name} \S+\s+[a-z]", told), name  # with a sentence of its own
    assert list(tmp_path.iterdir()) == []


def bars() -> list[tuple[str, ast.Call]]:
    """Every progress bar of the package and the stages, and where it is."""
    found = []
    for path in sorted([*(ROOT / "soundaug").rglob("*.py"), *(ROOT / "stages").glob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("tqdm", "tqdm.wrapattr"):
                found.append((f"{path.relative_to(ROOT)}:{node.lineno}", node))
    return found


def test_every_bar_is_named_counted_and_silent_in_a_pipe() -> None:
    assert len(bars()) > 10
    for where, call in bars():
        given = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert given["disable"] in ("None", "disable"), where  # None: on a terminal alone
        assert {"desc", "unit"} <= set(given), where


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A folder with toy parameters."""
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tiny_params(), sort_keys=False))
    return tmp_path


FETCH = [sys.executable, "-m", "stages.fetch"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


def test_a_bar_with_rate_and_remaining_time_on_a_terminal(toy: Path) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    with subprocess.Popen(FETCH, cwd=toy, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=theirs) as stage:
        os.close(theirs)
        told = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
            if not part:
                break
            told += part
        os.close(ours)
        assert stage.stdout is not None
        assert b"fetched 80 clips" in stage.stdout.read()
    assert stage.returncode == 0
    for bar in ("synthesise: 100%|40/40|recording", "checksums: 100%|80/80|clip"):
        name, total, unit = map(re.escape, bar.split("|"))
        line = rf"{name}\|[^\r]*\| {total} \[\d\d:\d\d<00:00, [^\r]*({unit}/s|s/{unit})\]"
        assert re.search(line, told.decode()), told


def test_no_bar_in_a_pipe(toy: Path) -> None:
    done = subprocess.run(FETCH, cwd=toy, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
