"""invert: generated mels to audio, and the first parents' mels the same way for the resynthesis control.

Reads data/features and data/generated/fold<fold>, writes clips.zip, inversion.json and resynthesized.npy there.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from soundaug.folds.packed import fold_file, folds_of
from soundaug.folds.packed_mels import PackedMels
from soundaug.interpolation import read_pairs
from soundaug.inversion.decoding_faults import faulty
from soundaug.inversion.mel_to_audio import MelToAudio, RoundTrip, mean_errors, sounds
from soundaug.params import load_params
from soundaug.running.errors import run_stage
from soundaug.running.outputs import write_json
from soundaug.running.rows import save_rows
from soundaug.sound.clip_archive import write_archive
from soundaug.sound.features import MelFrontEnd
from soundaug.sources.corpus import Clip, layout_path

FEATURES = Path("data/features")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fold", type=int, required=True, help="the fold held out")
    fold = parser.parse_args().fold
    params = load_params()
    folder = Path(f"data/generated/fold{fold}")
    pairs = read_pairs(folder / "pairs.csv")
    seeds = [pair.seed for pair in pairs]
    front_end = MelFrontEnd(params.features)
    mel_to_audio = MelToAudio(front_end, params.invert)

    errors: list[RoundTrip] = []

    def waveforms(log_mels: PackedMels, label: str) -> Iterator[np.ndarray]:
        for waveform, lost in sounds(log_mels, seeds, mel_to_audio, f"{label}, fold {fold}", params.workers):
            errors.append(lost)
            yield waveform

    clips = [
        Clip(pair.name, pair.fs_id_a, fold, pair.class_id, pair.class_name, layout_path(fold, pair.name))
        for pair in pairs
    ]
    generated = PackedMels(
        [folder / "mels.npz"],
        [pair.name for pair in pairs],
        lambda mels: faulty(torch.from_numpy(mels), params.invert).numpy(),
    )
    made = waveforms(generated, "generated clips")
    write_archive(folder / "clips.zip", clips, made, params.features.sample_rate)
    write_json(folder / "inversion.json", mean_errors(errors))

    parents = PackedMels(
        [fold_file(FEATURES, one) for one in folds_of(FEATURES)],
        [pair.parent_a for pair in pairs],
        lambda mels: front_end.log_mel(torch.from_numpy(mels)).numpy(),
    )
    made = waveforms(parents, "resynthesized parents")
    save_rows(folder / "resynthesized.npy", made, len(pairs), [params.features.n_samples], np.int16)
    print(f"fold {fold}: {len(clips)} clips")


if __name__ == "__main__":
    run_stage(main)
