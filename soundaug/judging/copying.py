"""What one held-out fold's generated clips copy of its training clips, or of the parents that they are made of."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from soundaug.folds.packed import ClipSet
from soundaug.interpolation import Pair
from soundaug.judging.copies import ClosePair, copy_report
from soundaug.params import Params
from soundaug.sound.features import MelFrontEnd

MAX_SHIFT = 0.25  # of a clip: a copy that starts this much earlier or later is still found


def assess_copies(
    mels: Path, pairs: Sequence[Pair], train: ClipSet, test: ClipSet, params: Params
) -> tuple[dict[str, float], list[ClosePair]]:
    """Shares of the generated ``mels`` (a file, in the pairs' order) that copy training clips, and the closest.

    Parents are those of a pair that its clip is made of, by `parents_of_clips`.
    """
    front_end = MelFrontEnd(params.features)
    train_mel, test_mel = (front_end.log_mel(torch.from_numpy(clips.mel)).numpy() for clips in (train, test))
    row_of = {name: row for row, name in enumerate(train.name.tolist())}
    parents = np.array([[row_of[parent.name] for parent in pair.parents] for pair in pairs], np.int64)
    parents = parents.reshape(len(pairs), -1) if pairs else np.empty((0, 2), np.int64)
    parents[:, parents_of_clips(params, parents.shape[1]) :] = -1
    report = copy_report(
        ClipSet.load(mels).mel,
        train_mel,
        test_mel,
        parents,
        max_shift=round(MAX_SHIFT * train_mel.shape[2]),
        recordings=train.fs_id,
    )
    return report.metrics, report.closest


def parents_of_clips(params: Params, drawn: int) -> int:
    """How many of the ``drawn`` parents of every pair, the first ones, its clip is made of.

    All are mixed in an interpolation, and in what a generator is told that hears them (``generator.condition: sound``);
    a variation and an inpainting are else of the first alone, and what is drawn from noise is of none.
    """
    if params.generate.method == "interpolation" or params.generator.condition == "sound":
        return drawn
    return 0 if params.generate.method == "sampling" else 1
