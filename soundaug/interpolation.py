"""Which clips are interpolated, and how: pairs of one class and different recordings, slerp between their noises."""

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from soundaug.params import Generate
from soundaug.running.errors import StudyError
from soundaug.running.foreign import reason
from soundaug.running.outputs import write_csv


class Parent(NamedTuple):
    """A training clip that a generated one is made of."""

    name: str
    fs_id: str
    fold: int


@dataclass(frozen=True)
class Pair:
    """One clip to generate: its parents, the share ``alpha`` of all but the first, the ``strength`` of a variation, its
    own seed. ``others`` are the parents beyond two."""

    name: str
    class_id: int
    class_name: str
    parent_a: str
    parent_b: str
    fs_id_a: str
    fs_id_b: str
    fold_a: int
    fold_b: int
    alpha: float
    seed: int
    strength: float = 1.0
    others: tuple[Parent, ...] = ()

    @property
    def parents(self) -> list[Parent]:
        """All parents, the first one first."""
        first = [Parent(self.parent_a, self.fs_id_a, self.fold_a), Parent(self.parent_b, self.fs_id_b, self.fold_b)]
        return [*first, *self.others]


# The columns of pairs.csv; `class` cannot name a field.
COLUMNS = [field.name if field.name != "class_name" else "class" for field in fields(Pair)]


def draw_pairs(
    names: Sequence[str],
    class_ids: np.ndarray,
    fs_ids: Sequence[str],
    folds: Sequence[int],
    classes: Sequence[str],
    settings: Generate,
    seed: int,
    held_out: int,
) -> list[Pair]:
    """``per_class`` pairs a class from the training clips given; each class's draws depend on its own clips alone.

    First parents are drawn without repeats until the class is used up; second ones uniformly among the class's clips of
    other recordings. Raises StudyError for a class without clips, or of one recording unless ``single_recording`` is
    ``within`` (then its own other clips serve).
    """
    pairs = []
    recordings = np.asarray(fs_ids)
    for class_id, class_name in enumerate(classes):
        if settings.per_class == 0:
            break
        members = np.flatnonzero(class_ids == class_id)
        single = len(np.unique(recordings[members])) < 2
        _check_class(class_name, len(members), single, settings, held_out)
        random = np.random.default_rng([seed, held_out, class_id])
        more = np.random.default_rng([seed, held_out, class_id, 1])  # apart, so that it changes no other draw
        for index, a in enumerate(_first_parents(members, settings.per_class, random)):
            partners = members[members != a] if single else members[recordings[members] != recordings[a]]
            b = random.choice(partners)
            pairs.append(
                Pair(
                    name=f"{_bare(fs_ids[a])}-{class_id}-{_bare(fs_ids[b])}-{index}.flac",
                    class_id=class_id,
                    class_name=class_name,
                    parent_a=str(names[a]),
                    parent_b=str(names[b]),
                    fs_id_a=str(fs_ids[a]),
                    fs_id_b=str(fs_ids[b]),
                    fold_a=int(folds[a]),
                    fold_b=int(folds[b]),
                    alpha=round(float(random.uniform(settings.alpha[0], settings.alpha[-1])), 6),
                    seed=int(random.integers(2**31)),
                    strength=round(float(more.uniform(settings.strength[0], settings.strength[-1])), 6),
                    others=tuple(
                        Parent(str(names[one]), str(fs_ids[one]), int(folds[one]))
                        for one in _others(partners, b, settings.parents - 2, more)
                    ),
                )
            )
    return pairs


def _bare(fs_id: str) -> str:
    """A recording's id as part of a file name, which class and index make unique: a path's slashes may not stay."""
    return re.sub(r"\W+", "_", fs_id)[-60:]


def _others(partners: np.ndarray, b: int, count: int, random: np.random.Generator) -> np.ndarray:
    """Parents beyond two: neither b nor one another, as far as there are enough."""
    left = partners[partners != b] if len(partners) > 1 else partners
    return random.choice(left, count, replace=len(left) < count)


def _first_parents(members: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    rounds = [random.permutation(members) for _ in range(-(-count // len(members)))]
    return np.concatenate(rounds)[:count]


def _check_class(class_name: str, n_clips: int, single: bool, settings: Generate, held_out: int) -> None:
    where = f"class {class_name}, fold {held_out} held out"
    if n_clips == 0:
        raise StudyError(f"{where}: found no training clips, wanted at least two of different recordings")
    if not single:
        return
    if settings.single_recording == "error":
        raise StudyError(
            f"{where}: found one training recording, wanted two or more to pair "
            "(or generate.single_recording: within, to pair clips of the same recording)"
        )
    if n_clips < 2:
        raise StudyError(f"{where}: found one training clip, wanted two or more to pair")


def write_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    """Write pairs.csv."""
    write_csv(path, COLUMNS, ((*astuple(pair)[:-1], json.dumps(pair.others)) for pair in pairs))


def read_pairs(path: Path) -> list[Pair]:
    """Read what `write_pairs` wrote; raises StudyError when it is missing or something else."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            if next(reader, None) != COLUMNS:
                raise StudyError(f"{path}: found other columns, wanted {', '.join(COLUMNS)}")
            types: list[Any] = [field.type for field in fields(Pair)][:-1]
            return [
                replace(Pair(*(kind(text) for kind, text in zip(types, row, strict=True))), others=_read_others(others))
                for *row, others in reader
            ]
    except FileNotFoundError:
        raise StudyError(f"{path}: not there, wanted the table that generate writes") from None
    except (ValueError, RecursionError, csv.Error) as error:
        raise StudyError(f"{path}: {reason(error)}") from None


def _read_others(text: str) -> tuple[Parent, ...]:
    others = json.loads(text)
    if not isinstance(others, list) or not all(
        isinstance(one, list) and [type(value) for value in one] == [str, str, int] for one in others
    ):
        raise ValueError(f"found others {text!r}, wanted a JSON list of [name, fs_id, fold]")
    return tuple(Parent(*one) for one in others)


def mix(noises: Sequence[torch.Tensor], alpha: torch.Tensor) -> torch.Tensor:
    """One noise [B, ...] of the parents' [P][B, ...]; ``alpha`` [B] is the share of all but the first, in equal parts.

    `slerp` from the first to the sum of the others, brought to their mean length: to the other itself if there is one.
    """
    first, *others = noises
    total = torch.stack(others).double().sum(dim=0)
    wanted = torch.stack([_lengths(other) for other in others]).mean(dim=0)
    scale = wanted / torch.clamp(_lengths(total), min=1e-12)
    return slerp(first, (scale.view(-1, *[1] * (total.dim() - 1)) * total).to(first.dtype), alpha)


def renormalized(noises: torch.Tensor) -> torch.Tensor:
    """Noises [B, ...] whose mean square is above 1, that of noise, brought down to it; others as they are.

    Of a clip that a generator explains badly the inverted noise is too large: what is not explained stays in it, and
    slerp keeps the length, so that mixtures come out as speckle. Noise that is too small decodes as it was inverted.
    """
    wanted = noises[0].numel() ** 0.5
    factors = torch.clamp(wanted / torch.clamp(_lengths(noises), min=1e-12), max=1.0)
    return (noises * factors.view(-1, *[1] * (noises.dim() - 1))).to(noises.dtype)


def slerp(a: torch.Tensor, b: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """Spherical interpolation (Shoemake 1985) of noises [B, ...], one angle a clip, ``alpha`` [B] from a (0) to b (1).

    Vectors so close to parallel or opposite that the sine vanishes are interpolated linearly.
    """
    shape = (-1,) + (1,) * (a.dim() - 1)
    flat_a, flat_b = a.flatten(1).double(), b.flatten(1).double()
    lengths = flat_a.norm(dim=1) * flat_b.norm(dim=1)
    cosine = torch.clamp((flat_a * flat_b).sum(dim=1) / torch.clamp(lengths, min=1e-12), -1, 1)
    omega = torch.acos(cosine)
    sine = torch.sin(omega)
    alpha = alpha.double()
    linear = sine.abs() < 1e-4
    safe = torch.where(linear, torch.ones_like(sine), sine)
    weight_a = torch.where(linear, 1 - alpha, torch.sin((1 - alpha) * omega) / safe)
    weight_b = torch.where(linear, alpha, torch.sin(alpha * omega) / safe)
    return (weight_a.view(shape) * a + weight_b.view(shape) * b).to(a.dtype)


def _lengths(noises: torch.Tensor) -> torch.Tensor:
    """Of noises [B, ...]: [B]."""
    return noises.flatten(1).double().norm(dim=1)
