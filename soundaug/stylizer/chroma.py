"""Whether a tune stays: how alike the chroma of two sounds is, frame by frame."""

from collections.abc import Sequence

import librosa
import numpy as np

N_FFT, HOP_LENGTH = 4096, 1024


def chroma_of(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Energy of the 12 pitch classes [12, T] of a waveform [n], each frame less its mean and of length 1.

    Frames of silence, or of energy alike in all classes, are 0. The tuning is A = 440 Hz.
    """
    if len(waveform) < N_FFT:
        waveform = np.pad(waveform, (0, N_FFT - len(waveform)))
    chroma = librosa.feature.chroma_stft(
        y=waveform, sr=sample_rate, n_fft=N_FFT, hop_length=HOP_LENGTH, norm=None, tuning=0.0
    )
    centred = chroma - chroma.mean(axis=0)
    lengths = np.sqrt((centred**2).sum(axis=0))
    scaled: np.ndarray = centred / np.maximum(lengths, 1e-8 * max(1.0, float(lengths.max(initial=0.0))))
    return scaled


def chroma_similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Mean correlation, -1 to 1, of two sounds' pitch classes [12, T] at the same times; 1 for the same tune.

    Compared is as long as the shorter one lasts; frames in which either is silent count as 0.
    """
    frames = min(first.shape[1], second.shape[1])
    return float((first[:, :frames] * second[:, :frames]).sum(axis=0).mean())


def similarity_to_others(chroma: np.ndarray, others: Sequence[np.ndarray]) -> float | None:
    """The mean chroma similarity to other tunes, None without any: what a sound has in common with any music."""
    found = [chroma_similarity(chroma, other) for other in others]
    return float(np.mean(found)) if found else None
