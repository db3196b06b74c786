"""invert: generated mels to audio, and the first parents' mels the same way for the resynthesis control.

Reads data/features and data/generated/fold<fold>, writes clips/ and resynthesized.npy there.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from soundaug.audio import write_flac
from soundaug.corpus import TABLE, Clip, layout_path, write_clips
from soundaug.decoding_faults import faulty
from soundaug.errors import run_stage
from soundaug.features import MelFrontEnd
from soundaug.interpolation import read_pairs
from soundaug.mel_to_audio import MelToAudio, mean_errors, sounds
from soundaug.outputs import whole, write_json
from soundaug.packed import ClipSet, split
from soundaug.params import load_params
from soundaug.rows import save_rows

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

    log_mels = faulty(torch.from_numpy(ClipSet.load(folder / "mels.npz").mel), params.invert).numpy()
    made = sounds(log_mels, seeds, mel_to_audio, f"generated clips, fold {fold}", params.workers)
    with whole(folder / "clips") as partial:
        clips, errors = [], []
        for pair, (waveform, lost) in zip(pairs, made, strict=True):
            path = layout_path(fold, pair.name)
            write_flac(partial / path, waveform, params.features.sample_rate)
            errors.append(lost)
            clips.append(Clip(pair.name, pair.fs_id_a, fold, pair.class_id, pair.class_name, path))
        write_clips(partial / TABLE, clips)
        write_json(partial / "summary.json", mean_errors(errors))

    real, _ = split(FEATURES, fold)
    row_of = {str(name): row for row, name in enumerate(real.name)}
    stored = torch.from_numpy(real.mel[[row_of[pair.parent_a] for pair in pairs]])
    log_mels = front_end.log_mel(stored).numpy()
    made = sounds(log_mels, seeds, mel_to_audio, f"resynthesized parents, fold {fold}", params.workers)
    waveforms = (waveform for waveform, _ in made)
    save_rows(folder / "resynthesized.npy", waveforms, len(pairs), [params.features.n_samples], np.int16)
    print(f"fold {fold}: {len(clips)} clips")


if __name__ == "__main__":
    run_stage(main)
