"""The diffusion model: its network, its loss and its folder."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from diffusers.models.attention_processor import Attention
from torch import nn

from soundaug.diffusion.attention import CachedAttention
from soundaug.diffusion.codec import Codec, load_codec, save_codec
from soundaug.diffusion.pretrained import UNETS, load_network, load_schedule
from soundaug.diffusion.schedule import Schedule
from soundaug.params import Generator
from soundaug.running.outputs import whole

Unet: TypeAlias = UNet2DModel | UNet2DConditionModel

HEAD_CHANNELS = 32  # of an attention head, at most
GROUP_CHANNELS = 16  # of a normalization group, at least: torch's CPU kernel is 10 to 20 times slower with fewer


def build_unet(
    settings: Generator, image_shape: Sequence[int], n_classes: int, seed: int, sound_size: int | None = None
) -> Unet:
    """A fresh U-Net of images [C, H, W], told by ``generator.condition`` nothing, a class, or a class and a sound.

    Class index ``n_classes`` is the null class of classifier-free guidance. ``sound_size`` is the length of the sounds'
    embeddings, which every attention level attends to.
    """
    channels, height, width = image_shape
    attends = [level >= len(settings.channels) - settings.attention_levels for level in range(len(settings.channels))]
    head_channels = math.gcd(HEAD_CHANNELS, *settings.channels)
    common: dict[str, Any] = {
        "sample_size": (height, width),
        "in_channels": channels,
        "out_channels": channels,
        "block_out_channels": tuple(settings.channels),
        "layers_per_block": settings.layers_per_block,
        "norm_num_groups": max(1, math.gcd(*settings.channels) // GROUP_CHANNELS),
        "num_class_embeds": None if settings.condition == "none" else n_classes + 1,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if settings.condition == "sound":
            return UNet2DConditionModel(
                down_block_types=tuple("CrossAttnDownBlock2D" if attend else "DownBlock2D" for attend in attends),
                up_block_types=tuple("CrossAttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)),
                cross_attention_dim=sound_size,
                attention_head_dim=tuple(width // head_channels for width in settings.channels),  # diffusers: heads
                **common,
            )
        return UNet2DModel(
            down_block_types=tuple("AttnDownBlock2D" if attend else "DownBlock2D" for attend in attends),
            up_block_types=tuple("AttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)),
            attention_head_dim=head_channels,
            **common,
        )


class Told(NamedTuple):
    """What a network is told of each image: its class in ``labels`` [B], an embedding in ``sounds`` [B, D].

    The latter may be sequences of embeddings [B, L, D], such as those of a text.
    """

    labels: torch.Tensor | None = None
    sounds: torch.Tensor | None = None

    def rows(self, index: Any) -> "Told":
        """Of some images only."""
        return Told(*(None if values is None else values[index] for values in self))

    def to(self, device: torch.device) -> "Told":
        """The same on ``device``."""
        return Told(*(None if values is None else values.to(device) for values in self))

    def nothing(self, null_class: int) -> "Told":
        """What a network is told when it is told nothing: the null class, and 0 for a sound."""
        labels = None if self.labels is None else torch.full_like(self.labels, null_class)
        return Told(labels, None if self.sounds is None else torch.zeros_like(self.sounds))


def ask(unet: Callable[..., Any], given: torch.Tensor, timestep: torch.Tensor | int, told: Told) -> torch.Tensor:
    """The network's output [B, C, H, W] for what it is given [B, C, H, W]."""
    more = {}
    if told.sounds is not None:  # one embedding is a sequence of one
        more["encoder_hidden_states"] = told.sounds if told.sounds.dim() == 3 else told.sounds[:, None]
    output: torch.Tensor = unet(given, timestep, class_labels=told.labels, **more).sample
    return output


def place(unet: nn.Module, device: torch.device) -> None:
    """Move the network to ``device``, laid out for fast convolutions, with the attention that is fast there."""
    unet.to(device).to(memory_format=torch.channels_last)
    if device.type == "cpu":
        for module in unet.modules():
            if isinstance(module, Attention):
                module.set_processor(CachedAttention())


def diffusion_loss(
    unet: Callable[..., Any],
    schedule: Schedule,
    images: torch.Tensor,
    told: Told,
    levels: torch.Tensor,
    noise: torch.Tensor,
    min_snr_gamma: float | None,
) -> torch.Tensor:
    """Mean squared error of what the network predicts, with min-SNR weights (Hang et al. 2023, equations 5 to 7).

    ``images``, ``noise`` [B, C, H, W]; what it is ``told`` of each; noise ``levels`` [B]. The weight of the
    image's error is min(snr, gamma); without a gamma what the network predicts has one weight throughout.
    """
    given, target, share = schedule.noisy(images, noise, levels)
    predicted = ask(unet, given, levels + schedule.told(0), told)
    error = (predicted.float() - target).square().mean(dim=(1, 2, 3))
    if min_snr_gamma is None:
        return error.mean()
    alpha_bar = schedule.alpha_bar.to(images.device)[levels]
    weight = torch.clamp(alpha_bar / (1 - alpha_bar), max=min_snr_gamma)
    return (weight * share * error).mean()


def save_generator(folder: Path, unet: Unet, schedule: Schedule, codec: Codec) -> None:
    """Write diffusers' folder (unet/, scheduler/, model_index.json) and the codec beside them, safetensors only."""
    flow = schedule.prediction == "flow"
    with whole(folder) as partial:
        unet.save_pretrained(partial / "unet", safe_serialization=True)
        schedule.save(partial / "scheduler")
        index = {
            "_class_name": "DDIMPipeline",
            "unet": ["diffusers", type(unet).__name__],
            "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler" if flow else "DDIMScheduler"],
        }
        (partial / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
        save_codec(partial, codec)


def load_generator(folder: Path) -> tuple[Unet, Codec, Schedule]:
    """The network, its codec, its noise schedule; StudyError when the folder is not what `save_generator` writes."""
    codec = load_codec(folder)
    unet = load_network(folder / "unet", UNETS)
    return unet.eval(), codec, load_schedule(folder / "scheduler" / "scheduler_config.json")
