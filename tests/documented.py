"""Shell commands of a page of the docs, and a shell that runs them: DVC's in one process, which imports it once."""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

SHELL = """
import os, shlex, subprocess, sys
from dvc.cli import main

def run(command):
    if command.startswith("cd "):
        os.chdir(shlex.split(command)[1])
        return 0
    if command.startswith("dvc "):
        return main(shlex.split(command, comments=True)[1:])
    return subprocess.run(["bash", "-c", command]).returncode

for line in sys.stdin.read().splitlines():
    print("$ " + line, flush=True)
    for command in line.split(" && "):
        if code := run(command):
            sys.exit(f"{command}: {code}")
        sys.stdout.flush()
"""


def commands(page: Path) -> list[str]:
    """The lines of every sh block of a page, in order."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def run_shell(lines: list[str], folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """What each of ``lines`` says, run one after the other from ``folder`` on; AssertionError when one fails."""
    done = subprocess.run(
        [sys.executable, "-c", SHELL],
        input="\n".join(lines),
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    parts = re.split(r"^\$ (.*)\n", done.stdout, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))
