"""Noise schedules: a generator's noise levels, what its network is given and predicts at each, and how it is saved."""

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler

from soundaug.params import Generator

SMALLEST_SIGNAL = 1e-8  # share of the noisiest level of a flow, which is nothing but noise: its root is divided by


class Schedule:
    """The levels of diffusers' ``scheduler`` and what a network of it predicts.

    ``alpha_bar`` [T] is the share of signal of level 0 (nearly clean) to T - 1. States are variance-preserving for
    every prediction: sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) epsilon. ``prediction`` is one of diffusers' names, or
    ``flow``: of a network that is given (1 - t) x0 + t epsilon and predicts epsilon - x0, t from 1 / T to 1 (Lipman et
    al. 2023, Liu et al. 2023). The noise levels of both are the same, t / (1 - t) of the one and the noise-to-signal
    ratio of the other, so that every solver serves both.
    """

    def __init__(self, scheduler: DDPMScheduler | FlowMatchEulerDiscreteScheduler) -> None:
        self.scheduler = scheduler
        if isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
            t = torch.arange(1, scheduler.config.num_train_timesteps + 1) / scheduler.config.num_train_timesteps
            self.alpha_bar = torch.clamp((1 - t) ** 2 / ((1 - t) ** 2 + t**2), min=SMALLEST_SIGNAL)
            self.prediction = "flow"
        else:
            self.alpha_bar = scheduler.alphas_cumprod
            self.prediction = scheduler.config.prediction_type

    @classmethod
    def of(cls, settings: Generator) -> "Schedule":
        """By ``generator``; nothing is clipped, so that DDIM inversion inverts it."""
        if settings.prediction == "flow":
            return cls(FlowMatchEulerDiscreteScheduler(num_train_timesteps=settings.train_timesteps))
        return cls(
            DDPMScheduler(
                num_train_timesteps=settings.train_timesteps,
                beta_schedule=settings.beta_schedule,
                prediction_type=settings.prediction,
                clip_sample=False,
            )
        )

    def save(self, folder: Path) -> None:
        """Write diffusers' scheduler_config.json."""
        self.scheduler.save_pretrained(folder)

    def draw(self, count: int, log_sigma: Sequence[float] | None, random: torch.Generator) -> torch.Tensor:
        """Levels [count] to train on: all alike, or those nearest to a log-normal noise-to-signal ratio.

        ``log_sigma`` is the mean and the deviation of its logarithm: with (-0.5, 1.2) the levels are those of Karras et
        al. (2022) for data of deviation 1, with (0, 1) the logit-normal times of Esser et al. (2024).
        """
        if log_sigma is None:
            return torch.randint(len(self.alpha_bar), (count,), generator=random)
        mean, deviation = log_sigma
        wanted = mean + deviation * torch.randn(count, generator=random)
        levels = 0.5 * torch.log((1 - self.alpha_bar) / self.alpha_bar)
        middles = (levels[1:] + levels[:-1]) / 2
        return torch.searchsorted(middles, wanted)

    def noisy(
        self, images: torch.Tensor, noise: torch.Tensor, levels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What the network is given of ``images`` and ``noise`` [B, C, H, W] at ``levels`` [B], and what it is to say.

        Also how much smaller than the prediction's the squared error of the image is that follows from it, [B].
        """
        alpha_bar = self.alpha_bar.to(images.device)[levels].view(-1, *[1] * (images.dim() - 1))
        signal, rest = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        given = network_input(signal * images + rest * noise, alpha_bar, self.prediction)
        if self.prediction == "epsilon":
            target, share = noise, (1 - alpha_bar) / alpha_bar
        elif self.prediction == "v_prediction":
            target, share = signal * noise - rest * images, 1 - alpha_bar
        elif self.prediction == "flow":
            target, share = noise - images, (1 - alpha_bar) / (signal + rest).square()
        else:
            target, share = images, torch.ones_like(alpha_bar)
        return given, target, share.flatten()

    def told(self, level: int) -> int:
        """The timestep that the network is told at ``level``: a flow's count from 1."""
        return level + (self.prediction == "flow")


def network_input(x: torch.Tensor, alpha_bar: float | torch.Tensor, prediction: str) -> torch.Tensor:
    """What a network is given of state ``x``: the state itself, or a flow's state (1 - t) x0 + t epsilon."""
    return x / (alpha_bar**0.5 + (1 - alpha_bar) ** 0.5) if prediction == "flow" else x
