"""Where a generator's training starts: fresh, in latents, or from a checkpoint that says the same until trained."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DModel
from tiny import tiny_clips, tiny_params
from tiny_checkpoint import folder_of, save_checkpoints

from soundaug.diffusion.codec import ClipScaling, LatentCodec, MelScaling, WhitenedScaling
from soundaug.diffusion.model import Told, build_unet, load_generator, save_generator
from soundaug.diffusion.schedule import Schedule
from soundaug.generator.starting_point import StartingPoint, starting_point
from soundaug.generator.training import Clips, GeneratorTraining
from soundaug.running import scratch
from soundaug.running.errors import StudyError

PARAMS = tiny_params(features={"filters": "slaney"})
CLIPS, UNSEEN = (
    Clips(torch.from_numpy(clips.mel), Told(torch.from_numpy(clips.class_id)))
    for clips in (tiny_clips(), tiny_clips(fold=2, slices=1))
)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(scratch, "ROOT", tmp_path / "scratch")
    return tmp_path / "scratch"


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """audio-diffusion's pipelines of images 16 x 24: pixel, latent, conditional (on sound)."""
    return save_checkpoints(tmp_path_factory.mktemp("checkpoints"))


def settings(**generator: Any) -> Any:
    return tiny_params(generator=generator).generator


def start(
    features: Any = PARAMS.features, seed: int = 0, sound_size: int | None = None, **generator: Any
) -> StartingPoint:
    clips, unseen = CLIPS.log_mels, UNSEEN.log_mels
    return starting_point(settings(**generator), features, clips, unseen, 3, seed, "test", sound_size)


def train(begin: StartingPoint, **generator: Any) -> GeneratorTraining:
    training = GeneratorTraining(settings(**generator), begin, CLIPS, UNSEEN, 3, seed=0)
    training.run("test")
    return training


def weights_equal(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def outputs(unet: UNet2DModel, labels: list[int] | None, channels: int = 1) -> torch.Tensor:
    """At two states, timesteps 3 and 70."""
    size = unet.config.sample_size
    noisy = torch.randn((2, channels, *size), generator=torch.Generator().manual_seed(0))
    given = None if labels is None else torch.tensor(labels)
    with torch.no_grad():
        return unet.eval()(noisy, torch.tensor([3, 70]), given).sample


# fresh


def test_a_fresh_network_of_mel_patches() -> None:
    found = start()
    assert found.codec == MelScaling.of(PARAMS.features, settings(), CLIPS.log_mels)
    assert weights_equal(found.unet, build_unet(settings(), (4, 8, 12), 3, seed=0))
    assert not weights_equal(found.unet, start(seed=1).unet)
    assert found.schedule.scheduler.config == Schedule.of(settings()).scheduler.config
    assert found.figures == {}
    assert start(condition="none").unet.config.num_class_embeds is None


def test_a_fresh_network_of_whitened_patches_is_that_of_patches() -> None:
    found = start(space="whitened")
    assert isinstance(found.codec, WhitenedScaling)
    assert found.codec.scaling == MelScaling.of(PARAMS.features, settings(), CLIPS.log_mels)
    images = found.codec.to_image(CLIPS.log_mels)
    deviations = images.square().mean(dim=(0, 2, 3)).sqrt()
    assert deviations.tolist() == pytest.approx([1.0] * 4, abs=0.01)
    assert weights_equal(found.unet, start().unet)


def test_a_network_narrower_than_the_clips() -> None:
    """0.2 s are 8 frames at 40 a second: 4 columns of patches, 4 of latents; what is halved is rounded up."""
    sizes = [start(window_seconds=seconds).unet.config.sample_size for seconds in (0.2, 0.21, 0.5, 9.0)]
    assert sizes == [(8, 4), (8, 6), (8, 10), (8, 12)]
    assert start(window_seconds=0.2, space="latent").unet.config.sample_size == (8, 4)


def test_a_fresh_network_of_latents(root: Path) -> None:
    latent = {"space": "latent", "autoencoder": settings().autoencoder.model_dump() | {"steps": 40}}
    found = start(**latent)
    assert isinstance(found.codec, LatentCodec)
    assert found.codec.scaling == MelScaling.of(PARAMS.features, settings(space="latent"), CLIPS.log_mels)
    assert found.codec.image_shape == (2, 8, 12)  # two latent channels, half the sides of 16 x 24
    assert weights_equal(found.unet, build_unet(settings(**latent), (2, 8, 12), 3, seed=0))
    latents = found.codec.to_image(CLIPS.log_mels)
    assert latents.double().std().item() == pytest.approx(1, rel=1e-4)
    assert found.figures["autoencoder_steps"] == 40
    assert found.figures["autoencoder_train_clips"] == 18
    assert found.figures["autoencoder_scaling_factor"] == pytest.approx(found.codec.scaling_factor, abs=1e-6)
    again = found.codec.to_log_mel(latents, torch.zeros(18))
    error = (again - CLIPS.log_mels).square().mean().sqrt().item()
    assert found.figures["autoencoder_train_rmse_db"] == pytest.approx(error, abs=1e-3)
    assert error < 20  # of clips whose deviation is 9 dB about their mean, 40 dB above the floor
    assert 0 < found.figures["autoencoder_held_out_rmse_db"] < 20

    training = train(found, **latent, steps=4)
    assert training.summary() | found.figures == training.summary()
    assert {path.parent.name for path in root.iterdir() for path in path.iterdir()} == {
        "train_autoencoder",
        "train_generator",
    }
    training.finish()
    assert [path for kind in root.iterdir() for path in kind.iterdir()] == []
    assert weights_equal(start(**latent).codec.autoencoder, found.codec.autoencoder)  # type: ignore[attr-defined]


# from a checkpoint


def test_a_checkpoint_that_learns_classes_says_the_same_at_first(checkpoints: dict[str, Any]) -> None:
    found = start(pretrained=str(folder_of(checkpoints["pixel"])))
    assert found.unet.config.num_class_embeds == 4
    assert found.unet.class_embedding.weight.count_nonzero() == 0
    wanted = outputs(checkpoints["pixel"].unet, None)
    for labels in ([0, 1], [2, 3], [3, 3]):
        assert torch.equal(outputs(found.unet, labels), wanted)
    assert wanted.std() > 0.01
    assert found.codec == ClipScaling(16, 21, 24, 70.0, -80.0)
    assert torch.equal(found.schedule.alpha_bar, checkpoints["pixel"].scheduler.alphas_cumprod)
    assert (found.schedule.prediction, found.schedule.scheduler.config.clip_sample) == ("epsilon", False)
    assert found.figures == {}


def test_a_config_that_does_not_speak_of_classes(checkpoints: dict[str, Any], tmp_path: Path) -> None:
    """As the published checkpoints', which are older than diffusers' classes."""
    shutil.copytree(folder_of(checkpoints["pixel"]), tmp_path / "checkpoint")
    path = tmp_path / "checkpoint" / "unet" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in config.items() if "class_embed" not in name}))
    found = start(pretrained=str(tmp_path / "checkpoint"))
    assert found.unet.config.num_class_embeds == 4
    assert torch.equal(outputs(found.unet, [0, 1]), outputs(checkpoints["pixel"].unet, None))


def test_a_checkpoint_without_classes_stays_as_it_is(checkpoints: dict[str, Any]) -> None:
    found = start(pretrained=str(folder_of(checkpoints["pixel"])), condition="none")
    assert weights_equal(found.unet, checkpoints["pixel"].unet)


def test_a_latent_checkpoint_brings_its_autoencoder(checkpoints: dict[str, Any]) -> None:
    found = start(pretrained=str(folder_of(checkpoints["latent"])))  # whatever generator.space
    assert isinstance(found.codec, LatentCodec)
    assert weights_equal(found.codec.autoencoder, checkpoints["latent"].vqvae)
    assert found.schedule.prediction == "v_prediction"
    assert torch.equal(outputs(found.unet, [0, 2], 2), outputs(checkpoints["latent"].unet, None, 2))
    image = found.codec.to_image(CLIPS.log_mels[:2])
    assert image.shape == (2, *found.codec.image_shape) == (2, 2, 8, 12)


@pytest.mark.parametrize("kind", ["pixel", "latent"])
def test_fine_tuning_lowers_the_loss(kind: str, checkpoints: dict[str, Any]) -> None:
    checkpoint = {"pretrained": str(folder_of(checkpoints[kind]))}
    before = train(start(**checkpoint), **checkpoint, steps=0).summary()
    recipe = {"steps": 60, "learning_rate": 1e-2, "batch_size": 6}
    fine_tuned = train(start(**checkpoint), **checkpoint, **recipe)
    after = fine_tuned.summary()
    assert after["validation_loss"] < 0.6 * before["validation_loss"]
    assert fine_tuned.unet.class_embedding.weight.abs().sum(dim=1).min() > 0  # the classes have something to say
    assert "final_loss" not in before


def test_no_steps_leave_a_checkpoint_as_it_is(checkpoints: dict[str, Any], tmp_path: Path) -> None:
    checkpoint = {"pretrained": str(folder_of(checkpoints["pixel"])), "steps": 0}
    begin = start(**checkpoint)
    before = {name: tensor.clone() for name, tensor in begin.unet.state_dict().items()}
    training = train(begin, **checkpoint)
    assert (training.step, training.history) == (0, [])
    save_generator(tmp_path / "fold1", training.unet, training.schedule, training.codec)
    unet, codec, schedule = load_generator(tmp_path / "fold1")
    assert all(torch.equal(tensor, before[name]) for name, tensor in unet.state_dict().items())
    assert torch.equal(outputs(unet, [1, 3]), outputs(checkpoints["pixel"].unet, None))
    assert codec == begin.codec
    assert schedule.prediction == "epsilon"
    assert torch.equal(schedule.alpha_bar, checkpoints["pixel"].scheduler.alphas_cumprod)


# what does not fit


def with_config(checkpoints: dict[str, Any], folder: Path, **config: Any) -> tuple[str, UNet2DModel]:
    """The pixel checkpoint with another network."""
    shutil.copytree(folder_of(checkpoints["pixel"]), folder)
    unet = UNet2DModel.from_config(checkpoints["pixel"].unet.config, **config)
    unet.save_pretrained(folder / "unet")
    return str(folder), unet


def test_a_checkpoint_of_as_many_classes_keeps_them(checkpoints: dict[str, Any], tmp_path: Path) -> None:
    name, unet = with_config(checkpoints, tmp_path / "checkpoint", num_class_embeds=4)
    assert weights_equal(start(pretrained=name).unet, unet)
    assert unet.class_embedding.weight.count_nonzero() > 0


@pytest.mark.parametrize(
    ("config", "condition", "line"),
    [
        (
            {"num_class_embeds": 6},
            "class",
            "generator.pretrained: found a network of 5 classes, wanted the data's 3, or none",
        ),
        (
            {"num_class_embeds": 2},
            "none",
            "generator.condition: found none with a pretrained network that takes classes, wanted class",
        ),
        (
            {"class_embed_type": "timestep"},
            "class",
            "generator.pretrained: found a network with class embeddings of type timestep, wanted one that looks them "
            "up, or has none",
        ),
    ],
)
def test_other_classes_are_refused(
    config: dict[str, Any], condition: str, line: str, checkpoints: dict[str, Any], tmp_path: Path
) -> None:
    name, _ = with_config(checkpoints, tmp_path / "checkpoint", **config)
    with pytest.raises(StudyError) as raised:
        start(pretrained=name, condition=condition)
    assert str(raised.value) == line


def test_a_network_conditioned_on_sound_must_be_told_one(checkpoints: dict[str, Any]) -> None:
    name = str(folder_of(checkpoints["conditional"]))
    with pytest.raises(StudyError) as raised:
        start(pretrained=name)
    line = f"generator.condition: found class with the UNet2DConditionModel of {name}, wanted sound"
    assert str(raised.value) == line


def test_a_network_conditioned_on_sound_learns_classes(checkpoints: dict[str, Any]) -> None:
    pipeline = checkpoints["conditional"]
    size = pipeline.unet.config.cross_attention_dim
    found = start(pretrained=str(folder_of(pipeline)), condition="sound", sound_size=size)
    assert found.unet.config.num_class_embeds == 4
    image, sounds = torch.randn((2, 1, 16, 24)), torch.randn((2, 1, size))
    with torch.no_grad():
        wanted = pipeline.unet.eval()(image, 7, sounds).sample
        told = found.unet.eval()(image, 7, sounds, class_labels=torch.tensor([0, 2])).sample
    torch.testing.assert_close(told, wanted, rtol=1e-4, atol=1e-5)
    with pytest.raises(StudyError) as raised:
        start(pretrained=str(folder_of(pipeline)), condition="sound", sound_size=size + 1)
    assert str(raised.value) == (
        f"generator.pretrained: found a network told sounds of {size} numbers, wanted {size + 1}, as the classifier "
        "(its last channels) hears them"
    )


def test_a_network_without_sound_is_not_told_one(checkpoints: dict[str, Any]) -> None:
    name = str(folder_of(checkpoints["pixel"]))
    with pytest.raises(StudyError) as raised:
        start(pretrained=name, condition="sound", sound_size=8)
    line = f"generator.condition: found sound with the UNet2DModel of {name}, wanted class or none"
    assert str(raised.value) == line


def test_a_front_end_that_does_not_fit_is_refused(checkpoints: dict[str, Any]) -> None:
    name = str(folder_of(checkpoints["pixel"]))
    with pytest.raises(StudyError) as raised:
        start(tiny_params(features={"hop_length": 100}).features, pretrained=name)
    assert str(raised.value) == (
        "params.yaml: features: found hop_length 100 (wanted 200), filters htk (wanted slaney), n_frames 41 (wanted at "
        f"most 24: shorten clip_seconds), wanted what {name} was trained on"
    )
