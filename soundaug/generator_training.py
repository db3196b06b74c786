"""Training of the generator: AdamW, warm-up and cosine decay, averaged weights, resumable to the bit."""

import csv
import math
from pathlib import Path

import torch
from diffusers.training_utils import EMAModel
from tqdm import tqdm

from soundaug import diffusion
from soundaug.device import autocast, choose_device, generator_of
from soundaug.diffusion import MelScaling, build_scheduler, build_unet, diffusion_loss
from soundaug.errors import StudyError
from soundaug.outputs import whole
from soundaug.params import Generator
from soundaug.scratch import Scratch

HISTORY_COLUMNS = ["step", "learning_rate", "loss"]
LOG_EVERY = 10  # steps a row of the history averages over


class GeneratorTraining:
    """One generator's training on ``log_mels`` [N, n_mels, T] in dB with ``labels`` [N] of ``n_classes``."""

    def __init__(
        self,
        settings: Generator,
        scaling: MelScaling,
        log_mels: torch.Tensor,
        labels: torch.Tensor,
        n_classes: int,
        seed: int,
    ) -> None:
        self.settings = settings
        self.n_classes = n_classes
        self.scaling = scaling
        self.device = choose_device()
        self.scheduler = build_scheduler(settings)
        self.unet = build_unet(settings, scaling, n_classes, seed)
        self.unet.to(self.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(
            self.unet.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.averaged = EMAModel(self.unet.parameters(), decay=settings.ema_decay)
        self.images = scaling.to_image(log_mels)
        self.labels = labels
        self.random = generator_of(seed, 1)
        self.history: list[tuple[int, float, float]] = []
        self.step = 0
        self._losses: list[float] = []
        self._scratch = Scratch(
            "train_generator",
            settings,
            scaling,
            n_classes,
            seed,
            torch.__version__,
            self.device.type,
            log_mels.numpy(),
            labels.numpy(),
            Path(__file__),
            Path(diffusion.__file__),
        )

    def run(self, label: str) -> None:
        """Train to the end, from the last checkpoint where there is one; the network ends with the averaged weights."""
        self._resume()
        self.unet.train()
        steps = tqdm(total=self.settings.steps, initial=self.step, desc=label, disable=None, unit="step")
        while self.step < self.settings.steps:
            self._losses.append(self._train_step())
            if len(self._losses) == LOG_EVERY or self.step == self.settings.steps:
                mean = math.fsum(self._losses) / len(self._losses)
                self.history.append((self.step, self.optimizer.param_groups[0]["lr"], mean))
                self._losses = []
                steps.set_postfix(loss=f"{mean:.4f}")
            if self.step % self.settings.checkpoint_every == 0:
                self._checkpoint()
            steps.update()
        steps.close()
        self.averaged.copy_to(self.unet.parameters())
        self.unet.eval()

    def finish(self) -> None:
        """Forget the checkpoint: the generator is written."""
        self._scratch.remove()

    def summary(self) -> dict[str, float]:
        """Scalars for the report: size, data and the mean loss over the last tenth of the training."""
        tail = [loss for step, _, loss in self.history if step > 0.9 * self.settings.steps]
        return {
            "parameters": sum(parameter.numel() for parameter in self.unet.parameters()),
            "train_clips": len(self.images),
            "steps": self.step,
            "final_loss": round(math.fsum(tail) / len(tail), 6),
        }

    def write_history(self, path: Path) -> None:
        """The curve: a row for every few steps, with the mean loss over them."""
        with whole(path) as partial, partial.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HISTORY_COLUMNS)
            writer.writerows((step, f"{rate:.6g}", f"{loss:.6f}") for step, rate, loss in self.history)

    def _train_step(self) -> float:
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * schedule_factor(self.step, settings.steps, settings.warmup_steps)
        batch = torch.randint(len(self.images), (settings.batch_size,), generator=self.random)
        images = self.images[batch].to(self.device)
        labels = self.labels[batch]
        dropped = torch.rand(len(labels), generator=self.random) < settings.label_dropout
        labels = torch.where(dropped, self.n_classes, labels).to(self.device)
        timesteps = torch.randint(settings.train_timesteps, (len(labels),), generator=self.random).to(self.device)
        noise = torch.randn(images.shape, generator=self.random).to(self.device)
        with autocast(self.device, settings.precision):
            loss = diffusion_loss(self.unet, self.scheduler, images, labels, timesteps, noise, settings.min_snr_gamma)
        value = loss.item()
        if not math.isfinite(value):
            raise StudyError(
                f"generator training: found a loss of {value} at step {self.step + 1}, wanted a number: "
                "lower generator.learning_rate or set generator.precision to float32"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.unet.parameters(), settings.clip_norm)
        self.optimizer.step()
        self.averaged.step(self.unet.parameters())
        self.step += 1
        return value

    def _checkpoint(self) -> None:
        state = {
            "step": self.step,
            "unet": self.unet.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "averaged": self.averaged.state_dict(),
            "random": self.random.get_state(),
            "history": self.history,
            "losses": self._losses,
        }
        with whole(self._scratch.file("checkpoint.pt")) as partial:
            torch.save(state, partial)

    def _resume(self) -> None:
        path = self._scratch.file("checkpoint.pt")
        if not path.exists():
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.unet.load_state_dict(state["unet"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.averaged.load_state_dict(state["averaged"])
        self.averaged.to(self.device)
        self.random.set_state(state["random"])
        self.history = [tuple(row) for row in state["history"]]
        self._losses = state["losses"]
        self.step = state["step"]


def schedule_factor(step: int, steps: int, warmup_steps: int) -> float:
    """Linear warm-up to 1, then half a cosine down to 0 at ``steps``; ``step`` counts from 0."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, steps - warmup_steps)))
