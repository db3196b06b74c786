"""Solvers against diffusers' schedulers, against the closed form for Gaussian data, and the ways back to the noise."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import tiny  # noqa: F401  (one thread)
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, HeunDiscreteScheduler

from soundaug.generation.solvers import (
    DDPM,
    SOLVERS,
    Denoise,
    Denoised,
    Ladder,
    at_level,
    invert_adams_bashforth,
    invert_ddim,
    invert_fixed_point,
    read_output,
)
from soundaug.running.errors import StudyError

SCHEDULES = ["linear", "squaredcos_cap_v2"]
PREDICTIONS = ["epsilon", "v_prediction", "sample"]
STD = 0.4  # of Gaussian data
KERNEL = torch.randn((1, 1, 3, 3), generator=torch.Generator().manual_seed(7), dtype=torch.float64) / 3


def ddim_scheduler(beta_schedule: str = "linear", prediction_type: str = "epsilon") -> DDIMScheduler:
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule=beta_schedule,
        prediction_type=prediction_type,
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="leading",
    )


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def no_noise() -> torch.Tensor:
    raise AssertionError("a deterministic solver drew noise")


def network(x: torch.Tensor, timestep: int) -> torch.Tensor:
    """A small smooth stand-in for a network's output at ``x`` [B, 1, H, W]."""
    return 0.5 * x + 0.5 * torch.tanh(F.conv2d(x, KERNEL.to(x.dtype), padding=1) + timestep / 1000)


def fake_denoise(ladder: Ladder, prediction_type: str) -> Denoise:
    def denoise(x: torch.Tensor, index: int, alpha_bar: float) -> Denoised:
        return read_output(network(x, ladder.levels[index]), x, alpha_bar, prediction_type)

    return denoise


def run(
    name: str,
    ladder: Ladder,
    denoise: Denoise,
    x: torch.Tensor,
    noise: Callable[[], torch.Tensor] = no_noise,
    start: int = 0,
) -> torch.Tensor:
    solver = SOLVERS[name](ladder, denoise)
    for index in range(start, len(ladder)):
        x = solver.step(x, index, noise)
    return x


def assert_equal(found: torch.Tensor, wanted: torch.Tensor, tolerance: float = 1e-4) -> None:
    """Equal up to ``tolerance`` of the largest value."""
    assert torch.isfinite(wanted).all()
    assert float((found - wanted).abs().max()) < tolerance * float(wanted.abs().max())


# The ladder


@pytest.mark.parametrize("beta_schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 7, 50, 1000])
def test_the_ladder_is_diffusers_leading_one(beta_schedule: str, steps: int) -> None:
    scheduler = ddim_scheduler(beta_schedule)
    scheduler.set_timesteps(steps)
    ladder = Ladder.of(scheduler.alphas_cumprod, steps)
    assert len(ladder) == steps
    assert list(ladder.levels) == scheduler.timesteps.tolist()
    assert list(ladder.alpha_bar[:-1]) == scheduler.alphas_cumprod[scheduler.timesteps].tolist()
    assert ladder.alpha_bar[-1] == scheduler.final_alpha_cumprod == 1.0
    assert list(ladder.alpha_bar) == sorted(ladder.alpha_bar)


@pytest.mark.parametrize(("steps", "starts"), [(10, (10, 5, 0)), (1, (1, 1, 0)), (50, (50, 25, 0))])
def test_a_strength_is_a_share_of_the_way(steps: int, starts: tuple[int, int, int]) -> None:
    ladder = Ladder.of(ddim_scheduler().alphas_cumprod, steps)
    assert tuple(ladder.start(strength) for strength in (0.0, 0.5, 1.0)) == starts
    everywhere = [ladder.start(strength / 100) for strength in range(101)]
    assert everywhere == sorted(everywhere, reverse=True)
    assert set(everywhere) == set(range(steps + 1))


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_more_steps_than_levels_are_refused(steps: int) -> None:
    with pytest.raises(StudyError) as raised:
        Ladder.of(ddim_scheduler().alphas_cumprod, steps)
    assert str(raised.value) == f"steps: found {steps}, wanted 1 to 1000, the generator's noise levels"


@pytest.mark.parametrize("strength", [-0.1, 1.1, math.nan])
def test_a_strength_out_of_range_is_refused(strength: float) -> None:
    with pytest.raises(StudyError) as raised:
        Ladder.of(ddim_scheduler().alphas_cumprod, 10).start(strength)
    assert str(raised.value) == f"strength: found {strength}, wanted 0 to 1"


# The network's output


@pytest.mark.parametrize("prediction_type", PREDICTIONS)
@pytest.mark.parametrize("timestep", [40, 500, 900])
def test_the_output_is_read_as_image_and_noise(prediction_type: str, timestep: int) -> None:
    scheduler = ddim_scheduler("squaredcos_cap_v2", prediction_type)
    scheduler.set_timesteps(50)
    x, output = random(2, 1, 8, 8), random(2, 1, 8, 8, seed=1)
    alpha_bar = float(scheduler.alphas_cumprod[timestep])
    denoised = read_output(output, x, alpha_bar, prediction_type)
    assert_equal(denoised.x0, scheduler.step(output, timestep, x).pred_original_sample, 1e-6)
    torch.testing.assert_close(at_level(denoised, alpha_bar), x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("alpha_bar", [0.01, 0.5, 0.99])
def test_the_true_output_is_read_as_the_truth(alpha_bar: float) -> None:
    x0, epsilon = random(2, 1, 8, 8), random(2, 1, 8, 8, seed=1)
    signal, noise = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
    x = signal * x0 + noise * epsilon
    for prediction_type, output in zip(PREDICTIONS, (epsilon, signal * epsilon - noise * x0, x0), strict=True):
        denoised = read_output(output, x, alpha_bar, prediction_type)
        torch.testing.assert_close(denoised.x0, x0, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(denoised.epsilon, epsilon, rtol=1e-4, atol=1e-4)


def test_no_other_prediction_is_read() -> None:
    with pytest.raises(ValueError, match="'score', wanted epsilon, v_prediction, sample or flow"):
        read_output(random(1), random(1), 0.5, "score")


# Against diffusers

CASES = pytest.mark.parametrize(
    ("beta_schedule", "prediction_type", "steps"),
    [("linear", "epsilon", 10), ("squaredcos_cap_v2", "v_prediction", 8), ("linear", "v_prediction", 50)],
)


@CASES
def test_ddim_is_diffusers(beta_schedule: str, prediction_type: str, steps: int) -> None:
    scheduler = ddim_scheduler(beta_schedule, prediction_type)
    scheduler.set_timesteps(steps)
    start = wanted = random(2, 1, 8, 8)
    for timestep in scheduler.timesteps:
        wanted = scheduler.step(network(wanted, int(timestep)), timestep, wanted, eta=0.0).prev_sample
    ladder = Ladder.of(scheduler.alphas_cumprod, steps)
    assert_equal(run("ddim", ladder, fake_denoise(ladder, prediction_type), start), wanted)


@CASES
def test_ddpm_is_diffusers_ddim_with_eta_1(beta_schedule: str, prediction_type: str, steps: int) -> None:
    scheduler = ddim_scheduler(beta_schedule, prediction_type)
    scheduler.set_timesteps(steps)
    start = wanted = random(2, 1, 8, 8)
    noises = [random(2, 1, 8, 8, seed=seed) for seed in range(1, steps + 1)]
    for timestep, noise in zip(scheduler.timesteps, noises, strict=True):
        output = network(wanted, int(timestep))
        wanted = scheduler.step(output, timestep, wanted, eta=1.0, variance_noise=noise).prev_sample
    ladder = Ladder.of(scheduler.alphas_cumprod, steps)
    drawn = iter(noises)
    found = run("ddpm", ladder, fake_denoise(ladder, prediction_type), start, lambda: next(drawn))
    assert_equal(found, wanted)
    assert len(list(drawn)) == 1  # the step to the clean image needs none


@CASES
def test_dpm_solver_is_diffusers(beta_schedule: str, prediction_type: str, steps: int) -> None:
    scheduler = DPMSolverMultistepScheduler(
        num_train_timesteps=1000,
        beta_schedule=beta_schedule,
        beta_start=0.0001,
        beta_end=0.02,
        prediction_type=prediction_type,
        algorithm_type="dpmsolver++",
        solver_order=2,
        final_sigmas_type="zero",
    )
    ladder = Ladder.of(scheduler.alphas_cumprod, steps)
    scheduler.set_timesteps(timesteps=list(ladder.levels))
    start = wanted = random(2, 1, 8, 8)
    for timestep in scheduler.timesteps:
        wanted = scheduler.step(network(wanted, int(timestep)), timestep, wanted).prev_sample
    assert_equal(run("dpm_solver", ladder, fake_denoise(ladder, prediction_type), start), wanted)


@CASES
def test_heun_is_diffusers(beta_schedule: str, prediction_type: str, steps: int) -> None:
    scheduler = HeunDiscreteScheduler(
        num_train_timesteps=1000,
        beta_schedule=beta_schedule,
        beta_start=0.0001,
        beta_end=0.02,
        prediction_type=prediction_type,
    )
    ladder = Ladder.of(scheduler.alphas_cumprod, steps)
    scheduler.set_timesteps(timesteps=list(ladder.levels))
    start = random(2, 1, 8, 8)
    wanted = start / math.sqrt(ladder.alpha_bar[0])  # diffusers' state is x0 + sigma epsilon
    for timestep in scheduler.timesteps:
        scaled = scheduler.scale_model_input(wanted, timestep)
        wanted = scheduler.step(network(scaled, int(timestep)), timestep, wanted).prev_sample
    assert len(scheduler.timesteps) == 2 * steps - 1
    assert_equal(run("heun", ladder, fake_denoise(ladder, prediction_type), start), wanted)


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_the_network_is_asked_at_the_states_own_level(name: str) -> None:
    ladder = Ladder.of(ddim_scheduler().alphas_cumprod, 4)
    asked = []

    def denoise(x: torch.Tensor, index: int, alpha_bar: float) -> Denoised:
        asked.append(index)
        assert alpha_bar == ladder.alpha_bar[index]
        return fake_denoise(ladder, "v_prediction")(x, index, alpha_bar)

    run(name, ladder, denoise, random(1, 1, 8, 8), lambda: random(1, 1, 8, 8))
    twice = {"heun": [0, 1, 1, 2, 2, 3, 3], "adams_bashforth": [0, 1, 1, 2, 3]}
    assert asked == twice.get(name, [0, 1, 2, 3])


# The closed form


def even_ladder(steps: int, highest: float = 1.4) -> Ladder:
    """Levels evenly spaced in the angle whose cosine is the signal's share, from ``highest`` to 0."""
    angles = [highest * (1 - index / steps) for index in range(steps)]
    return Ladder(tuple(range(steps))[::-1], (*(math.cos(angle) ** 2 for angle in angles), 1.0))


def variance(alpha_bar: float) -> float:
    """Of the states at a level, for data N(0, STD^2)."""
    return alpha_bar * STD**2 + 1 - alpha_bar


def gaussian(x: torch.Tensor, index: int, alpha_bar: float) -> Denoised:
    """The exact denoiser for data N(0, STD^2)."""
    x0 = math.sqrt(alpha_bar) * STD**2 / variance(alpha_bar) * x
    return Denoised(x0, math.sqrt(1 - alpha_bar) / variance(alpha_bar) * x)


def log_snr_ladder(steps: int) -> Ladder:
    """Levels evenly spaced in half the log of the signal-to-noise ratio, from -1.5 to 2 (short of the clean image)."""
    halves = [-1.5 + 3.5 * index / steps for index in range(steps + 1)]
    return Ladder(tuple(range(steps))[::-1], tuple(1 / (1 + math.exp(-2 * half)) for half in halves))


@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("dpm_solver", 2), ("heun", 2), ("adams_bashforth", 2)])
def test_the_error_falls_as_the_solvers_order_says(name: str, order: int) -> None:
    """The probability flow of Gaussian data only scales: N(0, V(start)) becomes N(0, V(end))."""
    one = torch.ones(1, dtype=torch.float64)
    errors = []
    for steps in (32, 64, 128):
        ladder = log_snr_ladder(steps)
        wanted = math.sqrt(variance(ladder.alpha_bar[-1]) / variance(ladder.alpha_bar[0]))
        errors.append(abs(float(run(name, ladder, gaussian, one)) / wanted - 1))
    assert errors[2] < {1: 0.02, 2: 0.0005}[order]
    for coarse, fine in pairwise(errors):
        assert coarse / fine == pytest.approx(2**order, rel=0.15)


@pytest.mark.parametrize(("name", "order", "coarsest"), [("ddim", 1, 16), ("heun", 2, 16), ("adams_bashforth", 2, 32)])
def test_so_it_does_down_to_the_clean_image(name: str, order: int, coarsest: int) -> None:
    errors = []
    for steps in (coarsest, 2 * coarsest, 4 * coarsest):
        ladder = even_ladder(steps)
        wanted = STD / math.sqrt(variance(ladder.alpha_bar[0]))
        errors.append(abs(float(run(name, ladder, gaussian, torch.ones(1, dtype=torch.float64))) / wanted - 1))
    for coarse, fine in pairwise(errors):
        assert coarse / fine == pytest.approx(2**order, rel=0.05)


@pytest.mark.parametrize("name", sorted(SOLVERS))
@pytest.mark.parametrize("beta_schedule", SCHEDULES)
def test_noise_becomes_data_of_the_right_deviation(name: str, beta_schedule: str) -> None:
    ladder = Ladder.of(ddim_scheduler(beta_schedule).alphas_cumprod, 500)
    generator = torch.Generator().manual_seed(1)
    noise = random(64, 1, 16, 16)
    decoded = run(name, ladder, gaussian, noise, lambda: torch.randn(noise.shape, generator=generator))
    assert float(decoded.std()) == pytest.approx(STD, rel=0.015)
    assert abs(float(decoded.mean())) < 4 * STD / 128


def test_the_posterior_of_ddpm_is_ho_et_als() -> None:
    """Mean and variance of one step by equations 6 and 7 of Ho et al. 2020, from a known image."""
    ladder = Ladder((500, 400), (0.3, 0.5, 1.0))
    now, then = ladder.alpha_bar[:2]
    alpha = now / then
    x, x0 = random(1, 1, 64, 64), random(1, 1, 64, 64, seed=1)
    solver = DDPM(ladder, lambda x, index, alpha_bar: read_output(x0, x, alpha_bar, "sample"))
    mean = math.sqrt(then) * (1 - alpha) / (1 - now) * x0 + math.sqrt(alpha) * (1 - then) / (1 - now) * x
    torch.testing.assert_close(solver.step(x, 0, lambda: torch.zeros_like(x)), mean, rtol=1e-5, atol=1e-5)
    noise = random(1, 1, 64, 64, seed=2)
    deviation = math.sqrt((1 - then) / (1 - now) * (1 - alpha))
    torch.testing.assert_close(solver.step(x, 0, lambda: noise), mean + deviation * noise, rtol=1e-5, atol=1e-5)


# Inversion


class Counting:
    """A smooth velocity that mixes pixels, unlike a line in x, and how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, x: torch.Tensor, index: int, alpha_bar: float) -> Denoised:
        self.asked += 1
        mixed = F.conv2d(x, 2 * KERNEL.to(x.dtype), padding=1)
        return read_output(torch.tanh(mixed + math.acos(math.sqrt(alpha_bar))), x, alpha_bar, "v_prediction")


def images() -> torch.Tensor:
    return 0.5 * random(4, 1, 8, 8, dtype=torch.float64)


def reconstruction_error(ladder: Ladder, noise: torch.Tensor, name: str = "ddim") -> float:
    """Of the images that ``name`` on ``ladder`` decodes ``noise`` to: root mean square, as a share of the images'."""
    decoded = run(name, ladder, Counting(), noise)
    return float((decoded - images()).square().mean().sqrt() / images().square().mean().sqrt())


def fixed_point_error(steps: int, iterations: int) -> tuple[float, int]:
    denoise = Counting()
    noise = invert_fixed_point(images(), even_ladder(steps), denoise, iterations)
    return reconstruction_error(even_ladder(steps), noise), denoise.asked


def ddim_error(steps: int) -> tuple[float, int]:
    denoise = Counting()
    noise = invert_ddim(images(), even_ladder(steps), denoise)
    return reconstruction_error(even_ladder(steps), noise), denoise.asked


def test_fixed_point_iterations_shrink_the_error_geometrically() -> None:
    errors = []
    for iterations in range(1, 9):
        error, asked = fixed_point_error(10, iterations)
        assert asked == 10 * iterations + 1
        errors.append(error)
    for before, after in pairwise(errors):
        assert after < before / 3
    assert errors[-1] < 2e-4 * errors[0]
    assert fixed_point_error(10, 60)[0] < 1e-12  # the exact inverse of DDIM on this ladder


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_a_fixed_point_is_closer_than_ddim_of_as_many_evaluations(iterations: int) -> None:
    error, asked = fixed_point_error(10, iterations)
    naive, allowed = ddim_error(10 * iterations + 1)
    assert asked == allowed
    assert error < naive / 3
    assert error < ddim_error(10)[0] / 3


def test_the_error_of_inversion_falls_with_the_steps() -> None:
    naive = [ddim_error(steps)[0] for steps in (10, 20, 40)]
    assert naive[0] / naive[1] == pytest.approx(2, rel=0.3)  # first order
    assert naive[1] / naive[2] == pytest.approx(2, rel=0.3)
    better = [fixed_point_error(steps, 1)[0] for steps in (10, 20, 40)]
    assert better[0] / better[1] > 3  # second order
    assert better[1] / better[2] > 3


@pytest.mark.parametrize("invert", [invert_ddim, invert_adams_bashforth, lambda *given: invert_fixed_point(*given, 2)])
def test_the_noise_of_gaussian_data_is_of_the_levels_deviation(invert: Any) -> None:
    """The probability flow backwards: N(0, STD^2) becomes N(0, V(start)), which is nearly 1."""
    ladder = Ladder.of(ddim_scheduler("squaredcos_cap_v2").alphas_cumprod, 200)
    data = STD * random(8, 1, 16, 16)
    noise = invert(data, ladder, gaussian)
    wanted = math.sqrt(variance(ladder.alpha_bar[0])) / STD * float(data.std())
    assert float(noise.std()) == pytest.approx(wanted, rel=0.01)
    assert float((noise / data).std()) < 1e-5  # it only scales


def test_adams_bashforth_gives_images_back_to_second_order_and_closer_than_a_fixed_point() -> None:
    """On a generator's own levels, for as many evaluations of the network."""
    errors = []
    for steps in (10, 20, 40):
        ladder, denoise = Ladder.of(ddim_scheduler("squaredcos_cap_v2").alphas_cumprod, steps), Counting()
        error = reconstruction_error(ladder, invert_adams_bashforth(images(), ladder, denoise), "adams_bashforth")
        assert denoise.asked == steps + 1
        assert error < reconstruction_error(ladder, invert_fixed_point(images(), ladder, Counting(), 1)) / 2
        errors.append(error)
    for coarse, fine in pairwise(errors):
        assert coarse / fine > 3


def test_a_noise_that_no_image_was_inverted_to_is_decoded_better_than_by_ddim() -> None:
    """Against a thousand steps: what a mixture of inverted noises loses on the way down."""
    noise = random(4, 1, 8, 8, dtype=torch.float64)
    exact = run("heun", even_ladder(1000), Counting(), noise)
    errors = [
        float((run(name, even_ladder(steps), Counting(), noise) - exact).square().mean().sqrt())
        for name, steps in (("ddim", 20), ("adams_bashforth", 10))
    ]
    assert errors[1] < errors[0] / 2


def test_adams_bashforth_by_hand() -> None:
    """Two of three steps of 0.2 rad: the first by the mean of both ends' velocities, the second from the last one's."""
    ladder = Ladder((2, 1, 0), (*(math.cos(angle) ** 2 for angle in (0.9, 0.7, 0.5)), 1.0))
    told = iter([(1.0, 2.0), (0.6, 2.5), (0.4, 3.0)])
    solver = SOLVERS["adams_bashforth"](ladder, lambda *_: Denoised(*map(torch.tensor, next(told))))

    def velocity(x0: float, epsilon: float, angle: float) -> float:
        return epsilon * math.cos(angle) - x0 * math.sin(angle)

    x = solver.step(torch.tensor(5.0), 0, no_noise)
    mean = (velocity(1.0, 2.0, 0.9) + velocity(0.6, 2.5, 0.9)) / 2
    wanted = math.cos(0.2) * 5 - math.sin(0.2) * mean
    assert float(x) == pytest.approx(wanted, rel=1e-6)
    ahead = 1.5 * velocity(0.4, 3.0, 0.7) - 0.5 * velocity(1.0, 2.0, 0.7)
    wanted = math.cos(0.2) * wanted - math.sin(0.2) * ahead
    assert float(solver.step(x, 1, no_noise)) == pytest.approx(wanted, rel=1e-6)


def test_adams_bashforth_carries_on_the_noise_alone_where_the_network_tells_it() -> None:
    """Two steps by hand: DDIM's, with the noise of the middle of the step for the image as well."""
    angles = (0.9, 0.7, 0.4)
    ladder = Ladder((2, 1, 0), (*(math.cos(angle) ** 2 for angle in angles), 1.0))
    told = iter([2.0, 2.5, 3.0])

    def denoise(x: torch.Tensor, index: int, alpha_bar: float) -> Denoised:
        return read_output(torch.full_like(x, next(told)), x, alpha_bar, "epsilon")

    def ddim(x: float, epsilon: float, now: float, then: float) -> float:
        return math.cos(then) * (x - math.sin(now) * epsilon) / math.cos(now) + math.sin(then) * epsilon

    solver = SOLVERS["adams_bashforth"](ladder, denoise)
    x = solver.step(torch.tensor(5.0, dtype=torch.float64), 0, no_noise)
    wanted = ddim(5.0, (2.0 + 2.5) / 2, 0.9, 0.7)
    assert float(x) == pytest.approx(wanted, rel=1e-9)
    wanted = ddim(wanted, 3.0 + 0.3 / 0.2 / 2 * (3.0 - 2.0), 0.7, 0.4)
    assert float(solver.step(x, 1, no_noise)) == pytest.approx(wanted, rel=1e-9)


def gaussian_by_noise(x: torch.Tensor, index: int, alpha_bar: float) -> Denoised:
    return read_output(gaussian(x, index, alpha_bar).epsilon, x, alpha_bar, "epsilon")


def test_adams_bashforth_is_of_second_order_for_a_network_of_noise() -> None:
    one = torch.ones(1, dtype=torch.float64)
    errors = []
    for steps in (32, 64, 128):
        ladder = log_snr_ladder(steps)
        wanted = math.sqrt(variance(ladder.alpha_bar[-1]) / variance(ladder.alpha_bar[0]))
        errors.append(abs(float(run("adams_bashforth", ladder, gaussian_by_noise, one)) / wanted - 1))
    for coarse, fine in pairwise(errors):
        assert coarse / fine == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("beta_schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [6, 10, 20])
def test_carrying_on_the_noise_alone_gives_images_back_closer(beta_schedule: str, steps: int) -> None:
    ladder = Ladder.of(ddim_scheduler(beta_schedule).alphas_cumprod, steps)
    data = STD * random(4, 1, 16, 16, dtype=torch.float64)
    errors = []
    for denoise in (gaussian, gaussian_by_noise):
        decoded = run("adams_bashforth", ladder, denoise, invert_adams_bashforth(data, ladder, denoise))
        errors.append(float((decoded - data).square().mean().sqrt()))
    assert errors[1] < 0.95 * errors[0]


def test_upwards_the_network_is_told_the_level_it_goes_to() -> None:
    told: list[tuple[int, float]] = []

    def denoise(x: torch.Tensor, index: int, alpha_bar: float) -> Denoised:
        told.append((index, alpha_bar))
        return Denoised(x, x)

    ladder = even_ladder(3)
    levels = ladder.alpha_bar
    invert_ddim(images(), ladder, denoise)
    assert told == [(2, levels[3]), (1, levels[2]), (0, levels[1])]
    told.clear()
    invert_fixed_point(images(), ladder, denoise, 2)
    assert told == [(2, levels[3]), *[(2, levels[2])] * 2, *[(1, levels[1])] * 2, *[(0, levels[0])] * 2]
    told.clear()
    invert_adams_bashforth(images(), ladder, denoise)
    # The level it comes from, which is the state's own; the first step between levels looks at its end too.
    assert told == [(2, levels[3]), (2, levels[2]), (1, levels[1]), (1, levels[1])]


def test_both_inversions_are_exact_where_the_velocity_is_constant() -> None:
    """Then every step is a turn by a known angle: a single evaluation tells it."""

    def denoise(x: torch.Tensor, index: int, alpha_bar: float) -> Denoised:
        x0, epsilon = torch.full_like(x, 0.3), torch.full_like(x, -0.8)
        return Denoised(x0, epsilon)

    ladder = even_ladder(5)
    clean = torch.full((1, 1, 2, 2), 0.3, dtype=torch.float64)
    wanted = at_level(denoise(clean, 0, 1.0), ladder.alpha_bar[0])
    torch.testing.assert_close(invert_ddim(clean, ladder, denoise), wanted)
    assert torch.equal(run("ddim", ladder, denoise, wanted), clean)
