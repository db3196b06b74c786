"""What a generator's training starts from: a fresh network, or a checkpoint that learns the study's classes."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers import DDPMScheduler, UNet2DModel

from soundaug import processes
from soundaug.autoencoder import AutoencoderTraining
from soundaug.codec import Codec, LatentCodec, MelScaling
from soundaug.diffusion import build_scheduler, build_unet
from soundaug.errors import StudyError
from soundaug.params import Features, Generator
from soundaug.pretrained import load_pretrained


@dataclass(frozen=True)
class StartingPoint:
    """An untrained or pretrained network, its noise schedule and codec; ``figures`` of what it took to get there."""

    unet: UNet2DModel
    scheduler: DDPMScheduler
    codec: Codec
    figures: dict[str, float]
    finish: Callable[[], None] = lambda: None  # forgets work in progress: the generator is written


def starting_point(
    settings: Generator,
    features: Features,
    log_mels: torch.Tensor,
    validation: torch.Tensor,
    n_classes: int,
    seed: int,
    label: str,
) -> StartingPoint:
    """By ``generator.pretrained`` and ``generator.space``; an autoencoder learns ``log_mels`` [N, n_mels, T] in dB.

    ``validation`` are log mels [M, n_mels, T] that nothing learns from. Raises StudyError for a checkpoint that cannot
    be read or does not fit the features.
    """
    conditional = settings.condition == "class"
    if settings.pretrained is not None:
        pretrained = load_pretrained(settings.pretrained)
        pretrained.check_fits(features)
        if not isinstance(pretrained.unet, UNet2DModel):
            raise StudyError(
                f"generator.pretrained: found a {type(pretrained.unet).__name__} in {settings.pretrained}, wanted a "
                "UNet2DModel: one conditioned on sound is not supported"
            )
        unet = with_classes(pretrained.unet, n_classes) if conditional else without_classes(pretrained.unet)
        return StartingPoint(unet, pretrained.scheduler, pretrained.codec(features.n_frames, features.floor_db), {})
    codec: Codec = MelScaling.of(features, settings)
    figures: dict[str, float] = {}
    finish: Callable[[], None] = lambda: None  # noqa: E731 - a default
    if settings.space == "latent":
        if processes.count() > 1:
            raise StudyError("processes: found several, wanted 1 with generator.space latent")
        training = AutoencoderTraining(settings.autoencoder, codec, log_mels, seed, settings.precision)
        training.run(f"autoencoder, {label}")
        autoencoder, scaling_factor, found = training.result(validation)
        codec = LatentCodec(codec, autoencoder, scaling_factor)
        figures = {f"autoencoder_{name}": value for name, value in found.items()}
        finish = training.finish
    channels, height, width = codec.image_shape
    shape = (channels, height, min(width, window_columns(settings, features)))
    unet = build_unet(settings, shape, n_classes, seed, conditional)
    return StartingPoint(unet, build_scheduler(settings), codec, figures, finish)


def window_columns(settings: Generator, features: Features) -> int:
    """Columns of the network's images: generator.window_seconds, or the whole clip, rounded up to what it can halve."""
    frames = features.n_frames
    if settings.window_seconds is not None:
        frames = min(frames, math.ceil(settings.window_seconds * features.frames_per_second))
    halved = 2 ** (len(settings.channels) - 1)
    return -(-frames // settings.multiple) * halved


def with_classes(unet: UNet2DModel, n_classes: int) -> UNet2DModel:
    """The same network with ``n_classes`` classes and a null class, whose embeddings are 0: at first they say nothing.

    A network that has as many is returned as it is; StudyError when it has another number.
    """
    found = unet.config.num_class_embeds
    if unet.config.class_embed_type is not None:
        raise StudyError(
            f"generator.pretrained: found a network with class embeddings of type {unet.config.class_embed_type}, "
            "wanted one that looks them up, or has none"
        )
    if found == n_classes + 1:
        return unet
    if found is not None:
        raise StudyError(
            f"generator.pretrained: found a network of {found - 1} classes, wanted the data's {n_classes}, or none"
        )
    # As an argument: within the config, diffusers would drop it where the checkpoint's own config does not name it.
    conditional: UNet2DModel = UNet2DModel.from_config(unet.config, num_class_embeds=n_classes + 1)
    state = unet.state_dict() | {"class_embedding.weight": torch.zeros_like(conditional.class_embedding.weight)}
    conditional.load_state_dict(state)
    return conditional


def without_classes(unet: UNet2DModel) -> UNet2DModel:
    """The same network, when it has no classes; StudyError when it needs to be told one."""
    if unet.class_embedding is not None:
        raise StudyError("generator.condition: found none with a pretrained network that takes classes, wanted class")
    return unet
