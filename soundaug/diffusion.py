"""The class-conditional diffusion model: its network, its scaling of mels, its loss and its folder."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, UNet2DModel

from soundaug.errors import StudyError
from soundaug.outputs import whole
from soundaug.params import Features, Generator

MEL_FILE = "mel.json"  # what the network's images are, beside diffusers' own files


@dataclass(frozen=True)
class MelScaling:
    """Log mels in dB to images in [-1, 1] whose sides the network takes, patches folded into channels; and back."""

    n_mels: int
    n_frames: int
    floor_db: float
    ceiling_db: float
    patch: int
    multiple: int

    @classmethod
    def of(cls, features: Features, generator: Generator) -> "MelScaling":
        """The scaling for a front end and a network."""
        return cls(
            features.n_mels,
            features.n_frames,
            features.floor_db,
            features.ceiling_db,
            generator.patch,
            generator.multiple,
        )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the network's input."""
        height, width = (-(-side // self.multiple) * self.multiple for side in (self.n_mels, self.n_frames))
        return self.patch**2, height // self.patch, width // self.patch

    def to_image(self, log_mel: torch.Tensor) -> torch.Tensor:
        """dB [B, n_mels, T] to [B, patch^2, H, W] in [-1, 1]; padded with the floor."""
        unit = (log_mel - self.floor_db) / (self.ceiling_db - self.floor_db)
        image = torch.clamp(unit, 0, 1) * 2 - 1
        _, height, width = self.image_shape
        pad = (0, width * self.patch - self.n_frames, 0, height * self.patch - self.n_mels)
        return F.pixel_unshuffle(F.pad(image[:, None], pad, value=-1.0), self.patch)

    def to_log_mel(self, image: torch.Tensor) -> torch.Tensor:
        """[B, patch^2, H, W] to dB [B, n_mels, T], cut to the range."""
        flat = F.pixel_shuffle(image, self.patch)[:, 0, : self.n_mels, : self.n_frames]
        return (torch.clamp(flat, -1, 1) + 1) / 2 * (self.ceiling_db - self.floor_db) + self.floor_db


def build_unet(settings: Generator, scaling: MelScaling, n_classes: int, seed: int) -> UNet2DModel:
    """A fresh U-Net; class index ``n_classes`` is the null class of classifier-free guidance."""
    channels, height, width = scaling.image_shape
    levels = len(settings.channels)
    attends = [level >= levels - settings.attention_levels for level in range(levels)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet2DModel(
            sample_size=(height, width),
            in_channels=channels,
            out_channels=channels,
            block_out_channels=tuple(settings.channels),
            layers_per_block=settings.layers_per_block,
            down_block_types=tuple("AttnDownBlock2D" if attend else "DownBlock2D" for attend in attends),
            up_block_types=tuple("AttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)),
            attention_head_dim=math.gcd(32, *settings.channels),
            norm_num_groups=math.gcd(32, *settings.channels),
            num_class_embeds=n_classes + 1,
        )


def build_scheduler(settings: Generator) -> DDPMScheduler:
    """The noise schedule, v-prediction (Salimans & Ho 2022), nothing clipped so that DDIM inversion inverts it."""
    return DDPMScheduler(
        num_train_timesteps=settings.train_timesteps,
        beta_schedule=settings.beta_schedule,
        prediction_type="v_prediction",
        clip_sample=False,
    )


def diffusion_loss(
    unet: Callable[..., Any],
    scheduler: DDPMScheduler,
    images: torch.Tensor,
    labels: torch.Tensor,
    timesteps: torch.Tensor,
    noise: torch.Tensor,
    min_snr_gamma: float,
) -> torch.Tensor:
    """Mean squared error of the predicted velocity with min-SNR weights (Hang et al. 2023, eq. 7 for v-prediction).

    ``images``, ``noise`` [B, C, H, W]; ``labels``, ``timesteps`` [B]; the weight is min(snr, gamma) / (snr + 1).
    """
    noisy = scheduler.add_noise(images, noise, timesteps)
    velocity = scheduler.get_velocity(images, noise, timesteps)
    predicted = unet(noisy, timesteps, class_labels=labels).sample
    alpha_bar = scheduler.alphas_cumprod.to(images.device)[timesteps]
    snr = alpha_bar / (1 - alpha_bar)
    weight = torch.clamp(snr, max=min_snr_gamma) / (snr + 1)
    error = (predicted.float() - velocity).square().mean(dim=(1, 2, 3))
    return (weight * error).mean()


def save_generator(folder: Path, unet: UNet2DModel, scheduler: DDPMScheduler, scaling: MelScaling) -> None:
    """Write diffusers' folder (unet/, scheduler/, model_index.json) and mel.json beside them, safetensors only."""
    with whole(folder) as partial:
        unet.save_pretrained(partial / "unet", safe_serialization=True)
        scheduler.save_pretrained(partial / "scheduler")
        index = {
            "_class_name": "DDIMPipeline",
            "unet": ["diffusers", "UNet2DModel"],
            "scheduler": ["diffusers", "DDIMScheduler"],
        }
        (partial / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
        (partial / MEL_FILE).write_text(json.dumps(vars(scaling), indent=2) + "\n")


def load_generator(folder: Path) -> tuple[UNet2DModel, MelScaling, DDPMScheduler]:
    """The network, its scaling, its noise schedule; StudyError when the folder is not what `save_generator` writes."""
    try:
        scaling = MelScaling(**json.loads((folder / MEL_FILE).read_text()))
        unet = UNet2DModel.from_pretrained(folder / "unet", use_safetensors=True, local_files_only=True)
        scheduler = DDPMScheduler.from_pretrained(folder / "scheduler", local_files_only=True)
    except (OSError, TypeError, ValueError, RuntimeError) as error:
        raise StudyError(f"{folder}: found no generator ({error}), wanted the folder train_generator writes") from None
    return unet.eval(), scaling, scheduler
