"""The diffusion model: its network, its noise schedule, its loss and its folder."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler, UNet2DModel

from soundaug.codec import Codec, load_codec, save_codec
from soundaug.outputs import whole
from soundaug.params import Generator
from soundaug.pretrained import load_network, load_scheduler


def build_unet(
    settings: Generator, image_shape: Sequence[int], n_classes: int, seed: int, conditional: bool = True
) -> UNet2DModel:
    """A fresh U-Net of images [C, H, W]; class index ``n_classes`` is the null class of classifier-free guidance."""
    channels, height, width = image_shape
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
            num_class_embeds=n_classes + 1 if conditional else None,
        )


def build_scheduler(settings: Generator) -> DDPMScheduler:
    """The noise schedule and what is predicted of it; nothing is clipped, so that DDIM inversion inverts it."""
    return DDPMScheduler(
        num_train_timesteps=settings.train_timesteps,
        beta_schedule=settings.beta_schedule,
        prediction_type=settings.prediction,
        clip_sample=False,
    )


def diffusion_loss(
    unet: Callable[..., Any],
    scheduler: DDPMScheduler,
    images: torch.Tensor,
    labels: torch.Tensor | None,
    timesteps: torch.Tensor,
    noise: torch.Tensor,
    min_snr_gamma: float,
) -> torch.Tensor:
    """Mean squared error of what the network predicts, with min-SNR weights (Hang et al. 2023, equations 5 to 7).

    ``images``, ``noise`` [B, C, H, W]; ``labels`` [B], None without classes; ``timesteps`` [B]. The weight is
    min(snr, gamma) for a network that predicts the image, over snr + 1 for velocity and over snr for epsilon.
    """
    noisy = scheduler.add_noise(images, noise, timesteps)
    predicted = unet(noisy, timesteps, class_labels=labels).sample
    alpha_bar = scheduler.alphas_cumprod.to(images.device)[timesteps]
    snr = alpha_bar / (1 - alpha_bar)
    weight = torch.clamp(snr, max=min_snr_gamma)
    if scheduler.config.prediction_type == "v_prediction":
        target, weight = scheduler.get_velocity(images, noise, timesteps), weight / (snr + 1)
    elif scheduler.config.prediction_type == "sample":
        target = images
    else:
        target, weight = noise, weight / snr
    error = (predicted.float() - target).square().mean(dim=(1, 2, 3))
    return (weight * error).mean()


def save_generator(folder: Path, unet: UNet2DModel, scheduler: DDPMScheduler, codec: Codec) -> None:
    """Write diffusers' folder (unet/, scheduler/, model_index.json) and the codec beside them, safetensors only."""
    with whole(folder) as partial:
        unet.save_pretrained(partial / "unet", safe_serialization=True)
        scheduler.save_pretrained(partial / "scheduler")
        index = {
            "_class_name": "DDIMPipeline",
            "unet": ["diffusers", "UNet2DModel"],
            "scheduler": ["diffusers", "DDIMScheduler"],
        }
        (partial / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
        save_codec(partial, codec)


def load_generator(folder: Path) -> tuple[UNet2DModel, Codec, DDPMScheduler]:
    """The network, its codec, its noise schedule; StudyError when the folder is not what `save_generator` writes."""
    codec = load_codec(folder)
    unet = load_network(folder / "unet", (UNet2DModel,))
    return unet.eval(), codec, load_scheduler(folder / "scheduler" / "scheduler_config.json")
