"""featurize_generated: the audio that invert wrote through the same front end as real audio.

Reads clips.zip and resynthesized.npy in data/generated/fold<fold>, writes features.npz and resynthesis.npz there.
"""

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from soundaug.folds.packed import save_clips
from soundaug.interpolation import read_pairs
from soundaug.params import load_params
from soundaug.running.errors import run_stage
from soundaug.running.foreign import reading
from soundaug.sound.audio import from_pcm16
from soundaug.sound.clip_archive import read_archived
from soundaug.sound.features import MelFrontEnd, mels_of_waveforms
from soundaug.sources.corpus import layout_path

PART = 256  # clips whose samples are held at once


def resynthesized(path: Path, count: int) -> Iterator[np.ndarray]:
    """Samples int16 [n_samples] of each of ``count`` first parents through mel and back."""
    for start in range(0, count, PART):
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
        if len(rows) != count:
            raise ValueError(f"{len(rows)} resynthesized clips")
        yield from np.array(rows[start : start + PART])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fold", type=int, required=True, help="the fold held out")
    fold = parser.parse_args().fold
    folder = Path(f"data/generated/fold{fold}")
    pairs = read_pairs(folder / "pairs.csv")
    params = load_params()
    features = params.features
    front_end = MelFrontEnd(features)

    def mels(waveforms: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        while True:
            with reading(folder, "no audio of its pairs", "what invert writes"):
                samples = list(islice(waveforms, PART))
            if not samples:
                return
            yield from mels_of_waveforms(from_pcm16(np.stack(samples)), front_end, params.workers)

    generated = read_archived(folder / "clips.zip", (layout_path(fold, pair.name) for pair in pairs))
    parents = resynthesized(folder / "resynthesized.npy", len(pairs))
    for waveforms, target in ((generated, "features.npz"), (parents, "resynthesis.npz")):
        save_clips(
            folder / target,
            mels(waveforms),
            (features.n_mels, features.n_frames),
            [pair.class_id for pair in pairs],
            [pair.fs_id_a for pair in pairs],
            [pair.name for pair in pairs],
        )
    print(f"fold {fold}: {len(pairs)} clips and as many resynthesized parents")


if __name__ == "__main__":
    run_stage(main)
