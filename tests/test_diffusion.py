"""The scaling of mels, the loss against its formula, and the generator's folder."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMScheduler, UNet2DModel
from tiny import tiny_params

from soundaug.diffusion import (
    MelScaling,
    build_scheduler,
    build_unet,
    diffusion_loss,
    load_generator,
    save_generator,
)
from soundaug.errors import StudyError

PARAMS = tiny_params()
SCALING = MelScaling.of(PARAMS.features, PARAMS.generator)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# scaling


def test_the_images_shape() -> None:
    assert (SCALING.n_mels, SCALING.n_frames, SCALING.multiple) == (16, 21, 4)
    assert SCALING.image_shape == (4, 8, 12)  # 21 frames padded to 24; patches of 2 x 2 are channels
    published = MelScaling(64, 44, -60.0, 20.0, patch=4, multiple=16)
    assert published.image_shape == (16, 16, 12)


def test_mels_and_back() -> None:
    log_mel = (random(3, 16, 21) * 20 - 30).clamp(-80, 20)
    image = SCALING.to_image(log_mel)
    assert image.shape == (3, 4, 8, 12)
    assert image.abs().max() <= 1
    assert (SCALING.to_log_mel(image) - log_mel).abs().max() < 1e-4


def test_the_scale_is_linear_and_what_is_outside_is_cut() -> None:
    for level, value in [(-80.0, -1.0), (-30.0, 0.0), (20.0, 1.0), (-200.0, -1.0), (50.0, 1.0), (-5.0, 0.5)]:
        image = SCALING.to_image(torch.full((1, 16, 21), level))
        assert image[0, :, :, :10].unique().item() == pytest.approx(value, abs=1e-6)  # frames 0 to 19
    back = SCALING.to_log_mel(torch.tensor([-3.0, 0.0, 3.0])[:, None, None, None].expand(3, 4, 8, 12))
    assert back.amin(dim=(1, 2)).tolist() == back.amax(dim=(1, 2)).tolist() == [-80.0, -30.0, 20.0]


def test_padding_is_the_floor_and_is_cut_away() -> None:
    image = SCALING.to_image(torch.full((1, 16, 21), 20.0))
    flat = torch.nn.functional.pixel_shuffle(image, 2)[0, 0]
    assert flat[:, :21].unique().tolist() == [1.0]
    assert flat[:, 21:].unique().tolist() == [-1.0]
    image[:, :, :, 11] = 0.7  # frames 22 and 23 only
    assert SCALING.to_log_mel(image).unique().tolist() == [20.0]


def test_a_patch_of_the_mel_is_a_pixels_channels() -> None:
    log_mel = torch.zeros(1, 16, 21)
    log_mel[0, 2:4, 4:6] = torch.tensor([[-80.0, -30.0], [-5.0, 20.0]])
    assert SCALING.to_image(log_mel)[0, :, 1, 2].tolist() == pytest.approx([-1.0, 0.0, 0.5, 1.0])


# loss


def loss_of(predict: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor], gamma: float = 5.0) -> float:
    def unet(noisy: torch.Tensor, timesteps: torch.Tensor, class_labels: torch.Tensor) -> Any:
        return SimpleNamespace(sample=predict(noisy, timesteps, class_labels))

    scheduler = build_scheduler(PARAMS.generator)
    return diffusion_loss(unet, scheduler, IMAGES, LABELS, TIMESTEPS, NOISE, gamma).item()


IMAGES, NOISE = random(3, 4, 8, 12), random(3, 4, 8, 12, seed=1)
LABELS, TIMESTEPS = torch.tensor([0, 2, 3]), torch.tensor([3, 50, 98])


def alphas_bar() -> np.ndarray:
    """The squared-cosine schedule of Nichol & Dhariwal (2021), 100 steps, betas at most 0.999."""
    at = np.cos((np.arange(101) / 100 + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.cumprod(1 - np.minimum(1 - at[1:] / at[:-1], 0.999))


def by_hand(predicted: np.ndarray, gamma: float) -> float:
    alpha_bar = alphas_bar()[TIMESTEPS.numpy()].reshape(3, 1, 1, 1)
    velocity = np.sqrt(alpha_bar) * NOISE.numpy() - np.sqrt(1 - alpha_bar) * IMAGES.numpy()
    snr = (alpha_bar / (1 - alpha_bar)).ravel()
    weight = np.minimum(snr, gamma) / (snr + 1)
    return float((weight * ((predicted - velocity) ** 2).mean(axis=(1, 2, 3))).mean())


@pytest.mark.parametrize("gamma", [5.0, 1.0, 1e9])
def test_the_loss_is_its_formula(gamma: float) -> None:
    zero = loss_of(lambda noisy, timesteps, labels: torch.zeros_like(noisy), gamma)
    assert zero == pytest.approx(by_hand(np.zeros((3, 4, 8, 12)), gamma), rel=1e-5)
    guess = random(3, 4, 8, 12, seed=2)
    assert loss_of(lambda *_: guess, gamma) == pytest.approx(by_hand(guess.numpy(), gamma), rel=1e-5)


def test_a_perfect_prediction_costs_nothing() -> None:
    def perfect(noisy: torch.Tensor, timesteps: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        alpha_bar = torch.from_numpy(alphas_bar()).float()[timesteps].view(-1, 1, 1, 1)
        assert torch.allclose(noisy, alpha_bar.sqrt() * IMAGES + (1 - alpha_bar).sqrt() * NOISE, atol=1e-5)
        assert torch.equal(labels, LABELS)
        return alpha_bar.sqrt() * NOISE - (1 - alpha_bar).sqrt() * IMAGES

    assert loss_of(perfect) < 1e-9


# the folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, UNet2DModel]:
    folder = tmp_path_factory.mktemp("generator") / "fold1"
    unet = build_unet(PARAMS.generator, SCALING, 3, seed=0)
    save_generator(folder, unet, build_scheduler(PARAMS.generator), SCALING)
    return folder, unet


def weights_equal(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_the_seed_decides_the_weights() -> None:
    unet = build_unet(PARAMS.generator, SCALING, 3, seed=0)
    state = torch.random.get_rng_state()
    assert weights_equal(unet, build_unet(PARAMS.generator, SCALING, 3, seed=0))
    assert not weights_equal(unet, build_unet(PARAMS.generator, SCALING, 3, seed=1))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert unet.config.num_class_embeds == 4  # three classes and the null class
    assert list(unet.config.down_block_types) == ["DownBlock2D", "AttnDownBlock2D"]
    assert list(unet.config.up_block_types) == ["AttnUpBlock2D", "UpBlock2D"]


def test_the_folder_holds_safetensors_and_json_only(saved: tuple[Path, UNet2DModel]) -> None:
    folder, _ = saved
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == [
        "mel.json",
        "model_index.json",
        "scheduler/scheduler_config.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    ]
    assert json.loads((folder / "mel.json").read_text()) == {
        "n_mels": 16,
        "n_frames": 21,
        "floor_db": -80.0,
        "ceiling_db": 20.0,
        "patch": 2,
        "multiple": 4,
    }


def test_the_folder_loads_with_what_was_saved(saved: tuple[Path, UNet2DModel]) -> None:
    folder, unet = saved
    loaded, scaling, scheduler = load_generator(folder)
    assert weights_equal(loaded, unet)
    assert not loaded.training
    assert scaling == SCALING
    np.testing.assert_allclose(scheduler.alphas_cumprod.numpy(), alphas_bar(), rtol=1e-4, atol=1e-7)
    image, labels = random(2, 4, 8, 12), torch.tensor([0, 3])
    with torch.no_grad():
        assert torch.equal(loaded(image, 7, labels).sample, unet.eval()(image, 7, labels).sample)


def test_the_folder_loads_with_diffusers_alone(saved: tuple[Path, UNet2DModel]) -> None:
    folder, unet = saved
    assert weights_equal(UNet2DModel.from_pretrained(folder, subfolder="unet"), unet)
    assert DDPMScheduler.from_pretrained(folder, subfolder="scheduler").config.prediction_type == "v_prediction"
    pipeline = DDIMPipeline.from_pretrained(folder, local_files_only=True)
    assert weights_equal(pipeline.unet, unet)
    assert isinstance(pipeline.scheduler, DDIMScheduler)
    assert pipeline.scheduler.config.clip_sample is False


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: shutil.rmtree(folder),
        lambda folder: (folder / "mel.json").unlink(),
        lambda folder: (folder / "mel.json").write_text("{"),
        lambda folder: (folder / "mel.json").write_text("[]"),
        lambda folder: (folder / "mel.json").write_text('{"n_mels": 16}'),
        lambda folder: shutil.rmtree(folder / "scheduler"),
        lambda folder: (folder / "unet" / "config.json").write_text("{"),
        lambda folder: (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink(),
        lambda folder: (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"garbage" * 100),
    ],
)
def test_an_incomplete_folder_is_told(
    saved: tuple[Path, UNet2DModel], tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    folder = tmp_path / "fold1"
    shutil.copytree(saved[0], folder)
    damage(folder)
    with pytest.raises(StudyError) as raised:
        load_generator(folder)
    assert str(raised.value).startswith(f"{folder}: found no generator (")
    assert str(raised.value).endswith("), wanted the folder train_generator writes")
