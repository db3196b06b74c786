"""A stylizer that trains in a second, and music for it: two styles that are easy to tell apart."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from diffusers import DDIMScheduler

from soundaug.diffusion.autoencoder import build_autoencoder
from soundaug.music import PIECES
from soundaug.params import StyleImage, Stylizer
from soundaug.running.outputs import write_csv
from soundaug.stylizer.model import build_text_encoder, build_text_unet, save_stylizer
from soundaug.stylizer.tokenizer import build_tokenizer
from soundaug.stylizer.training import betas_of
from soundaug.stylizer.windows import ImageFormat

os.environ.setdefault("SOUNDAUG_DEVICE", "cpu")  # equality to the bit is asserted of the CPU
torch.set_num_threads(1)

RATE = 8000
IMAGE = StyleImage(
    sample_rate=RATE,
    step_size_ms=10,
    window_duration_ms=40,
    padded_duration_ms=80,
    num_frequencies=32,
    min_frequency=0,
    max_frequency=4000,
    power_for_image=0.25,
    width=32,
)
CAPTIONS = {"chiptune": ("chiptune", "fast chiptune"), "church_organ": ("church organ", "slow organ music")}

VALUES: dict[str, Any] = {
    "image": IMAGE.model_dump(),
    "windows_per_piece": 2,
    "autoencoder": {
        "channels": [8, 8, 8],
        "latent_channels": 3,
        "steps": 4,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "kl_weight": 1e-6,
    },
    "text": {
        "vocabulary": 540,
        "max_tokens": 8,
        "width": 8,
        "layers": 1,
        "heads": 2,
        "steps": 3,
        "batch_size": 4,
        "learning_rate": 2e-3,
    },
    "channels": [8, 16],
    "attention_levels": 1,
    "layers_per_block": 1,
    "train_timesteps": 50,
    "prediction": "v_prediction",
    "min_snr_gamma": 5.0,
    "label_dropout": 0.2,
    "steps": 6,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "warmup_steps": 1,
    "weight_decay": 0.01,
    "clip_norm": 1.0,
    "ema_decay": 0.5,
    "checkpoint_every": 2,
    "precision": "float32",
}


def tiny_settings(**changes: Any) -> Stylizer:
    """Every size small, with changes, sections merged."""
    values = {key: value | changes.pop(key, {}) if isinstance(value, dict) else value for key, value in VALUES.items()}
    return Stylizer.model_validate(values | changes)


def sound(style: str, rng: np.random.Generator, seconds: float = 1.0) -> np.ndarray:
    """A high trembling tone for chiptune, a low steady one for church_organ."""
    time = np.arange(int(seconds * RATE)) / RATE
    if style == "chiptune":
        return 0.3 * np.sin(2 * np.pi * rng.uniform(2000, 2400) * time) * (np.sin(2 * np.pi * 8 * time) > 0)
    return 0.3 * np.sin(2 * np.pi * rng.uniform(200, 260) * time)


def write_music(folder: Path, pieces: int = 3, held_out: int = 1) -> None:
    """Pieces of two styles with their table, and a recording of `Bach`, as fetch_music writes them."""
    rng = np.random.default_rng(0)
    rows = []
    for style, captions in CAPTIONS.items():
        for split, count in (("train", pieces), ("held_out", held_out)):
            for number in range(count):
                file = f"{style}/{split}{number:04d}.flac"
                (folder / style).mkdir(parents=True, exist_ok=True)
                soundfile.write(folder / file, sound(style, rng), RATE)
                rows.append([file, f"{split}{number:04d}", style, " | ".join(captions), "C major", 100, 1.0, 0, split])
    columns = ["file", "piece", "style", "captions", "key", "tempo", "seconds", "seed", "split"]
    write_csv(folder / PIECES, columns, rows)
    soundfile.write(folder / "bach.flac", sound("church_organ", rng, 0.7), RATE)


def write_model(folder: Path) -> None:
    """An untrained stylizer of `tiny_settings`, as train_stylizer writes it."""
    settings = tiny_settings()
    captions = [caption for several in CAPTIONS.values() for caption in several]
    tokenizer = build_tokenizer(captions, settings.text.vocabulary, settings.text.max_tokens)
    scheduler = DDIMScheduler(
        num_train_timesteps=50,
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        **betas_of(50),
    )
    shape = (settings.autoencoder.latent_channels, 8, 8)
    save_stylizer(
        folder,
        tokenizer,
        build_text_encoder(settings, tokenizer, 0),
        build_autoencoder(settings.autoencoder, (3, 32, 32), 0),
        build_text_unet(settings, shape, 0),
        scheduler,
        ImageFormat.of(settings.image, 3e5),
    )
