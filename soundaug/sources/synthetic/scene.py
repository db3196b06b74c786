"""One recording: a sound in its room, over a background, through a device, at a level."""

from dataclasses import dataclass

import numpy as np

from soundaug.sources.synthetic.signals import (
    CORPUS_RATE,
    Waveform,
    active_level,
    coloured_noise,
    equalize,
    log_uniform,
    room,
    wander,
)
from soundaug.sources.synthetic.sounds import SOUNDS, chatter

LEVEL_DBFS = (-36.0, -14.0)  # RMS of a recording while it sounds
PEAK_LIMIT = 0.98  # a recording whose peak would be higher is turned down as a whole, never clipped
INTRUDER_PROBABILITY = 0.5  # of another class's sound in the background
INTRUDER_DB = (-15.0, -3.0)  # its level against the rest of the background


@dataclass(frozen=True)
class Scene:
    """A recording and the two parts it is the sum of, all [n] at CORPUS_RATE Hz."""

    waveform: Waveform
    foreground: Waveform
    background: Waveform
    snr_db: float  # active level of the foreground over that of the background


def background(rng: np.random.Generator, n: int, class_id: int) -> Waveform:
    """``n`` samples of traffic, wind, a crowd or hiss, at times with a class other than ``class_id``."""
    kind = rng.choice(["traffic", "wind", "crowd", "hiss"])
    if kind == "traffic":
        swell = np.exp(0.5 * wander(rng, n, 0.4))
        ambience = coloured_noise(rng, n, rng.uniform(-8, -4), log_uniform(rng, 60, 300)) * swell
    elif kind == "wind":
        gust = np.exp(0.9 * wander(rng, n, 1.5))
        ambience = coloured_noise(rng, n, rng.uniform(-10, -6), log_uniform(rng, 60, 400)) * gust
    elif kind == "crowd":
        voices_hz = [log_uniform(rng, 90, 280) for _ in range(4)]
        talk = chatter(rng, n, voices_hz, tract=rng.uniform(0.8, 1.0), syllables_hz=rng.uniform(2.5, 4.5))
        ambience = talk / active_level(talk) + 0.3 * coloured_noise(rng, n, -5.0, 200.0)
    else:
        ambience = coloured_noise(rng, n, rng.uniform(-3, 0), log_uniform(rng, 100, 2000))
    ambience = ambience / active_level(ambience)
    if rng.random() < INTRUDER_PROBABILITY:
        names = [name for index, name in enumerate(SOUNDS) if index != class_id]
        intruder = SOUNDS[names[rng.integers(len(names))]](rng, n)
        ambience += 10.0 ** (rng.uniform(*INTRUDER_DB) / 20.0) * intruder / active_level(intruder)
    return ambience


def mix(foreground: Waveform, ambience: Waveform, snr_db: float) -> tuple[Waveform, Waveform]:
    """Both parts, scaled to active levels of 1 (``foreground``) and -``snr_db`` dB (``ambience``)."""
    return foreground / active_level(foreground), ambience / active_level(ambience) * 10.0 ** (-snr_db / 20.0)


def compose(rng: np.random.Generator, n: int, class_id: int, snr_range_db: tuple[float, float]) -> Scene:
    """Draw one recording of ``class_id``, ``n`` samples, its SNR uniform in ``snr_range_db``."""
    sound = list(SOUNDS.values())[class_id](rng, n)
    sound = room(rng, sound, rt60_seconds=log_uniform(rng, 0.08, 0.9), wet=rng.uniform(0.1, 1.0))
    points_hz = [60.0, 150.0, 400.0, 1000.0, 2500.0, 6000.0, CORPUS_RATE / 2]
    device_db = rng.normal(0.0, 4.0, len(points_hz))
    device_db[0] -= rng.uniform(0.0, 20.0)
    device_db[-1] -= rng.uniform(0.0, 25.0)
    snr_db = float(rng.uniform(*snr_range_db))
    ambience = background(rng, n, class_id)
    heard, around = equalize(np.stack([sound, ambience]), points_hz, device_db)
    parts = mix(heard, around, snr_db)
    level = 10.0 ** (rng.uniform(*LEVEL_DBFS) / 20.0)
    level = min(level / active_level(parts[0] + parts[1]), PEAK_LIMIT / float(np.abs(parts[0] + parts[1]).max()))
    return Scene(level * (parts[0] + parts[1]), level * parts[0], level * parts[1], snr_db)
