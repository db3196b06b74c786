"""The autoencoder's training: its loss, that it learns, resumes to the bit and stops when the loss is no number."""

import csv
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from soundaug.diffusion import autoencoder
from soundaug.diffusion.autoencoder import (
    AutoencoderTraining,
    autoencoder_loss,
    build_autoencoder,
    reconstruction_rmse_db,
)
from soundaug.diffusion.codec import ClipScaling, LatentCodec, MelScaling, load_codec, save_codec
from soundaug.running import scratch
from soundaug.running.errors import StudyError

os.environ.setdefault("SOUNDAUG_DEVICE", "cpu")
torch.set_num_threads(1)

MEL = MelScaling(
    n_mels=16, n_frames=21, floor_db=-80.0, ceiling_db=20.0, mean_db=-30.0, deviation_db=50.0, patch=1, multiple=4
)


@dataclass(frozen=True)
class Settings:
    channels: Sequence[int] = field(default_factory=lambda: [8, 16])
    latent_channels: int = 4
    steps: int = 20
    batch_size: int = 4
    learning_rate: float = 3e-3
    kl_weight: float = 1e-6


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(scratch, "ROOT", tmp_path / "scratch")
    monkeypatch.setattr(autoencoder, "CHECKPOINT_EVERY", 5)
    return tmp_path / "scratch"


def tones(count: int, seed: int = 0) -> torch.Tensor:
    """Log mels [count, 16, 21]: a band anywhere, its level a sine in time, with a standard deviation of 17 dB."""
    draws = torch.rand((3, count, 1, 1), generator=torch.Generator().manual_seed(seed))
    time, mel = torch.arange(21) / 21, torch.arange(16)[:, None] / 16
    wave = torch.sin(2 * math.pi * ((1 + 2 * draws[0]) * time + draws[1]))
    return -50 + 20 * wave + 30 * torch.exp(-(((mel - draws[2]) / 0.2) ** 2))


CLIPS = tones(6)


def training(seed: int = 0, log_mels: torch.Tensor = CLIPS, **changes: Any) -> AutoencoderTraining:
    return AutoencoderTraining(replace(Settings(), **changes), MEL, log_mels, seed)


def weights(trained: AutoencoderTraining) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in trained.autoencoder.state_dict().values()])


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Ctrl-C as step ``step`` + 1 begins."""
    train_step = AutoencoderTraining._train_step

    def interrupted(self: AutoencoderTraining) -> tuple[float, ...]:
        if self.step == step:
            raise KeyboardInterrupt
        return train_step(self)

    monkeypatch.setattr(AutoencoderTraining, "_train_step", interrupted)


# the network and its loss


def test_the_seed_decides_the_network() -> None:
    state = torch.random.get_rng_state()
    first, again, other = (build_autoencoder(Settings(), (2, 16, 24), seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["encoder.conv_in.weight"], other["encoder.conv_in.weight"])
    assert torch.equal(torch.random.get_rng_state(), state)
    network = build_autoencoder(Settings(channels=[8, 8, 12], latent_channels=3), (2, 16, 24), 0)
    assert network.encode(torch.zeros(1, 2, 16, 24)).latent_dist.mean.shape == (1, 3, 4, 6)
    assert network.decode(torch.zeros(1, 3, 4, 6)).sample.shape == (1, 2, 16, 24)


def test_levels_that_do_not_halve_the_images_are_told() -> None:
    with pytest.raises(StudyError) as raised:
        build_autoencoder(Settings(channels=[8, 8, 8]), (1, 16, 22), 0)
    assert str(raised.value) == (
        "autoencoder channels: found 3 levels for images of 16 x 22, "
        "wanted sides that are multiples of 4: fewer levels, or more padding"
    )


def test_the_loss_is_its_formula() -> None:
    """An encoder of fixed mean and variance, a decoder that doubles: L1 and KL of a Gaussian by hand."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 1, 4, 4)).astype(np.float32)
    mean, log_variance, noise = rng.normal(size=(3, 2, 1, 4, 4)).astype(np.float32)

    def encode(given: torch.Tensor) -> Any:
        posterior = SimpleNamespace(mean=torch.from_numpy(mean), logvar=torch.from_numpy(log_variance))
        return SimpleNamespace(latent_dist=posterior)

    network = SimpleNamespace(encode=encode, decode=lambda latents: SimpleNamespace(sample=2 * latents))
    loss, l1, kl = autoencoder_loss(network, torch.from_numpy(images), torch.from_numpy(noise), 0.25)
    wanted_l1 = np.abs(2 * (mean + np.exp(log_variance / 2) * noise) - images).mean()
    wanted_kl = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum() / images.size
    assert l1 == pytest.approx(wanted_l1, rel=1e-5)
    assert kl == pytest.approx(wanted_kl, rel=1e-5)
    assert loss.item() == pytest.approx(wanted_l1 + 0.25 * wanted_kl, rel=1e-5)


# training


def test_a_few_clips_are_learned(tmp_path: Path) -> None:
    """Clips with a standard deviation of 17 dB come back within 2.5 dB (measured: 1.6), from the disk too."""
    run = training(log_mels=CLIPS[:4], steps=200)
    run.run("test")
    held_out = tones(5, seed=1)
    network, scaling_factor, summary = run.result(held_out)
    codec = LatentCodec(MEL, network, scaling_factor)
    back = codec.to_log_mel(codec.to_image(CLIPS[:4]), codec.levels(CLIPS[:4]))
    error = (back - CLIPS[:4]).square().mean().sqrt().item()
    assert error < 2.5
    assert summary["train_rmse_db"] == pytest.approx(error, abs=1e-3)
    assert summary["train_rmse_db"] < summary["held_out_rmse_db"] < 8
    assert codec.to_image(CLIPS[:4]).std().item() == pytest.approx(1.0, abs=1e-4)
    assert network.config.scaling_factor == scaling_factor
    assert summary["scaling_factor"] == pytest.approx(scaling_factor, abs=1e-6)
    assert (summary["steps"], summary["train_clips"]) == (200, 4)
    assert summary["parameters"] == len(weights(run))
    save_codec(tmp_path, codec)
    again = load_codec(tmp_path)
    assert torch.allclose(again.to_log_mel(again.to_image(CLIPS[:4]), codec.levels(CLIPS[:4])), back, atol=1e-3)
    assert AutoencoderKL.from_pretrained(tmp_path / "vqvae").config.scaling_factor == scaling_factor


def test_whitened_latents_are_uncorrelated_of_deviation_1_and_reconstruct_the_same() -> None:
    run = training(log_mels=CLIPS, steps=20)
    run.run("test")
    network = run.autoencoder
    images = run.images[torch.arange(len(CLIPS))]
    with torch.no_grad():
        posterior = network.encode(images).latent_dist
        reconstruction = network.decode(posterior.mode()).sample
        # A draw from the posterior, and how far from the mean it is by the latents' own covariance.
        distance = 0.0
        inverse = torch.linalg.inv(torch.cov(posterior.mode().transpose(0, 1).flatten(1)))
        for axis in range(4):
            distance += (inverse[axis, axis] * posterior.var[:, axis]).mean().item()
        whitened = run.whiten(posterior.mode(), posterior.var)
        posterior = network.encode(images).latent_dist
        again = network.decode(whitened).sample
    points = whitened.transpose(0, 1).flatten(1)
    assert posterior.mode().numpy() == pytest.approx(whitened.numpy(), abs=1e-3)
    assert points.mean(dim=1).numpy() == pytest.approx(np.zeros(4), abs=1e-4)
    assert torch.cov(points).numpy() == pytest.approx(np.eye(4), abs=1e-3)
    assert again.numpy() == pytest.approx(reconstruction.numpy(), abs=1e-3)
    assert posterior.var[0, :, 0, 0].sum().item() == pytest.approx(distance, rel=1e-3)
    assert network.config.scaling_factor == 1
    with pytest.raises(StudyError, match=r"found latents whose standard deviation is 0\.0"):
        run.whiten(torch.ones(2, 4, 8, 8), torch.ones(2, 4, 8, 8))


@pytest.mark.parametrize("stop", [5, 8, 17])
def test_an_interrupted_run_goes_on_to_the_bit(stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole_run = training()
    whole_run.run("test")
    monkeypatch.setattr(scratch, "ROOT", tmp_path / "other")
    with monkeypatch.context() as patch:
        stop_at(patch, stop)
        with pytest.raises(KeyboardInterrupt):
            training().run("test")
    resumed = training()
    steps = []
    train_step = resumed._train_step
    monkeypatch.setattr(resumed, "_train_step", lambda: steps.append(resumed.step) or train_step())
    resumed.run("test")
    assert steps == list(range(stop // 5 * 5, 20))  # from the last checkpoint
    assert torch.equal(weights(resumed), weights(whole_run))
    assert resumed.history == whole_run.history
    assert [row[0] for row in resumed.history] == [10, 20]
    assert resumed.result(CLIPS[:1])[1:] == whole_run.result(CLIPS[:1])[1:]


def test_other_settings_or_clips_do_not_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, 8)
        with pytest.raises(KeyboardInterrupt):
            training().run("test")
    other_scaling = AutoencoderTraining(Settings(), replace(MEL, floor_db=-90.0), CLIPS, 0)
    others = [training(kl_weight=1e-5), training(channels=[16, 8]), training(seed=1), training(log_mels=CLIPS + 1)]
    for other in (other_scaling, *others):
        other._resume()
        assert other.step == 0
    same = training()
    same._resume()
    assert same.step == 5
    same.finish()
    same = training()
    same._resume()
    assert same.step == 0


def test_the_seed_decides_the_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    results = []
    for number, seed in enumerate((0, 0, 1)):
        monkeypatch.setattr(scratch, "ROOT", tmp_path / str(number))
        torch.manual_seed(number)  # the global generator has no say
        run = training(seed, steps=3)
        run.run("test")
        results.append(weights(run))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_learning_rates_and_losses_in_the_history(tmp_path: Path) -> None:
    run = training(steps=13, kl_weight=0.5)
    losses = []
    step = run._train_step
    run._train_step = lambda: losses.append(step()) or losses[-1]  # type: ignore[method-assign]
    run.run("test")
    assert not run.autoencoder.training
    assert [row[0] for row in run.history] == [10, 13]
    assert run.history[1][2:] == pytest.approx(np.mean(losses[10:], axis=0).tolist(), rel=1e-9)
    assert run.history[0][1] == pytest.approx(3e-3 * 0.5 * (1 + math.cos(math.pi * 9 / 13)))
    for _, _, loss, l1, kl in run.history:
        assert loss == pytest.approx(l1 + 0.5 * kl, rel=1e-5)
    run.write_history(tmp_path / "history.csv")
    with (tmp_path / "history.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["step", "learning_rate", "loss", "l1", "kl"]
    assert [float(value) for value in rows[2]] == pytest.approx(list(run.history[1]), abs=1e-6)


def test_a_loss_that_is_no_number_is_told() -> None:
    log_mels = CLIPS.clone()
    log_mels[:] = math.nan
    with pytest.raises(StudyError) as raised:
        training(log_mels=log_mels).run("test")
    assert str(raised.value) == (
        "autoencoder training: found a loss of nan at step 1, wanted a number: lower the autoencoder's learning_rate"
    )


def test_gradients_that_are_no_numbers_stop_before_the_weights_are(monkeypatch: pytest.MonkeyPatch) -> None:
    run = training()

    def poison(gradient: torch.Tensor) -> torch.Tensor:
        return gradient * (math.inf if run.step == 6 else 1)

    run.autoencoder.encoder.conv_in.bias.register_hook(poison)
    with pytest.raises(StudyError, match=r"^autoencoder training: found gradients of (nan|inf) at step 7, wanted a"):
        run.run("test")
    assert torch.isfinite(weights(run)).all()
    resumed = training()
    resumed._resume()
    assert resumed.step == 5


def test_latents_that_hold_nothing_are_told() -> None:
    run = training()
    for parameter in run.autoencoder.quant_conv.parameters():
        parameter.data.zero_()
    with pytest.raises(StudyError, match=r"^autoencoder training: found latents whose standard deviation is 0.0"):
        run.result(CLIPS)


# reconstruction


def test_the_error_is_the_autoencoders_own() -> None:
    """An autoencoder that gives an image back 0.1 too dark: 4 dB on an 80 dB scale; what the scaling cuts is left out.

    The clips' loudest bin is full scale, so every other one is 0.1 of [-1, 1] too low, but for those at the floor.
    """
    scaling = ClipScaling(n_mels=16, n_frames=21, width=24, top_db=80.0, floor_db=-200.0)
    codec = LatentCodec(scaling, build_autoencoder(Settings(), (1, 16, 24), 0), 1.0, batch_size=4)
    codec._encode = lambda images: images[:, :, ::2, ::2].expand(-1, 4, -1, -1)  # type: ignore[method-assign]
    codec._decode = (
        lambda latents: (  # type: ignore[method-assign]
            torch.repeat_interleave(torch.repeat_interleave(latents[:, :1], 2, 2), 2, 3) - 0.1
        )
    )
    log_mels = torch.zeros(6, 16, 21)
    assert reconstruction_rmse_db(codec, log_mels) == pytest.approx(4.0, rel=1e-4)
    log_mels[:, :8] = -300.0  # cut to -80 with and without the autoencoder
    assert reconstruction_rmse_db(codec, log_mels) == pytest.approx(4.0 / math.sqrt(2), rel=1e-4)


def test_without_held_out_clips_their_figure_is_left_out() -> None:
    _, _, summary = training().result(CLIPS[:0])
    assert "held_out_rmse_db" not in summary
    assert summary["train_rmse_db"] > 10  # untrained
