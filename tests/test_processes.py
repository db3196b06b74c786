"""Two processes on the CPU (gloo) against one: the same samples, the same generator up to rounding."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file
from tiny_pipeline import ROOT, run, tiny_params, workspace

from soundaug.folds.packed import ClipSet
from soundaug.running import processes

CHANGES = {"generate.per_class": 2, "generator.validation_share": 0.0}


@pytest.fixture(scope="module")
def made_by_one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    with workspace(folder, tiny_params(CHANGES)):
        run("fetch")
        run("featurize")
        for stage in ("train_helper", "train_generator", "generate"):
            run(stage, "--fold", 1)
    return folder


def in_two(folder: Path, stage: str) -> subprocess.CompletedProcess[str]:
    (folder / "params.yaml").write_text(yaml.safe_dump(tiny_params({**CHANGES, "processes": 2})))
    command = [sys.executable, "-m", f"stages.{stage}", "--fold", "1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "SOUNDAUG_DEVICE": "cpu", "SOUNDAUG_SCRATCH": ".two"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_same_samples_from_two_processes(made_by_one: Path) -> None:
    path = made_by_one / "data/generated/fold1/mels.npz"
    alone = ClipSet.load(path)
    path.unlink()
    done = in_two(made_by_one, "generate")
    assert done.returncode == 0, done.stderr
    together = ClipSet.load(path)
    assert len(together) == 20
    np.testing.assert_array_equal(together.name, alone.name)
    np.testing.assert_allclose(together.mel, alone.mel, atol=1e-3)  # dB


def test_the_same_generator_from_two_processes(made_by_one: Path) -> None:
    path = made_by_one / "data/models/generator/fold1/unet/diffusion_pytorch_model.safetensors"
    alone = load_file(path)
    done = in_two(made_by_one, "train_generator")
    assert done.returncode == 0, done.stderr
    together = load_file(path)
    assert together.keys() == alone.keys()
    for name, weights in alone.items():
        np.testing.assert_allclose(together[name], weights, atol=2e-3, err_msg=name)
    history = (made_by_one / "data/models/generator/fold1/history.csv").read_text().splitlines()
    assert len(history) == 2


def test_a_mistake_in_the_processes_ends_the_stage(made_by_one: Path) -> None:
    values = tiny_params({**CHANGES, "processes": 2, "generator.batch_size": 7})
    (made_by_one / "params.yaml").write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "stages.train_generator", "--fold", "1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "SOUNDAUG_DEVICE": "cpu", "SOUNDAUG_SCRATCH": ".two"}
    done = subprocess.run(command, cwd=made_by_one, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "generator.batch_size: found 7, wanted a multiple of the processes (2)" in done.stderr


def test_one_process_is_its_own() -> None:
    assert not processes.relaunch(1)
    assert (processes.rank(), processes.count(), processes.is_main()) == (0, 1, True)
