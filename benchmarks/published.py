"""The published side: diffusers' AudioDiffusionPipeline, called as the study called it, with a network trained here."""

import warnings
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
from PIL import Image

from soundaug.diffusion.codec import ClipScaling
from soundaug.diffusion.schedule import Schedule
from soundaug.generator.starting_point import StartingPoint
from soundaug.generator.training import Clips, GeneratorTraining
from soundaug.params import Features, Generator

CHANNELS = (32, 64, 96)
TOP_DB = 80.0  # below a clip's maximum, what an image spans: audio-diffusion's default
STEPS = 50  # of encoding and of decoding, as published
GRIFFIN_LIM = 32  # iterations, audio-diffusion's default


def pixel_unet(height: int, width: int, seed: int) -> UNet2DModel:
    """A small network of whole images [1, H, W] in audio-diffusion's manner: unconditional, diffusers' defaults."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet2DModel(
            sample_size=(height, width),
            in_channels=1,
            out_channels=1,
            layers_per_block=1,
            block_out_channels=CHANNELS,
            down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        )


def clip_scaling(features: Features, quantized: bool) -> ClipScaling:
    """audio-diffusion's images of this front end, the sides rounded up to what the network can halve."""
    side = 2 ** (len(CHANNELS) - 1)
    height, width = (-(-size // side) * side for size in (features.n_mels, features.n_frames))
    if height != features.n_mels:
        raise ValueError(f"found {features.n_mels} mels, wanted a multiple of {side}")
    return ClipScaling(height, features.n_frames, width, TOP_DB, features.floor_db, quantized)


def train_pixel_unet(
    features: Features, settings: Generator, train: Clips, validation: Clips, seed: int, label: str
) -> UNet2DModel:
    """Train it on ``train`` as ``settings`` say, of which the network's own are not asked: epsilon, linear betas."""
    codec = clip_scaling(features, quantized=False)
    unet = pixel_unet(codec.n_mels, codec.width, seed)
    start = StartingPoint(unet, Schedule(DDPMScheduler(clip_sample=False)), codec, {})
    training = GeneratorTraining(settings, start, train, validation, 0, seed)
    training.run(label)
    return unet


def pipeline_of(unet: UNet2DModel, features: Features) -> Any:
    """diffusers' AudioDiffusionPipeline of ``unet``; its DDIM does not clip, so that encoding inverts decoding."""
    with warnings.catch_warnings(action="ignore"):  # it is deprecated, and says so
        from diffusers.pipelines.deprecated.audio_diffusion import AudioDiffusionPipeline, Mel

        codec = clip_scaling(features, quantized=True)
        mel = Mel(
            x_res=codec.width,
            y_res=codec.n_mels,
            sample_rate=features.sample_rate,
            n_fft=features.n_fft,
            hop_length=features.hop_length,
            top_db=round(TOP_DB),
            n_iter=GRIFFIN_LIM,
        )
        pipeline = AudioDiffusionPipeline(vqvae=None, unet=unet, mel=mel, scheduler=DDIMScheduler(clip_sample=False))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def to_pictures(log_mels: torch.Tensor, features: Features) -> list[Image.Image]:
    """The 8-bit images that audio-diffusion makes of log mels [N, n_mels, T] in dB."""
    images = clip_scaling(features, quantized=True).to_image(log_mels)[:, 0]
    return [Image.fromarray(np.round((image.numpy() / 2 + 0.5) * 255).astype(np.uint8)) for image in images]


def interpolate(pipeline: Any, first: Image.Image, second: Image.Image) -> np.ndarray:
    """One clip's audio [samples] as the published study makes it: both encoded, slerp at 0.5, decoded."""
    noises = [pipeline.encode([picture], steps=STEPS) for picture in (first, second)]
    mixed = pipeline.slerp(noises[0], noises[1], 0.5)
    output = pipeline(noise=mixed, steps=STEPS, eta=0, return_dict=True)
    audio: np.ndarray = output.audios[0, 0]
    return audio
