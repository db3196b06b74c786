"""Generated clips, by each method; and how well inversion gives a clip back."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from soundaug.codec import Codec
from soundaug.device import generator_of
from soundaug.interpolation import Pair, mix
from soundaug.sampling import Sampler


class Parents:
    """The clips that pairs are drawn from: ``log_mels`` [N, n_mels, T] in dB, ``labels`` [N], ``names`` [N]."""

    def __init__(self, codec: Codec, log_mels: torch.Tensor, labels: torch.Tensor, names: Sequence[str]) -> None:
        self.codec = codec
        self.log_mels = log_mels
        self.labels = labels
        self._row_of = {name: row for row, name in enumerate(names)}

    def rows(self, pairs: Sequence[Pair], place: int) -> list[int]:
        """The row of every pair's parent number ``place``."""
        return [self._row_of[pair.parents[place].name] for pair in pairs]


def generate(
    sampler: Sampler, parents: Parents, pairs: Sequence[Pair], frames_per_second: float
) -> tuple[torch.Tensor, dict[str, Any]]:
    """The log mels [M, n_mels, T] in dB of ``pairs`` by ``generate.method``, and figures of how it went."""
    if not pairs:
        return parents.log_mels[:0], {}
    settings = sampler.settings
    if settings.method == "interpolation":
        return interpolate(sampler, parents, pairs)
    codec = parents.codec
    labels = torch.tensor([pair.class_id for pair in pairs])
    seeds = [pair.seed for pair in pairs]
    firsts = parents.log_mels[parents.rows(pairs, 0)]
    if settings.method == "sampling":
        noise = torch.stack([torch.randn(codec.image_shape, generator=generator_of(seed, 0)) for seed in seeds])
        images = sampler.decode(noise, labels, seeds, "sample clips")
    elif settings.method == "variation":
        strengths = [pair.strength for pair in pairs]
        images = sampler.vary(codec.to_image(firsts), labels, strengths, seeds, "vary clips")
    else:
        kept = kept_frames(settings.keep_seconds, firsts.shape[-1], frames_per_second)
        images = sampler.inpaint(codec.to_image(firsts), codec.frame_mask(kept), labels, seeds, "inpaint clips")
    return codec.to_log_mel(images, codec.levels(firsts)), {"clips": len(pairs)}


def interpolate(sampler: Sampler, parents: Parents, pairs: Sequence[Pair]) -> tuple[torch.Tensor, dict[str, Any]]:
    """The log mels [M, n_mels, T] in dB of ``pairs``: each parent inverted once, noises mixed, mixtures decoded.

    Also returns figures of the inversion: ``noise_std`` (1 where it reached the prior) and
    ``reconstruction_rmse_db``, the error of one batch of parents inverted and decoded again without guidance.
    """
    codec = parents.codec
    of_place = [parents.rows(pairs, place) for place in range(len(pairs[0].parents))]
    rows = sorted({row for place in of_place for row in place})
    index_of = {row: index for index, row in enumerate(rows)}
    noise = sampler.invert(codec.to_image(parents.log_mels[rows]), parents.labels[rows], "invert parents")
    alpha = torch.tensor([pair.alpha for pair in pairs])
    mixed = mix([noise[[index_of[row] for row in place]] for place in of_place], alpha)
    seeds = [pair.seed for pair in pairs]
    images = sampler.decode(mixed, torch.tensor([pair.class_id for pair in pairs]), seeds, "decode clips")
    levels = [codec.levels(parents.log_mels[place]) for place in of_place]
    level = (1 - alpha) * levels[0] + alpha * torch.stack(levels[1:]).mean(dim=0)

    sample = np.linspace(0, len(rows) - 1, min(len(rows), sampler.settings.batch_size)).astype(int)
    checked = [rows[index] for index in sample]
    log_mels, labels = parents.log_mels[checked], parents.labels[checked]
    decoded = sampler.decode(noise[sample], labels, range(len(checked)), "decode parents", guidance=1.0)
    error = codec.to_log_mel(decoded, codec.levels(log_mels)) - codec.to_log_mel(
        codec.to_image(log_mels), codec.levels(log_mels)
    )
    quality = {
        "clips": len(pairs),
        "parents": len(rows),
        "noise_std": round(float(noise.std()), 4),
        "reconstruction_rmse_db": round(float(error.square().mean().sqrt()), 4),
    }
    return codec.to_log_mel(images, level), quality


def kept_frames(spans: Sequence[Sequence[float]], n_frames: int, frames_per_second: float) -> torch.Tensor:
    """Which of ``n_frames`` have their centre within ``spans`` (seconds, from and up to): bool [T].

    The last frame is within a span that ends there or later: its centre may be the very end of the clip.
    """
    seconds = torch.arange(n_frames) / frames_per_second
    kept = torch.zeros(n_frames, dtype=torch.bool)
    for start, end in spans:
        kept |= (seconds >= start) & ((seconds < end) | (seconds[-1] <= end))
    return kept
