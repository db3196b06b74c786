"""Generated clips, by each method; and how well inversion gives a clip back."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from soundaug.classification.encoder import load_encoder
from soundaug.diffusion.codec import Codec
from soundaug.diffusion.model import Told, load_generator
from soundaug.diffusion.windows import windowed
from soundaug.folds.packed import ClipSet
from soundaug.generation.sampling import Sampler
from soundaug.interpolation import Pair, mix, renormalized
from soundaug.params import Features, Generate
from soundaug.running import processes
from soundaug.running.device import generator_of
from soundaug.running.kept_rows import Rows
from soundaug.sound.features import MelFrontEnd

BATCHES = 4  # of every process that are made, and lost by an interruption, at a time

Item = TypeVar("Item")


class Parents:
    """The clips that pairs are drawn from: ``log_mels`` [N, n_mels, T] in dB, what is ``told`` of them, their names."""

    def __init__(self, codec: Codec, log_mels: torch.Tensor, told: Told, names: Sequence[str]) -> None:
        self.codec = codec
        self.log_mels = log_mels
        self.told = told
        self._row_of = {name: row for row, name in enumerate(names)}

    def rows(self, pairs: Sequence[Pair], place: int) -> list[int]:
        """The row of every pair's parent number ``place``."""
        return [self._row_of[pair.parents[place].name] for pair in pairs]

    def told_of(self, pairs: Sequence[Pair]) -> Told:
        """What the network is told of the clips of ``pairs``: their class, and their parents' sounds mixed by alpha."""
        labels = torch.tensor([pair.class_id for pair in pairs])
        if self.told.sounds is None:
            return Told(labels)
        sounds = [self.told.sounds[self.rows(pairs, place)] for place in range(len(pairs[0].parents))]
        return Told(labels, mix(sounds, torch.tensor([pair.alpha for pair in pairs])))


def load_sampler(model: Path, train: ClipSet, features: Features, settings: Generate) -> tuple[Sampler, Parents]:
    """The generator in the folder ``model`` ready to make clips, and the training clips as it takes them."""
    unet, codec, schedule = load_generator(model)
    encoder = load_encoder(model / "encoder", features) if (model / "encoder").exists() else None
    told = Told(torch.from_numpy(train.class_id), None if encoder is None else encoder(train.mel))
    log_mels = MelFrontEnd(features).log_mel(torch.from_numpy(train.mel))
    parents = Parents(codec, log_mels, told, train.name.tolist())
    return Sampler(windowed(unet, codec.image_shape[2], settings), schedule, settings), parents


def generate(
    sampler: Sampler, parents: Parents, pairs: Sequence[Pair], frames_per_second: float, folder: Path
) -> tuple[Rows, dict[str, Any]]:
    """The log mels [M, n_mels, T] in dB of ``pairs`` by ``generate.method``, and figures of how it went.

    They grow in ``folder``, some batches at a time, so that memory does not grow with their number and an interrupted
    run goes on from there: the folder must be of these very parents, pairs and settings.
    """
    made = Rows(folder / f"mels{processes.rank()}", parents.log_mels.shape[1:])
    if not pairs:
        return made, {}
    if sampler.settings.method == "interpolation":
        return made, interpolate(sampler, parents, pairs, made, folder)

    def make(part: Sequence[Pair]) -> torch.Tensor:
        return _make(sampler, parents, part, frames_per_second)

    _grow(made, pairs, make, sampler, "make clips")
    return made, {"clips": len(pairs)}


def _make(sampler: Sampler, parents: Parents, pairs: Sequence[Pair], frames_per_second: float) -> torch.Tensor:
    """The log mels [M, n_mels, T] of ``pairs`` by a method that inverts nothing."""
    settings, codec = sampler.settings, parents.codec
    told, seeds = parents.told_of(pairs), [pair.seed for pair in pairs]
    firsts = parents.log_mels[parents.rows(pairs, 0)]
    if settings.method == "sampling":
        noise = torch.stack([torch.randn(codec.image_shape, generator=generator_of(seed, 0)) for seed in seeds])
        images = sampler.decode(noise, told, seeds)
    elif settings.method == "variation":
        images = sampler.vary(codec.to_image(firsts), told, [pair.strength for pair in pairs], seeds)
    else:
        kept = kept_frames(settings.keep_seconds, firsts.shape[-1], frames_per_second)
        images = sampler.inpaint(codec.to_image(firsts), codec.frame_mask(kept), told, seeds)
    return codec.to_log_mel(images, codec.levels(firsts))


def interpolate(sampler: Sampler, parents: Parents, pairs: Sequence[Pair], made: Rows, folder: Path) -> dict[str, Any]:
    """Grow ``made`` by the clips ``pairs``: each parent inverted once, noises mixed, mixtures decoded.

    Returns figures of the inversion: ``noise_std`` (1 where it reached the prior) and ``reconstruction_rmse_db``, the
    error of one batch of parents inverted and decoded again without guidance.
    """
    codec = parents.codec
    places = range(len(pairs[0].parents))
    rows = sorted({row for place in places for row in parents.rows(pairs, place)})
    index_of = {row: index for index, row in enumerate(rows)}
    noises = Rows(folder / f"noises{processes.rank()}", codec.image_shape)

    def invert(part: Sequence[int]) -> torch.Tensor:
        return sampler.invert(codec.to_image(parents.log_mels[part]), parents.told.rows(part))

    def decode(part: Sequence[Pair]) -> torch.Tensor:
        of_place = [parents.rows(part, place) for place in places]
        alpha = torch.tensor([pair.alpha for pair in part])
        mixed = mix([noises[[index_of[row] for row in place]] for place in of_place], alpha)
        if sampler.settings.renormalize:
            mixed = renormalized(mixed)
        images = sampler.decode(mixed, parents.told_of(part), [pair.seed for pair in part])
        levels = [codec.levels(parents.log_mels[place]) for place in of_place]
        return codec.to_log_mel(images, (1 - alpha) * levels[0] + alpha * torch.stack(levels[1:]).mean(dim=0))

    _grow(noises, rows, invert, sampler, "invert parents")
    _grow(made, pairs, decode, sampler, "decode clips")

    sample = np.linspace(0, len(rows) - 1, min(len(rows), sampler.settings.batch_size)).astype(int).tolist()
    checked = [rows[index] for index in sample]
    log_mels = parents.log_mels[checked]
    decoded = sampler.decode(noises[sample], parents.told.rows(checked), range(len(checked)), guidance=1.0)
    error = codec.to_log_mel(decoded, codec.levels(log_mels)) - codec.to_log_mel(
        codec.to_image(log_mels), codec.levels(log_mels)
    )
    return {
        "clips": len(pairs),
        "parents": len(rows),
        "noise_std": round(noises.deviation(), 4),
        "reconstruction_rmse_db": round(float(error.square().mean().sqrt()), 4),
    }


def _grow(
    rows: Rows, items: Sequence[Item], make: Callable[[Sequence[Item]], torch.Tensor], sampler: Sampler, label: str
) -> None:
    """Append what ``make`` makes of ``items``, ``BATCHES`` batches of every process at a time."""
    rows.keep(processes.least(len(rows)))  # several processes go on from where the last of them was
    size = BATCHES * processes.count() * sampler.settings.batch_size
    with sampler.progress(label, len(items), len(rows)):
        while len(rows) < len(items):
            rows.append(make(items[len(rows) : len(rows) + size]))
    processes.least(len(rows))  # nobody goes on before all are here


def kept_frames(spans: Sequence[Sequence[float]], n_frames: int, frames_per_second: float) -> torch.Tensor:
    """Which of ``n_frames`` have their centre within ``spans`` (seconds, from and up to): bool [T].

    The last frame is within a span that ends there or later: its centre may be the very end of the clip.
    """
    seconds = torch.arange(n_frames) / frames_per_second
    kept = torch.zeros(n_frames, dtype=torch.bool)
    for start, end in spans:
        kept |= (seconds >= start) & ((seconds < end) | (seconds[-1] <= end))
    return kept
