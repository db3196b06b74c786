"""Training of the generator: AdamW, warm-up and cosine decay, averaged weights, resumable to the bit."""

import csv
import math
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

import torch
from diffusers.training_utils import EMAModel
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from soundaug.diffusion import model as diffusion
from soundaug.diffusion.codec import images_of
from soundaug.diffusion.learning_rate import schedule_factor
from soundaug.diffusion.model import Told, diffusion_loss, place
from soundaug.diffusion.windows import window_of
from soundaug.generator.starting_point import StartingPoint
from soundaug.params import Generator
from soundaug.running import processes
from soundaug.running.checkpoint import ResumableTraining
from soundaug.running.device import autocast, choose_device, generator_of
from soundaug.running.errors import StudyError
from soundaug.running.gradients import Gradients, side_by_side_gradients, whole_gradients
from soundaug.running.outputs import whole
from soundaug.running.scratch import Scratch

HISTORY_COLUMNS = ["step", "learning_rate", "loss", "validation_loss"]
LOG_EVERY = 10  # steps a row of the history averages over


class Clips(NamedTuple):
    """Clips to learn from or to watch the loss on: ``log_mels`` [N, n_mels, T] in dB, and what a network is told."""

    log_mels: torch.Tensor
    told: Told

    def with_unlabelled(self, log_mels: torch.Tensor, sounds: torch.Tensor | None, null_class: int) -> "Clips":
        """And ``log_mels`` [M, n_mels, T] with their embeddings, whose class is not told."""
        told = Told(torch.full((len(log_mels),), null_class), sounds)
        return Clips(
            torch.cat([self.log_mels, log_mels]),
            Told(
                *(
                    None if ours is None or theirs is None else torch.cat([ours, theirs])
                    for ours, theirs in zip(self.told, told, strict=True)
                )
            ),
        )

    def parts(self) -> list[torch.Tensor]:
        """All there is."""
        return [self.log_mels, *(values for values in self.told if values is not None)]


class GeneratorTraining(ResumableTraining):
    """One generator's training from ``start`` on ``train``; the loss of ``validation`` clips is watched, no more."""

    def __init__(
        self, settings: Generator, start: StartingPoint, train: Clips, validation: Clips, n_classes: int, seed: int
    ) -> None:
        self.settings = settings
        self.n_classes = n_classes
        self.start = start
        self.codec = start.codec
        self.device = choose_device()
        self.schedule = start.schedule
        self.unet = start.unet
        place(self.unet, self.device)
        if settings.batch_size % processes.count():
            raise StudyError(
                f"generator.batch_size: found {settings.batch_size}, "
                f"wanted a multiple of the processes ({processes.count()})"
            )
        # Several processes: each takes its part of every batch, and gradients are averaged.
        self._network = self.unet if processes.count() == 1 else DistributedDataParallel(self.unet)
        self.optimizer = torch.optim.AdamW(
            self.unet.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.averaged = EMAModel(self.unet.parameters(), decay=settings.ema_decay)
        self.images, self.told = images_of(start.codec, train.log_mels), train.told
        # The validation loss is always of the same clips, levels and noises: its curve shows the network alone.
        watched = torch.randperm(len(validation.log_mels), generator=generator_of(seed, 4))[: settings.batch_size]
        images = start.codec.to_image(validation.log_mels[watched])
        spare = images.shape[-1] - window_of(self.unet)
        self._validation = Clips(_window(images, spare // 2, spare), validation.told.rows(watched))
        self._seed = seed
        scratch = Scratch(
            "train_generator",
            settings,
            start.codec.config(),
            n_classes,
            seed,
            torch.__version__,
            self.device.type,
            *(part.numpy() for clips in (train, validation) for part in clips.parts()),
            *(parameter.detach().cpu().numpy() for parameter in self.unet.parameters()),
            Path(__file__),
            Path(diffusion.__file__),
        )
        parts = {"unet": self.unet, "optimizer": self.optimizer, "averaged": self.averaged}
        super().__init__(scratch, parts, generator_of(seed, 1))

    def run(self, label: str) -> None:
        """Train to the end, from the last checkpoint where there is one; the network ends with the averaged weights."""
        self._resume()
        self.averaged.to(self.device)
        self.unet.train()
        disable = None if processes.is_main() else True
        steps = tqdm(total=self.settings.steps, initial=self.step, desc=label, disable=disable, unit="step")
        with steps, self._side_by_side() as self._gradients:
            while self.step < self.settings.steps:
                self._losses.append(self._train_step())
                if len(self._losses) == LOG_EVERY or self.step == self.settings.steps:
                    mean = math.fsum(self._losses) / len(self._losses)
                    watch = self.step % self.settings.checkpoint_every == 0 or self.step == self.settings.steps
                    validation = self._validation_loss() if watch else None
                    self.history.append((self.step, self.optimizer.param_groups[0]["lr"], mean, validation))
                    self._losses = []
                    steps.set_postfix(loss=f"{mean:.4f}")
                if self.step % self.settings.checkpoint_every == 0 and processes.is_main():
                    self._checkpoint()
                steps.update()
        self.averaged.copy_to(self.unet.parameters())
        self.unet.eval()

    def finish(self) -> None:
        """Forget the checkpoints: the generator is written."""
        self._scratch.remove()
        self.start.finish()

    def summary(self) -> dict[str, float]:
        """Scalars for the report: size, data, mean loss over the last tenth of the training, validation loss."""
        figures: dict[str, float] = {
            "parameters": sum(parameter.numel() for parameter in self.unet.parameters()),
            "train_clips": len(self.images),
            "steps": self.step,
        }
        if tail := [loss for step, _, loss, _ in self.history if step > 0.9 * self.settings.steps]:
            figures["final_loss"] = round(math.fsum(tail) / len(tail), 6)
        if (validation := self._validation_loss()) is not None:
            figures["validation_loss"] = round(validation, 6)
        return figures | self.start.figures

    def write_history(self, path: Path) -> None:
        """The curve: a row for every few steps, with the mean loss over them."""
        with whole(path) as partial, partial.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HISTORY_COLUMNS)
            for step, rate, loss, validation in self.history:
                shown = "" if validation is None else f"{validation:.6f}"
                writer.writerow((step, f"{rate:.6g}", f"{loss:.6f}", shown))

    def _train_step(self) -> float:
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * schedule_factor(self.step, settings.steps, settings.warmup_steps)
        batch = torch.randint(len(self.images), (settings.batch_size,), generator=self.random)
        images = self._windows(batch).to(self.device)
        dropped = torch.rand(len(batch), generator=self.random) < settings.label_dropout
        told = self._without(self.told.rows(batch), dropped)
        levels = self.schedule.draw(len(batch), settings.log_sigma, self.random)
        noise = torch.randn(images.shape, generator=self.random).to(self.device)
        own = slice(processes.rank(), None, processes.count())  # of several processes, each has a part of the batch
        images, told, levels, noise = images[own], told.rows(own), levels[own], noise[own]

        def loss(part: slice) -> tuple[torch.Tensor]:
            return (self._loss(self._network, images[part], told.rows(part), levels[part], noise[part]),)

        (value,) = self._gradients(loss, len(images), list(self.unet.parameters()))
        value = processes.sum_over(torch.tensor(value)).item() / processes.count()
        if not math.isfinite(value):
            raise StudyError(
                f"generator training: found a loss of {value} at step {self.step + 1}, wanted a number: "
                "lower generator.learning_rate or set generator.precision to float32"
            )
        torch.nn.utils.clip_grad_norm_(self.unet.parameters(), settings.clip_norm)
        self.optimizer.step()
        self.averaged.step(self.unet.parameters())
        self.step += 1
        return value

    def _side_by_side(self) -> AbstractContextManager[Gradients]:
        """How gradients are made: of several processes each makes those of its part at once, and shares them."""
        return side_by_side_gradients(self.device) if processes.count() == 1 else nullcontext(whole_gradients)

    def _without(self, told: Told, dropped: torch.Tensor) -> Told:
        """``told`` [B], but nothing where ``dropped`` (bool [B]), for classifier-free guidance."""

        def chosen(null: torch.Tensor | None, values: torch.Tensor | None) -> torch.Tensor | None:
            if null is None or values is None:
                return None
            return torch.where(dropped.view(-1, *[1] * (values.dim() - 1)), null, values)

        nothing = told.nothing(self.n_classes)
        return Told(chosen(nothing.labels, told.labels), chosen(nothing.sounds, told.sounds))

    def _windows(self, batch: torch.Tensor) -> torch.Tensor:
        """The clips of ``batch`` [B], or a random part of each where the network's window is shorter."""
        spare = self.images.shape[-1] - window_of(self.unet)
        if spare == 0:
            return self.images[batch]
        starts = torch.randint(spare + 1, (len(batch),), generator=self.random).tolist()
        return torch.stack([_window(self.images[row], start, spare) for row, start in zip(batch, starts, strict=True)])

    def _loss(
        self,
        network: nn.Module,
        images: torch.Tensor,
        told: Told,
        levels: torch.Tensor,
        noise: torch.Tensor,
    ) -> torch.Tensor:
        told = told.to(self.device) if self.unet.config.num_class_embeds is not None else Told()
        with autocast(self.device, self.settings.precision):
            return diffusion_loss(
                network,
                self.schedule,
                images,
                told,
                levels.to(self.device),
                noise,
                self.settings.min_snr_gamma,
            )

    @torch.no_grad()
    def _validation_loss(self) -> float | None:
        """The averaged weights' loss on the validation clips at evenly spread noise levels; None without such clips."""
        images, told = self._validation
        if len(images) == 0:
            return None
        levels = torch.linspace(0, len(self.schedule.alpha_bar) - 1, len(images)).long()
        noise = torch.randn(images.shape, generator=generator_of(self._seed, 5))
        training = self.unet.training
        self.averaged.store(self.unet.parameters())
        self.averaged.copy_to(self.unet.parameters())
        self.unet.eval()
        loss = self._loss(self.unet, images.to(self.device), told, levels, noise.to(self.device)).item()
        self.averaged.restore(self.unet.parameters())
        self.unet.train(training)
        return loss


def _window(images: torch.Tensor, start: int, spare: int) -> torch.Tensor:
    """Columns ``start`` and after of images [..., W], ``spare`` fewer than there are."""
    return images[..., start : images.shape[-1] - spare + start]
