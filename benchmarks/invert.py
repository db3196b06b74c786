"""Spectrogram to audio, against librosa and torchaudio: how long a clip takes, and how near the audio comes.

Run `dvc repro` first: the clips are those of the pipeline's data/raw. Three questions: mels as audio-diffusion has them
(256 bands) back to audio; phases for true magnitudes; and the study's own mels, by every method.
"""

import argparse
import math
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import librosa
import numpy as np
import torch
import torchaudio

from benchmarks.clips import read_waveforms, spread_paths
from benchmarks.comparison import Comparison
from benchmarks.measure import fft_peak, timed
from benchmarks.plots import plot_convergence
from soundaug.inversion.mel_to_audio import MelToAudio
from soundaug.params import Features, Invert, Params, load_params
from soundaug.running.errors import run_stage
from soundaug.running.outputs import write_csv
from soundaug.running.threads import over_cores
from soundaug.sound.features import MelFrontEnd
from soundaug.sound.phase import Stft, admm, griffin_lim, spectral_convergence_db

REPORTS = Path("reports/benchmarks")
SECONDS = 4.0
RANGE_DB = 80.0  # below a clip's loudest band, what an error counts in: audio-diffusion's top_db
ITERATIONS = (2, 4, 6, 8, 10, 12, 16, 24, 32, 48, 64, 96, 128)
THEIR_ITERATIONS = (8, 16, 32, 64)  # of phases for true magnitudes
LIBROSA_ITERATIONS = 32  # as audio-diffusion calls it
ADMM = {"momentum": 0.2, "rho": 0.1}
AUDIO_DIFFUSION = {  # its spectrograms
    "sample_rate": 22050,
    "clip_seconds": SECONDS,
    "n_fft": 2048,
    "hop_length": 512,
    "n_mels": 256,
    "fmin_hz": 0.0,
    "fmax_hz": 11025.0,
    "filters": "slaney",
    "floor_db": -200.0,
}
TRUE_STFT = Stft(n_fft=1024, hop_length=256, n_samples=int(22050 * SECONDS))

Sounds = Callable[[], np.ndarray]  # waveforms [B, n_samples]


class Side(NamedTuple):
    """A way from spectrograms to audio: whose, which, and how long and how far."""

    method: str
    iterations: int
    seconds_a_clip: float
    error: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=int, default=16, help="clips, spread over the data set")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs, of which the median counts")
    args = parser.parse_args()
    params = load_params()
    paths = spread_paths(params, args.clips)
    name = f"invert_{params.data.source}"
    print(f"{len(paths)} clips of {params.data.source}, {os.cpu_count()} cores")
    mels = as_audio_diffusion(params, paths, args.repeats)
    magnitudes = from_magnitudes(paths, args.repeats)
    own = own_mels(params, paths, args.repeats)
    tables = {"audio-diffusion's mels": mels, "true magnitudes": magnitudes, "the study's mels": own}
    rows = [(given, *side) for given, sides in tables.items() for side in sides]
    write_csv(REPORTS / f"{name}.csv", ["given", "method", "iterations", "seconds_a_clip", "error_db"], rows)
    plot_convergence(REPORTS / f"{name}.png", magnitudes, mels)
    for given, side in ((given, side) for given, sides in tables.items() for side in sides):
        print(f"{given}: {side.method}, {side.iterations}: {1000 * side.seconds_a_clip:.1f} ms, {side.error:.2f} dB")
    print(f"true magnitudes, against the better of librosa and torchaudio in equal time: {gain_db(magnitudes):.1f} dB")
    theirs = {side.method: side for side in mels if not side.method.startswith("study")}
    for method, side in theirs.items():
        print(f"against {method}: {side.seconds_a_clip / fastest(mels, side.error).seconds_a_clip:.1f} times")
    side = theirs["librosa mel_to_audio"]
    ours = fastest(mels, side.error)
    size = params.features.model_copy(update=AUDIO_DIFFUSION)
    # An iteration goes from sound to frames and back, the level is set by one transform more.
    at_peak = (2 * ours.iterations + 1) * size.n_frames / fft_peak(size.n_fft)
    work = f"{SECONDS:.0f} s of sound from a mel"
    Comparison("invert", work, side.method, side.seconds_a_clip, ours.seconds_a_clip, at_peak, "FFTs").tell()


def fastest(sides: list[Side], error: float) -> Side:
    """The study's fastest with an error of at most ``error``; its most exact where none has."""
    ours = [side for side in sides if side.method.startswith("study")]
    good = [side for side in ours if side.error <= error]
    return min(good, key=lambda side: side.seconds_a_clip) if good else min(ours, key=lambda side: side.error)


def gain_db(sides: list[Side]) -> float:
    """How much nearer the study's best comes than the best of the others, in the time of each of theirs; the least.

    Between two numbers of iterations that were timed, a method's error is taken as straight over time; nobody's is
    known in less time than the method's fewest iterations take.
    """
    theirs = [side for side in sides if not side.method.startswith("study")]
    ours = [side for side in sides if side.method.startswith("study")]
    return min(best_db(theirs, side.seconds_a_clip) - best_db(ours, side.seconds_a_clip) for side in theirs)


def best_db(sides: list[Side], seconds: float) -> float:
    """The least error in dB that a method of ``sides`` comes to in ``seconds`` a clip; inf where none is so fast."""
    errors = [math.inf]
    for method in {side.method for side in sides}:
        curve = sorted((side for side in sides if side.method == method), key=lambda side: side.iterations)
        times = np.maximum.accumulate([side.seconds_a_clip for side in curve])
        errors.append(float(np.interp(seconds, times, [side.error for side in curve], left=math.inf)))
    return min(errors)


def as_audio_diffusion(params: Params, paths: list[Path], repeats: int) -> list[Side]:
    """Mels as audio-diffusion makes them back to audio; the error is that of the log mel, RMS."""
    features = params.features.model_copy(update=AUDIO_DIFFUSION)
    front_end = MelFrontEnd(features)
    waveforms = torch.from_numpy(read_waveforms(paths, features.sample_rate, features.n_samples))
    power = front_end.power(waveforms)
    arguments: dict[str, Any] = {"sr": features.sample_rate, "n_fft": features.n_fft, "hop_length": features.hop_length}

    def by_librosa() -> np.ndarray:
        mels = power.numpy()
        made = [
            librosa.feature.inverse.mel_to_audio(mel, **arguments, n_iter=LIBROSA_ITERATIONS, length=features.n_samples)
            for mel in mels
        ]
        return np.stack(made)

    to_linear, to_waveform = torchaudio_pair(features)
    pair = "torchaudio InverseMelScale, GriffinLim"
    theirs: dict[str, Sounds] = {
        f"{pair}, one batch": lambda: to_waveform(to_linear(power)).numpy(),
        f"{pair}, clip by clip": lambda: np.stack([to_waveform(to_linear(one)).numpy() for one in power]),
    }
    sides = [measured("librosa mel_to_audio", LIBROSA_ITERATIONS, by_librosa, power, front_end, 1)]
    sides += [measured(name, LIBROSA_ITERATIONS, run, power, front_end, repeats) for name, run in theirs.items()]
    return sides + our_sides(features, params.invert, power, front_end, repeats)


def torchaudio_pair(features: Features) -> tuple[torch.nn.Module, torch.nn.Module]:
    """torchaudio's inverse of this front end."""
    slaney = features.filters == "slaney"
    to_linear = torchaudio.transforms.InverseMelScale(
        features.n_fft // 2 + 1,
        features.n_mels,
        features.sample_rate,
        features.fmin_hz,
        features.fmax_hz,
        norm="slaney" if slaney else None,
        mel_scale="slaney" if slaney else "htk",
    )
    to_waveform = torchaudio.transforms.GriffinLim(
        features.n_fft, LIBROSA_ITERATIONS, hop_length=features.hop_length, length=features.n_samples
    )
    return to_linear, to_waveform


def our_sides(
    features: Features, settings: Invert, power: torch.Tensor, front_end: MelFrontEnd, repeats: int
) -> list[Side]:
    """The study's methods on mel power [B, n_mels, T]."""
    sides = []
    log_mels = front_end.to_db(power)
    methods: dict[str, dict[str, Any]] = {
        "griffin_lim": {"method": "griffin_lim", "momentum": 0.99},
        "griffin_lim after nnls": {"method": "griffin_lim", "momentum": 0.99, "mel_inversion": "nnls"},
        "admm": {"method": "admm"} | ADMM,
        "mel_griffin_lim": {"method": "mel_griffin_lim", "momentum": 0.8},
    }
    for name, changes in methods.items():
        for iterations in ITERATIONS:
            common: dict[str, Any] = {"iterations": iterations, "mel_inversion": "pseudo_inverse", "vocoder": None}
            mel_to_audio = MelToAudio(front_end, settings.model_copy(update=common | changes))

            def run(mel_to_audio: MelToAudio = mel_to_audio) -> np.ndarray:
                return side_by_side(lambda i: mel_to_audio(log_mels[i : i + 1], [i]), len(log_mels))

            sides.append(measured(f"study {name}", iterations, run, power, front_end, repeats))
    return sides


def side_by_side(make: Callable[[int], torch.Tensor], count: int) -> np.ndarray:
    """Waveforms of ``count`` clips over all cores, as the stage `invert` makes them."""
    return torch.cat(list(over_cores(make, range(count), "clips"))).numpy()


def measured(
    method: str, iterations: int, run: Sounds, power: torch.Tensor, front_end: MelFrontEnd, repeats: int
) -> Side:
    """One way's median time, and its error in log mels: RMS in dB, within `RANGE_DB` of each clip's loudest."""
    again = front_end.power(torch.from_numpy(np.asarray(run(), np.float32)))
    timing = timed(run, repeats, warm_up=0)

    def decibels(mel: torch.Tensor) -> torch.Tensor:
        floor = power.amax(dim=(1, 2), keepdim=True) * 10 ** (-RANGE_DB / 10)
        return 10 * torch.log10(torch.maximum(mel, floor.clamp(min=1e-20)))

    error = (decibels(again) - decibels(power)).square().mean().sqrt()
    return Side(method, iterations, timing.median / len(power), float(error))


def from_magnitudes(paths: list[Path], repeats: int) -> list[Side]:
    """Phases for true magnitudes; the error is the spectral convergence."""
    waveforms = torch.from_numpy(read_waveforms(paths, 22050, TRUE_STFT.n_samples))
    magnitudes = TRUE_STFT.spectrum(waveforms).abs()
    ways = {
        (name, n): partial(phases, magnitudes, n)
        for name, phases in {
            "librosa griffinlim": phases_by_librosa,
            "torchaudio GriffinLim, one batch": phases_by_torchaudio,
            "torchaudio GriffinLim, clip by clip": lambda given, n: np.concatenate(
                [phases_by_torchaudio(one[None], n) for one in given]
            ),
            "study griffin_lim": lambda given, n: side_by_side(
                lambda i: griffin_lim(given[i : i + 1], TRUE_STFT, [i], n, 0.99), len(given)
            ),
            "study admm": lambda given, n: side_by_side(
                lambda i: admm(given[i : i + 1], TRUE_STFT, [i], n, **ADMM), len(given)
            ),
        }.items()
        for n in (ITERATIONS if name.startswith("study") else THEIR_ITERATIONS)
    }
    sides = []
    for (method, n), run in ways.items():
        made = torch.from_numpy(np.asarray(run(), np.float32))
        seconds = timed(run, repeats, warm_up=0).median / len(paths)
        error = float(spectral_convergence_db(magnitudes, made, TRUE_STFT).mean())
        sides.append(Side(method, n, seconds, error))
    return sides


def phases_by_librosa(magnitudes: torch.Tensor, iterations: int) -> np.ndarray:
    """Waveforms of magnitudes [N, F, T], clip by clip."""
    size: dict[str, Any] = {"hop_length": TRUE_STFT.hop_length, "length": TRUE_STFT.n_samples}
    made = [
        librosa.griffinlim(one, n_iter=iterations, random_state=i, **size) for i, one in enumerate(magnitudes.numpy())
    ]
    return np.stack(made)


def phases_by_torchaudio(magnitudes: torch.Tensor, iterations: int) -> np.ndarray:
    """Waveforms of magnitudes [N, F, T] in one batch."""
    transform = torchaudio.transforms.GriffinLim(
        TRUE_STFT.n_fft, iterations, hop_length=TRUE_STFT.hop_length, power=1.0, length=TRUE_STFT.n_samples
    )
    return np.asarray(transform(magnitudes))


def own_mels(params: Params, paths: list[Path], repeats: int) -> list[Side]:
    """The study's mels back to audio, by every method."""
    features = params.features
    front_end = MelFrontEnd(features)
    power = front_end.power(torch.from_numpy(read_waveforms(paths, features.sample_rate, features.n_samples)))
    return our_sides(features, params.invert, power, front_end, repeats)


if __name__ == "__main__":
    run_stage(main)
