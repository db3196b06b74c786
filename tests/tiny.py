"""Settings that train in seconds, and sets of clips whose classes are easy to tell apart."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from fake_study import CLASSES, FRAMES, MELS, fake_params

from soundaug.folds.packed import ClipSet
from soundaug.params import Params

os.environ.setdefault("SOUNDAUG_DEVICE", "cpu")  # equality to the bit is asserted of the CPU
torch.set_num_threads(1)  # so small, a network waits for a second thread longer than it computes

TINY: dict[str, Any] = {
    # A class is a band that is louder throughout: clip_mean would take it off.
    "features": {"normalization": "standardize"},
    "generator": {
        "pretrained": None,
        "corpus": "data/features",
        "space": "patch",
        "patch": 2,
        "autoencoder": {
            "channels": [8, 8],
            "latent_channels": 2,
            "steps": 5,
            "batch_size": 4,
            "learning_rate": 1e-3,
            "kl_weight": 1e-6,
        },
        "condition": "class",
        "channels": [8, 16],
        "attention_levels": 1,
        "layers_per_block": 1,
        "train_timesteps": 100,
        "beta_schedule": "squaredcos_cap_v2",
        "prediction": "v_prediction",
        "log_sigma": None,
        "min_snr_gamma": 5.0,
        "window_seconds": None,
        "label_dropout": 0.1,
        "validation_share": 0.0,
        "steps": 20,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "warmup_steps": 2,
        "weight_decay": 0.01,
        "clip_norm": 1.0,
        "ema_decay": 0.9,
        "checkpoint_every": 5,
        "precision": "float32",
    },
    "generate": {
        "per_class": 2,
        "method": "interpolation",
        "parents": 2,
        "alpha": [0.5],
        "renormalize": True,
        "strength": [0.5],
        "keep_seconds": [[0.0, 0.1]],
        "resamplings": 2,
        "sampler": "ddim",
        "steps": 10,
        "inversion": "fixed_point",
        "inversion_iterations": 1,
        "max_reconstruction_db": 3.0,
        "overlap": 0.5,
        "loop": False,
        "guidance": 1.0,
        "candidates": 1,
        "batch_size": 4,
        "single_recording": "error",
        "precision": "float32",
    },
    "classifier": {"channels": [4, 8], "kernel": 3, "padding": 1, "pool": 2, "batch_norm": True, "hidden": 8},
    "training": {
        "steps": 20,
        "epochs": None,
        "batch_size": 8,
        "learning_rate": 0.01,
        "weight_decay": 0.01,
        "schedule": "cosine",
        "average_decay": 0.9,
        "evaluations": 2,
        "precision": "float32",
    },
}


def tiny_params(**changes: Any) -> Params:
    """Every size small, float32, with changes, sections merged: ``tiny_params(training={"steps": 3})``."""
    merged = dict(changes)
    for section, values in TINY.items():
        merged[section] = values | changes.get(section, {})
    return fake_params(**merged)


def write_params(path: Path, params: Params) -> None:
    """Write ``params`` as a params.yaml."""
    path.write_text(yaml.safe_dump(params.model_dump(mode="json")), encoding="utf-8")


def tiny_clips(
    fold: int = 1, recordings: int = 2, slices: int = 3, n_classes: int = len(CLASSES), frames: int = FRAMES + 1
) -> ClipSet:
    """Noise at -40 dB; class c is 20 dB louder in bands 4 c to 4 c + 3. One recording's slices are neighbours."""
    rng = np.random.default_rng(fold)
    class_ids = [c for c in range(n_classes) for _ in range(recordings * slices)]
    fs_ids = [f"{fold}{c}{r}" for c in range(n_classes) for r in range(recordings) for _ in range(slices)]
    names = [f"{fs_id}-{number}.wav" for number, fs_id in enumerate(fs_ids)]
    mel = rng.normal(-40, 5, (len(names), MELS, frames)).astype(np.float32)
    for row, class_id in zip(mel, class_ids, strict=True):
        row[4 * class_id : 4 * class_id + 4] += 20
    return ClipSet.pack(mel, class_ids, fs_ids, names)
