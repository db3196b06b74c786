"""Checkpoints of audio-diffusion, small, as diffusers itself writes them."""

from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AudioDiffusionPipeline,
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    Mel,
    UNet2DConditionModel,
    UNet2DModel,
)

HEIGHT, WIDTH = 16, 24


def tiny_unet(channels: int = 1, height: int = HEIGHT, width: int = WIDTH) -> UNet2DModel:
    return UNet2DModel(
        sample_size=(height, width),
        in_channels=channels,
        out_channels=channels,
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=4,
    )


def tiny_mel() -> Mel:
    return Mel(x_res=WIDTH, y_res=HEIGHT, sample_rate=8000, n_fft=256, hop_length=200, top_db=70)


def tiny_vae() -> AutoencoderKL:
    return AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        latent_channels=2,
        norm_num_groups=4,
    )


def save_checkpoints(parent: Path) -> dict[str, AudioDiffusionPipeline]:
    """Pipelines by name, each saved by diffusers into a folder of ``parent``, its own ``name_or_path``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        schedule = DDIMScheduler(beta_end=0.01, clip_sample=False)
        conditional = UNet2DConditionModel(
            sample_size=(HEIGHT, WIDTH),
            in_channels=1,
            out_channels=1,
            block_out_channels=(8, 8),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            norm_num_groups=4,
            attention_head_dim=4,
            cross_attention_dim=6,
        )
        made = {
            "pixel": AudioDiffusionPipeline(vqvae=None, unet=tiny_unet(), mel=tiny_mel(), scheduler=schedule),
            "latent": AudioDiffusionPipeline(
                vqvae=tiny_vae(),
                unet=tiny_unet(2, HEIGHT // 2, WIDTH // 2),
                mel=tiny_mel(),
                scheduler=DDPMScheduler(prediction_type="v_prediction"),
            ),
            "conditional": AudioDiffusionPipeline(vqvae=None, unet=conditional, mel=tiny_mel(), scheduler=schedule),
        }
    for name, pipeline in made.items():
        pipeline.save_pretrained(parent / name, safe_serialization=True)
        pipeline.register_to_config(_name_or_path=str(parent / name))
        pipeline.set_progress_bar_config(disable=True)
        # Griffin-Lim is slow, and none of a test's business.
        pipeline.mel.image_to_audio = lambda image: np.zeros(1)
    return made


def folder_of(pipeline: AudioDiffusionPipeline) -> Path:
    """Where the pipeline was saved."""
    return Path(pipeline.config._name_or_path)
