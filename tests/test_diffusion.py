"""The loss against the papers' formulas, the noise schedule, the network's shape and the generator's folder."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMPipeline,
    DDIMScheduler,
    DDPMScheduler,
    FlowMatchEulerDiscreteScheduler,
    UNet2DConditionModel,
    UNet2DModel,
)
from diffusers.models.attention_processor import Attention
from tiny import tiny_params

from soundaug.diffusion.attention import CachedAttention
from soundaug.diffusion.codec import ClipScaling, Codec, LatentCodec, MelScaling
from soundaug.diffusion.model import Told, ask, build_unet, diffusion_loss, load_generator, place, save_generator
from soundaug.diffusion.schedule import Schedule
from soundaug.running.errors import StudyError

PARAMS = tiny_params()
SCALING = MelScaling.of(PARAMS.features, PARAMS.generator)
WEIGHTS = "diffusion_pytorch_model.safetensors"


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# loss

IMAGES, NOISE = random(3, 4, 8, 12), random(3, 4, 8, 12, seed=1)
LABELS, TIMESTEPS = torch.tensor([0, 2, 3]), torch.tensor([3, 50, 98])


def schedule_of(kind: str) -> Schedule:
    if kind == "flow":
        return Schedule(FlowMatchEulerDiscreteScheduler(num_train_timesteps=100))
    config = Schedule.of(PARAMS.generator).scheduler.config
    return Schedule(DDPMScheduler.from_config(config, prediction_type=kind))


def loss_of(
    predict: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
    gamma: float | None = 5.0,
    kind: str = "v_prediction",
) -> float:
    def unet(noisy: torch.Tensor, timesteps: torch.Tensor, class_labels: torch.Tensor) -> Any:
        return SimpleNamespace(sample=predict(noisy, timesteps, class_labels))

    return diffusion_loss(unet, schedule_of(kind), IMAGES, Told(LABELS), TIMESTEPS, NOISE, gamma).item()


def alphas_bar() -> np.ndarray:
    """The squared-cosine schedule of Nichol & Dhariwal (2021), 100 steps, betas at most 0.999."""
    at = np.cos((np.arange(101) / 100 + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.cumprod(1 - np.minimum(1 - at[1:] / at[:-1], 0.999))


def by_hand(predicted: np.ndarray, gamma: float, kind: str) -> float:
    """Hang et al. (2023): min(snr, gamma) times the image's squared error, of which epsilon's is snr times, and that of
    the velocity snr + 1 times as much; a flow's image is what it is given less t times what it says."""
    if kind == "flow":
        t = (TIMESTEPS.numpy() + 1).reshape(3, 1, 1, 1) / 100
        image = (1 - t) * IMAGES.numpy() + t * NOISE.numpy() - t * predicted
        weight = np.minimum(((1 - t) / t) ** 2, gamma).ravel()
        return float((weight * ((image - IMAGES.numpy()) ** 2).mean(axis=(1, 2, 3))).mean())
    alpha_bar = alphas_bar()[TIMESTEPS.numpy()].reshape(3, 1, 1, 1)
    snr = (alpha_bar / (1 - alpha_bar)).ravel()
    target, weight = {
        "sample": (IMAGES.numpy(), np.minimum(snr, gamma)),
        "epsilon": (NOISE.numpy(), np.minimum(1, gamma / snr)),
        "v_prediction": (
            np.sqrt(alpha_bar) * NOISE.numpy() - np.sqrt(1 - alpha_bar) * IMAGES.numpy(),
            np.minimum(snr, gamma) / (snr + 1),
        ),
    }[kind]
    return float((weight * ((predicted - target) ** 2).mean(axis=(1, 2, 3))).mean())


KINDS = ["v_prediction", "epsilon", "sample", "flow"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gamma", [5.0, 1.0, 1e9])
def test_the_loss_is_its_formula(gamma: float, kind: str) -> None:
    zero = loss_of(lambda noisy, timesteps, labels: torch.zeros_like(noisy), gamma, kind)
    assert zero == pytest.approx(by_hand(np.zeros((3, 4, 8, 12)), gamma, kind), rel=1e-4)
    guess = random(3, 4, 8, 12, seed=2)
    assert loss_of(lambda *_: guess, gamma, kind) == pytest.approx(by_hand(guess.numpy(), gamma, kind), rel=1e-4)


@pytest.mark.parametrize("kind", KINDS[:3])
def test_whatever_is_predicted_the_same_error_of_the_image_costs_the_same(kind: str) -> None:
    """The weights make one loss of the three: that of the image that a prediction stands for."""
    wrong = IMAGES + 0.1 * random(3, 4, 8, 12, seed=3)

    def predict(noisy: torch.Tensor, timesteps: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        alpha_bar = torch.from_numpy(alphas_bar())[timesteps].view(-1, 1, 1, 1)
        epsilon = (noisy.double() - alpha_bar.sqrt() * wrong) / (1 - alpha_bar).sqrt()
        velocity = alpha_bar.sqrt() * epsilon - (1 - alpha_bar).sqrt() * wrong
        return {"sample": wrong, "epsilon": epsilon, "v_prediction": velocity}[kind].float()

    assert loss_of(predict, 5.0, kind) == pytest.approx(by_hand(wrong.numpy(), 5.0, "sample"), rel=1e-3)


def test_a_perfect_prediction_costs_nothing() -> None:
    def perfect(noisy: torch.Tensor, timesteps: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        alpha_bar = torch.from_numpy(alphas_bar()).float()[timesteps].view(-1, 1, 1, 1)
        assert torch.allclose(noisy, alpha_bar.sqrt() * IMAGES + (1 - alpha_bar).sqrt() * NOISE, atol=1e-5)
        assert torch.equal(labels, LABELS)
        return alpha_bar.sqrt() * NOISE - (1 - alpha_bar).sqrt() * IMAGES

    assert loss_of(perfect) < 1e-9
    assert loss_of(lambda *_: NOISE, kind="epsilon") == 0
    assert loss_of(lambda *_: IMAGES, kind="sample") == 0


# the network


def weights_equal(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_the_seed_decides_the_weights() -> None:
    unet = build_unet(PARAMS.generator, (4, 8, 12), 3, seed=0)
    state = torch.random.get_rng_state()
    assert weights_equal(unet, build_unet(PARAMS.generator, (4, 8, 12), 3, seed=0))
    assert not weights_equal(unet, build_unet(PARAMS.generator, (4, 8, 12), 3, seed=1))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert unet.config.num_class_embeds == 4  # three classes and the null class
    assert (unet.config.in_channels, unet.config.out_channels, unet.config.sample_size) == (4, 4, (8, 12))
    assert list(unet.config.down_block_types) == ["DownBlock2D", "AttnDownBlock2D"]
    assert list(unet.config.up_block_types) == ["AttnUpBlock2D", "UpBlock2D"]


def test_a_network_that_is_told_a_sound(tmp_path: Path) -> None:
    settings = PARAMS.generator.model_copy(update={"condition": "sound"})
    unet = build_unet(settings, SCALING.image_shape, 3, seed=0, sound_size=5)
    save_generator(tmp_path / "fold1", unet, Schedule.of(settings), SCALING)
    index = json.loads((tmp_path / "fold1" / "model_index.json").read_text())
    assert index["unet"] == ["diffusers", "UNet2DConditionModel"]
    loaded, _, _ = load_generator(tmp_path / "fold1")
    assert isinstance(loaded, UNet2DConditionModel)
    image, labels, sounds = random(2, 4, 8, 12), torch.tensor([0, 3]), random(2, 5, seed=1)
    place(unet.eval(), torch.device("cpu"))
    place(loaded, torch.device("cpu"))
    with torch.no_grad():
        found = ask(unet, image, 7, Told(labels, sounds))
        torch.testing.assert_close(ask(loaded, image, 7, Told(labels, sounds)), found)
        assert not torch.allclose(ask(unet, image, 7, Told(labels, -sounds)), found, atol=1e-6)
        assert not torch.allclose(ask(unet, image, 7, Told(labels.flip(0), sounds)), found, atol=1e-6)
    assert found.shape == image.shape


def test_a_sound_is_attended_to_where_a_class_network_attends() -> None:
    changes = {"condition": "sound", "channels": [32, 64, 96], "attention_levels": 2}
    settings = PARAMS.generator.model_copy(update=changes)
    unet = build_unet(settings, (4, 8, 12), 3, seed=0, sound_size=5)
    assert list(unet.config.down_block_types) == ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"]
    assert list(unet.config.up_block_types) == ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"]
    assert list(unet.config.attention_head_dim) == [1, 2, 3]  # heads of 32 channels
    assert unet.config.norm_num_groups == 2
    plain = build_unet(settings.model_copy(update={"condition": "class"}), (4, 8, 12), 3, seed=0)
    assert plain.config.attention_head_dim == 32
    narrow = build_unet(settings.model_copy(update={"channels": [8, 16, 24]}), (4, 8, 12), 3, seed=0, sound_size=5)
    assert (narrow.config.norm_num_groups, list(narrow.config.attention_head_dim)) == (1, [1, 2, 3])


def test_embeddings_in_sequence_are_told_as_they_are() -> None:
    seen = []

    def unet(given: torch.Tensor, timestep: int, class_labels: None, encoder_hidden_states: torch.Tensor) -> Any:
        seen.append(encoder_hidden_states)
        return SimpleNamespace(sample=given)

    one, sequence = random(2, 5), random(2, 7, 5)
    ask(unet, IMAGES, 0, Told(None, one))
    ask(unet, IMAGES, 0, Told(None, sequence))
    assert torch.equal(seen[0], one[:, None])
    assert torch.equal(seen[1], sequence)


def test_nothing_told_is_the_null_class_and_a_sound_of_0() -> None:
    nothing = Told(torch.tensor([0, 2]), torch.ones(2, 5)).nothing(3)
    assert nothing.labels is not None
    assert nothing.sounds is not None
    assert nothing.labels.tolist() == [3, 3]
    assert torch.equal(nothing.sounds, torch.zeros(2, 5))
    assert Told().nothing(3) == Told()


def test_the_network_is_the_same_where_it_is_placed() -> None:
    """Only layout and the formula of attention change."""
    unet = build_unet(PARAMS.generator, SCALING.image_shape, 3, seed=0).eval()
    image, labels = random(2, 4, 8, 12), torch.tensor([0, 3])
    with torch.no_grad():
        before = unet(image, 7, labels).sample
        place(unet, torch.device("cpu"))
        torch.testing.assert_close(unet(image, 7, labels).sample, before, rtol=1e-4, atol=1e-5)


def test_on_a_cpu_weights_lie_channels_last_and_attention_is_the_cached_one() -> None:
    unet = build_unet(PARAMS.generator, SCALING.image_shape, 3, seed=0)
    place(unet, torch.device("cpu"))
    kernels = [weight for weight in unet.parameters() if weight.dim() == 4 and min(weight.shape[1:]) > 1]
    assert kernels
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in kernels)
    attentions = [module for module in unet.modules() if isinstance(module, Attention)]
    assert attentions
    assert all(isinstance(module.processor, CachedAttention) for module in attentions)


def test_a_flow_is_saved_as_diffusers_scheduler(tmp_path: Path) -> None:
    settings = PARAMS.generator.model_copy(update={"prediction": "flow"})
    save_generator(tmp_path, build_unet(settings, SCALING.image_shape, 3, 0), Schedule.of(settings), SCALING)
    _, _, schedule = load_generator(tmp_path)
    assert schedule.prediction == "flow"
    assert torch.equal(schedule.alpha_bar, Schedule.of(settings).alpha_bar)
    scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(tmp_path, subfolder="scheduler")
    assert scheduler.config.num_train_timesteps == 100
    assert json.loads((tmp_path / "model_index.json").read_text()) == {
        "_class_name": "DDIMPipeline",
        "unet": ["diffusers", "UNet2DModel"],
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    }


def test_an_unconditional_network_has_no_classes() -> None:
    unet = build_unet(PARAMS.generator.model_copy(update={"condition": "none"}), (4, 8, 12), 3, seed=0).eval()
    assert unet.config.num_class_embeds is None
    assert not any("class" in name for name in unet.state_dict())
    with torch.no_grad():
        assert unet(random(2, 4, 8, 12), 7).sample.shape == (2, 4, 8, 12)


# the folder


def latent_codec(scaling: Codec, channels: int) -> LatentCodec:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        autoencoder = AutoencoderKL(
            in_channels=channels,
            out_channels=channels,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(8, 8),
            latent_channels=3,
            norm_num_groups=4,
        )
    return LatentCodec(scaling, autoencoder, 0.7)


CLIP = ClipScaling(n_mels=16, n_frames=21, width=24, top_db=80.0, floor_db=-80.0)
CODECS: dict[str, Callable[[], Codec]] = {
    "mel": lambda: SCALING,
    "clip": lambda: CLIP,
    "latent": lambda: latent_codec(SCALING, 4),
    "latent of clip": lambda: latent_codec(CLIP, 1),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, UNet2DModel]:
    folder = tmp_path_factory.mktemp("generator") / "fold1"
    unet = build_unet(PARAMS.generator, SCALING.image_shape, 3, seed=0)
    save_generator(folder, unet, Schedule.of(PARAMS.generator), SCALING)
    return folder, unet


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


FILES = ["mel.json", "model_index.json", "scheduler/scheduler_config.json", "unet/config.json", f"unet/{WEIGHTS}"]


def test_the_folder_holds_safetensors_and_json_only(saved: tuple[Path, UNet2DModel]) -> None:
    folder, _ = saved
    assert files_of(folder) == FILES
    assert json.loads((folder / "mel.json").read_text()) == SCALING.config()
    assert json.loads((folder / "model_index.json").read_text()) == {
        "_class_name": "DDIMPipeline",
        "unet": ["diffusers", "UNet2DModel"],
        "scheduler": ["diffusers", "DDIMScheduler"],
    }


def test_the_folder_loads_with_what_was_saved(saved: tuple[Path, UNet2DModel]) -> None:
    folder, unet = saved
    loaded, codec, schedule = load_generator(folder)
    assert weights_equal(loaded, unet)
    assert not loaded.training
    assert codec == SCALING
    assert (schedule.prediction, schedule.scheduler.config.clip_sample) == ("v_prediction", False)
    np.testing.assert_allclose(schedule.alpha_bar.numpy(), alphas_bar(), rtol=1e-4, atol=1e-7)
    image, labels = random(2, 4, 8, 12), torch.tensor([0, 3])
    with torch.no_grad():
        assert torch.equal(loaded(image, 7, labels).sample, unet.eval()(image, 7, labels).sample)


@pytest.mark.parametrize("name", CODECS)
def test_a_generator_comes_back_with_its_codec(name: str, tmp_path: Path) -> None:
    codec = CODECS[name]()
    unet = build_unet(PARAMS.generator, codec.image_shape, 3, seed=0)
    save_generator(tmp_path / "fold1", unet, Schedule.of(PARAMS.generator), codec)
    autoencoder = ["vqvae/config.json", f"vqvae/{WEIGHTS}"] if name.startswith("latent") else []
    assert files_of(tmp_path / "fold1") == FILES + autoencoder
    loaded, again, _ = load_generator(tmp_path / "fold1")
    assert weights_equal(loaded, unet)
    assert again.config() == codec.config()
    assert again.image_shape == codec.image_shape == (loaded.config.in_channels, *loaded.config.sample_size)
    log_mel = (random(2, 16, 21) * 20 - 30).clamp(-80, 20)
    image, levels = codec.to_image(log_mel), codec.levels(log_mel)
    assert torch.equal(again.to_image(log_mel), image)
    assert torch.equal(again.to_log_mel(image, levels), codec.to_log_mel(image, levels))


def test_the_folder_loads_with_diffusers_alone(saved: tuple[Path, UNet2DModel]) -> None:
    folder, unet = saved
    assert weights_equal(UNet2DModel.from_pretrained(folder, subfolder="unet"), unet)
    assert DDPMScheduler.from_pretrained(folder, subfolder="scheduler").config.prediction_type == "v_prediction"
    pipeline = DDIMPipeline.from_pretrained(folder, local_files_only=True)
    assert weights_equal(pipeline.unet, unet)
    assert isinstance(pipeline.scheduler, DDIMScheduler)
    assert pipeline.scheduler.config.clip_sample is False


def put(file: str, text: str | bytes | None) -> Callable[[Path], object]:
    """Write, or with None remove, one file of the folder."""

    def damage(folder: Path) -> None:
        if text is None:
            (folder / file).unlink()
        else:
            (folder / file).write_bytes(text.encode() if isinstance(text, str) else text)

    return damage


def change(file: str, **values: Any) -> Callable[[Path], object]:
    return lambda folder: (folder / file).write_text(json.dumps(json.loads((folder / file).read_text()) | values))


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (shutil.rmtree, "mel.json: not there, wanted what the network's images are"),
        (put("mel.json", None), "mel.json: not there, wanted what the network's images are"),
        (put("mel.json", "{"), "mel.json: found no JSON ("),
        (put("mel.json", "[]"), "mel.json: found list, wanted a mapping"),
        (put("mel.json", '{"codec": "mel", "n_mels": 16}'), "mel.json: found ['n_mels'], wanted ['ceiling_db', "),
        (put("unet/config.json", None), "unet/config.json: not there, wanted "),
        (put("unet/config.json", "{"), "unet/config.json: found no JSON ("),
        (
            change("unet/config.json", _class_name="UNet3DConditionModel"),
            "unet/config.json: found the class 'UNet3DConditionModel', wanted UNet2DModel or UNet2DConditionModel",
        ),
        (put(f"unet/{WEIGHTS}", None), f"unet: found no weights, wanted {WEIGHTS} (or diffusion_pytorch_model.bin)"),
        (put(f"unet/{WEIGHTS}", b"garbage" * 100), f"unet/{WEIGHTS}: found no UNet2DModel that "),
        (
            change("unet/config.json", num_class_embeds=5),
            f"unet/{WEIGHTS}: found tensors that do not fit: 1 misshapen (class_embedding.weight (4, 32) for (5, 32))",
        ),
        (put("scheduler/scheduler_config.json", None), "scheduler/scheduler_config.json: not there, wanted "),
        (put("scheduler/scheduler_config.json", "{"), "scheduler/scheduler_config.json: found no JSON ("),
        (put("scheduler/scheduler_config.json", "[]"), "scheduler/scheduler_config.json: found list, wanted a mapping"),
        (
            change("scheduler/scheduler_config.json", beta_schedule="cubic"),
            "scheduler/scheduler_config.json: found no noise schedule (cubic",
        ),
        (
            change("scheduler/scheduler_config.json", prediction_type="flow"),
            "scheduler/scheduler_config.json: prediction_type: found 'flow', wanted one of epsilon, sample, v_pred",
        ),
        (
            change("scheduler/scheduler_config.json", _class_name="FlowMatchEulerDiscreteScheduler", shift=3.0),
            "scheduler/scheduler_config.json: found shifted noise levels (shift 3.0), wanted evenly spaced ones (1.0)",
        ),
        (
            change(
                "scheduler/scheduler_config.json",
                _class_name="FlowMatchEulerDiscreteScheduler",
                num_train_timesteps="many",
            ),
            "scheduler/scheduler_config.json: num_train_timesteps: found 'many', wanted a whole number above 0",
        ),
    ],
)
def test_a_damaged_folder_is_one_line(
    saved: tuple[Path, UNet2DModel], tmp_path: Path, damage: Callable[[Path], object], line: str
) -> None:
    folder = tmp_path / "fold1"
    shutil.copytree(saved[0], folder)
    damage(folder)
    with pytest.raises(StudyError) as raised:
        load_generator(folder)
    assert str(raised.value).startswith(f"{folder}/{line}")
    assert "\n" not in str(raised.value)
