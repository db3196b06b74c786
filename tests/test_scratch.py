"""Work in progress is found again by what decides its result, and by nothing else."""

from pathlib import Path

import numpy as np
import pytest

from soundaug.params import SpecAugment
from soundaug.running import scratch
from soundaug.running.scratch import Scratch


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(scratch, "ROOT", tmp_path / "scratch")
    return tmp_path / "scratch"


def test_the_same_decides_give_the_same_folder(root: Path, tmp_path: Path) -> None:
    source = tmp_path / "source.py"
    source.write_text("x = 1")
    array = np.arange(6.0).reshape(2, 3)
    first = Scratch("task", SpecAugment(frequency=0.5, time=0.9), 3, array, source)
    again = Scratch("task", SpecAugment(frequency=0.5, time=0.9), 3, array.copy(order="F"), source)
    assert first.folder == again.folder
    assert first.folder.parent == root / "task"
    first.file("checkpoint").write_text("work")
    assert again.file("checkpoint").read_text() == "work"


def test_whatever_decides_the_result_changes_the_folder(tmp_path: Path) -> None:
    source = tmp_path / "source.py"
    settings = SpecAugment(frequency=0.5, time=0.9)
    array = np.arange(6.0)

    def folder(task: str = "task", *decides: object) -> Path:
        return Scratch(task, *decides).folder

    source.write_text("x = 1")
    folders = [folder("task", settings, 3, array, source), folder("other", settings, 3, array, source)]
    folders += [
        folder("task", SpecAugment(frequency=0.5, time=0.8), 3, array, source),
        folder("task", settings, 4, array, source),
        folder("task", settings, 3, array + 1e-12, source),
        folder("task", settings, 3, array, source, "more"),
        folder("task", 3, settings, array, source),
    ]
    source.write_text("x = 2")
    folders.append(folder("task", settings, 3, array, source))
    assert len(set(folders)) == len(folders) == 8


def test_a_finished_task_is_forgotten(root: Path) -> None:
    task, other = Scratch("task", 1), Scratch("task", 2)
    task.file("checkpoint").write_text("work")
    task.remove()
    assert list((root / "task").iterdir()) == [other.folder]
    task.remove()  # twice does no harm
    assert not Scratch("task", 1).file("checkpoint").exists()
