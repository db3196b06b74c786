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


def chroma_similarity(first: np.ndarray, second: np.ndarray, sample_rate: int) -> float:
    """Mean correlation, -1 to 1, of the pitch classes of two waveforms [n] at the same times; 1 for the same tune.

    Compared is as long as the shorter one lasts; frames in which either is silent count as 0.
    """
    n = min(len(first), len(second))
    one, other = (chroma_of(waveform[:n], sample_rate) for waveform in (first, second))
    return float((one * other).sum(axis=0).mean())


def similarity_to_others(waveform: np.ndarray, others: Sequence[np.ndarray], sample_rate: int) -> float:
    """The mean chroma similarity to other tunes: what a sound has in common with any music."""
    return float(np.mean([chroma_similarity(waveform, other, sample_rate) for other in others]))
