"""The stylizer's training at its smallest: repeatable, resumable, and a folder that diffusers itself reads."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from tiny_stylizer import tiny_settings, write_music

from soundaug.music import PIECES, read_pieces
from soundaug.running import scratch
from soundaug.running.errors import StudyError
from soundaug.stylizer.dataset import StyleWindows, draw_windows
from soundaug.stylizer.model import load_stylizer
from soundaug.stylizer.training import StylizerTraining
from soundaug.stylizer.windows import ImageFormat


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(scratch, "ROOT", tmp_path / "scratch")
    return tmp_path / "scratch"


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> StyleWindows:
    folder = tmp_path_factory.mktemp("music")
    write_music(folder)
    settings = tiny_settings()
    return draw_windows(folder, read_pieces(folder / PIECES), settings.image, settings.windows_per_piece, 0)


def trained(windows: StyleWindows, **changes: Any) -> StylizerTraining:
    training = StylizerTraining(tiny_settings(**changes), windows, 0)
    training.run("test")
    return training


def weights(training: StylizerTraining) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in training.unet.parameters()])


def test_the_folder_is_one_of_diffusers(windows: StyleWindows, tmp_path: Path) -> None:
    training = trained(windows)
    training.save(tmp_path / "model")
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "model")
    assert pipeline.safety_checker is None
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert names == {"model_index.json", "spectrogram.json", "tokenizer", "text_encoder", "vae", "unet", "scheduler"}
    assert not [path for path in (tmp_path / "model").rglob("*") if path.suffix in (".bin", ".pt", ".pkl", ".ckpt")]
    made = pipeline("chiptune", num_inference_steps=2, height=32, width=32, output_type="np").images
    assert made.shape == (1, 32, 32, 3)
    assert np.isfinite(made).all()
    model = load_stylizer(tmp_path / "model")
    assert model.form == ImageFormat.of(training.settings.image, windows.max_value)
    for mine, theirs in ((training.unet, model.pipeline.unet), (training.text_encoder, model.pipeline.text_encoder)):
        state = theirs.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in mine.state_dict().items())
    assert model.pipeline.vae.config.scaling_factor == training.autoencoder_training.autoencoder.config.scaling_factor
    assert model.pipeline.scheduler.config.prediction_type == "v_prediction"


@pytest.mark.parametrize("stop", [1, 5])
def test_an_interrupted_run_goes_on_to_the_bit(
    stop: int, windows: StyleWindows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninterrupted = trained(windows)
    uninterrupted.finish()
    assert not list((tmp_path / "scratch").rglob("*.pt"))
    train_step = StylizerTraining._train_step

    def interrupted(self: StylizerTraining, latents: torch.Tensor, states: torch.Tensor) -> float:
        if self.step == stop:
            raise KeyboardInterrupt
        return train_step(self, latents, states)

    with monkeypatch.context() as patch:
        patch.setattr(StylizerTraining, "_train_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trained(windows)
    resumed = StylizerTraining(tiny_settings(), windows, 0)
    resumed.run("test")
    assert torch.equal(weights(resumed), weights(uninterrupted))
    assert resumed.history == uninterrupted.history
    resumed.write_history(tmp_path / "history.csv")
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["6"]
    assert float(rows[0]["loss"]) == pytest.approx(resumed.summary()["final_loss"], abs=1e-6)


def test_words_come_to_matter(windows: StyleWindows, root: Path) -> None:
    """A few hundred steps tell the two styles apart: the loss is lower with a window's own caption."""
    training = trained(
        windows,
        steps=150,
        learning_rate=5e-3,
        batch_size=12,
        checkpoint_every=1000,
        label_dropout=0.0,
        channels=[16, 16],
        autoencoder={"steps": 40},
    )
    first, last = training.history[0][2], training.history[-1][2]
    assert last < 0.8 * first
    latents = training._latents()
    ids = {style: training._ids[training.captions.index(style)] for style in ("chiptune", "church organ")}
    losses = {}
    with torch.no_grad():
        for swapped in (False, True):
            names = [style.replace("_", " ") for style in windows.styles]
            if swapped:
                names = ["chiptune" if name == "church organ" else "church organ" for name in names]
            told = training.text_encoder(torch.stack([ids[name] for name in names]))[0]
            total = 0.0
            for level in (25, 35, 45):
                levels = torch.full((len(latents),), level)
                noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(level))
                given, target, _ = training.schedule.noisy(latents, noise, levels)
                predicted = training.unet(given, levels, encoder_hidden_states=told).sample
                total += (predicted - target).square().mean().item()
            losses[swapped] = total
    assert losses[False] < 0.97 * losses[True]


def test_the_text_is_told_to_every_block_beside_attention(windows: StyleWindows) -> None:
    unet = StylizerTraining(tiny_settings(), windows, 0).unet
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if ".attn2.to_out" in name:
                parameter.zero_()
        latents, states = torch.ones(1, 3, 8, 8), torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        first, second = (unet(latents, 3, encoder_hidden_states=one).sample for one in states)
    assert (first - second).abs().mean() > 0.01 * first.std()
    assert unet.config.addition_embed_type == "text"  # and diffusers' own pipeline tells it


def test_a_loss_that_is_no_number_is_told(windows: StyleWindows) -> None:
    with pytest.raises(StudyError, match=r"stylizer training: found a loss of (nan|inf) at step \d, wanted a number"):
        trained(windows, learning_rate=1e30, warmup_steps=0, clip_norm=1e30)


def test_captions_that_are_too_long_are_told(windows: StyleWindows) -> None:
    with pytest.raises(StudyError, match=r"max_tokens: found 4, wanted at least \d+, the tokens of the caption"):
        StylizerTraining(tiny_settings(text={"max_tokens": 4}), windows, 0)
