"""What words sound like: a text encoder learns which caption belongs to which spectrogram (CLIP, Radford et al. 2021).

A diffusion model alone would have to learn it from the little that a caption tells about the noise in an image.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm
from transformers import CLIPTextModel

from soundaug.params import StyleText
from soundaug.running.device import generator_of
from soundaug.running.errors import StudyError

CHANNELS = (16, 32, 64)  # of the network that looks at the images
FIRST_TEMPERATURE, LOWEST_TEMPERATURE = 0.07, 0.01  # CLIP's


def learn_captions(
    text_encoder: CLIPTextModel,
    ids: torch.Tensor,
    pixels: torch.Tensor,
    told: Sequence[torch.Tensor],
    settings: StyleText,
    seed: int,
    label: str,
) -> float:
    """Train ``text_encoder`` in place with a small network of images that is then forgotten; the last step's loss.

    ``ids`` [C, L] are the captions' tokens, ``pixels`` uint8 [N, H, W] the images, ``told`` the numbers of each image's
    captions, of which a step draws one. Symmetric cross-entropy over a batch's pairs. Raises StudyError when the loss
    stops being a number.
    """
    device = ids.device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        image_encoder = _image_encoder(text_encoder.config.hidden_size).to(device)
    log_scale = nn.Parameter(torch.tensor(-math.log(FIRST_TEMPERATURE), device=device))
    parameters = [*text_encoder.parameters(), *image_encoder.parameters(), log_scale]
    optimizer = torch.optim.AdamW(parameters, settings.learning_rate)
    random = generator_of(seed, 7)
    pairs = torch.arange(min(settings.batch_size, len(pixels)), device=device)
    text_encoder.train()
    value = math.nan
    for step in tqdm(range(settings.steps), desc=label, disable=None, unit="step"):
        batch = torch.randperm(len(pixels), generator=random)[: len(pairs)]
        share = torch.rand(len(batch), generator=random).tolist()
        chosen = [told[row][int(part * len(told[row]))] for row, part in zip(batch.tolist(), share, strict=True)]
        images = pixels[batch].to(device)[:, None].float() / 127.5 - 1
        scale = log_scale.exp().clamp(max=1 / LOWEST_TEMPERATURE)
        texts = F.normalize(text_encoder(ids[torch.stack(chosen).to(device)]).pooler_output, dim=-1)
        likeness = scale * F.normalize(image_encoder(images), dim=-1) @ texts.T
        loss = (F.cross_entropy(likeness, pairs) + F.cross_entropy(likeness.T, pairs)) / 2
        value = loss.item()
        if not math.isfinite(value):
            raise StudyError(
                f"stylizer's text: found a loss of {value} at step {step + 1}, wanted a number: "
                "lower stylizer.text.learning_rate"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return value


def _image_encoder(width: int) -> nn.Sequential:
    """Images [B, 1, H, W] to [B, width]."""
    layers: list[nn.Module] = [nn.AvgPool2d(2)]
    for before, after in zip((1, *CHANNELS), CHANNELS, strict=False):
        layers += [nn.Conv2d(before, after, 5, stride=2, padding=2), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS[-1], width))
