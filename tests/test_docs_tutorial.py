"""The steps of docs/tutorial.md, on the folder it lists, at toy size."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml
from documented import run_shell
from tiny_pipeline import ROOT, run, run_pipeline, tiny_params

from soundaug.params import load_params
from soundaug.running import scratch
from soundaug.running.errors import StudyError

PAGE = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
Block = tuple[str, str]  # language and text
BLOCKS: list[Block] = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
HZ = {"bell": 2000, "door": 150, "kettle": 700}


def blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCKS if kind == language]


def write_clip(path: Path, hz: float, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    time, rng = np.arange(8000) / 8000, np.random.default_rng(seed)
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * hz * time) + 0.02 * rng.standard_normal(8000), 8000)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What was said on the way, in the order of the blocks; the quick preset is a toy, and stages run in this process.

    A silent clip comes where the page says so, and the line of the stage that it stops is under ``error``.
    """
    home = tmp_path_factory.mktemp("home")
    folder, sounds = home / "study", home / "sounds"
    (folder / "presets").mkdir(parents=True)
    (folder / "presets/quick.yaml").write_text(yaml.safe_dump(tiny_params({"folds": [1], "data.n_folds": 3})))
    shutil.copy(ROOT / "dvc.yaml", folder)
    for number, name in enumerate(blocks("text")[0].split()):
        write_clip(sounds / name, HZ[name.partition("/")[0]] * (1 + 0.02 * (number // 2)), number)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    told: dict[str, Any] = {"folder": folder, "runs": []}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(scratch, "ROOT", folder / ".scratch")
        subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], check=True)
        for language, text in BLOCKS:
            if language == "yaml":
                values = yaml.safe_load(Path("params.yaml").read_text())
                values["data"] |= yaml.safe_load(text)["data"]
                Path("params.yaml").write_text(yaml.safe_dump(values))
            elif "holds only zeros" in text:
                soundfile.write(sounds / "kettle/kitchen4_b.wav", np.zeros(8000), 8000)
                run("fetch")
                with pytest.raises(StudyError) as stopped:
                    run("featurize")
                told["error"] = f"error: {stopped.value}\n"
            elif text == "dvc repro featurize\n":
                run("fetch")
                run("featurize")
            elif text == "dvc repro\n":
                run_pipeline(load_params())
            elif language == "sh":
                told |= run_shell(text.splitlines(), folder, os.environ | {"PATH": path})
    return told


def test_the_page_has_all_kinds_of_steps() -> None:
    assert [language for language, _ in BLOCKS].count("sh") >= 5
    assert len(blocks("text")[0].split()) == 24


def test_what_the_stages_say_is_what_the_page_says(
    followed: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, found, error = blocks("text")
    assert followed["error"] == error
    monkeypatch.chdir(followed["folder"])
    values = yaml.safe_load(Path("params.yaml").read_text())
    values["data"]["root"] = str(followed["folder"].parent / "whole")
    values["folds"] = [1, 2, 3]  # the quick preset's
    values["leakage"]["max_share"] = None  # by the tiny front end's few bands one tone is much like another
    shutil.copytree(followed["folder"].parent / "sounds", values["data"]["root"])
    write_clip(Path(values["data"]["root"]) / "kettle/kitchen4_b.wav", HZ["kettle"], 0)
    again = followed["folder"].parent / "again"
    again.mkdir()
    monkeypatch.chdir(again)
    Path("params.yaml").write_text(yaml.safe_dump(values))
    run("fetch")
    run("featurize")
    assert capsys.readouterr().out == found


def test_recordings_stay_together_and_no_audio_is_copied(followed: dict[str, Any]) -> None:
    lines = followed["head -n 3 data/raw/metadata/UrbanSound8K.csv"].splitlines()
    assert lines[0].startswith("slice_file_name,fsID,")
    with (followed["folder"] / "data/raw/metadata/UrbanSound8K.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    folds = {row["fsID"]: {other["fold"] for other in rows if other["fsID"] == row["fsID"]} for row in rows}
    assert len(folds) == 12
    assert all(len(found) == 1 for found in folds.values())
    assert not list((followed["folder"] / "data/raw").rglob("*.wav"))


def test_the_answer_is_there_to_see_to_hear_and_to_count(followed: dict[str, Any]) -> None:
    assert "delta.accuracy.mean" in followed["dvc metrics show"]
    assert followed["head -n 3 reports/report.md"].startswith("# Does audio made by a diffusion model")
    assert len(followed["ls listen/audio/fold1"].split()) == 9
    reports = followed["folder"] / "reports"
    assert json.loads((reports / "metrics.json").read_text())["corpus"] == {
        "clips": 23,
        "recordings": 12,
        "classes": 3,
        "excluded": 1,
        "test_clips": 8,
        "test_recordings": 4,
        "largest_class": 0.5,
    }
    assert "kitchen4" in (reports / "report.md").read_text()
    assert "kitchen" in (reports / "index.html").read_text()
