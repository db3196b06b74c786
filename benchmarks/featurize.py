"""Files to mel spectrograms, against librosa and torchaudio clip by clip: decoding, resampling, the mel.

Run `dvc repro` first: the clips are those of the pipeline's data/raw, written once more as 44.1 kHz stereo.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import librosa
import numpy as np
import soundfile
import torch

from benchmarks.clips import read_waveforms, spread_paths
from benchmarks.comparison import Comparison
from benchmarks.measure import fft_peak, read_rate, timed_in_turn
from benchmarks.plain import ClipFiles
from soundaug.params import Features, load_params
from soundaug.running.errors import run_stage
from soundaug.running.outputs import write_csv
from soundaug.sound.audio import ClipProblem, fit
from soundaug.sound.features import MelFrontEnd, mels_of_files

REPORTS = Path("reports/benchmarks")
RATE = 44100


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=int, default=256, help="clips, spread over the data set")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs, of which the median counts")
    args = parser.parse_args()
    params = load_params()
    features = params.features
    front_end = MelFrontEnd(features)
    with TemporaryDirectory() as folder:
        n_samples = round(RATE * features.clip_seconds)
        waveforms = read_waveforms(spread_paths(params, args.clips), RATE, n_samples)
        paths = []
        for index, waveform in enumerate(waveforms):
            paths.append(Path(folder) / f"{index}.wav")
            soundfile.write(paths[-1], np.stack([waveform, 0.5 * waveform], axis=1), RATE, subtype="PCM_16")
        by_torchaudio = ClipFiles(paths, [0] * len(paths), features)
        sides = timed_in_turn(
            [
                lambda: [by_librosa(path, features) for path in paths],
                lambda: [by_torchaudio[index] for index in range(len(paths))],
                lambda: mels_of_files(paths, front_end, refuse, "featurize"),
            ],
            args.repeats,
        )
        librosas, torchaudios, ours = (side.median / len(paths) for side in sides)
        mels, _ = mels_of_files(paths, front_end, refuse, "featurize")
        wanted = np.stack([by_librosa(path, features) for path in paths])
        size = paths[0].stat().st_size
    errors = front_end.log_mel(torch.from_numpy(mels)) - front_end.to_db(torch.from_numpy(wanted))
    difference = float(errors.square().mean().sqrt())
    rows = [
        ("librosa", librosas, 1.0, ""),
        ("torchaudio", torchaudios, librosas / torchaudios, ""),
        ("study", ours, librosas / ours, difference),
    ]
    columns = ["side", "seconds_a_clip", "ratio", "difference_db"]
    write_csv(REPORTS / f"featurize_{params.data.source}.csv", columns, rows)
    for side, seconds, ratio, _ in rows:
        print(f"{side}: {1000 * seconds:.2f} ms a clip, {1 / seconds:.0f} clips a second, {ratio:.1f} times")
    print(f"difference of the mels: {difference:.4f} dB RMS")
    transforms, reading = features.n_frames / fft_peak(features.n_fft), size / read_rate()
    print(f"at the peaks: {1000 * transforms:.3f} ms of FFTs, {1000 * reading:.3f} ms of reading from the disk")
    work = f"features of a clip of {features.clip_seconds:g} s"
    Comparison("featurize", work, "librosa", librosas, ours, transforms + reading, "FFTs, disk").tell()


def by_librosa(path: Path, features: Features) -> np.ndarray:
    """One file's mel power [n_mels, T] as a script with librosa makes it."""
    waveform, _ = librosa.load(path, sr=features.sample_rate, mono=True)
    slaney = features.filters == "slaney"
    mel: np.ndarray = librosa.feature.melspectrogram(
        y=fit(waveform, features.n_samples),
        sr=features.sample_rate,
        n_fft=features.n_fft,
        hop_length=features.hop_length,
        n_mels=features.n_mels,
        fmin=features.fmin_hz,
        fmax=features.fmax_hz,
        htk=not slaney,
        norm="slaney" if slaney else None,
        pad_mode="reflect",
    )
    return mel


def refuse(index: int, problem: ClipProblem) -> None:
    """Every clip was just written: nothing can be wrong with it."""
    raise problem


if __name__ == "__main__":
    run_stage(main)
