"""Solvers of the diffusion process as pure functions: one step down the noise levels, and one step up.

A state x at a level of signal share alpha_bar is sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) epsilon. A denoiser reads the
network's output as these two; a solver goes from one level of the ladder to the next with them.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch

from soundaug.running.errors import StudyError


class Denoised(NamedTuple):
    """What the network takes a state for: the clean image ``x0`` and the noise ``epsilon`` in it, each [B, C, H, W].

    ``from_noise``: the network told the noise and the image follows, its error larger than the noise's by the ratio of
    noise to signal.
    """

    x0: torch.Tensor
    epsilon: torch.Tensor
    from_noise: bool = False


@dataclass(frozen=True)
class Ladder:
    """The levels a run visits, noisiest first: ``levels`` [S] of the schedule and their ``alpha_bar`` [S + 1],
    the last 1: clean."""

    levels: tuple[int, ...]
    alpha_bar: tuple[float, ...]

    @classmethod
    def of(cls, alpha_bar: torch.Tensor, steps: int) -> "Ladder":
        """``steps`` evenly spaced levels of a schedule [T], as diffusers' "leading" spacing and its "alpha to one".

        Raises StudyError unless 1 <= steps <= T.
        """
        if not 1 <= steps <= len(alpha_bar):
            raise StudyError(f"steps: found {steps}, wanted 1 to {len(alpha_bar)}, the generator's noise levels")
        spacing = len(alpha_bar) // steps
        levels = tuple(spacing * index for index in reversed(range(steps)))
        return cls(levels, (*(float(alpha_bar[level]) for level in levels), 1.0))

    def __len__(self) -> int:
        return len(self.levels)

    def start(self, strength: float) -> int:
        """The index of the level from which the ``strength`` (0 to 1) last part of the way is left: len(self) at 0.

        Raises StudyError for a strength out of range.
        """
        if not 0 <= strength <= 1:
            raise StudyError(f"strength: found {strength}, wanted 0 to 1")
        return len(self) - round(strength * len(self))


# A state, the index whose level the network is told, and the signal share (alpha_bar) of the state's own level.
Denoise = Callable[[torch.Tensor, int, float], Denoised]
Noise = Callable[[], torch.Tensor]  # standard normal, of the state's shape, new at each call


def read_output(output: torch.Tensor, x: torch.Tensor, alpha_bar: float, prediction_type: str) -> Denoised:
    """The network's ``output`` at state ``x`` as image and noise; ``prediction_type`` is one of diffusers' names.

    ``flow``: the output is the noise minus the image.
    """
    signal, noise = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
    if prediction_type == "epsilon":
        return Denoised((x - noise * output) / signal, output, from_noise=True)
    if prediction_type == "v_prediction":
        return Denoised(signal * x - noise * output, signal * output + noise * x)
    if prediction_type == "sample":
        return Denoised(output, (x - signal * output) / noise)
    if prediction_type == "flow":
        return Denoised((x - noise * output) / (signal + noise), (x + signal * output) / (signal + noise))
    raise ValueError(f"prediction_type {prediction_type!r}, wanted epsilon, v_prediction, sample or flow")


def at_level(denoised: Denoised, alpha_bar: float) -> torch.Tensor:
    """Image and noise mixed as at level ``alpha_bar``."""
    return math.sqrt(alpha_bar) * denoised.x0 + math.sqrt(1 - alpha_bar) * denoised.epsilon


class Solver(ABC):
    """One run down the ladder. ``step`` goes from level ``index`` to ``index + 1``; a new run needs a new solver."""

    def __init__(self, ladder: Ladder, denoise: Denoise) -> None:
        self.ladder = ladder
        self.denoise = denoise

    @abstractmethod
    def step(self, x: torch.Tensor, index: int, noise: Noise) -> torch.Tensor:
        """The state [B, C, H, W] at the next level."""


class DDIM(Solver):
    """Song et al. 2021, equation 12 with eta 0: deterministic, first order."""

    def step(self, x: torch.Tensor, index: int, noise: Noise) -> torch.Tensor:
        """See the class."""
        now, then = self.ladder.alpha_bar[index : index + 2]
        return at_level(self.denoise(x, index, now), then)


class DDPM(Solver):
    """Ho et al. 2020 on a ladder of fewer steps: Song et al. 2021, equation 12 with eta 1."""

    def step(self, x: torch.Tensor, index: int, noise: Noise) -> torch.Tensor:
        """See the class."""
        now, then = self.ladder.alpha_bar[index : index + 2]
        denoised = self.denoise(x, index, now)
        variance = (1 - then) / (1 - now) * (1 - now / then)
        kept = math.sqrt(max(0.0, 1 - then - variance))
        result = math.sqrt(then) * denoised.x0 + kept * denoised.epsilon
        return result + math.sqrt(variance) * noise() if variance > 0 else result


class DPMSolver(Solver):
    """DPM-Solver++(2M), Lu et al. 2022, algorithm 2: deterministic, second order, one evaluation a step."""

    _last: torch.Tensor | None = None

    def step(self, x: torch.Tensor, index: int, noise: Noise) -> torch.Tensor:
        """See the class; the first step and the last are of first order."""
        now, then = self.ladder.alpha_bar[index : index + 2]
        denoised = self.denoise(x, index, now)
        before, self._last = self._last, denoised.x0
        if before is None or then == 1:
            return at_level(denoised, then)
        h = _half_log_snr(then) - _half_log_snr(now)
        r = (_half_log_snr(now) - _half_log_snr(self.ladder.alpha_bar[index - 1])) / h
        x0 = (1 + 1 / (2 * r)) * denoised.x0 - 1 / (2 * r) * before
        return math.sqrt((1 - then) / (1 - now)) * x - math.sqrt(then) * math.expm1(-h) * x0


class Heun(Solver):
    """Karras et al. 2022, algorithm 1 on this ladder's levels: deterministic, second order, two evaluations a step."""

    def step(self, x: torch.Tensor, index: int, noise: Noise) -> torch.Tensor:
        """See the class; the step to the clean image is of first order."""
        now, then = self.ladder.alpha_bar[index : index + 2]
        denoised = self.denoise(x, index, now)
        euler = at_level(denoised, then)
        if then == 1:
            return euler
        slope = (denoised.epsilon + self.denoise(euler, index + 1, then).epsilon) / 2
        sigma_now, sigma_then = math.sqrt(1 / now - 1), math.sqrt(1 / then - 1)
        return math.sqrt(then) * (x / math.sqrt(now) + (sigma_then - sigma_now) * slope)


class Level(NamedTuple):
    """A state's level: the signal share, and the index in the ladder of the level that the network is told."""

    told: int
    alpha_bar: float


class Turns:
    """Steps of second order along the angle whose cosine is the signal's share, down or up: Adams-Bashforth.

    Where image and noise stay as they are, the state turns by the angle between two levels: that is DDIM. Here their
    change since the last step is carried on to the middle of this one; of a network that predicts the noise, that of
    the noise alone, as in pseudo linear multistep methods (Liu et al. 2022): near pure noise its images are mostly
    error. One evaluation a step; the first, which has none before it, is Heun's and takes two.
    Steps from and to the clean image, whose nearest level is much closer than levels are to one another, are DDIM's.
    """

    def __init__(self, denoise: Denoise) -> None:
        self._denoise = denoise
        self._last: tuple[Denoised, float] | None = None

    def step(self, x: torch.Tensor, now: Level, then: Level) -> torch.Tensor:
        """``x`` [B, C, H, W] at level ``now`` brought to level ``then``."""
        turn = _angle(then.alpha_bar) - _angle(now.alpha_bar)
        denoised = self._denoise(x, *now)
        velocity = _velocity(denoised, now.alpha_bar)
        if 1 in (now.alpha_bar, then.alpha_bar):
            return _turned(x, velocity, turn)
        if self._last is None:
            after = self._denoise(_turned(x, velocity, turn), *then)
            change = _velocity(_seen_from(x, after, now.alpha_bar), now.alpha_bar) - velocity
        else:
            before, last_turn = self._last
            change = turn / last_turn * (velocity - _velocity(_seen_from(x, before, now.alpha_bar), now.alpha_bar))
        self._last = denoised, turn
        return _turned(x, velocity + change / 2, turn)


class AdamsBashforth(Solver):
    """Deterministic, second order, one evaluation a step and one more at the first; see `Turns`."""

    def __init__(self, ladder: Ladder, denoise: Denoise) -> None:
        super().__init__(ladder, denoise)
        self._turns = Turns(denoise)

    def step(self, x: torch.Tensor, index: int, noise: Noise) -> torch.Tensor:
        """See `Turns`."""
        now, then = self.ladder.alpha_bar[index : index + 2]
        return self._turns.step(x, Level(index, now), Level(index + 1, then))


SOLVERS: dict[str, type[Solver]] = {
    "ddim": DDIM,
    "ddpm": DDPM,
    "dpm_solver": DPMSolver,
    "heun": Heun,
    "adams_bashforth": AdamsBashforth,
}


def invert_ddim(x: torch.Tensor, ladder: Ladder, denoise: Denoise) -> torch.Tensor:
    """The noise of clean images ``x``: DDIM upwards (Song et al. 2021, section 4.3), as audio-diffusion's ``encode``.

    Each step asks the network about the lower level's state as if it were the upper level's. That is exact only for
    infinitely many steps: the error adds up, and the noise drifts from the one that decodes to ``x``.
    """
    for index in reversed(range(len(ladder))):
        x = at_level(denoise(x, index, ladder.alpha_bar[index + 1]), ladder.alpha_bar[index])
    return x


def invert_fixed_point(x: torch.Tensor, ladder: Ladder, denoise: Denoise, iterations: int) -> torch.Tensor:
    """The noise that DDIM on this ladder decodes to the clean images ``x``, by fixed-point iteration at every step.

    A step of DDIM from angle a + d to a is x(a) = cos(d) x(a + d) - sin(d) v(x(a + d)), v the velocity of Salimans &
    Ho 2022 (appendix D); it is solved for x(a + d) as Pan et al. 2023 do, starting from the last step's velocity. Each
    iteration asks the network once and shrinks the error by about sin(d) times the velocity's slope.
    """
    velocity: torch.Tensor | None = None
    for index in reversed(range(len(ladder))):
        lower, upper = ladder.alpha_bar[index + 1], ladder.alpha_bar[index]
        turn = _angle(upper) - _angle(lower)
        if velocity is None:
            velocity = _velocity(denoise(x, index, lower), lower)
        for _ in range(iterations):
            guess = (x + math.sin(turn) * velocity) / math.cos(turn)
            velocity = _velocity(denoise(guess, index, upper), upper)
        x = (x + math.sin(turn) * velocity) / math.cos(turn)
    return x


def invert_adams_bashforth(x: torch.Tensor, ladder: Ladder, denoise: Denoise) -> torch.Tensor:
    """The noise of clean images ``x`` [B, C, H, W] by the steps of `AdamsBashforth` upwards.

    Both ways follow the same curve to second order, so that little is lost between them; and a mixture of two noises,
    which no step has come through before, is decoded as exactly. The network is told a state's own level; of the clean
    image the nearest one.
    """
    turns = Turns(denoise)
    for index in reversed(range(len(ladder))):
        lower = Level(min(index + 1, len(ladder) - 1), ladder.alpha_bar[index + 1])
        x = turns.step(x, lower, Level(index, ladder.alpha_bar[index]))
    return x


def _seen_from(x: torch.Tensor, other: Denoised, alpha_bar: float) -> Denoised:
    """``other``, told at another level, at state ``x``: where only its noise counts, with the image left by that."""
    return read_output(other.epsilon, x, alpha_bar, "epsilon") if other.from_noise else other


def _velocity(denoised: Denoised, alpha_bar: float) -> torch.Tensor:
    return math.sqrt(alpha_bar) * denoised.epsilon - math.sqrt(1 - alpha_bar) * denoised.x0


def _turned(x: torch.Tensor, velocity: torch.Tensor, turn: float) -> torch.Tensor:
    """``x`` further by ``turn`` of the angle: upwards, to more noise, where it is positive."""
    return math.cos(turn) * x + math.sin(turn) * velocity


def _angle(alpha_bar: float) -> float:
    """The level as the angle whose cosine is the signal's share."""
    return math.acos(math.sqrt(alpha_bar))


def _half_log_snr(alpha_bar: float) -> float:
    return 0.5 * math.log(alpha_bar / (1 - alpha_bar))
