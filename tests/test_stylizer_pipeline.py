"""Images and sound through diffusers' pipelines: seeds, interpolation, strength, masks, length, and bad input."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from PIL import Image
from tiny_stylizer import RATE, write_model

from soundaug.images import riffusion
from soundaug.running.errors import StudyError
from soundaug.stylizer.model import StylizerModel, load_stylizer
from soundaug.stylizer.pipeline import (
    NoisedImg2ImgPipeline,
    Sampling,
    Wish,
    autoencoded,
    embeddings_of,
    image_to_images,
    noises_of,
    text_to_images,
)
from soundaug.stylizer.sound import sound_to_sound, sounds_to_sounds, text_to_sounds

SAMPLING = Sampling(steps=5, guidance=3.0, batch_size=2, overlap=0.25, iterations=4)
WISH = Wish("chiptune", 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "stylizer"
    write_model(folder)
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> StylizerModel:
    return load_stylizer(folder)


def grey(seed: int = 0, width: int = 32) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (32, width), np.uint8)
    return Image.fromarray(np.repeat(pixels[..., None], 3, axis=-1))


def arrays(images: list[Image.Image]) -> list[np.ndarray]:
    return [np.asarray(image).astype(int) for image in images]


def tone(seconds: float, channels: int = 1) -> np.ndarray:
    wave = 0.3 * np.sin(2 * np.pi * 700 * np.arange(int(seconds * RATE)) / RATE)
    return np.repeat(wave[None], channels, axis=0).astype(np.float32)


@pytest.mark.parametrize("sampler", ["ddim", "dpm_solver"])
def test_the_pipeline_is_diffusers_own(model: StylizerModel, folder: Path, sampler: str) -> None:
    ours = arrays(text_to_images(model, [WISH], replace(SAMPLING, sampler=sampler), 32))[0]
    pipeline = StableDiffusionPipeline.from_pretrained(folder)
    if sampler == "dpm_solver":
        pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    noise = noises_of([WISH], (3, 8, 8))
    theirs = pipeline("chiptune", latents=noise, height=32, width=32, num_inference_steps=5, guidance_scale=3.0).images[
        0
    ]
    assert np.abs(ours - np.asarray(theirs)).max() <= 1
    other = "ddim" if sampler == "dpm_solver" else "dpm_solver"
    assert np.abs(ours - arrays(text_to_images(model, [WISH], replace(SAMPLING, sampler=other), 32))[0]).max() > 4


def test_bfloat16_makes_nearly_the_same(model: StylizerModel) -> None:
    exact, rounded = (
        arrays(text_to_images(model, [WISH], replace(SAMPLING, precision=precision), 32))[0]
        for precision in ("float32", "bfloat16")
    )
    assert 0 < np.abs(exact - rounded).mean() < 4


def test_a_wish_alone_decides_its_image(model: StylizerModel) -> None:
    other = replace(WISH, seed=4)
    three = arrays(text_to_images(model, [WISH, other, WISH], SAMPLING, 32))
    alone = arrays(text_to_images(model, [WISH], SAMPLING, 32))[0]
    assert (three[0] == alone).all()
    assert (three[2] == alone).all()
    assert (three[1] != alone).any()
    for change in ({"prompt": "church organ"}, {"negative_prompt": "church organ"}):
        assert (arrays(text_to_images(model, [replace(WISH, **change)], SAMPLING, 32))[0] != alone).any()
    assert (arrays(text_to_images(model, [WISH], replace(SAMPLING, guidance=9.0), 32))[0] != alone).any()


def test_windows_on_a_core_each_are_those_of_all_cores(model: StylizerModel) -> None:
    wishes = [replace(WISH, seed=seed) for seed in range(8)]
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        many = arrays(text_to_images(model, wishes, SAMPLING, 32))  # four batches: a thread each
        few = arrays(text_to_images(model, wishes[:2], SAMPLING, 32))  # one batch: four threads
    finally:
        torch.set_num_threads(before)
    assert np.abs(np.stack(many[:2]) - np.stack(few)).max() <= 1


def test_between_two_prompts_and_seeds(model: StylizerModel) -> None:
    way = Wish("chiptune", 3, end_prompt="church organ", end_seed=9)
    ends = [WISH, Wish("church organ", 9)]
    made = arrays(text_to_images(model, [way, replace(way, alpha=1.0)], SAMPLING, 32))
    for found, wanted in zip(made, arrays(text_to_images(model, ends, SAMPLING, 32)), strict=True):
        assert np.abs(found - wanted).max() <= 1
    first, second = (embeddings_of(model, [wish])[0] for wish in ends)
    middle = embeddings_of(model, [replace(way, alpha=0.25)])[0]
    assert torch.allclose(middle, 0.75 * first + 0.25 * second, atol=1e-6)
    noise = noises_of([replace(way, alpha=0.5)], (3, 32, 32))
    assert noise.std().item() == pytest.approx(1, abs=0.05)  # slerp keeps the length, lerp would have 0.71


def test_strength_is_how_far_the_way_goes(model: StylizerModel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    forward = model.pipeline.unet.forward
    monkeypatch.setattr(
        model.pipeline.unet, "forward", lambda x, t, *a, **k: (asked.append(int(t)), forward(x, t, *a, **k))[1]
    )
    image_to_images(model, [grey()], [WISH], SAMPLING, 0.6)
    assert asked == [21, 11, 1]
    with pytest.raises(StudyError, match=r"strength: found 0.1, wanted 0.2 \(one of 5 steps\) to 1"):
        image_to_images(model, [grey()], [WISH], SAMPLING, 0.1)


@pytest.mark.parametrize(("sampler", "levels"), [("ddim", [31, 21, 11, 1]), ("dpm_solver", [33, 25, 17, 9])])
def test_what_is_kept_has_the_level_of_the_step_at_every_step(
    model: StylizerModel, monkeypatch: pytest.MonkeyPatch, sampler: str, levels: list[int]
) -> None:
    mask = Image.fromarray(np.repeat(np.array([[0] * 16 + [255] * 16], np.uint8), 32, axis=0))
    seen: list[tuple[int, torch.Tensor]] = []
    forward = model.pipeline.unet.forward

    def watched(x: torch.Tensor, t: torch.Tensor, *rest: object, **more: object) -> object:
        seen.append((int(t), x[:1].clone()))
        return forward(x, t, *rest, **more)

    monkeypatch.setattr(model.pipeline.unet, "forward", watched)
    made = image_to_images(model, [grey()], [WISH], replace(SAMPLING, sampler=sampler), 0.8, [mask])
    pixels = torch.from_numpy(np.asarray(grey())).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        latents = model.pipeline.vae.encode(pixels).latent_dist.mode() * model.pipeline.vae.config.scaling_factor
    noise = noises_of([WISH], (3, 8, 8))
    assert [t for t, _ in seen] == levels
    for t, x in seen:
        wanted = model.pipeline.scheduler.add_noise(latents, noise, torch.tensor([t]))
        assert torch.allclose(x[..., :4], wanted[..., :4], atol=1e-5)
    assert not torch.allclose(seen[-1][1][..., 4:], wanted[..., 4:], atol=1e-2)
    old, new = np.asarray(grey()), np.asarray(made[0])
    assert (new[:, :16] == old[:, :16]).all()
    assert (new[:, 16:] != old[:, 16:]).any()


def test_image_to_image_is_diffusers_own(model: StylizerModel) -> None:
    made = arrays(image_to_images(model, [grey(), grey(1), grey(2)], [WISH] * 3, SAMPLING, 0.5))
    assert (made[0] == arrays(image_to_images(model, [grey()], [WISH], SAMPLING, 0.5))[0]).all()
    assert (made[0] != made[1]).any()
    assert issubclass(NoisedImg2ImgPipeline, StableDiffusionPipeline.__mro__[1])


def test_sound_of_a_text(model: StylizerModel) -> None:
    sound, longer = (text_to_sounds(model, [WISH], SAMPLING, seconds)[0] for seconds in (None, 0.5))
    assert sound.waveforms.shape == (1, 31 * 80)
    assert longer.image.width == 56
    params, maximum = riffusion.params_of(sound.image)
    assert params == model.form.params
    assert maximum == 3e5
    again = text_to_sounds(model, [WISH], SAMPLING)[0]
    assert (again.waveforms == sound.waveforms).all()


@pytest.mark.parametrize(("seconds", "channels"), [(0.005, 1), (0.1, 1), (1.0, 2), (0.3333, 1)])
def test_restyled_sound_is_as_long_as_it_was(model: StylizerModel, seconds: float, channels: int) -> None:
    waveforms = tone(seconds, channels)
    styled = sound_to_sound(model, waveforms, WISH, SAMPLING, 0.4)
    assert styled.waveforms.shape == (1, waveforms.shape[1])
    assert styled.image.width == 1 + waveforms.shape[1] // 80
    assert np.isfinite(styled.waveforms).all()


def test_silence_stays_silent(model: StylizerModel, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(model.pipeline.unet, "forward", lambda *_, **__: pytest.fail("the model was asked"))
        assert not sound_to_sound(model, np.zeros((1, 4000), np.float32), WISH, SAMPLING, 0.4).waveforms.any()
    half = tone(1.0)
    half[:, : RATE // 2] = 0
    styled = sound_to_sound(model, half, WISH, replace(SAMPLING, overlap=0.0), 0.4)
    assert np.abs(styled.waveforms[:, :1500]).max() < 1e-3
    assert np.abs(styled.waveforms[:, 5000:]).max() > 0.01


def test_a_mask_keeps_a_part_of_long_sound(model: StylizerModel) -> None:
    waveforms = tone(1.0)
    mask = Image.new("L", (100, 10), 255)
    mask.paste(0, (0, 0, 50, 10))
    free, kept = (sound_to_sound(model, waveforms, WISH, SAMPLING, 0.8, one).image for one in (None, mask))
    source = sound_to_sound(model, waveforms, WISH, SAMPLING, 0.8, Image.new("L", (8, 8), 0)).image
    wanted, found, other = (riffusion.from_image(image)[0] for image in (source, kept, free))
    assert found[..., :40] == pytest.approx(wanted[..., :40], abs=0.03 * float(wanted.max()))
    assert np.abs(other[..., :40] - wanted[..., :40]).max() > 0.1 * wanted.max()
    assert np.abs(found[..., 60:] - wanted[..., 60:]).max() > 0.1 * wanted.max()


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (Wish(" ", 0), "prompt: found an empty text, wanted a style in words"),
        (Wish("chiptune", 0, end_prompt=""), "end_prompt: found an empty text"),
        (Wish("chiptune " * 9, 0), "prompt: found 11 tokens .* wanted at most 8"),
        (Wish("chiptune", 0, negative_prompt="organ " * 9), "negative_prompt: found 11 tokens"),
    ],
)
def test_prompts_that_cannot_be_told(model: StylizerModel, wish: Wish, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        text_to_images(model, [wish], SAMPLING, 32)
    with pytest.raises(StudyError, match=message):
        sound_to_sound(model, tone(0.1), wish, SAMPLING, 0.5)


@pytest.mark.parametrize("size", [[8, 16], None])
def test_models_whose_sample_size_is_no_number(folder: Path, tmp_path: Path, size: list[int] | None) -> None:
    shutil.copytree(folder, tmp_path / "model")
    config = tmp_path / "model/unet/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"sample_size": size}))
    model, same = load_stylizer(tmp_path / "model"), load_stylizer(folder)
    for made in (
        lambda model: image_to_images(model, [grey()], [WISH], SAMPLING, 0.5),
        lambda model: text_to_images(model, [WISH], SAMPLING, 32),
    ):
        assert (arrays(made(model))[0] == arrays(made(same))[0]).all()


def test_through_the_autoencoder_alone(model: StylizerModel) -> None:
    images = [grey(), grey(1), grey(2)]
    made = arrays(autoencoded(model, images, SAMPLING))
    for image, found in zip(images, made, strict=True):
        pixels = torch.from_numpy(np.asarray(image)).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.no_grad():
            wanted = model.pipeline.vae(pixels).sample
        assert found == pytest.approx((wanted[0].permute(1, 2, 0).clamp(-1, 1).numpy() + 1) * 127.5, abs=1.5)


def test_several_sounds_in_common_batches_are_as_alone(model: StylizerModel) -> None:
    sources = [tone(0.5), np.zeros((1, 3000), np.float32), 0.5 * tone(0.9)]
    wishes = [WISH, WISH, Wish("church organ", 9)]
    together = sounds_to_sounds(model, sources, wishes, SAMPLING, 0.6)
    for source, wish, found in zip(sources, wishes, together, strict=True):
        alone = sound_to_sound(model, source, wish, SAMPLING, 0.6)
        assert found.waveforms == pytest.approx(alone.waveforms, abs=1e-3)
        assert found.waveforms.shape == source.shape


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_weights_that_are_not_there(folder: Path, tmp_path: Path, part: str) -> None:
    shutil.copytree(folder, tmp_path / "model")
    for weights in (tmp_path / "model" / part).glob("*.safetensors"):
        weights.unlink()
    with pytest.raises(StudyError, match=rf"{part}: found no weights, wanted safetensors \(pickles are not read\)"):
        load_stylizer(tmp_path / "model")


def test_a_vocabulary_that_is_not_there(folder: Path, tmp_path: Path) -> None:
    """transformers would take an empty one, and every prompt for the same."""
    shutil.copytree(folder, tmp_path / "model")
    for file in (tmp_path / "model/tokenizer").iterdir():
        if file.name != "tokenizer_config.json":
            file.unlink()
    with pytest.raises(StudyError, match=r"tokenizer: found no vocabulary, wanted tokenizer\.json, or vocab\.json and"):
        load_stylizer(tmp_path / "model")


@pytest.mark.parametrize("part", ["scheduler", "unet/config.json"])
def test_parts_that_are_not_there(folder: Path, tmp_path: Path, part: str) -> None:
    shutil.copytree(folder, tmp_path / "model")
    gone = tmp_path / "model" / part
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    with pytest.raises(StudyError, match=r"model: found no whole Stable Diffusion \(.*\), wanted one") as caught:
        load_stylizer(tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_models_that_are_not_there_or_not_whole(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        StudyError, match=r"stylize.model: found 'nowhere', wanted a folder that is there or a hub name"
    ):
        load_stylizer("nowhere")
    with pytest.raises(StudyError, match=r"stylize\.model: found no model_index\.json"):
        load_stylizer(tmp_path)
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (weights,) = (broken / "unet").glob("*.safetensors")
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(StudyError, match=r"unet: found no weights, wanted safetensors \(pickles are not read\)"):
        load_stylizer(broken)
    weights.write_bytes(b"nothing")
    with pytest.raises(StudyError, match="found no whole Stable Diffusion") as caught:
        load_stylizer(broken)
    assert "\n" not in str(caught.value)
    index = broken / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"_class_name": "FluxPipeline"}))
    with pytest.raises(StudyError, match="found the class 'FluxPipeline', wanted StableDiffusionPipeline"):
        load_stylizer(broken)
