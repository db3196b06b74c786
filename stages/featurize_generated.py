"""featurize_generated: the audio that invert wrote through the same front end as real audio.

Reads the clips in data/generated/fold<fold>, writes features.npz and resynthesis.npz beside them.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from soundaug.audio import from_pcm16
from soundaug.corpus import layout_path
from soundaug.errors import run_stage
from soundaug.features import MelFrontEnd, mels_of_waveforms
from soundaug.foreign import reading
from soundaug.interpolation import Pair, read_pairs
from soundaug.packed import ClipSet
from soundaug.params import load_params

PART = 256  # clips whose samples are held at once


def generated(folder: Path, fold: int, pairs: Sequence[Pair], part: slice) -> np.ndarray:
    """Samples int16 [B, n_samples] of the clips made of ``pairs[part]``."""
    paths = (folder / "clips" / layout_path(fold, pair.name) for pair in pairs[part])
    return np.stack([soundfile.read(path, dtype="int16")[0] for path in paths])


def resynthesized(folder: Path, fold: int, pairs: Sequence[Pair], part: slice) -> np.ndarray:
    """Samples int16 [B, n_samples] of their first parents through mel and back."""
    samples = np.load(folder / "resynthesized.npy", mmap_mode="r", allow_pickle=False)
    if len(samples) != len(pairs):
        raise ValueError(f"{len(samples)} resynthesized clips")
    return np.array(samples[part])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fold", type=int, required=True, help="the fold held out")
    fold = parser.parse_args().fold
    folder = Path(f"data/generated/fold{fold}")
    pairs = read_pairs(folder / "pairs.csv")
    params = load_params()
    features = params.features
    front_end = MelFrontEnd(features)
    for read, target in ((generated, "features.npz"), (resynthesized, "resynthesis.npz")):
        mels = np.empty((len(pairs), features.n_mels, features.n_frames), np.float32)
        for start in range(0, len(pairs), PART):
            part = slice(start, start + PART)
            with reading(folder, "no audio of its pairs", "what invert writes"):
                samples = read(folder, fold, pairs, part)
            mels[part] = mels_of_waveforms(from_pcm16(samples), front_end, params.workers)
        ClipSet.pack(
            mels,
            [pair.class_id for pair in pairs],
            [pair.fs_id_a for pair in pairs],
            [pair.name for pair in pairs],
        ).save(folder / target)
    print(f"fold {fold}: {len(pairs)} clips and as many resynthesized parents")


if __name__ == "__main__":
    run_stage(main)
