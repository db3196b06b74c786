"""Noise levels against the papers' formulas, a flow against diffusers' own scheduler, and the levels drawn to train."""

import numpy as np
import pytest
import tiny  # noqa: F401  (one thread)
import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler
from tiny import tiny_params

from soundaug.diffusion.schedule import Schedule, network_input
from soundaug.generation.solvers import SOLVERS, Denoised, Ladder, read_output

FLOW = Schedule(FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000))
COSINE = Schedule(DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction"))
PREDICTIONS = ["epsilon", "v_prediction", "sample", "flow"]
KERNEL = torch.randn((1, 1, 3, 3), generator=torch.Generator().manual_seed(7)) / 3


def schedule_of(prediction: str) -> Schedule:
    return FLOW if prediction == "flow" else Schedule(DDPMScheduler(prediction_type=prediction))


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_levels_of_a_flow() -> None:
    """t runs from 1 / T to 1; the noise-to-signal ratio is t / (1 - t)."""
    t = np.arange(1, 1000) / 1000
    ratio = np.sqrt(1 / FLOW.alpha_bar.double().numpy() - 1)
    np.testing.assert_allclose(ratio[:-1], t / (1 - t), rtol=6e-3)  # float32 next to 1
    assert 0 < FLOW.alpha_bar[-1] <= 1e-8
    assert [FLOW.told(0), FLOW.told(999), COSINE.told(0)] == [1, 1000, 0]


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_what_is_asked_for_is_what_is_read(prediction: str) -> None:
    """A network that says exactly what it is asked for gives image and noise back, at every level."""
    schedule = schedule_of(prediction)
    images, noise = random(4, 1, 8, 8), random(4, 1, 8, 8, seed=1)
    levels = torch.tensor([3, 200, 500, 900])
    given, target, share = schedule.noisy(images, noise, levels)
    for row, level in enumerate(levels.tolist()):
        alpha_bar = float(schedule.alpha_bar[level])
        state = alpha_bar**0.5 * images[row] + (1 - alpha_bar) ** 0.5 * noise[row]
        torch.testing.assert_close(given[row], network_input(state, alpha_bar, prediction))
        found = read_output(target[row], state, alpha_bar, prediction)
        torch.testing.assert_close(found.x0, images[row], rtol=1e-3, atol=2e-3)
        torch.testing.assert_close(found.epsilon, noise[row], rtol=1e-3, atol=2e-3)
        wrong = read_output(target[row] + 0.1, state, alpha_bar, prediction)
        error = (wrong.x0 - found.x0).square().mean() / 0.1**2
        assert float(error) == pytest.approx(float(share[row]), rel=1e-3)


def test_a_flow_is_given_the_straight_path() -> None:
    images, noise, level = random(1, 1, 4, 4), random(1, 1, 4, 4, seed=1), 299
    given, target, _ = FLOW.noisy(images, noise, torch.tensor([level]))
    torch.testing.assert_close(given, 0.7 * images + 0.3 * noise)
    torch.testing.assert_close(target, noise - images)


def test_euler_steps_of_a_flow_are_diffusers() -> None:
    """On the straight path a step of DDIM is Euler's step, which diffusers takes."""

    def network(x: torch.Tensor, timestep: float) -> torch.Tensor:
        return 0.5 * x + 0.5 * torch.tanh(torch.nn.functional.conv2d(x, KERNEL, padding=1) + timestep / 1000)

    start = random(2, 1, 8, 8)
    ladder = Ladder.of(FLOW.alpha_bar, 20)
    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000)
    scheduler.set_timesteps(sigmas=[(level + 1) / 1000 for level in ladder.levels])
    # The clean level is t = 0 in both; level 0 itself is t = 1 / 1000.
    wanted = start
    for timestep in scheduler.timesteps:
        wanted = scheduler.step(network(wanted, float(timestep)), timestep, wanted).prev_sample

    def denoise(x: torch.Tensor, index: int, alpha_bar: float) -> Denoised:
        output = network(network_input(x, alpha_bar, "flow"), FLOW.told(ladder.levels[index]))
        return read_output(output, x, alpha_bar, "flow")

    first = ladder.alpha_bar[0]
    x = start * (first**0.5 + (1 - first) ** 0.5)  # the same point of the path, variance-preserving
    solver = SOLVERS["ddim"](ladder, denoise)
    for index in range(len(ladder)):
        x = solver.step(x, index, lambda: start)
    torch.testing.assert_close(x, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("mean", "deviation"), [(-0.5, 1.2), (0.0, 1.0)])
@pytest.mark.parametrize("schedule", [FLOW, COSINE], ids=["flow", "cosine"])
def test_log_normal_levels(schedule: Schedule, mean: float, deviation: float) -> None:
    levels = schedule.draw(20000, [mean, deviation], torch.Generator().manual_seed(0))
    assert levels.min() >= 0
    assert levels.max() <= 999
    log_sigma = 0.5 * torch.log(1 / schedule.alpha_bar[levels].double() - 1)
    assert float(log_sigma.median()) == pytest.approx(mean, abs=0.03)
    inner = torch.quantile(log_sigma, torch.tensor([0.159, 0.841], dtype=torch.float64))
    assert float(inner[1] - inner[0]) / 2 == pytest.approx(deviation, rel=0.03)


def test_logit_normal_times_of_a_flow() -> None:
    """Esser et al. (2024): logit(t) is normal."""
    levels = FLOW.draw(20000, [0.0, 1.0], torch.Generator().manual_seed(0))
    t = (levels.double() + 1) / 1000
    logit = torch.log(t / (1 - t))
    assert float(logit.mean()) == pytest.approx(0, abs=0.03)
    assert float(logit.std()) == pytest.approx(1, rel=0.03)


def test_levels_are_alike_without_log_sigma() -> None:
    levels = COSINE.draw(20000, None, torch.Generator().manual_seed(0))
    counts = torch.bincount(levels // 100, minlength=10)
    assert counts.min() > 1800
    assert counts.max() < 2200


@pytest.mark.parametrize("log_sigma", [None, (-0.5, 1.2)])
def test_levels_are_those_of_the_generator(log_sigma: tuple[float, float] | None) -> None:
    one, same, other = (COSINE.draw(50, log_sigma, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_only_a_flow_is_given_another_state() -> None:
    x = random(2, 3)
    assert network_input(x, 0.36, "epsilon") is network_input(x, 0.36, "v_prediction") is x
    torch.testing.assert_close(network_input(x, 0.36, "flow"), x / 1.4)


def test_by_params() -> None:
    settings = tiny_params().generator
    schedule = Schedule.of(settings)
    assert (schedule.prediction, len(schedule.alpha_bar)) == (settings.prediction, settings.train_timesteps)
    assert schedule.scheduler.config.clip_sample is False
    flow = Schedule.of(settings.model_copy(update={"prediction": "flow"}))
    assert (flow.prediction, len(flow.alpha_bar)) == ("flow", settings.train_timesteps)
    t = torch.arange(1, settings.train_timesteps) / settings.train_timesteps
    torch.testing.assert_close((1 / flow.alpha_bar[:-1] - 1).sqrt(), t / (1 - t), rtol=1e-3, atol=1e-4)
    for name in ("linear", "squaredcos_cap_v2"):
        wanted = DDPMScheduler(num_train_timesteps=settings.train_timesteps, beta_schedule=name).alphas_cumprod
        assert torch.equal(Schedule.of(settings.model_copy(update={"beta_schedule": name})).alpha_bar, wanted)
