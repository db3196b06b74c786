"""The autoencoder of latent diffusion, trained on one's own mels or images: L1 and KL, resumable to the bit."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from tqdm import tqdm

from soundaug.diffusion.codec import Codec, LatentCodec
from soundaug.running.checkpoint import ResumableTraining
from soundaug.running.device import autocast, choose_device, generator_of
from soundaug.running.errors import StudyError
from soundaug.running.gradients import side_by_side_gradients
from soundaug.running.outputs import whole
from soundaug.running.scratch import Scratch

HISTORY_COLUMNS = ["step", "learning_rate", "loss", "l1", "kl"]
LOG_EVERY = 10  # steps a row of the history averages over
CHECKPOINT_EVERY = 100  # steps between resumable checkpoints
CLIP_NORM = 1.0


class AutoencoderSettings(Protocol):
    """What decides an autoencoder; its ``repr`` must tell every value, since it names the work in progress."""

    @property
    def channels(self) -> Sequence[int]:
        """Of the network's levels, each half the size of the last: the latents are 2^(levels - 1) times smaller."""

    @property
    def latent_channels(self) -> int:
        """Channels of the latents."""

    @property
    def steps(self) -> int:
        """Optimiser steps."""

    @property
    def batch_size(self) -> int:
        """Clips a step."""

    @property
    def learning_rate(self) -> float:
        """Of Adam at the first step; it falls by half a cosine."""

    @property
    def kl_weight(self) -> float:
        """Of the KL divergence, with both terms summed over the clip (Rombach et al. 2022: 1e-6)."""


def build_autoencoder(settings: AutoencoderSettings, image_shape: tuple[int, int, int], seed: int) -> AutoencoderKL:
    """A fresh convolutional autoencoder of images [C, H, W]; StudyError when its levels do not halve them evenly."""
    channels, height, width = image_shape
    levels = len(settings.channels)
    factor = 2 ** (levels - 1)
    if height % factor or width % factor:
        raise StudyError(
            f"autoencoder channels: found {levels} levels for images of {height} x {width}, "
            f"wanted sides that are multiples of {factor}: fewer levels, or more padding"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoencoderKL(
            in_channels=channels,
            out_channels=channels,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=tuple(settings.channels),
            layers_per_block=1,
            latent_channels=settings.latent_channels,
            # Groups of four channels or more: one of a single channel takes every image's own level off.
            norm_num_groups=max(1, math.gcd(32, *settings.channels) // 4),
            sample_size=(height, width),
            mid_block_add_attention=False,
        )


def autoencoder_loss(
    autoencoder: AutoencoderKL, images: torch.Tensor, noise: torch.Tensor, kl_weight: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """L1 of the reconstruction plus ``kl_weight`` times the posterior's KL divergence from the unit normal.

    ``images`` [B, C, H, W], ``noise`` [B, c, h, w] draws from the posterior. Returns the loss and its two terms, both
    a mean over the images' elements: the loss is that of Rombach et al. (2022), without adversary, divided by C H W.
    """
    posterior = autoencoder.encode(images).latent_dist
    mean, log_variance = posterior.mean.float(), posterior.logvar.float()
    latents = mean + torch.exp(0.5 * log_variance) * noise
    reconstruction = autoencoder.decode(latents).sample.float()
    l1 = F.l1_loss(reconstruction, images)
    kl = 0.5 * (mean.square() + torch.exp(log_variance) - 1 - log_variance).sum() / images.numel()
    return l1 + kl_weight * kl, l1.detach(), kl.detach()


class Images(Protocol):
    """Images to learn from, made when they are asked for; a tensor [N, C, H, W] is one."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, rows: torch.Tensor, /) -> torch.Tensor:
        """Those at ``rows`` (int64 [B]): float32 [B, C, H, W]."""


class ImageAutoencoderTraining(ResumableTraining):
    """One autoencoder's training on ``images``, each of ``image_shape`` [C, H, W].

    ``decides`` is what the images and the result follow from, beyond settings and seed: it names the work in progress.
    """

    def __init__(
        self,
        settings: AutoencoderSettings,
        images: Images,
        image_shape: tuple[int, int, int],
        seed: int,
        precision: str,
        *decides: Any,
    ) -> None:
        self.settings = settings
        self.precision = precision
        self.images = images
        self.image_shape = image_shape
        self.device = choose_device()
        self.autoencoder = build_autoencoder(settings, image_shape, seed)
        self.autoencoder.to(self.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(self.autoencoder.parameters(), lr=settings.learning_rate)
        scratch = Scratch(
            "train_autoencoder",
            settings,
            seed,
            precision,
            torch.__version__,
            self.device.type,
            *decides,
            Path(__file__),
        )
        parts = {"autoencoder": self.autoencoder, "optimizer": self.optimizer}
        super().__init__(scratch, parts, generator_of(seed, 3))

    def run(self, label: str) -> None:
        """Train to the end, from the last checkpoint where there is one."""
        self._resume()
        self.autoencoder.train()
        steps = tqdm(total=self.settings.steps, initial=self.step, desc=label, disable=None, unit="step")
        with steps, side_by_side_gradients(self.device) as self._gradients:
            while self.step < self.settings.steps:
                self._losses.append(self._train_step())
                if len(self._losses) == LOG_EVERY or self.step == self.settings.steps:
                    means = [math.fsum(values) / len(self._losses) for values in zip(*self._losses, strict=True)]
                    self.history.append((self.step, self.optimizer.param_groups[0]["lr"], *means))
                    self._losses = []
                    steps.set_postfix(loss=f"{means[0]:.4f}")
                if self.step % CHECKPOINT_EVERY == 0 or self.step == self.settings.steps:
                    self._checkpoint()
                steps.update()
        self.autoencoder.eval()

    def finish(self) -> None:
        """Forget the checkpoint: the autoencoder is written."""
        self._scratch.remove()

    def set_scaling(self, deviation: float) -> float:
        """The scaling factor for latents of this standard deviation: 1 / deviation.

        It is written into the network's config, where diffusers' pipelines look for it. StudyError for no deviation.
        """
        if not (math.isfinite(deviation) and deviation > 0):
            raise StudyError(
                f"autoencoder training: found latents whose standard deviation is {deviation}, wanted one above 0: "
                "lower the autoencoder's kl_weight"
            )
        self.autoencoder.register_to_config(scaling_factor=1 / deviation)
        return 1 / deviation

    @torch.no_grad()
    def whiten(self, latents: torch.Tensor, variances: torch.Tensor) -> torch.Tensor:
        """The ``latents`` [N, C, H, W] it makes, along their principal axes, each of mean 0 and deviation 1.

        A short training leaves the channels nearly alike: white noise would hide the small differences between them
        long before what they share. From now on the network makes and takes the whitened latents: what does that goes
        into its 1 x 1 convolutions around them, so that it reconstructs the same, and the scaling factor is 1. The
        posterior's variance, ``variances`` of the latents, becomes its mean over all of them.
        StudyError for an axis without deviation.
        """
        channels = latents.shape[1]
        points = latents.double().transpose(0, 1).flatten(1)  # [C, N H W]
        mean = points.mean(dim=1)
        eigenvalues, axes = torch.linalg.eigh(torch.cov(points))
        self.set_scaling(float(eigenvalues.clamp(min=0).min().sqrt()))  # refuses one without
        self.autoencoder.register_to_config(scaling_factor=1.0)
        axes = torch.where(axes.sum(dim=0) < 0, -axes, axes)  # an eigenvector's sign is arbitrary
        onto = (axes / eigenvalues.sqrt()).T  # latents to whitened ones
        back = axes * eigenvalues.sqrt()
        noise = onto.square() @ variances.double().mean(dim=(0, 2, 3))
        encoder, decoder = self.autoencoder.quant_conv, self.autoencoder.post_quant_conv
        weight, bias = encoder.weight[..., 0, 0].double().cpu(), encoder.bias.double().cpu()
        encoder.weight[:channels, :, 0, 0] = (onto @ weight[:channels]).to(encoder.weight)
        encoder.bias[:channels] = (onto @ (bias[:channels] - mean)).to(encoder.bias)
        encoder.weight[channels:] = 0
        encoder.bias[channels:] = noise.log().to(encoder.bias)
        weight, bias = decoder.weight[..., 0, 0].double().cpu(), decoder.bias.double().cpu()
        decoder.weight[:, :, 0, 0] = (weight @ back).to(decoder.weight)
        decoder.bias.copy_(bias + weight @ mean)
        whitened = torch.einsum("dc,nchw->ndhw", onto, latents.double() - mean.view(1, -1, 1, 1))
        return whitened.to(latents)

    def write_history(self, path: Path) -> None:
        """The curves: a row for every few steps, with the mean loss and terms over them."""
        with whole(path) as partial, partial.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HISTORY_COLUMNS)
            writer.writerows(
                (step, f"{rate:.6g}", *(f"{loss:.6f}" for loss in losses)) for step, rate, *losses in self.history
            )

    def _train_step(self) -> tuple[float, ...]:
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * self.step / settings.steps))
        batch = torch.randint(len(self.images), (settings.batch_size,), generator=self.random)
        images = self.images[batch].to(self.device).contiguous(memory_format=torch.channels_last)
        _, height, width = self.image_shape
        factor = 2 ** (len(settings.channels) - 1)
        shape = (len(batch), settings.latent_channels, height // factor, width // factor)
        noise = torch.randn(shape, generator=self.random).to(self.device)

        def losses(part: slice) -> tuple[torch.Tensor, ...]:
            with autocast(self.device, self.precision):
                return autoencoder_loss(self.autoencoder, images[part], noise[part], settings.kl_weight)

        loss, l1, kl = self._gradients(losses, len(batch), list(self.autoencoder.parameters()))
        norm = torch.nn.utils.clip_grad_norm_(self.autoencoder.parameters(), CLIP_NORM).item()
        for name, value in (("a loss", loss), ("gradients", norm)):
            if not math.isfinite(value):
                raise StudyError(
                    f"autoencoder training: found {name} of {value} at step {self.step + 1}, wanted a number: "
                    "lower the autoencoder's learning_rate"
                )
        self.optimizer.step()
        self.step += 1
        return loss, l1, kl


class AutoencoderTraining(ImageAutoencoderTraining):
    """One autoencoder's training on the images of ``log_mels`` [N, n_mels, T] in dB that ``scaling`` makes."""

    def __init__(
        self,
        settings: AutoencoderSettings,
        scaling: Codec,
        log_mels: torch.Tensor,
        seed: int,
        precision: str = "float32",
    ) -> None:
        images = scaling.to_image(log_mels)
        super().__init__(settings, images, scaling.image_shape, seed, precision, scaling.config(), log_mels.numpy())
        self.scaling = scaling
        self.log_mels = log_mels

    def result(self, held_out: torch.Tensor) -> tuple[AutoencoderKL, float, dict[str, float]]:
        """The trained network, its scaling factor (1 / standard deviation of the training latents), and figures.

        ``held_out`` are log mels [M, n_mels, T] of clips that it was not trained on; without any (M = 0) their figure
        is left out.
        """
        raw = LatentCodec(self.scaling, self.autoencoder, 1.0)
        scaling_factor = self.set_scaling(float(raw.to_image(self.log_mels).double().std()))
        codec = LatentCodec(self.scaling, self.autoencoder, scaling_factor)
        summary = {
            "parameters": sum(parameter.numel() for parameter in self.autoencoder.parameters()),
            "train_clips": len(self.log_mels),
            "steps": self.step,
            "scaling_factor": round(scaling_factor, 6),
            "train_rmse_db": round(reconstruction_rmse_db(codec, self.log_mels), 4),
        }
        if len(held_out):
            summary["held_out_rmse_db"] = round(reconstruction_rmse_db(codec, held_out), 4)
        return self.autoencoder, scaling_factor, summary


def reconstruction_rmse_db(codec: LatentCodec, log_mels: torch.Tensor) -> float:
    """How far in dB log mels [N, n_mels, T] are from themselves encoded and decoded: the autoencoder's own error.

    Compared is with what the images alone give back, so that what the scaling cuts does not count.
    """
    total = 0.0
    for clips in log_mels.split(codec.batch_size):
        levels = codec.levels(clips)
        again = codec.to_log_mel(codec.to_image(clips), levels)
        kept = codec.scaling.to_log_mel(codec.scaling.to_image(clips), levels)
        total += (again - kept).double().square().sum().item()
    return math.sqrt(total / log_mels.numel())
