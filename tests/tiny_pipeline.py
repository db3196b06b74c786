"""The whole pipeline at toy size, in this process: seconds instead of minutes."""

import csv
import hashlib
import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import yaml

from soundaug.params import Params, load_params
from soundaug.running import scratch

ROOT = Path(__file__).resolve().parent.parent

TINY = {
    "folds": [1, 2],
    "seeds": [0],
    "data.n_folds": 2,
    "data.synthetic.recordings_per_class": 4,
    "data.synthetic.slices_per_recording": 2,
    "features.sample_rate": 8000,
    "features.clip_seconds": 1.0,
    "features.n_fft": 512,
    "features.hop_length": 256,
    "features.n_mels": 16,
    "features.fmax_hz": 4000.0,
    "generator.patch": 2,
    "generator.channels": [8, 16],
    "generator.attention_levels": 1,
    "generator.validation_share": 0.5,
    "generator.steps": 4,
    "generator.batch_size": 8,
    "generator.checkpoint_every": 2,
    "generate.per_class": 3,
    "generate.candidates": 2,
    "generate.steps": 2,
    "generate.batch_size": 8,
    "invert.iterations": 2,
    "classifier.channels": [4, 8, 8],
    "classifier.hidden": 8,
    "training.steps": 12,
    "training.batch_size": 16,
    "training.evaluations": 3,
    "evaluate.bootstrap": 100,
    "music.sample_rate": 16000,
    "music.styles": ["lo_fi_beats", "solo_piano"],
    "music.pieces": 1,
    "music.held_out_pieces": 1,
    "music.bars": 2,
    "music.captions": 2,
    "music.bach_bars": 1,
    "stylizer.image.sample_rate": 16000,
    "stylizer.image.num_frequencies": 32,
    "stylizer.image.width": 32,
    "stylizer.image.max_frequency": 8000,
    "stylizer.windows_per_piece": 2,
    "stylizer.autoencoder.channels": [8, 8],
    "stylizer.autoencoder.steps": 2,
    "stylizer.text.vocabulary": 560,
    "stylizer.text.width": 8,
    "stylizer.text.layers": 1,
    "stylizer.channels": [8, 16],
    "stylizer.attention_levels": 1,
    "stylizer.steps": 2,
    "stylizer.batch_size": 2,
    "stylize.prompts": ["lo fi beats"],
    "stylize.strengths": [0.5],
    "stylize.strength": 0.5,
    "stylize.judge_steps": 2,
    "stylize.samples": 1,
    "stylize.steps": 2,
    "stylize.iterations": 2,
}

FOLD_STAGES = ("train_helper", "train_generator", "generate", "invert", "featurize_generated")


def tiny_params(changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The quick preset shrunk to toy size; ``changes`` maps dotted names to values."""
    values: dict[str, Any] = yaml.safe_load((ROOT / "presets/quick.yaml").read_text())
    for name, value in {**TINY, **(changes or {})}.items():
        *sections, last = name.split(".")
        section = values
        for part in sections:
            section = section[part]
        section[last] = value
    return values


@contextmanager
def workspace(folder: Path, values: Mapping[str, Any]) -> Iterator[Params]:
    """Make ``folder`` the current one, with ``values`` as its params.yaml and a scratch folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(scratch, "ROOT", folder / ".scratch")
        (folder / "params.yaml").write_text(yaml.safe_dump(dict(values), sort_keys=False))
        yield load_params()


def run(stage: str, *arguments: object) -> None:
    """Run one stage's main in the current folder."""
    module = importlib.import_module(f"stages.{stage}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [stage, *map(str, arguments)])
        module.main()


def run_pipeline(params: Params, music: bool = True) -> None:
    """Run every stage in dvc.yaml's order in the current folder, those of music if wanted."""
    run("fetch")
    run("featurize")
    if music:
        run("fetch_music")
    for fold in params.folds:
        for stage in FOLD_STAGES:
            run(stage, "--fold", fold)
        for seed in params.seeds:
            run("train_base", "--fold", fold, "--seed", seed)
            if seed == params.seeds[0]:
                run("assess_generator", "--fold", fold, "--seed", seed)
                run("assess_controls", "--fold", fold, "--seed", seed)
            run("train_aug", "--fold", fold, "--seed", seed)
            for control in params.controls:
                run("train_control", "--control", control, "--fold", fold, "--seed", seed)
    run("demonstrate")
    if music:
        run("train_stylizer")
        run("stylize")
    run("audit")
    run("evaluate")


def predicted_right(folder: Path, arm: str = "base") -> float:
    """Mean over the folds of the share of clips that the arm's runs predict right, from their predictions, 0..1."""
    folds = []
    for fold in sorted((folder / "data/runs" / arm).iterdir()):
        hits = []
        for path in fold.glob("seed*/predictions.csv"):
            with path.open(newline="", encoding="utf-8") as file:
                hits += [row["predicted"] == row["class_id"] for row in csv.DictReader(file)]
        folds.append(fmean(hits))
    return fmean(folds)


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below data/ and reports/."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for top in ("data", "reports")
        for path in sorted((folder / top).rglob("*"))
        if path.is_file()
    }
