"""Sampling against closed forms for Gaussian data and audio-diffusion's own pipeline; no neighbour changes a result."""

import math
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
from PIL import Image
from tiny import tiny_params

from soundaug.diffusion.model import Told
from soundaug.diffusion.schedule import Schedule
from soundaug.generation.sampling import Sampler
from soundaug.generation.solvers import SOLVERS, Noise, at_level, read_output
from soundaug.interpolation import slerp
from soundaug.params import Generate
from soundaug.running.device import generator_of
from soundaug.running.errors import StudyError

PARAMS = tiny_params()
SCHEDULE = Schedule(
    DDPMScheduler(
        num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", clip_sample=False
    )
)
STD = 0.4  # of the data


class Gaussian(torch.nn.Module):
    """The exact velocity for data of N(0, STD^2); class c's prediction is 1 + c times that, the null class 3 adds 5."""

    config = SimpleNamespace(num_class_embeds=4)

    def forward(self, noisy: torch.Tensor, timestep: int, class_labels: torch.Tensor) -> Any:
        alpha_bar = SCHEDULE.alpha_bar[timestep]
        velocity = (alpha_bar * (1 - alpha_bar)).sqrt() * (1 - STD**2) / variance(alpha_bar) * noisy
        labels = class_labels.view(-1, 1, 1, 1)
        return SimpleNamespace(sample=torch.where(labels == 3, velocity + 5, velocity * (1 + labels)))


def variance(alpha_bar: Any) -> Any:
    return alpha_bar * STD**2 + 1 - alpha_bar


def settings(**changes: Any) -> Generate:
    return PARAMS.generate.model_copy(update={"batch_size": 16} | changes)


def gaussian(**changes: Any) -> Sampler:
    return Sampler(Gaussian(), SCHEDULE, settings(**changes))


def random(count: int, seed: int = 0, side: int = 16) -> torch.Tensor:
    return torch.randn((count, 1, side, side), generator=torch.Generator().manual_seed(seed))


def zeros(count: int) -> Told:
    return Told(torch.zeros(count, dtype=torch.int64))


def seeds_of(count: int) -> list[int]:
    return list(range(100, 100 + count))


def unet(num_class_embeds: int | None, channels: int = 1, side: int = 16) -> UNet2DModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = UNet2DModel(
            sample_size=(side, side),
            in_channels=channels,
            out_channels=channels,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=8,
            norm_num_groups=4,
            num_class_embeds=num_class_embeds,
        )
        with torch.no_grad():  # an untrained network hardly tells levels and classes apart
            network.conv_out.weight.mul_(3)
            if num_class_embeds:
                network.class_embedding.weight.mul_(10)
    return network


# The closed form


@pytest.mark.parametrize("steps", [1, 5, 50])
def test_every_step_is_ddims_equation_12(steps: int) -> None:
    """With the exact denoiser each step only scales: by hand, the product of the steps' factors."""
    visited = SCHEDULE.alpha_bar.double().numpy()[np.arange(steps)[::-1] * (1000 // steps)]
    visited = np.append(visited, 1.0)
    wanted = 1.0
    for now, then in pairwise(visited):
        x0, epsilon = np.sqrt(now) * STD**2 / variance(now), np.sqrt(1 - now) / variance(now)
        wanted *= np.sqrt(then) * x0 + np.sqrt(1 - then) * epsilon
    noise = random(3)
    decoded = gaussian(steps=steps).decode(noise, zeros(3), seeds_of(3))
    torch.testing.assert_close(decoded, noise * wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "steps"), [("ddim", 200), ("ddpm", 500), ("dpm_solver", 100), ("heun", 50), ("adams_bashforth", 50)]
)
def test_noise_becomes_the_data(name: str, steps: int) -> None:
    """The probability flow maps N(0, V(start)) to N(0, STD^2); enough steps come close to it."""
    decoded = gaussian(sampler=name, steps=steps).decode(random(64), zeros(64), seeds_of(64))
    assert float(decoded.std()) == pytest.approx(STD, rel=0.015)
    assert abs(float(decoded.mean())) < 0.01


@pytest.mark.parametrize(("inversion", "order"), [("ddim", 1), ("fixed_point", 2), ("adams_bashforth", 2)])
def test_inversion_finds_the_noise_and_the_noise_gives_the_data_back(inversion: str, order: int) -> None:
    data = STD * random(8)
    errors = []
    for steps in (20, 40, 80):
        name = inversion if inversion in SOLVERS else "ddim"
        sampler = gaussian(steps=steps, inversion=inversion, sampler=name)
        noise = sampler.invert(data, zeros(8))
        again = sampler.decode(noise, zeros(8), seeds_of(8))
        errors.append(float((again - data).abs().max() / data.abs().max()))
    assert float(noise.std()) == pytest.approx(float(random(8).std()), rel=0.03)
    assert errors[0] < {1: 0.2, 2: 0.02}[order]
    assert errors[0] / errors[1] > 1.8**order
    assert errors[1] / errors[2] > 1.8**order


def test_more_iterations_give_the_data_back_more_exactly() -> None:
    data = STD * random(4)
    errors = []
    for iterations in (1, 2, 3):
        sampler = gaussian(steps=10, inversion_iterations=iterations)
        again = sampler.decode(sampler.invert(data, zeros(4)), zeros(4), seeds_of(4))
        errors.append(float((again - data).abs().max()))
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 3


# Guidance


def test_guidance_1_is_the_conditional_model_alone() -> None:
    noise, told = random(3), Told(torch.tensor([0, 1, 2]))
    plain = gaussian(steps=5).decode(noise, told, seeds_of(3))
    calls = []

    class Counting(Gaussian):
        def forward(self, noisy: torch.Tensor, timestep: int, class_labels: torch.Tensor) -> Any:
            calls.append(class_labels.tolist())
            return super().forward(noisy, timestep, class_labels)

    sampler = Sampler(Counting(), SCHEDULE, settings(steps=5, guidance=2.0, batch_size=3))
    assert torch.equal(sampler.decode(noise, told, seeds_of(3), guidance=1.0), plain)
    assert calls == [[0, 1, 2]] * 5
    assert not torch.equal(sampler.decode(noise, told, seeds_of(3)), plain)  # the settings' guidance
    assert calls[5:] == [[0, 1, 2], [3, 3, 3]] * 5
    calls.clear()
    sampler.invert(noise, told)  # never guided
    assert calls == [[0, 1, 2]] * 6  # one evaluation a step, and one to begin with


@pytest.mark.parametrize("guidance", [0.0, 0.5, 3.0])
def test_the_guidance_formula(guidance: float) -> None:
    """Ho & Salimans 2022: null + guidance (conditional - null), here by hand along three steps of DDIM."""
    sampler = gaussian(guidance=guidance, steps=3)
    noise, told = random(3), Told(torch.tensor([0, 1, 2]))
    wanted = noise
    levels = sampler.ladder.alpha_bar
    for timestep, now, then in zip(sampler.ladder.levels, levels[:-1], levels[1:], strict=True):
        velocity = Gaussian()(wanted, timestep, torch.zeros(3)).sample
        conditional = velocity * torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1, 1)
        output = (velocity + 5) * (1 - guidance) + guidance * conditional
        wanted = at_level(read_output(output, wanted, now, "v_prediction"), then)
    decoded = sampler.decode(noise, told, seeds_of(3))
    torch.testing.assert_close(decoded, wanted, rtol=1e-4, atol=1e-4)


def test_guidance_without_classes_is_refused() -> None:
    with pytest.raises(StudyError) as raised:
        Sampler(unet(None), SCHEDULE, settings(guidance=2.0))
    line = "generate.guidance: found 2.0, wanted 1.0: this generator knows no classes to guide to"
    assert str(raised.value) == line
    Sampler(unet(None), SCHEDULE, settings(guidance=1.0))


# audio-diffusion's own pipeline


def bytes_of(count: int) -> np.ndarray:
    """Smooth grayscale images [N, 16, 16]."""
    y, x = np.mgrid[0:16, 0:16]
    images = [128 + 100 * np.sin((1 + n) * x / 5 + n) * np.cos(y / (2 + n)) for n in range(count)]
    return np.stack(images).astype(np.uint8)


def images_of(pixels: np.ndarray) -> torch.Tensor:
    """[N, 1, 16, 16] in [-1, 1]."""
    return torch.from_numpy(pixels / 255 * 2 - 1).float()[:, None]


def learn(network: UNet2DModel, schedule: DDPMScheduler) -> None:
    """A little training on smooth images: an untrained epsilon blows up on the way from noise."""
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    random, clean = torch.Generator().manual_seed(0), images_of(bytes_of(8))
    for _ in range(60):
        timesteps = torch.randint(1000, (8,), generator=random)
        noise = torch.randn(clean.shape, generator=random)
        output = network(schedule.add_noise(clean, noise, timesteps), timesteps).sample
        optimizer.zero_grad()
        (output - noise).square().mean().backward()
        optimizer.step()


@pytest.fixture(scope="module")
def original() -> Any:
    """`AudioDiffusionPipeline` with a tiny network, as published: unconditional, epsilon, linear betas, 1000 steps."""
    from diffusers.pipelines.deprecated.audio_diffusion import AudioDiffusionPipeline, Mel

    mel = Mel(x_res=16, y_res=16, n_iter=1)
    mel.image_to_audio = lambda image: np.zeros(1)  # its images are compared, not its Griffin-Lim
    scheduler = DDIMScheduler(num_train_timesteps=1000, clip_sample=False, prediction_type="epsilon")
    network = unet(None)
    learn(network, DDPMScheduler.from_config(scheduler.config))
    pipeline = AudioDiffusionPipeline(vqvae=None, unet=network.eval(), mel=mel, scheduler=scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def ours(original: Any, steps: int) -> Sampler:
    schedule = Schedule(DDPMScheduler.from_config(original.scheduler.config))
    return Sampler(original.unet, schedule, settings(steps=steps, inversion="ddim", batch_size=3))


def encode(original: Any, images: np.ndarray, steps: int) -> torch.Tensor:
    return original.encode([Image.fromarray(image) for image in images], steps=steps)


def decode(original: Any, noise: torch.Tensor, steps: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, torch.Tensor]:
    """The pipeline's images [N, 16, 16] of 0 to 255, and the tensor it rounds to them."""
    states = []
    step = original.scheduler.step

    def noting(*args: Any, **kwargs: Any) -> Any:
        states.append(step(*args, **kwargs))
        return states[-1]

    with monkeypatch.context() as patch:
        patch.setattr(original.scheduler, "step", noting)
        images, _ = original(noise=noise.clone(), steps=steps, return_dict=False)
    assert len(states) == steps
    return np.stack([np.asarray(image) for image in images]), states[-1].prev_sample


@pytest.mark.parametrize("steps", [7, 50])
def test_parity_with_audio_diffusion_encode(original: Any, steps: int) -> None:
    pixels = bytes_of(3)
    wanted = encode(original, pixels, steps)
    found = ours(original, steps).invert(images_of(pixels), zeros(3))
    assert float((found - wanted).abs().max()) < 1e-3
    assert float(wanted.std()) == pytest.approx(1, abs=0.25)  # noise indeed


@pytest.mark.parametrize("steps", [7, 50])
def test_parity_with_audio_diffusion_decode(original: Any, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = random(3)
    images, wanted = decode(original, noise, steps, monkeypatch)
    found = ours(original, steps).decode(noise, zeros(3), seeds_of(3))
    assert float((found - wanted).abs().max()) < 1e-3
    pixels = (found / 2 + 0.5).clamp(0, 1)[:, 0].numpy() * 255
    assert np.abs(pixels - images).max() < 0.5 + 1e-3 * 127.5  # its rounding, and the difference above
    assert images.std() > 20


def test_parity_with_audio_diffusion_interpolation(original: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published study's augmentation: two clips encoded in 50 steps, slerp at 0.5, decoded in 50 steps."""
    pixels = bytes_of(2)
    noise = encode(original, pixels, 50)
    _, wanted = decode(original, original.slerp(noise[0], noise[1], 0.5)[None], 50, monkeypatch)
    sampler = ours(original, 50)
    inverted = sampler.invert(images_of(pixels), zeros(2))
    mixed = slerp(inverted[:1], inverted[1:], torch.tensor([0.5]))
    found = sampler.decode(mixed, zeros(1), [0])
    assert float((found - wanted).abs().max()) < 1e-3
    assert float(wanted.std()) > 0.2


# A clip's result is its own


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def network(request: pytest.FixtureRequest) -> Sampler:
    changes = {"steps": 3, "batch_size": 4, "guidance": 2.0, "precision": request.param, "sampler": "ddpm"}
    return Sampler(unet(4, channels=2), SCHEDULE, settings(**changes))


HALF = torch.arange(16).expand(2, 16, 16) < 8
RUNS: dict[str, Callable[[Sampler, torch.Tensor, torch.Tensor, list[int]], torch.Tensor]] = {
    "invert": lambda sampler, x, labels, seeds: sampler.invert(x, Told(labels)),
    "decode": lambda sampler, x, labels, seeds: sampler.decode(x, Told(labels), seeds),
    "vary": lambda sampler, x, labels, seeds: sampler.vary(
        x, Told(labels), [0.5 + seed % 2 / 2 for seed in seeds], seeds
    ),
    "inpaint": lambda sampler, x, labels, seeds: sampler.inpaint(x, HALF, Told(labels), seeds),
}


@pytest.mark.parametrize("name", sorted(RUNS))
def test_a_clips_result_is_its_own(network: Sampler, name: str) -> None:
    """To the bit, with the stochastic sampler: inputs and seed decide, whatever the batch."""
    run = RUNS[name]
    images = torch.randn((10, 2, 16, 16), generator=torch.Generator().manual_seed(0))
    labels, seeds = torch.arange(10) % 3, seeds_of(10)
    together = run(network, images, labels, seeds)  # batches of 4, 4 and 2
    order = [7, 2, 9, 0, 5, 1, 8, 3, 6, 4]
    assert torch.equal(run(network, images[order], labels[order], [seeds[index] for index in order]), together[order])
    for index in (0, 3, 9):
        alone = run(network, images[index : index + 1], labels[index : index + 1], seeds[index : index + 1])
        assert torch.equal(alone[0], together[index])
    assert (together[0] - together[1]).abs().max() > 0.1
    assert not torch.equal(run(network, images[:1], labels[:1] + 1, seeds[:1])[0], together[0])  # another class
    if name != "invert":
        again = run(network, images[:1], labels[:1], [seeds[0] + 2])
        assert (again[0] - together[0]).abs().max() > 0.1  # another seed


@pytest.mark.parametrize("name", ["ddim", "dpm_solver", "heun", "adams_bashforth"])
def test_a_deterministic_sampler_takes_nothing_from_the_seed(name: str) -> None:
    sampler = gaussian(sampler=name, steps=5)
    one, other = (sampler.decode(random(2), zeros(2), seeds) for seeds in ([1, 2], [3, 4]))
    assert torch.equal(one, other)


def test_no_clips_give_none(network: Sampler) -> None:
    none = torch.empty(0, 2, 16, 16)
    for run in RUNS.values():
        assert run(network, none, zeros(0), []).shape == (0, 2, 16, 16)


# Variation


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_strength_0_gives_the_image_back(name: str) -> None:
    images = STD * random(3)
    sampler = gaussian(sampler=name, steps=5)
    assert torch.equal(sampler.vary(images, zeros(3), [0.0] * 3, seeds_of(3)), images)


@pytest.mark.parametrize("name", ["ddim", "dpm_solver", "heun", "adams_bashforth"])
def test_strength_1_decodes_the_noisiest_level(name: str) -> None:
    images, seeds = STD * random(3), seeds_of(3)
    sampler = gaussian(sampler=name, steps=5)
    noise = torch.stack([torch.randn(images.shape[1:], generator=generator_of(seed, 1)) for seed in seeds])
    highest = sampler.ladder.alpha_bar[0]
    wanted = sampler.decode(math.sqrt(highest) * images + math.sqrt(1 - highest) * noise, zeros(3), seeds)
    assert torch.equal(sampler.vary(images, zeros(3), [1.0] * 3, seeds), wanted)


def test_half_the_strength_starts_half_the_way() -> None:
    """With the exact denoiser every step scales: by hand, from the level of the strength on."""
    images, sampler = STD * random(2), gaussian(steps=10)
    noise = torch.stack([torch.randn(images.shape[1:], generator=generator_of(seed, 1)) for seed in (1, 2)])
    levels = sampler.ladder.alpha_bar[5:]
    wanted = math.sqrt(levels[0]) * images + math.sqrt(1 - levels[0]) * noise
    for now, then in pairwise(levels):
        wanted *= (math.sqrt(then * now) * STD**2 + math.sqrt((1 - then) * (1 - now))) / variance(now)
    found = sampler.vary(images, zeros(2), [0.5, 0.5], [1, 2])
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_a_variation_is_further_off_the_stronger_it_is(name: str) -> None:
    """Of exact Gaussian data the distance grows from 0 to that of an independent draw, sqrt(2) deviations."""
    images, sampler = STD * random(16), gaussian(sampler=name, steps=50)
    distances = []
    for strength in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        varied = sampler.vary(images, zeros(16), [strength] * 16, seeds_of(16))
        distances.append(float((varied - images).square().mean().sqrt()))
    assert distances[0] == 0
    assert distances == sorted(set(distances))
    assert distances[-1] == pytest.approx(math.sqrt(2) * STD, rel=0.06)


@pytest.mark.parametrize("name", ["ddim", "ddpm"])
def test_mixed_strengths_are_what_each_is_alone(name: str) -> None:
    sampler = Sampler(unet(4), SCHEDULE, settings(steps=4, sampler=name, batch_size=4))
    images, labels, seeds = STD * random(9), torch.arange(9) % 3, seeds_of(9)
    strengths = [0.5, 1.0, 0.0, 0.25, 0.5, 0.5, 1.0, 0.5, 0.5]
    together = sampler.vary(images, Told(labels), strengths, seeds)
    for strength in set(strengths):
        chosen = [index for index, one in enumerate(strengths) if one == strength]
        apart = sampler.vary(
            images[chosen], Told(labels[chosen]), [strength] * len(chosen), [seeds[index] for index in chosen]
        )
        assert torch.equal(apart, together[chosen])


def test_a_variation_leaves_its_input_as_it_was() -> None:
    images = STD * random(2)
    before = images.clone()
    gaussian(steps=4).vary(images, zeros(2), [0.0, 1.0], [1, 2])
    assert torch.equal(images, before)


# Inpainting


class Correlated(torch.nn.Module):
    """The exact velocity for rows of two pixels of N(0, STD^2), the second correlated with the first by RHO."""

    config = SimpleNamespace(num_class_embeds=2)

    def forward(self, noisy: torch.Tensor, timestep: int, class_labels: torch.Tensor) -> Any:
        alpha_bar = SCHEDULE.alpha_bar[timestep].double()
        covariance = STD**2 * torch.tensor([[1.0, RHO], [RHO, 1.0]], dtype=torch.float64)
        noised = alpha_bar * covariance + (1 - alpha_bar) * torch.eye(2, dtype=torch.float64)
        x0 = noisy.double() @ (alpha_bar.sqrt() * torch.linalg.solve(noised, covariance))
        return SimpleNamespace(sample=((alpha_bar.sqrt() * noisy - x0) / (1 - alpha_bar).sqrt()).float())


RHO = 0.9
FIRST = torch.tensor([True, False]).expand(1, 256, 2)


def slope_and_distance(sampler: str, resamplings: int) -> tuple[float, float]:
    """Of the new pixel: the slope of its regression on the kept one, and its distance from the conditional mean."""
    sampling = Sampler(Correlated(), SCHEDULE, settings(sampler=sampler, steps=50, resamplings=resamplings))
    kept = STD * torch.randn((32, 1, 256, 2), generator=torch.Generator().manual_seed(0))
    kept[..., 1] = 100.0  # nothing of what is made anew may be looked at
    painted = sampling.inpaint(kept, FIRST, zeros(32), seeds_of(32))
    assert torch.equal(painted[..., 0], kept[..., 0])
    first, second = painted[..., 0], painted[..., 1]
    slope = float((first * second).sum() / first.square().sum())
    return slope, float((second - RHO * first).square().mean().sqrt())


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_more_resamplings_fit_the_new_part_better_to_the_kept_one(sampler: str) -> None:
    slopes, distances = zip(*(slope_and_distance(sampler, resamplings) for resamplings in (1, 4, 16)), strict=True)
    assert slopes[0] < slopes[1] - 0.1 < slopes[2] - 0.1
    assert slopes[0] < RHO - 0.25
    assert slopes[2] == pytest.approx(RHO, abs=0.04)
    assert distances[0] > 1.25 * STD * math.sqrt(1 - RHO**2)  # the deviation about the conditional mean
    assert distances[0] > distances[1] > distances[2]


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
@pytest.mark.parametrize("resamplings", [1, 3])
def test_the_kept_part_is_at_the_right_level_before_every_step(
    sampler: str, resamplings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, torch.Tensor]] = []

    class Spy(SOLVERS[sampler]):  # type: ignore[misc]
        def step(self, x: torch.Tensor, index: int, noise: Noise) -> torch.Tensor:
            seen.append((index, x.clone()))
            return super().step(x, index, noise)

    monkeypatch.setitem(SOLVERS, sampler, Spy)
    sampling = gaussian(sampler=sampler, steps=4, resamplings=resamplings)
    images = 3 + STD * random(16)
    keep = torch.arange(16).expand(1, 16, 16) < 10
    painted = sampling.inpaint(images, keep, zeros(16), seeds_of(16))
    assert torch.equal(painted[..., :10], images[..., :10])
    assert not torch.isclose(painted[..., 10:], images[..., 10:], atol=1e-4).any()
    assert [index for index, _ in seen] == [i for i in range(3) for _ in range(resamplings)] + [3]
    for index, x in seen:
        alpha_bar = sampling.ladder.alpha_bar[index]
        noise = (x - math.sqrt(alpha_bar) * images)[..., :10] / math.sqrt(1 - alpha_bar)
        assert abs(float(noise.mean())) < 4 / math.sqrt(noise.numel())
        assert float(noise.std()) == pytest.approx(1, abs=4 / math.sqrt(2 * noise.numel()))
        of_known = float((noise * (images[..., :10] - 3)).mean()) / STD
        assert abs(of_known) < 4 / math.sqrt(noise.numel())


def test_keeping_all_gives_the_image_back() -> None:
    images = STD * random(3)
    everything = torch.ones(1, 16, 16, dtype=torch.bool)
    assert torch.equal(gaussian(steps=4).inpaint(images, everything, zeros(3), seeds_of(3)), images)


def test_keeping_nothing_is_sampling() -> None:
    images, nothing = 5 + random(64), torch.zeros(1, 16, 16, dtype=torch.bool)
    sampler = gaussian(sampler="ddpm", steps=200, resamplings=1)
    painted = sampler.inpaint(images, nothing, zeros(64), seeds_of(64))
    assert float(painted.std()) == pytest.approx(STD, rel=0.03)
    assert abs(float(painted.mean())) < 0.01
