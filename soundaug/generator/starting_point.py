"""What a generator's training starts from: a fresh network, or a checkpoint that learns the study's classes."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers import UNet2DConditionModel

from soundaug.diffusion.autoencoder import AutoencoderTraining
from soundaug.diffusion.codec import Codec, LatentCodec, fitted_scaling
from soundaug.diffusion.model import Unet, build_unet
from soundaug.diffusion.pretrained import load_pretrained
from soundaug.diffusion.schedule import Schedule
from soundaug.params import Features, Generator
from soundaug.running import processes
from soundaug.running.errors import StudyError


@dataclass(frozen=True)
class StartingPoint:
    """An untrained or pretrained network, its noise schedule and codec; ``figures`` of what it took to get there."""

    unet: Unet
    schedule: Schedule
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
    sound_size: int | None = None,
) -> StartingPoint:
    """By ``generator.pretrained`` and ``generator.space``; an autoencoder learns ``log_mels`` [N, n_mels, T] in dB.

    ``validation`` are log mels [M, n_mels, T] that nothing learns from, ``sound_size`` is the length of the sounds'
    embeddings. Raises StudyError for a checkpoint that cannot be read or does not fit the features.
    """
    if settings.pretrained is not None:
        pretrained = load_pretrained(settings.pretrained)
        pretrained.check_fits(features)
        _check_condition(settings, pretrained.unet, sound_size)
        no_class = settings.condition == "none"
        unet = without_classes(pretrained.unet) if no_class else with_classes(pretrained.unet, n_classes)
        return StartingPoint(unet, pretrained.schedule, pretrained.codec(features.n_frames, features.floor_db), {})
    codec: Codec = fitted_scaling(settings, features, log_mels)
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
    unet = build_unet(settings, shape, n_classes, seed, sound_size)
    return StartingPoint(unet, Schedule.of(settings), codec, figures, finish)


def _check_condition(settings: Generator, unet: Unet, sound_size: int | None) -> None:
    """Raise StudyError when the checkpoint's network is told sounds and is not to be, or the other way round."""
    hears = isinstance(unet, UNet2DConditionModel)
    if hears != (settings.condition == "sound"):
        wanted = "sound" if hears else "class or none"
        raise StudyError(
            f"generator.condition: found {settings.condition} with the {type(unet).__name__} of {settings.pretrained}, "
            f"wanted {wanted}"
        )
    if hears and unet.config.cross_attention_dim != sound_size:
        raise StudyError(
            f"generator.pretrained: found a network told sounds of {unet.config.cross_attention_dim} numbers, wanted "
            f"{sound_size}, as the classifier (its last channels) hears them"
        )


def window_columns(settings: Generator, features: Features) -> int:
    """Columns of the network's images: generator.window_seconds, or the whole clip, rounded up to what it can halve."""
    frames = features.n_frames
    if settings.window_seconds is not None:
        frames = min(frames, math.ceil(settings.window_seconds * features.frames_per_second))
    halved = 2 ** (len(settings.channels) - 1)
    return -(-frames // settings.multiple) * halved


def with_classes(unet: Unet, n_classes: int) -> Unet:
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
    conditional: Unet = type(unet).from_config(unet.config, num_class_embeds=n_classes + 1)
    state = unet.state_dict() | {"class_embedding.weight": torch.zeros_like(conditional.class_embedding.weight)}
    conditional.load_state_dict(state)
    return conditional


def without_classes(unet: Unet) -> Unet:
    """The same network, when it has no classes; StudyError when it needs to be told one."""
    if unet.class_embedding is not None:
        raise StudyError("generator.condition: found none with a pretrained network that takes classes, wanted class")
    return unet
