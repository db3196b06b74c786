"""Building blocks of the synthetic sounds: noise, spectra, oscillators, pulses, rooms; mono, CORPUS_RATE Hz."""

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, signal

CORPUS_RATE = 22050  # Hz
CONTROL_HOP = 256  # samples between two values of a slowly changing gain
CONTROL_BLOCKS = 32  # stretches of CONTROL_HOP samples whose partials a processor can keep at hand

Waveform = NDArray[np.float64]


def seconds(duration: float) -> int:
    """Samples in ``duration`` seconds, at least one."""
    return max(1, round(duration * CORPUS_RATE))


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between ``low`` and ``high``, every octave equally likely."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def gain(rng: np.random.Generator, low_db: float, high_db: float) -> float:
    """An amplitude factor drawn between two levels, uniform in dB."""
    return float(10.0 ** (rng.uniform(low_db, high_db) / 20.0))


def interpolate_gain_db(frequency_hz: ArrayLike, points_hz: ArrayLike, gains_db: ArrayLike) -> Waveform:
    """Amplitude factors at ``frequency_hz`` of a curve through (points_hz, gains_db), straight over log frequency."""
    return _gain_at(_log_hz(frequency_hz), points_hz, gains_db)


def formant_gain(frequency_hz: ArrayLike, formants_hz: Sequence[float], bandwidth: float = 0.2) -> Waveform:
    """Amplitude factors of a vocal tract: a resonance at each formant, falling 6 dB from one to the next.

    ``bandwidth`` is relative to the formant's frequency. Peaks near 1, a floor of 0.01.
    """
    frequency = np.asarray(frequency_hz, dtype=float)
    gain = np.full(frequency.shape, 0.01)
    for index, formant in enumerate(formants_hz):
        gain += 0.5**index / (1.0 + ((frequency - formant) / (0.5 * bandwidth * formant)) ** 2)
    return gain


def equalize(waveform: Waveform, points_hz: ArrayLike, gains_db: ArrayLike) -> Waveform:
    """``waveform`` [..., n] through a zero-phase filter whose gain is the curve through (points_hz, gains_db)."""
    n = waveform.shape[-1]
    n_fft = fft.next_fast_len(n + 1024, real=True)
    spectrum = fft.rfft(waveform, n_fft)
    spectrum *= _gain_at(_log_hz_of_bins(n_fft), points_hz, gains_db)
    return np.asarray(fft.irfft(spectrum, n_fft, overwrite_x=True)[..., :n])


def coloured_noise(rng: np.random.Generator, n: int, slope_db: float, corner_hz: float = 60.0) -> Waveform:
    """``n`` samples of noise, RMS 1, flat below ``corner_hz`` and changing by ``slope_db`` an octave above it."""
    top = CORPUS_RATE / 2
    noise = equalize(rng.standard_normal(n), [corner_hz, top], [0.0, slope_db * np.log2(top / corner_hz)])
    return noise / rms(noise)


def wander(rng: np.random.Generator, n: int, rate_hz: float) -> Waveform:
    """A smooth random curve of ``n`` samples about 0 with a spread of about 1, ``rate_hz`` turns a second."""
    n_knots = max(2, int(np.ceil(n * rate_hz / CORPUS_RATE)) + 2)
    knots = rng.standard_normal(n_knots)
    return np.interp(np.linspace(0.0, n_knots - 1.0, n), np.arange(n_knots), knots)


def harmonics(
    f0_hz: Waveform, points_hz: ArrayLike, gains_db: ArrayLike, n_harmonics: int, phase: float = 0
) -> Waveform:
    """A harmonic tone that follows the pitch ``f0_hz`` [n]; each partial takes the curve's gain at its own frequency.

    Gains are worked out every CONTROL_HOP samples, straight lines between; ``gains_db`` is one curve [points] or goes
    evenly over the tone from the first of two [2, points] to the second. Partials above 0.45 x CORPUS_RATE are silent.
    """
    n = len(f0_hz)
    n_blocks = -(-n // CONTROL_HOP)
    padded_hz = np.pad(f0_hz, (0, n_blocks * CONTROL_HOP + 1 - n), mode="edge")
    frequency = np.arange(1, n_harmonics + 1)[:, None] * padded_hz[None, ::CONTROL_HOP]  # [harmonics, blocks + 1]
    curves = [interpolate_gain_db(frequency, points_hz, curve) for curve in np.atleast_2d(gains_db)]
    gain = curves[0] + (curves[-1] - curves[0]) * np.linspace(0.0, 1.0, n_blocks + 1)
    gain[frequency > 0.45 * CORPUS_RATE] = 0.0

    angle = (phase + 2.0 * np.pi / CORPUS_RATE * np.cumsum(padded_hz[:-1])).reshape(n_blocks, CONTROL_HOP)
    ramp = np.arange(CONTROL_HOP) / CONTROL_HOP
    n_audible = int(np.flatnonzero(gain.max(axis=1) > 1e-4)[-1:].sum()) + 1
    level, rise = gain[:n_audible, :-1], np.diff(gain[:n_audible])
    tone = np.empty((n_blocks, CONTROL_HOP))
    for start in range(0, n_blocks, CONTROL_BLOCKS):
        blocks = slice(start, start + CONTROL_BLOCKS)
        sines = sines_of_multiples(angle[blocks], n_audible)
        tone[blocks] = np.einsum("hb,hbt->bt", level[:, blocks], sines)
        tone[blocks] += np.einsum("hb,hbt->bt", rise[:, blocks], sines) * ramp
    return tone.reshape(-1)[:n]


def sines_of_multiples(angle: Waveform, count: int) -> Waveform:
    """sin(k a) [count, ...] of the ``angle`` a for k = 1 to ``count``: 2 cos(a) sin((k - 1) a) - sin((k - 2) a)."""
    sines = np.empty((count, *angle.shape))
    np.sin(angle, out=sines[0])
    twice = 2.0 * np.cos(angle) if count > 1 else sines[0]
    for k in range(1, count):
        np.multiply(twice, sines[k - 1], out=sines[k])
        if k > 1:
            sines[k] -= sines[k - 2]
    return sines


def fade(n: int, attack_seconds: float, release_seconds: float) -> Waveform:
    """An envelope of ``n`` samples that rises linearly from 0 to 1 and falls back to 0."""
    time = np.arange(n) / CORPUS_RATE
    rise = time / max(attack_seconds, 1e-4)
    return np.clip(np.minimum(rise, (n / CORPUS_RATE - time) / max(release_seconds, 1e-4)), 0.0, 1.0)


def pulse_train(rng: np.random.Generator, rate_hz: Waveform, jitter: float, level_jitter: float) -> Waveform:
    """Single-sample pulses at ``rate_hz`` [n]; ``jitter`` (periods) off the beat, of level 1 +- ``level_jitter``."""
    n = len(rate_hz)
    beats = np.cumsum(rate_hz) / CORPUS_RATE
    times = np.searchsorted(beats, np.arange(1, int(beats[-1]) + 1)).astype(float)
    times += rng.standard_normal(len(times)) * jitter * CORPUS_RATE / float(np.mean(rate_hz))
    pulses = np.zeros(n)
    np.add.at(pulses, np.clip(times, 0, n - 1).astype(int), 1.0 + level_jitter * rng.standard_normal(len(times)))
    return pulses


def decay(pulses: Waveform, decay_seconds: float) -> Waveform:
    """Each pulse followed by an exponential tail that falls to 1/e in ``decay_seconds``."""
    return np.asarray(signal.lfilter([1.0], [1.0, -np.exp(-1.0 / (decay_seconds * CORPUS_RATE))], pulses))


def ring(excitation: Waveform, frequency_hz: float, decay_seconds: float) -> Waveform:
    """``excitation`` through a two-pole resonance, gain about 1 at its peak."""
    radius = np.exp(-1.0 / (decay_seconds * CORPUS_RATE))
    angle = 2.0 * np.pi * frequency_hz / CORPUS_RATE
    gain = (1.0 - radius) * np.sqrt(1.0 - 2.0 * radius * np.cos(2.0 * angle) + radius**2)
    return np.asarray(signal.lfilter([gain], [1.0, -2.0 * radius * np.cos(angle), radius**2], excitation))


def place(stream: Waveform, event: Waveform, start: int) -> None:
    """Add ``event`` to ``stream`` in place from sample ``start``; what sticks out at the end is dropped."""
    stop = min(len(stream), start + len(event))
    if start < stop:
        stream[start:stop] += event[: stop - start]


def room(rng: np.random.Generator, waveform: Waveform, rt60_seconds: float, wet: float) -> Waveform:
    """``waveform`` in a room: direct sound plus ``wet`` (amplitude) of a tail falling 60 dB in ``rt60_seconds``."""
    n_tail = seconds(rt60_seconds)
    tail = coloured_noise(rng, n_tail, slope_db=-3.0, corner_hz=1000.0) * 10.0 ** (-3.0 * np.arange(n_tail) / n_tail)
    response = wet * tail / np.sqrt(np.sum(tail**2))
    response[0] += 1.0
    return np.asarray(signal.oaconvolve(waveform, response)[: len(waveform)])


def rms(waveform: Waveform) -> float:
    """Root mean square; never 0."""
    return float(np.sqrt(np.mean(waveform**2))) + 1e-12


def active_level(waveform: Waveform) -> float:
    """RMS of the frames (50 ms) within 15 dB of the loudest: the level of a sound while it sounds."""
    n_frame = seconds(0.05)
    usable = len(waveform) // n_frame * n_frame
    power = np.mean(waveform[:usable].reshape(-1, n_frame) ** 2, axis=1)
    return float(np.sqrt(np.mean(power[power >= power.max() * 10.0**-1.5]))) + 1e-12


def _log_hz(frequency_hz: ArrayLike) -> Waveform:
    return np.asarray(np.log(np.maximum(np.asarray(frequency_hz, dtype=float), 1.0)))


@functools.cache
def _log_hz_of_bins(n_fft: int) -> Waveform:
    """Of the bins of a Fourier transform of ``n_fft`` samples: most recordings have the same."""
    return _log_hz(fft.rfftfreq(n_fft, 1.0 / CORPUS_RATE))


def _gain_at(log_hz: Waveform, points_hz: ArrayLike, gains_db: ArrayLike) -> Waveform:
    nepers = np.asarray(gains_db, dtype=float) * (np.log(10.0) / 20.0)
    return np.asarray(np.exp(np.interp(log_hz, np.log(points_hz), nepers)))
