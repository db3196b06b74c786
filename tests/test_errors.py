"""How a stage ends: its exit code and what it says."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from soundaug.running.errors import StudyError, run_stage

FULL = "No space left on device, wanted room for it on the disk: free some, then run the same command to go on"


def raising(error: BaseException) -> Callable[[], None]:
    def main() -> None:
        raise error

    return main


def missing_file() -> None:
    Path("not/there.csv").read_text()


@pytest.mark.parametrize(
    ("main", "code", "line"),
    [
        (lambda: None, 0, ""),
        (raising(StudyError("a.csv: found 1, wanted 2")), 1, "error: a.csv: found 1, wanted 2\n"),
        (raising(StudyError("a.yaml: no YAML:\n  line 1\n    ^")), 1, "error: a.yaml: no YAML: line 1 ^\n"),
        (raising(OSError(errno.ENOSPC, "full", "data/x.npz")), 1, f"error: data/x.npz: {FULL}\n"),
        (raising(OSError(errno.ENOSPC, "full")), 1, f"error: {FULL}\n"),
        (
            raising(OSError(errno.EROFS, "no", "x")),
            1,
            "error: x: Read-only file system, wanted a disk that may be written to\n",
        ),
        (
            raising(PermissionError(errno.EACCES, "no", "data")),
            1,
            "error: data: Permission denied, wanted the right to read and write it\n",
        ),
        (missing_file, 1, "error: not/there.csv: No such file or directory\n"),
        (
            raising(KeyboardInterrupt()),
            130,
            "interrupted: what was finished is kept, run the same command to go on\n",
        ),
    ],
)
def test_exit_code_and_the_one_line(
    main: Callable[[], None], code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        run_stage(main)
    assert raised.value.code == code
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyError("x"), ValueError("x"), OSError("no number")])
def test_a_programming_error_is_not_hidden(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        run_stage(raising(error))
    assert raised.value is error


def test_a_programming_error_keeps_its_traceback() -> None:
    code = "from soundaug.running.errors import run_stage\ndef main(): 1 / 0\nrun_stage(main)\n"
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(root)}
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert done.stderr.rstrip().endswith("ZeroDivisionError: division by zero")


def test_it_ends_without_a_last_look_for_cycles() -> None:
    code = (
        "import atexit, gc; from soundaug.running.errors import run_stage\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 1000))\n"  # the last to be called
        "run_stage(lambda: None)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True\n"
