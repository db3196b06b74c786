"""Training of a stylizer: autoencoder, text encoder, U-Net, one after the other; resumable to the bit."""

import math
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, DDPMScheduler
from diffusers.training_utils import EMAModel
from tqdm import tqdm

from soundaug.diffusion import model as diffusion
from soundaug.diffusion.autoencoder import ImageAutoencoderTraining
from soundaug.diffusion.learning_rate import schedule_factor
from soundaug.diffusion.model import Told, diffusion_loss, place
from soundaug.diffusion.schedule import Schedule
from soundaug.params import Stylizer
from soundaug.running.checkpoint import ResumableTraining
from soundaug.running.device import autocast, choose_device, generator_of
from soundaug.running.errors import StudyError
from soundaug.running.gradients import side_by_side_gradients
from soundaug.running.memory import keep_freed_memory
from soundaug.running.outputs import write_csv
from soundaug.running.scratch import Scratch
from soundaug.stylizer import contrastive
from soundaug.stylizer.contrastive import learn_captions
from soundaug.stylizer.dataset import StyleWindows, WindowParts
from soundaug.stylizer.model import build_text_encoder, build_text_unet, save_stylizer
from soundaug.stylizer.tokenizer import build_tokenizer, token_ids
from soundaug.stylizer.windows import ImageFormat

HISTORY_COLUMNS = ("step", "learning_rate", "loss")
LOG_EVERY = 10  # steps a row of the history averages over
ENCODE_BATCH = 16
PARTS = 4  # of a window along time, which the autoencoder learns from
BETAS = (0.9, 0.99)  # the second remembers 100 steps: a training of hundreds is over before 1,000 are known


class StylizerTraining(ResumableTraining):
    """One stylizer's training on ``windows``."""

    def __init__(self, settings: Stylizer, windows: StyleWindows, seed: int) -> None:
        self.settings = settings
        self.windows = windows
        self.seed = seed
        self.device = choose_device()
        self.captions = sorted({caption for captions in windows.captions for caption in captions})
        self.tokenizer = build_tokenizer(self.captions, settings.text.vocabulary, settings.text.max_tokens)
        longest = max(self.captions, key=lambda caption: len(self.tokenizer(caption, verbose=False)["input_ids"]))
        if (found := len(self.tokenizer(longest, verbose=False)["input_ids"])) > settings.text.max_tokens:
            raise StudyError(
                f"stylizer.text.max_tokens: found {settings.text.max_tokens}, wanted at least {found}, "
                f"the tokens of the caption {longest!r}"
            )
        shape = (3, settings.image.num_frequencies, settings.image.width)
        factor = 2 ** (len(settings.autoencoder.channels) - 1)
        count = math.gcd(PARTS, shape[2] // factor)
        self.autoencoder_training = ImageAutoencoderTraining(
            settings.autoencoder,
            WindowParts(windows, count),
            (*shape[:2], shape[2] // count),
            seed,
            "float32",
            windows.pixels,
            count,
        )
        self.autoencoder_training.autoencoder.register_to_config(sample_size=shape[1:])
        self.latent_shape = (settings.autoencoder.latent_channels, shape[1] // factor, shape[2] // factor)
        self.unet = build_text_unet(settings, self.latent_shape, seed)
        place(self.unet, self.device)
        self.text_encoder = build_text_encoder(settings, self.tokenizer, seed).to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.unet.parameters(),
            lr=settings.learning_rate,
            betas=BETAS,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.averaged = EMAModel(self.unet.parameters(), decay=settings.ema_decay)
        self.schedule = Schedule(
            DDPMScheduler(
                num_train_timesteps=settings.train_timesteps,
                prediction_type=settings.prediction,
                clip_sample=False,
                **betas_of(settings.train_timesteps),
            )
        )
        # What a window may be told: the numbers of its captions; the empty text comes last.
        self._ids = torch.tensor(token_ids(self.tokenizer, [*self.captions, ""]))
        numbers = {caption: number for number, caption in enumerate(self.captions)}
        self._told = [torch.tensor([numbers[caption] for caption in captions]) for captions in windows.captions]
        scratch = Scratch(
            "train_stylizer",
            settings,
            seed,
            torch.__version__,
            self.device.type,
            windows.pixels,
            windows.captions,
            Path(__file__),
            Path(contrastive.__file__),
            Path(diffusion.__file__),
        )
        parts = {"unet": self.unet, "optimizer": self.optimizer, "averaged": self.averaged}
        super().__init__(scratch, parts, generator_of(seed, 6))

    def run(self, label: str) -> None:
        """Train to the end, from the last checkpoints where there are any; the weights end averaged."""
        keep_freed_memory()
        self.autoencoder_training.run(f"autoencoder, {label}")
        latents = self._latents()
        self._resume()
        self.averaged.to(self.device)
        states = self._text_states(label)
        self.unet.train()
        steps = tqdm(total=self.settings.steps, initial=self.step, desc=label, disable=None, unit="step")
        with steps, side_by_side_gradients(self.device) as self._gradients:
            while self.step < self.settings.steps:
                self._losses.append(self._train_step(latents, states))
                if len(self._losses) == LOG_EVERY or self.step == self.settings.steps:
                    mean = math.fsum(self._losses) / len(self._losses)
                    self.history.append((self.step, self.optimizer.param_groups[0]["lr"], mean))
                    self._losses = []
                    steps.set_postfix(loss=f"{mean:.4f}")
                if self.step % self.settings.checkpoint_every == 0:
                    self._checkpoint()
                steps.update()
        self.averaged.copy_to(self.unet.parameters())
        self.unet.eval()

    def save(self, folder: Path) -> None:
        """Write the pipeline's folder, with the format of its images."""
        form = ImageFormat.of(self.settings.image, self.windows.max_value)
        scheduler = DDIMScheduler.from_config(
            self.schedule.scheduler.config, clip_sample=False, set_alpha_to_one=False, steps_offset=1
        )
        autoencoder = self.autoencoder_training.autoencoder
        save_stylizer(folder, self.tokenizer, self.text_encoder, autoencoder, self.unet, scheduler, form)

    def finish(self) -> None:
        """Forget the checkpoints: the stylizer is written."""
        self._scratch.remove()
        self.autoencoder_training.finish()

    def summary(self) -> dict[str, float]:
        """Scalars: sizes, data, mean losses over the last tenth of both trainings."""
        tail = [loss for step, _, loss in self.history if step > 0.9 * self.settings.steps]
        autoencoder = self.autoencoder_training
        return {
            "parameters": sum(parameter.numel() for parameter in self.unet.parameters()),
            "text_parameters": sum(parameter.numel() for parameter in self.text_encoder.parameters()),
            "autoencoder_parameters": sum(parameter.numel() for parameter in autoencoder.autoencoder.parameters()),
            "windows": len(self.windows),
            "captions": len(self.captions),
            "steps": self.step,
            "final_loss": round(math.fsum(tail) / len(tail), 6),
            "autoencoder_l1": round(autoencoder.history[-1][3], 6),
        }

    def write_history(self, path: Path) -> None:
        """The curve: a row for every few steps, with the mean loss over them."""
        write_csv(path, HISTORY_COLUMNS, [(step, f"{rate:.6g}", f"{loss:.6f}") for step, rate, loss in self.history])

    @torch.no_grad()
    def _latents(self) -> torch.Tensor:
        """The latents [N, C, H, W] of all windows, whitened: the autoencoder is changed to make such ones itself."""
        autoencoder = self.autoencoder_training.autoencoder
        rows = torch.arange(len(self.windows)).split(ENCODE_BATCH)
        posteriors = [autoencoder.encode(self.windows[part].to(self.device)).latent_dist for part in rows]
        latents, variances = (
            torch.cat(values).cpu() for values in zip(*((p.mode(), p.var) for p in posteriors), strict=True)
        )
        return self.autoencoder_training.whiten(latents, variances)

    def _text_states(self, label: str) -> torch.Tensor:
        """What the U-Net is told [C, L, width] of all captions and the empty text, by the text encoder trained here.

        That takes seconds: an interrupted run does it once more.
        """
        ids, pixels = self._ids.to(self.device), torch.from_numpy(self.windows.pixels)
        learn_captions(self.text_encoder, ids, pixels, self._told, self.settings.text, self.seed, f"captions, {label}")
        self.text_encoder.eval()
        with torch.no_grad():
            states: torch.Tensor = self.text_encoder(ids).last_hidden_state
        return states

    def _train_step(self, latents: torch.Tensor, states: torch.Tensor) -> float:
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * schedule_factor(self.step, settings.steps, settings.warmup_steps)
        batch = torch.randint(len(latents), (settings.batch_size,), generator=self.random)
        share = torch.rand(len(batch), generator=self.random)
        told = [self._told[row] for row in batch.tolist()]
        # The nth of a window's captions, or the empty text.
        caption = torch.stack([one[int(part * len(one))] for one, part in zip(told, share.tolist(), strict=True)])
        dropped = torch.rand(len(batch), generator=self.random) < settings.label_dropout
        words = states[torch.where(dropped, len(self.captions), caption).to(self.device)]
        levels = self.schedule.draw(len(batch), None, self.random).to(self.device)
        noise = torch.randn((len(batch), *self.latent_shape), generator=self.random).to(self.device)
        images = latents[batch].to(self.device)

        def loss(part: slice) -> tuple[torch.Tensor]:
            told, gamma = Told(sounds=words[part]), settings.min_snr_gamma
            with autocast(self.device, settings.precision):
                return (diffusion_loss(self.unet, self.schedule, images[part], told, levels[part], noise[part], gamma),)

        (value,) = self._gradients(loss, len(batch), list(self.unet.parameters()))
        if not math.isfinite(value):
            raise StudyError(
                f"stylizer training: found a loss of {value} at step {self.step + 1}, wanted a number: "
                "lower stylizer.learning_rate or set stylizer.precision to float32"
            )
        torch.nn.utils.clip_grad_norm_(self.unet.parameters(), settings.clip_norm)
        self.optimizer.step()
        self.averaged.step(self.unet.parameters())
        self.step += 1
        return value


def betas_of(train_timesteps: int) -> dict[str, Any]:
    """Stable Diffusion's noise schedule for so many timesteps: as noisy at the end as with its own 1,000."""
    factor = 1000 / train_timesteps
    return {"beta_start": 0.00085 * factor, "beta_end": 0.012 * factor, "beta_schedule": "scaled_linear"}
