"""What the docs say of the cache, tried with this project's configuration of DVC: files lost, damaged and read-only."""

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKE = """
import sys
from pathlib import Path
folder = Path(sys.argv[1])
folder.mkdir(parents=True)
for name in ("a", "b"):
    (folder / name).write_text(1000 * sys.argv[2] + name)
"""
STAGES = """
stages:
  one: {cmd: python make.py data/one 1, deps: [make.py], outs: [data/one]}
  two: {cmd: python make.py data/two 2, deps: [data/one], outs: [data/two]}
"""
GOOD = "Data and pipelines are up to date."


def call(folder: Path, *command: str) -> str:
    """What a command says, and its exit code in the last line."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return f"{done.stdout}{done.stderr}exit code {done.returncode}"


def dvc(folder: Path, *arguments: str) -> str:
    return call(folder, sys.executable, "-m", "dvc", *arguments)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two stages that have run, with the cache as this project has it."""
    (tmp_path / "make.py").write_text(MAKE)
    (tmp_path / "dvc.yaml").write_text(STAGES.replace("python", sys.executable))
    call(tmp_path, "git", "init", "--quiet")
    dvc(tmp_path, "init", "--quiet")
    shutil.copy(ROOT / ".dvc/config", tmp_path / ".dvc/config")
    assert dvc(tmp_path, "repro").endswith("exit code 0")
    return tmp_path


def cached(project: Path, content: str) -> Path:
    """The file of the cache with ``content``."""
    name = hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()
    return project / ".dvc/cache/files/md5" / name[:2] / name[2:]


def truncate(path: Path, protected: bool) -> None:
    path.chmod(0o644)
    path.write_text("")
    path.chmod(0o444 if protected else 0o644)


def whole(project: Path) -> bool:
    found = {path.relative_to(project).as_posix(): path.read_text() for path in project.glob("data/*/*")}
    wanted = {f"data/{stage}/{name}": 1000 * of + name for stage, of in (("one", "1"), ("two", "2")) for name in "ab"}
    return found == wanted and GOOD in dvc(project, "status")


def lose_a_file_of_the_cache(project: Path) -> None:
    cached(project, "1" * 1000 + "a").unlink()


def lose_it_and_the_output(project: Path) -> None:
    lose_a_file_of_the_cache(project)
    shutil.rmtree(project / "data/one")


def lose_the_cache(project: Path) -> None:
    shutil.rmtree(project / ".dvc/cache")


def lose_all(project: Path) -> None:
    lose_the_cache(project)
    shutil.rmtree(project / "data")


def damage_the_cache(project: Path) -> None:
    truncate(cached(project, "1" * 1000 + "a"), protected=False)
    shutil.rmtree(project / "data/one")


@pytest.mark.parametrize(
    "harm", [lose_a_file_of_the_cache, lose_it_and_the_output, lose_the_cache, lose_all, damage_the_cache]
)
def test_what_the_cache_lost_is_made_again(project: Path, harm: Callable[[Path], None]) -> None:
    harm(project)
    said = dvc(project, "repro")
    assert said.endswith("exit code 0")
    assert "Running stage 'one'" in said
    assert "Traceback" not in said
    assert whole(project)


def test_a_damaged_output_is_taken_from_the_cache(project: Path) -> None:
    (project / "data/two/b").unlink()  # it may be the cache's own file
    (project / "data/two/b").write_text("cut")
    assert "modified:           data/two" in dvc(project, "status")
    assert "Stage 'two' is cached" in dvc(project, "repro")
    assert whole(project)


def test_the_docs_line_removes_what_is_damaged_and_protected(project: Path) -> None:
    truncate(cached(project, "1" * 1000 + "a"), protected=True)
    shutil.rmtree(project / "data/one")
    dvc(project, "repro")
    assert not whole(project)  # DVC trusts it
    text = (ROOT / "docs/robustness.md").read_text(encoding="utf-8")
    found = re.search(r"```sh\n(find \.dvc/cache.*?)```", text, re.DOTALL)
    assert found
    assert call(project, "sh", "-c", found[1]).endswith("exit code 0")
    shutil.rmtree(project / "data")
    said = dvc(project, "repro")
    assert "Running stage 'one'" in said
    assert "Stage 'two' is cached" in said or "Stage 'two' didn't change" in said  # what was sound stayed
    assert whole(project)


def test_a_read_only_cache_is_told_in_a_line(project: Path) -> None:
    (project / "dvc.yaml").write_text(STAGES.replace("python", sys.executable).replace("two 2", "two 3"))
    cache = project / ".dvc/cache"
    mounts = f"mount --bind '{cache}' '{cache}' && mount -o remount,ro,bind '{cache}'"
    try:
        mounted = call(project, "unshare", "--mount", "sh", "-c", mounts).endswith("exit code 0")
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("nothing can be mounted read-only here: it takes the rights of root")
    lock = (project / "dvc.lock").read_text()
    said = call(project, "unshare", "--mount", "sh", "-c", f"{mounts} && '{sys.executable}' -m dvc repro")
    assert not said.endswith("exit code 0")
    assert re.search(r"ERROR: failed to reproduce 'two': .*Read-only file system: '.*\.dvc/cache", said)
    assert "Traceback" not in said
    assert (project / "dvc.lock").read_text() == lock
    assert dvc(project, "repro").endswith("exit code 0")
    assert (project / "data/two/a").read_text() == "3" * 1000 + "a"
    assert GOOD in dvc(project, "status")
