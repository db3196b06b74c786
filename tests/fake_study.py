"""A small finished study on disk: features, pairs, generators and runs with known predictions."""

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.numpy import save_file

from soundaug.diffusion.codec import fitted_scaling, save_codec
from soundaug.params import Params, parse_params
from soundaug.sound.features import MelFrontEnd

CLASSES = ("dog_bark", "siren", "drilling")
MELS, FRAMES = 16, 20

CHANGES: dict[str, Any] = {  # against presets/quick.yaml or what else params.yaml holds
    "seed": 0,
    "folds": [1, 2, 3],
    "seeds": [0, 1],
    "controls": ["duplicate", "mixup"],
    "data": {"source": "synthetic", "split": "official", "skip": []},
    "features": {
        "sample_rate": 8000,
        "clip_seconds": 0.5,
        "n_fft": 256,
        "hop_length": 200,
        "n_mels": MELS,
        "fmin_hz": 0.0,
        "fmax_hz": 4000.0,
        "scale": "log",
        "floor_db": -80.0,
        "ceiling_db": 20.0,
    },
    "generate": {"per_class": 2, "single_recording": "error", "keep_seconds": [[0.0, 0.25]]},
    "training": {"steps": 20, "epochs": None},
    "evaluate": {"bootstrap": 400, "confidence": 0.95, "seed": 0},
}


def fake_params(**changes: Any) -> Params:
    """params.yaml made small, with changes, sections merged: ``fake_params(data={"split": "random"})``."""
    values = yaml.safe_load((Path(__file__).parents[1] / "params.yaml").read_text(encoding="utf-8"))
    for key, value in [*CHANGES.items(), *changes.items()]:
        values[key] = values[key] | value if isinstance(value, dict) else value
    return parse_params(values)


def wrong_at_first(arm: str, fold: int, seed: int, class_id: np.ndarray) -> np.ndarray:
    """Base has the first 4 of 12 clips wrong (seed 1: 5), aug the first 1 + fold, the controls the first 4."""
    wrong = {"base": 4 + seed, "aug": 1 + fold}.get(arm, 4)
    predicted = class_id.copy()
    predicted[:wrong] = (predicted[:wrong] + 1) % len(CLASSES)
    return predicted


def best_epoch(arm: str, class_ids: Sequence[int]) -> list[int]:
    """At the best epoch aug has the first clip wrong, all others the first 2 of 12."""
    wrong = 1 if arm == "aug" else 2
    return [(c + (row < wrong)) % len(CLASSES) for row, c in enumerate(class_ids)]


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read a table."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def fake_study(
    data: Path,
    params: Params,
    predict: Callable[[str, int, int, np.ndarray], np.ndarray] = wrong_at_first,
    classes: Sequence[str] = CLASSES,
) -> None:
    """Write a study of 3 folds, each of 3 classes x 2 recordings x 2 slices, into ``data``."""
    rng = np.random.default_rng(0)
    clips: dict[int, list[tuple[str, str, int]]] = {fold: [] for fold in (1, 2, 3)}
    for fold, found in clips.items():
        for class_id in range(len(classes)):
            for recording in range(2):
                fs_id = f"{fold}{class_id}{recording}"
                found += [(f"{fs_id}-{class_id}-0-{part}.wav", fs_id, class_id) for part in range(2)]
    (data / "features").mkdir(parents=True)
    (data / "features" / "classes.json").write_text(json.dumps(list(classes)), encoding="utf-8")
    write_csv(data / "features" / "excluded.csv", ("name", "reason"), [("broken.wav", "unreadable")])
    for fold, found in clips.items():
        names, fs_ids, class_ids = zip(*found, strict=True)
        mel = rng.normal(-40, 10, (len(found), MELS, FRAMES)).astype(np.float32)
        np.savez(data / "features" / f"fold{fold}.npz", mel=mel, class_id=class_ids, fs_id=fs_ids, name=names)
    for fold in params.folds:
        _generated(data, fold, clips, params, classes, rng)
        names, fs_ids, class_ids = zip(*clips[fold], strict=True)
        for arm in params.arms:
            for seed in params.seeds:
                run = data / "runs" / arm / f"fold{fold}" / f"seed{seed}"
                predicted = predict(arm, fold, seed, np.array(class_ids))
                write_csv(
                    run / "predictions.csv",
                    ("clip", "fs_id", "class_id", "predicted", "predicted_at_best_epoch"),
                    zip(names, fs_ids, class_ids, predicted.tolist(), best_epoch(arm, class_ids), strict=True),
                )
                last = float(np.mean(predicted == np.array(class_ids)))
                write_csv(
                    run / "history.csv",
                    ("step", "epoch", "learning_rate", "train_loss", "train_accuracy", "test_loss", "test_accuracy"),
                    [(10, 1, 0.001, 1.0, 0.5, 1.0, 0.9), (20, 2, 0.001, 0.5, 0.8, 0.8, f"{last:.6f}")],
                )
                real = [(name, fs_id) for other in clips if other != fold for name, fs_id, _ in clips[other]]
                write_csv(run / "train_clips.csv", ("name", "fs_id"), real)
                made = [] if arm == "base" else read_csv(data / "generated" / f"fold{fold}" / "pairs.csv")
                write_csv(run / "extra_clips.csv", ("name", "fs_id"), [(row["name"], row["fs_id_a"]) for row in made])
                counts = {"n_train": 24, "n_extra": len(made), "n_test": 12, "steps": 20}
                (run / "summary.json").write_text(json.dumps(counts))
    write_normalisation(data, params)


def write_normalisation(data: Path, params: Params) -> None:
    """Write what is fitted on training clips: clip_mean's one deviation of every classifier, generators' scales."""
    assert params.features.normalization == "clip_mean"
    front_end = MelFrontEnd(params.features)
    for fold in params.folds:
        mels = []
        for other in {1, 2, 3} - {fold}:
            with np.load(data / "features" / f"fold{other}.npz") as arrays:
                mels.append(arrays["mel"])
        trained = np.concatenate(mels)
        std = (trained - trained.mean(axis=2, keepdims=True)).std(ddof=1)
        log_mels = front_end.log_mel(torch.from_numpy(trained))  # of so few recordings none is watched only
        scaling = fitted_scaling(params.generator, params.features, log_mels)
        save_codec(data / "models/generator" / f"fold{fold}", scaling)
        for arm in params.arms:
            for seed in params.seeds:
                run = data / "runs" / arm / f"fold{fold}" / f"seed{seed}"
                fitted = {"mean": np.zeros((MELS, 1), np.float32), "std": np.full((MELS, 1), std, np.float32)}
                save_file(fitted, run / "model.safetensors")


def take_extra_off(data: Path) -> None:
    """As if nothing had been generated: the arms but base have no extra clips."""
    for run in (data / "runs").glob("*/fold*/seed*"):
        write_csv(run / "extra_clips.csv", ("name", "fs_id"), [])
        counts = json.loads((run / "summary.json").read_text())
        (run / "summary.json").write_text(json.dumps(counts | {"n_extra": 0}))


def _generated(
    data: Path,
    fold: int,
    clips: dict[int, list[tuple[str, str, int]]],
    params: Params,
    classes: Sequence[str],
    rng: np.random.Generator,
) -> None:
    """Pairs of each class, parent a of the lower training fold, b of the higher."""
    low, high = [other for other in clips if other != fold]
    rows = []
    for class_id in range(len(classes)):
        a, b = (next(clip for clip in clips[other] if clip[2] == class_id) for other in (low, high))
        for number in range(params.generate.per_class):
            name = f"gen{fold}-{class_id}-{number}.flac"
            pair = [name, class_id, classes[class_id], a[0], b[0], a[1], b[1], low, high]
            rows.append([*pair, 0.5, number, 1.0, json.dumps([])])
    columns = ("name", "class_id", "class", "parent_a", "parent_b", "fs_id_a", "fs_id_b", "fold_a", "fold_b")
    folder = data / "generated" / f"fold{fold}"
    write_csv(folder / "pairs.csv", (*columns, "alpha", "seed", "strength", "others"), rows)
    mel = rng.normal(-40, 10, (len(rows), MELS, FRAMES)).astype(np.float32)
    np.savez(
        folder / "mels.npz",
        mel=mel,
        class_id=np.array([row[1] for row in rows], dtype=np.int64),
        fs_id=np.array([row[5] for row in rows]),
        name=np.array([row[0] for row in rows]),
    )
    errors = {"level_error_db": 0.1 * fold, "log_mel_error_db": 2.0, "phase": "text", "lost": None}
    (folder / "inversion.json").write_text(json.dumps(errors))
    heard = {"label_agreement": 0.8 + fold / 100, "kid_test": 0.1 * fold, "coverage": 0.5}
    (folder / "controls.json").write_text(json.dumps(dict.fromkeys(params.controls, heard)))
    model = data / "models" / "generator" / f"fold{fold}"
    trained = [(name, fs_id, other) for other in (low, high) for name, fs_id, _ in clips[other]]
    write_csv(model / "train_clips.csv", ("name", "fs_id", "fold"), trained)
    (model / "summary.json").write_text(json.dumps({"final_loss": 0.3, "train_clips": len(trained), "ok": True}))
