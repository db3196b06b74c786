"""featurize_generated: the audio that invert wrote through the same front end as real audio.

Reads the clips in data/generated/fold<fold>, writes features.npz and resynthesis.npz beside them.
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile

from soundaug.audio import from_pcm16
from soundaug.corpus import layout_path
from soundaug.errors import run_stage
from soundaug.features import MelFrontEnd, mels_of_waveforms
from soundaug.interpolation import read_pairs
from soundaug.packed import ClipSet
from soundaug.params import load_params


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fold", type=int, required=True, help="the fold held out")
    fold = parser.parse_args().fold
    folder = Path(f"data/generated/fold{fold}")
    pairs = read_pairs(folder / "pairs.csv")
    resynthesized = np.load(folder / "resynthesized.npy", allow_pickle=False)
    generated = np.empty_like(resynthesized)
    for row, pair in zip(generated, pairs, strict=True):
        row[:], _ = soundfile.read(folder / "clips" / layout_path(fold, pair.name), dtype="int16")
    front_end = MelFrontEnd(load_params().features)
    for samples, target in ((generated, "features.npz"), (resynthesized, "resynthesis.npz")):
        ClipSet.pack(
            mels_of_waveforms(from_pcm16(samples), front_end),
            [pair.class_id for pair in pairs],
            [pair.fs_id_a for pair in pairs],
            [pair.name for pair in pairs],
        ).save(folder / target)
    print(f"fold {fold}: {len(pairs)} clips and as many resynthesized parents")


if __name__ == "__main__":
    run_stage(main)
