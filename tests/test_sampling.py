"""DDIM against the closed form for Gaussian data, guidance, and results that no neighbour changes."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from tiny import tiny_params

from soundaug.diffusion import MelScaling, build_scheduler, build_unet
from soundaug.params import Generate
from soundaug.sampling import Sampler

PARAMS = tiny_params()
SCHEDULE = DDPMScheduler(
    num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", clip_sample=False
)
STD = 0.4  # of the data


class Gaussian(torch.nn.Module):
    """The exact velocity for data of N(0, STD^2); class c's prediction is 1 + c times that, the null class 3 adds 5."""

    config = SimpleNamespace(num_class_embeds=4)

    def forward(self, noisy: torch.Tensor, timestep: torch.Tensor, class_labels: torch.Tensor) -> Any:
        alpha_bar = SCHEDULE.alphas_cumprod[timestep]
        variance = alpha_bar * STD**2 + 1 - alpha_bar
        velocity = (alpha_bar * (1 - alpha_bar)).sqrt() * (1 - STD**2) / variance * noisy
        labels = class_labels.view(-1, 1, 1, 1)
        return SimpleNamespace(sample=torch.where(labels == 3, velocity + 5, velocity * (1 + labels)))


def settings(**changes: Any) -> Generate:
    return PARAMS.generate.model_copy(update={"batch_size": 16} | changes)


def random(count: int, seed: int = 0, side: int = 16) -> torch.Tensor:
    return torch.randn((count, 1, side, side), generator=torch.Generator().manual_seed(seed))


def zeros(count: int) -> torch.Tensor:
    return torch.zeros(count, dtype=torch.int64)


def levels(steps: int) -> np.ndarray:
    """The noise levels (alpha bar) that ``steps`` steps of DDIM visit, noisiest first, and the last once more."""
    visited = SCHEDULE.alphas_cumprod.double().numpy()[np.arange(steps)[::-1] * (1000 // steps)]
    return np.append(visited, visited[-1])


def variance(alpha_bar: float) -> float:
    return alpha_bar * STD**2 + 1 - alpha_bar


@pytest.mark.parametrize("steps", [1, 5, 50])
def test_every_step_is_ddims_equation_12(steps: int) -> None:
    """With the exact denoiser each step only scales: by hand, the product of the steps' factors."""
    wanted = 1.0
    for now, then in zip(levels(steps)[:-1], levels(steps)[1:], strict=True):
        x0, epsilon = np.sqrt(now) * STD**2 / variance(now), np.sqrt(1 - now) / variance(now)
        wanted *= np.sqrt(then) * x0 + np.sqrt(1 - then) * epsilon
    noise = random(3)
    decoded = Sampler(Gaussian(), SCHEDULE, settings(steps=steps)).decode(noise, zeros(3), "test")
    torch.testing.assert_close(decoded, noise * wanted, rtol=1e-4, atol=1e-5)


def test_noise_becomes_the_data() -> None:
    """The probability flow maps N(0, V(start)) to N(0, V(end)); enough steps come close to it."""
    visited = levels(200)
    wanted = np.sqrt(variance(visited[-1]) / variance(visited[0]))
    decoded = Sampler(Gaussian(), SCHEDULE, settings(steps=200)).decode(random(64), zeros(64), "test")
    assert float(decoded.std()) == pytest.approx(wanted * float(random(64).std()), rel=0.01)
    assert float(decoded.std()) == pytest.approx(STD, rel=0.03)
    assert abs(float(decoded.mean())) < 0.01


def test_inversion_finds_the_noise_and_the_noise_gives_the_data_back() -> None:
    data = STD * random(8)
    errors = []
    for steps in (20, 100, 500):
        sampler = Sampler(Gaussian(), SCHEDULE, settings(steps=steps))
        noise = sampler.invert(data, zeros(8), "test")
        assert float(noise.std()) == pytest.approx(float(random(8).std()), rel=2 / steps + 0.01)
        errors.append(float((sampler.decode(noise, zeros(8), "test") - data).abs().max() / data.abs().max()))
    assert errors[2] < 0.01
    assert errors[2] < errors[1] / 3 < errors[0] / 9  # first order in the step


def test_guidance_1_is_the_conditional_model_alone() -> None:
    noise, labels = random(3), torch.tensor([0, 1, 2])
    plain = Sampler(Gaussian(), SCHEDULE, settings(steps=5)).decode(noise, labels, "test")
    calls = []

    class Counting(Gaussian):
        def forward(self, noisy: torch.Tensor, timestep: torch.Tensor, class_labels: torch.Tensor) -> Any:
            calls.append(class_labels.tolist())
            return super().forward(noisy, timestep, class_labels)

    sampler = Sampler(Counting(), SCHEDULE, settings(steps=5, guidance=2.0, batch_size=3))
    assert torch.equal(sampler.decode(noise, labels, "test", guidance=1.0), plain)
    assert calls == [[0, 1, 2]] * 5
    assert not torch.equal(sampler.decode(noise, labels, "test"), plain)  # the settings' guidance
    assert calls[5:] == [[0, 1, 2], [3, 3, 3]] * 5
    calls.clear()
    sampler.invert(noise, labels, "test")  # never guided
    assert calls == [[0, 1, 2]] * 5


@pytest.mark.parametrize("guidance", [0.0, 0.5, 3.0])
def test_the_guidance_formula(guidance: float) -> None:
    sampler = Sampler(Gaussian(), SCHEDULE, settings(guidance=guidance))
    noisy, labels, timestep = random(3), torch.tensor([0, 1, 2]), torch.tensor(500)
    velocity = Gaussian()(noisy, timestep, zeros(3)).sample
    conditional = velocity * torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1, 1)
    wanted = (velocity + 5) * (1 - guidance) + guidance * conditional
    torch.testing.assert_close(sampler._predict(noisy, timestep, labels, guidance), wanted, rtol=1e-5, atol=1e-4)


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def network(request: pytest.FixtureRequest) -> Sampler:
    scaling = MelScaling.of(PARAMS.features, PARAMS.generator)
    unet = build_unet(PARAMS.generator, scaling, 3, seed=0)
    return Sampler(
        unet, build_scheduler(PARAMS.generator), settings(steps=2, batch_size=4, guidance=2.0, precision=request.param)
    )


@pytest.mark.parametrize("direction", ["invert", "decode"])
def test_a_clips_result_is_its_own(network: Sampler, direction: str) -> None:
    run = getattr(network, direction)
    images = torch.randn((10, *MelScaling.of(PARAMS.features, PARAMS.generator).image_shape))
    labels = torch.arange(10) % 3
    together = run(images, labels, "test")  # batches of 4, 4 and 2
    order = torch.tensor([7, 2, 9, 0, 5, 1, 8, 3, 6, 4])
    assert torch.equal(run(images[order], labels[order], "test"), together[order])
    for index in (0, 3, 9):
        alone = run(images[index : index + 1], labels[index : index + 1], "test")
        assert torch.equal(alone[0], together[index])
    assert torch.equal(run(images[3:], labels[3:], "test"), together[3:])
    assert (together[0] - together[1]).abs().max() > 0.1
    other_class = run(images[:1], labels[:1] + 1, "test")
    assert not torch.equal(other_class[0], together[0])


def test_no_clips_give_none(network: Sampler) -> None:
    assert network.decode(torch.empty(0, 4, 8, 12), zeros(0), "test").shape == (0, 4, 8, 12)
