"""Effects on a played piece [samples], mono, full scale +-1: filters, rooms, drive, worn tape and vinyl."""

import numpy as np
from numpy.typing import NDArray
from scipy import signal

Waveform = NDArray[np.float32]

LOUDNESS_DBFS = -20.0  # root mean square of every piece
PEAK_LIMIT = 0.9


def low_pass(waveform: Waveform, sample_rate: int, cutoff_hz: float, order: int = 6) -> Waveform:
    """Butterworth low-pass, 6 dB an octave and order; at most 0.45 of the sample rate."""
    sections = signal.butter(order, min(cutoff_hz, 0.45 * sample_rate), fs=sample_rate, output="sos")
    return np.asarray(signal.sosfilt(sections, waveform), np.float32)


def room(waveform: Waveform, sample_rate: int, rng: np.random.Generator, rt60_seconds: float, wet: float) -> Waveform:
    """The waveform in a room, as long: noise that falls by 60 dB in ``rt60_seconds``, ``wet`` of the energy."""
    n = round(rt60_seconds * sample_rate)
    noise = rng.standard_normal(n) * 10.0 ** (-3.0 * np.arange(n) / n)
    tail = low_pass(noise.astype(np.float32), sample_rate, 5000.0, order=1)
    echo = signal.oaconvolve(waveform, tail / np.linalg.norm(tail))[: len(waveform)]
    return np.asarray(np.sqrt(1 - wet) * waveform + np.sqrt(wet) * echo, np.float32)


def drive(waveform: Waveform, gain_db: float) -> Waveform:
    """Soft clipping by tanh after ``gain_db`` above a peak of 1."""
    peak = max(float(np.abs(waveform).max()), 1e-9)
    return np.asarray(np.tanh(10.0 ** (gain_db / 20.0) * waveform / peak), np.float32)


def pump(waveform: Waveform, sample_rate: int, tempo: float, depth: float) -> Waveform:
    """Ducking on every beat, by ``depth`` of the level, back within half a beat: a compressor that the kick drives."""
    within = (np.arange(len(waveform)) / sample_rate * tempo / 60.0) % 1.0
    return np.asarray(waveform * (1.0 - depth * np.clip(1.0 - 2.0 * within, 0.0, 1.0)), np.float32)


def wow(waveform: Waveform, sample_rate: int, rng: np.random.Generator, depth: float = 0.004) -> Waveform:
    """A worn tape's speed: off by ``depth`` in slow waves (0.4 to 0.9 Hz), by a tenth of it in fast ones (flutter)."""
    time = np.arange(len(waveform)) / sample_rate
    delay = np.zeros(len(waveform))
    for hz, share in ((rng.uniform(0.4, 0.9), 1.0), (rng.uniform(5.0, 8.0), 0.1)):
        # A delay of A sin(2 pi f t) is a speed that is off by up to 2 pi f A.
        delay += depth * share / (2 * np.pi * hz) * (1 + np.sin(2 * np.pi * hz * time + rng.uniform(0, 2 * np.pi)))
    return np.interp(time - delay, time, waveform).astype(np.float32)


def vinyl(waveform: Waveform, sample_rate: int, rng: np.random.Generator, noise_db: float = -32.0) -> Waveform:
    """An old record's hiss, ``noise_db`` relative to the music's root mean square, and about ten crackles a second."""
    n = len(waveform)
    hiss = low_pass(rng.standard_normal(n).astype(np.float32), sample_rate, 4000.0, order=1)
    crackles = np.zeros(n, np.float32)
    places = rng.integers(0, n, max(1, round(10 * n / sample_rate)))
    crackles[places] = rng.exponential(1.0, len(places)) * rng.choice([-1.0, 1.0], len(places))
    crackles = low_pass(crackles, sample_rate, 3000.0, order=2)
    level = root_mean_square(waveform) * 10.0 ** (noise_db / 20.0)
    noise = hiss / root_mean_square(hiss) + 2.0 * crackles / root_mean_square(crackles)
    return np.asarray(waveform + level * noise, np.float32)


def levelled(waveform: Waveform) -> Waveform:
    """The waveform at LOUDNESS_DBFS, or lower where its peak would pass PEAK_LIMIT."""
    gain = 10.0 ** (LOUDNESS_DBFS / 20.0) / root_mean_square(waveform)
    peak = max(1e-9, float(np.abs(waveform).max()))
    return np.asarray(waveform * min(gain, PEAK_LIMIT / peak), np.float32)


def root_mean_square(waveform: Waveform) -> float:
    """Of all samples, at least 1e-9."""
    return max(1e-9, float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))))
