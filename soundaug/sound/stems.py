"""Splitting a sound into stems: what rings and what strikes (Fitzgerald 2010), by librosa."""

from pathlib import Path

import librosa
import numpy as np

from soundaug.sound.excerpts import check_ending, read_sound, write_sound

N_FFT = 2048
STEMS = ("harmonic", "percussive")


def split(waveforms: np.ndarray) -> dict[str, np.ndarray]:
    """The stems of a sound float32 [C, n], each as it is: harmonic and percussive, which add up to the sound.

    Of the spectrogram, medians along time keep what rings, medians along frequency what strikes; soft masks share every
    bin between both.
    """
    length = waveforms.shape[-1]
    padded = np.pad(waveforms, ((0, 0), (0, max(0, N_FFT - length))))
    harmonic = librosa.effects.harmonic(y=padded, n_fft=N_FFT)[..., :length]
    return dict(zip(STEMS, (harmonic, waveforms - harmonic), strict=True))


def split_file(path: Path, out: Path, ending: str) -> list[Path]:
    """Write the stems of a sound file to ``out``_harmonic and ``out``_percussive with that ending; returns their paths.

    Should a stem pass full scale, both are turned down alike, so that they still add up to the sound, less loud.
    StudyError when the file cannot be used.
    """
    paths = {name: out.with_name(f"{out.name}_{name}.{ending}") for name in STEMS}
    check_ending(paths[STEMS[0]])
    waveforms, rate = read_sound(path)
    stems = split(waveforms)
    peak = max(1.0, *(float(np.abs(stem).max(initial=0.0)) for stem in stems.values()))
    for name, stem in stems.items():
        write_sound(paths[name], stem / peak, rate)
    return list(paths.values())
