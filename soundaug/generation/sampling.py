"""Batches through the generator: to noise, from noise, part of the way, and around a mask."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import NoReturn

import torch
from tqdm import tqdm

from soundaug.diffusion.model import Told, Unet, ask, place
from soundaug.diffusion.schedule import Schedule, network_input
from soundaug.diffusion.windows import Windowed
from soundaug.generation.solvers import (
    SOLVERS,
    Denoise,
    Denoised,
    Ladder,
    Noise,
    at_level,
    invert_adams_bashforth,
    invert_ddim,
    invert_fixed_point,
    read_output,
)
from soundaug.params import Generate
from soundaug.running import processes
from soundaug.running.device import autocast, choose_device, generator_of
from soundaug.running.errors import StudyError


class Sampler:
    """Runs one generator in batches of one fixed shape, so that a clip's seed and inputs alone decide its result."""

    def __init__(self, unet: Unet | Windowed, schedule: Schedule, settings: Generate) -> None:
        self.device = choose_device()
        place(unet, self.device)
        self.unet = unet.eval()
        self.settings = settings
        self._bar: tqdm[NoReturn] | None = None
        self.schedule = schedule
        self.ladder = Ladder.of(schedule.alpha_bar, settings.steps)
        embeddings: int | None = unet.config.num_class_embeds
        self._null_class = None if embeddings is None else embeddings - 1
        if self._null_class is None and settings.guidance != 1.0:
            raise StudyError(
                f"generate.guidance: found {settings.guidance}, wanted 1.0: this generator knows no classes to guide to"
            )

    @contextmanager
    def progress(self, label: str, total: int, done: int = 0) -> Iterator[None]:
        """A bar of ``total`` clips, ``done`` of them before, that every batch within moves on."""
        disable = None if processes.is_main() else True
        with tqdm(total=total, initial=done, desc=label, disable=disable, unit="clip") as self._bar:
            yield
        self._bar = None

    def invert(self, images: torch.Tensor, told: Told) -> torch.Tensor:
        """The noises [N, C, H, W] of ``images`` [N, C, H, W], without guidance; ``told`` is what they are of."""

        def run(part: torch.Tensor, denoise: Denoise) -> torch.Tensor:
            batch = self._on_device(images[part])
            if self.settings.inversion == "ddim":
                return invert_ddim(batch, self.ladder, denoise)
            if self.settings.inversion == "adams_bashforth":
                return invert_adams_bashforth(batch, self.ladder, denoise)
            return invert_fixed_point(batch, self.ladder, denoise, self.settings.inversion_iterations)

        return self._in_batches(images, told, 1.0, run)

    def decode(
        self,
        noise: torch.Tensor,
        told: Told,
        seeds: Sequence[int],
        guidance: float | None = None,
    ) -> torch.Tensor:
        """Images [N, C, H, W] of ``noise`` [N, C, H, W]; ``guidance`` is the settings' unless given.

        ``seeds`` [N] decide what a stochastic sampler draws on the way.
        """

        def run(part: torch.Tensor, denoise: Denoise) -> torch.Tensor:
            batch = self._on_device(noise[part])
            return self._descend(batch, 0, denoise, self._noise_of(part, seeds, batch))

        return self._in_batches(noise, told, self._guidance(guidance), run)

    def vary(self, images: torch.Tensor, told: Told, strengths: Sequence[float], seeds: Sequence[int]) -> torch.Tensor:
        """``images`` noised up to ``strengths`` [N] (0 to 1) of the way and denoised again: SDEdit (Meng et al. 2022).

        Strength 0 gives the image back; strength 1 leaves the little of it that the noisiest level leaves.
        """
        result = images.clone()
        starts = torch.tensor([self.ladder.start(strength) for strength in strengths])
        for start in sorted(set(starts.tolist()) - {len(self.ladder)}):
            chosen = torch.nonzero(starts == start).flatten()
            chosen_seeds = [seeds[index] for index in chosen.tolist()]
            result[chosen] = self._vary_from(start, images[chosen], told.rows(chosen), chosen_seeds)
        return result

    def _vary_from(self, start: int, images: torch.Tensor, told: Told, seeds: Sequence[int]) -> torch.Tensor:
        def run(part: torch.Tensor, denoise: Denoise) -> torch.Tensor:
            batch = self._on_device(images[part])
            noise = self._noise_of(part, seeds, batch)
            noisy = at_level(Denoised(batch, noise()), self.ladder.alpha_bar[start])
            return self._descend(noisy, start, denoise, noise)

        return self._in_batches(images, told, self._guidance(None), run)

    def inpaint(self, images: torch.Tensor, keep: torch.Tensor, told: Told, seeds: Sequence[int]) -> torch.Tensor:
        """``images`` made anew wherever ``keep`` [C, H, W] is False: RePaint (Lugmayr et al. 2022, algorithm 1).

        Before the first step and after each one the kept part is noised to exactly the level reached; every level is
        passed ``generate.resamplings`` times, so that the new part gets to fit the kept one.
        """

        def run(part: torch.Tensor, denoise: Denoise) -> torch.Tensor:
            known = self._on_device(images[part])
            noise = self._noise_of(part, seeds, known)
            solver = SOLVERS[self.settings.sampler](self.ladder, denoise)
            mask = keep.to(self.device)
            x = torch.where(mask, at_level(Denoised(known, noise()), self.ladder.alpha_bar[0]), noise())
            for index, (now, then) in enumerate(pairwise(self.ladder.alpha_bar)):
                for again in range(self.settings.resamplings if then < 1 else 1):
                    if again:  # one level up: forward diffusion from `then` to `now`
                        x = (now / then) ** 0.5 * x + (1 - now / then) ** 0.5 * noise()
                    x = torch.where(mask, at_level(Denoised(known, noise()), then), solver.step(x, index, noise))
            return x

        return self._in_batches(images, told, self._guidance(None), run)

    def _descend(self, x: torch.Tensor, start: int, denoise: Denoise, noise: Noise) -> torch.Tensor:
        solver = SOLVERS[self.settings.sampler](self.ladder, denoise)
        for index in range(start, len(self.ladder)):
            x = solver.step(x, index, noise)
        return x

    def _guidance(self, guidance: float | None) -> float:
        return self.settings.guidance if guidance is None else guidance

    @torch.inference_mode()
    def _in_batches(
        self,
        like: torch.Tensor,
        told: Told,
        guidance: float,
        run: Callable[[torch.Tensor, Denoise], torch.Tensor],
    ) -> torch.Tensor:
        """``run(indices, denoise)`` for batches of exactly ``batch_size`` indices; results in the order of ``like``.

        The last batch is filled up with its own last index, whose results are thrown away. Several processes take the
        batches in turn, and all get all results.
        """
        result = torch.zeros_like(like)
        size = self.settings.batch_size
        for start in range(processes.rank() * size, len(like), processes.count() * size):
            part = torch.arange(start, start + size).clamp(max=len(like) - 1)
            fresh = min(size, len(like) - start)
            result[start : start + fresh] = run(part, self._denoiser(told.rows(part), guidance))[:fresh].cpu()
            if self._bar is not None:
                self._bar.update(min(len(like) - start, fresh * processes.count()))
        return processes.sum_over(result)  # what other processes made is 0 here

    def _denoiser(self, told: Told, guidance: float) -> Denoise:
        """The network with classifier-free guidance (Ho & Salimans 2022) for clips of which it is ``told`` so much."""
        told = told.to(self.device) if self._null_class is not None else Told()

        def predict(given: torch.Tensor, timestep: int, told: Told) -> torch.Tensor:
            with autocast(self.device, self.settings.precision):
                return ask(self.unet, given, timestep, told).float()

        def denoise(x: torch.Tensor, index: int, alpha_bar: float) -> Denoised:
            timestep = self.schedule.told(self.ladder.levels[index])
            given = network_input(x, alpha_bar, self.schedule.prediction)
            output = predict(given, timestep, told)
            if guidance != 1.0 and self._null_class is not None:
                null = predict(given, timestep, told.nothing(self._null_class))
                output = null + guidance * (output - null)
            return read_output(output, x, alpha_bar, self.schedule.prediction)

        return denoise

    def _on_device(self, batch: torch.Tensor) -> torch.Tensor:
        return batch.to(self.device).contiguous(memory_format=torch.channels_last)

    def _noise_of(self, part: torch.Tensor, seeds: Sequence[int], like: torch.Tensor) -> Noise:
        """Draws for a batch, each clip's from its own seed; drawn on the CPU, so that every device gets the same."""
        randoms = [generator_of(seeds[index], 1) for index in part.tolist()]
        shape = like.shape[1:]

        def draw() -> torch.Tensor:
            return self._on_device(torch.stack([torch.randn(shape, generator=random) for random in randoms]))

        return draw
