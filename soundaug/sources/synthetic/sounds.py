"""Models of the ten sounds: each draws one source's parameters, then ``n`` samples of that source at work.

Every model takes (rng, n) and returns a mono waveform [n] at CORPUS_RATE Hz of any level; none is silent for longer
than 1.3 s, so that every slice of a recording holds its sound.
"""

from collections.abc import Callable

import numpy as np

from soundaug.sources.synthetic.signals import (
    CORPUS_RATE,
    Waveform,
    coloured_noise,
    decay,
    equalize,
    fade,
    formant_gain,
    gain,
    harmonics,
    log_uniform,
    place,
    pulse_train,
    ring,
    rms,
    seconds,
    wander,
)

SoundModel = Callable[[np.random.Generator, int], Waveform]

FORMANT_GRID_HZ = np.geomspace(60.0, CORPUS_RATE / 2, 48)
VOWELS_HZ = np.array([[310, 2790, 3310], [530, 1840, 2480], [850, 1610, 2850], [590, 880, 2540], [370, 950, 2670]])
SCALE = np.array([0, 2, 4, 7, 9])  # semitones of the pentatonic scale


def formant_db(formants_hz: list[float], bandwidth: float) -> Waveform:
    """The gain of a vocal tract on FORMANT_GRID_HZ, dB."""
    return np.asarray(20.0 * np.log10(formant_gain(FORMANT_GRID_HZ, formants_hz, bandwidth)))


def air_conditioner(rng: np.random.Generator, n: int) -> Waveform:
    """Steady coloured air noise with the hum of a fan or compressor and a slow flutter."""
    air = coloured_noise(rng, n, slope_db=rng.uniform(-8.0, -2.0), corner_hz=log_uniform(rng, 60, 400))
    for _ in range(rng.integers(0, 3)):  # the duct
        air += rng.uniform(0.5, 4.0) * ring(air, log_uniform(rng, 150, 3000), rng.uniform(0.001, 0.004))
    hum_hz = log_uniform(rng, 45, 240) * (1.0 + 0.002 * wander(rng, n, 0.7))
    hum = harmonics(hum_hz, [50, 11025], [0.0, rng.uniform(-90, -40)], n_harmonics=12)
    flutter = 1.0 + rng.uniform(0.0, 0.35) * np.sin(2 * np.pi * rng.uniform(1, 20) * np.arange(n) / CORPUS_RATE)
    return air / rms(air) * flutter + gain(rng, -25, 0) * hum / rms(hum)


def car_horn(rng: np.random.Generator, n: int) -> Waveform:
    """Honks of two harmonic stacks about a third apart, in one car's own rhythm."""
    low_hz = log_uniform(rng, 260, 520)
    ratio = rng.uniform(1.15, 1.35)
    gains_db = [-12.0, 0.0, rng.uniform(-8, 4), rng.uniform(-40, -15)]
    honk_seconds, gap_seconds = log_uniform(rng, 0.12, 1.4), log_uniform(rng, 0.08, 1.0)
    stream = np.zeros(n)
    start = seconds(rng.uniform(0.0, 0.3))
    while start < n:
        length = seconds(honk_seconds * rng.uniform(0.7, 1.3))
        bend = 1.0 - 0.02 * np.exp(-np.arange(length) / seconds(0.03))
        for tone_hz in (low_hz, low_hz * ratio):
            tone = harmonics(tone_hz * bend, [200, 800, 2500, 11025], gains_db, 16, phase=rng.uniform(0, 6))
            place(stream, tone * fade(length, 0.015, 0.04), start)
        start += length + seconds(gap_seconds * rng.uniform(0.6, 1.3))
    return stream


def voice(rng: np.random.Generator, length: int, f0_hz: float, tract: float, n_harmonics: int = 14) -> Waveform:
    """One syllable: gliding pitch, formants that glide from one vowel to another, scaled by ``tract``."""
    first, second = (tract * VOWELS_HZ[index] for index in rng.integers(0, len(VOWELS_HZ), 2))
    progress = np.linspace(0.0, 1.0, length)
    pitch_hz = f0_hz * 2.0 ** (rng.uniform(-0.3, 0.3) * progress + rng.uniform(-0.2, 0.3) * np.sin(np.pi * progress))
    glide_db = np.stack([formant_db(list(first), 0.25), formant_db(list(second), 0.25)])
    tone = harmonics(pitch_hz, FORMANT_GRID_HZ, glide_db, n_harmonics, phase=rng.uniform(0, 6))
    return tone * fade(length, 0.03, 0.3 * length / CORPUS_RATE)


def chatter(rng: np.random.Generator, n: int, voices_hz: list[float], tract: float, syllables_hz: float) -> Waveform:
    """Voices of the pitches ``voices_hz`` that talk at once, each ``syllables_hz`` syllables a second."""
    stream = np.zeros(n)
    for f0_hz in voices_hz:
        loudness = gain(rng, -12, 0)
        start = seconds(rng.uniform(0.0, 0.5))
        while start < n:
            length = seconds(rng.uniform(0.5, 1.1) / syllables_hz)
            pitch_hz = f0_hz * 2.0 ** rng.normal(0.0, 0.2)
            place(stream, loudness * voice(rng, length, pitch_hz, tract), start)
            pause = rng.uniform(0.2, 1.0) if rng.random() < 0.2 else rng.uniform(0.0, 0.1)
            start += length + seconds(pause)
    return stream


def children_playing(rng: np.random.Generator, n: int) -> Waveform:
    """Several high voices that call across each other over the rustle of a playground."""
    voices_hz = [log_uniform(rng, 260, 700) for _ in range(rng.integers(2, 5))]
    stream = chatter(rng, n, voices_hz, tract=rng.uniform(1.0, 1.3), syllables_hz=rng.uniform(1.8, 4.0))
    rustle = coloured_noise(rng, n, slope_db=-4.0, corner_hz=500.0) * (1.0 + 0.4 * wander(rng, n, 2.0))
    return stream / rms(stream) + rng.uniform(0.05, 0.3) * rustle


def dog_bark(rng: np.random.Generator, n: int) -> Waveform:
    """Barks of one dog: a pitch that jumps up and falls, rough breath, the formants of its muzzle."""
    f0_hz = log_uniform(rng, 180, 900)
    formants_db = formant_db([size * log_uniform(rng, 0.5, 1.6) for size in (700.0, 1500.0, 2900.0)], 0.4)
    bark_seconds, gap_seconds = rng.uniform(0.07, 0.25), log_uniform(rng, 0.12, 0.8)
    breath = rng.uniform(0.1, 0.8)
    stream = np.zeros(n)
    start = seconds(rng.uniform(0.0, 0.4))
    while start < n:
        length = seconds(bark_seconds * rng.uniform(0.8, 1.25))
        progress = np.linspace(0.0, 1.0, length)
        pitch_hz = f0_hz * rng.uniform(0.9, 1.1) * (0.7 + 0.5 * np.sin(np.pi * progress**0.6))
        bark = harmonics(pitch_hz, FORMANT_GRID_HZ, formants_db, n_harmonics=12)
        rough = equalize(rng.standard_normal(length), FORMANT_GRID_HZ, formants_db)
        bark = bark / rms(bark) + breath * rough / rms(rough)
        place(stream, rng.uniform(0.6, 1.0) * bark * fade(length, 0.012, 0.6 * length / CORPUS_RATE), start)
        pause = gap_seconds if rng.random() < 0.75 else 0.9
        start += length + seconds(pause * rng.uniform(0.7, 1.3))
    return stream


def drilling(rng: np.random.Generator, n: int) -> Waveform:
    """A drill: motor harmonics whose speed sags under load, and the grinding of the bit, modulated by the motor."""
    motor_hz = log_uniform(rng, 50, 260)
    load = np.clip(0.5 + 0.6 * wander(rng, n, rng.uniform(0.4, 2.0)), 0.0, 1.0)
    pitch_hz = motor_hz * (1.0 - rng.uniform(0.05, 0.3) * load)
    whine = harmonics(pitch_hz, [50, 600, 11025], [0.0, rng.uniform(-12, 6), rng.uniform(-50, -15)], n_harmonics=24)
    beat = decay(pulse_train(rng, pitch_hz * rng.choice([0.25, 0.5, 1.0]), 0.03, 0.2), rng.uniform(0.003, 0.015))
    grind = coloured_noise(rng, n, slope_db=rng.uniform(-5.0, 2.0), corner_hz=log_uniform(rng, 200, 2000))
    grind = grind * (0.3 + load) * (0.5 + rng.uniform(0.0, 1.0) * beat / rms(beat))
    return whine / rms(whine) + gain(rng, -10, 12) * grind / rms(grind)


def engine_idling(rng: np.random.Generator, n: int) -> Waveform:
    """Low firing pulses with jitter that ring the exhaust, over the hiss of intake and fan."""
    rate_hz = log_uniform(rng, 12, 75) * (1.0 + rng.uniform(0.01, 0.08) * wander(rng, n, 0.8))
    pulses = decay(pulse_train(rng, rate_hz, rng.uniform(0.01, 0.08), rng.uniform(0.05, 0.4)), rng.uniform(5e-4, 3e-3))
    exhaust = 0.2 * pulses
    for low, high in ((50, 160), (160, 700), (700, 3000)):
        tone = ring(pulses, log_uniform(rng, low, high), rng.uniform(0.003, 0.02))
        exhaust += gain(rng, -12, 6) * tone / rms(tone) * rms(pulses)
    hiss = coloured_noise(rng, n, slope_db=rng.uniform(-7.0, -2.0), corner_hz=log_uniform(rng, 60, 600))
    return exhaust / rms(exhaust) + gain(rng, -20, 3) * hiss


def gun_shot(rng: np.random.Generator, n: int) -> Waveform:
    """Shots of one gun: a crack, a noise tail whose treble dies first, and the echoes of the place."""
    boom_hz, tail_seconds = log_uniform(rng, 70, 400), log_uniform(rng, 0.02, 0.2)
    slope_db, corner_hz = rng.uniform(-6.0, -1.0), log_uniform(rng, 150, 1500)
    echoes = [(rng.uniform(0.06, 0.5), gain(rng, -24, -8)) for _ in range(rng.integers(0, 4))]
    gap_seconds = log_uniform(rng, 0.35, 1.2)
    length = seconds(1.0)
    time = np.arange(length) / CORPUS_RATE
    stream = np.zeros(n)
    start = seconds(rng.uniform(0.0, 0.8))
    while start < n:
        crack = coloured_noise(rng, length, slope_db=0.0) * np.exp(-time / 0.004)
        tail = coloured_noise(rng, length, slope_db, corner_hz) * np.exp(-time / tail_seconds)
        boom = np.sin(2 * np.pi * boom_hz * time * np.exp(-time / 0.3)) * np.exp(-time / (1.5 * tail_seconds))
        shot = (2.0 * crack + 1.5 * tail + boom) * fade(length, 0.001, 0.2)
        place(stream, shot, start)
        for delay, level in echoes:
            place(stream, level * equalize(shot, [200, 11025], [0.0, -24.0]), start + seconds(delay))
        start += seconds(min(1.25, gap_seconds * rng.uniform(0.8, 1.25) if rng.random() < 0.7 else 1.2))
    return stream


def jackhammer(rng: np.random.Generator, n: int) -> Waveform:
    """A train of noise bursts that ring the chisel, with the compressor's drone below."""
    rate_hz = log_uniform(rng, 9, 32) * (1.0 + rng.uniform(0.005, 0.03) * wander(rng, n, 1.0))
    blows = pulse_train(rng, rate_hz, jitter=rng.uniform(0.005, 0.04), level_jitter=rng.uniform(0.05, 0.25))
    grit = coloured_noise(rng, n, slope_db=rng.uniform(-4.0, 1.0), corner_hz=log_uniform(rng, 200, 1500))
    bursts = grit * decay(blows, log_uniform(rng, 0.004, 0.02))
    chisel = np.zeros(n)
    for _ in range(rng.integers(1, 4)):
        tone = ring(bursts, log_uniform(rng, 300, 4500), rng.uniform(0.002, 0.012))
        chisel += rng.uniform(0.1, 0.8) * tone / rms(tone)
    drone = coloured_noise(rng, n, slope_db=-7.0, corner_hz=rng.uniform(60, 200))
    return bursts / rms(bursts) + chisel + gain(rng, -20, -4) * drone


def siren(rng: np.random.Generator, n: int) -> Waveform:
    """A siren that wails (slow sweep), yelps (fast sweep) or changes between two tones, through a horn speaker."""
    low_hz = log_uniform(rng, 400, 900)
    span = rng.uniform(1.25, 2.2)
    style = rng.choice(["wail", "yelp", "hi-lo"])
    rate_hz = {"wail": log_uniform(rng, 0.2, 0.6), "yelp": rng.uniform(2, 5), "hi-lo": rng.uniform(0.6, 1.5)}[style]
    cycle = (rng.uniform(0, 1) + rate_hz * np.arange(n) / CORPUS_RATE) % 1.0
    if style == "hi-lo":
        height = (cycle < 0.5).astype(float)
    else:
        rise = rng.uniform(0.2, 0.8)
        height = np.where(cycle < rise, cycle / rise, (1.0 - cycle) / (1.0 - rise)) ** rng.uniform(0.7, 1.5)
    gains_db = [0.0, rng.uniform(-24, -8), rng.uniform(-60, -35)]
    return harmonics(low_hz * span**height, [500, 2500, 11025], gains_db, n_harmonics=10)


def street_music(rng: np.random.Generator, n: int) -> Waveform:
    """A busker: a melody on a pentatonic scale over chords, often with a drum, in one tempo and key."""
    beat_seconds, tonic_hz = rng.uniform(0.25, 0.6), log_uniform(rng, 110, 220)
    melody_db, chord_db = [0.0, rng.uniform(-14, 2), -50.0], [0.0, rng.uniform(-25, -6), -60.0]
    ringing, octave = log_uniform(rng, 0.1, 1.0), int(rng.integers(1, 3))
    drum_level = rng.uniform(0.2, 1.5) if rng.random() < 0.6 else 0.0
    stream = np.zeros(n)
    points_hz = [100.0, 2000.0, 11025.0]
    degree = int(rng.integers(0, 5))
    for beat in range(int(n / seconds(beat_seconds)) + 1):
        start = beat * seconds(beat_seconds)
        length = seconds(beat_seconds * rng.choice([0.5, 1.0, 1.0, 2.0]))
        degree = int(np.clip(degree + rng.integers(-2, 3), 0, 7))
        pitch_hz = tonic_hz * 2.0 ** (octave + degree // 5 + SCALE[degree % 5] / 12.0)
        vibrato = 1.0 + 0.004 * np.sin(2 * np.pi * 5.5 * np.arange(length) / CORPUS_RATE)
        note = harmonics(pitch_hz * vibrato, points_hz, melody_db, 10, phase=rng.uniform(0, 6))
        place(stream, note * fade(length, 0.01, 0.05) * np.exp(-np.arange(length) / seconds(ringing)), start)
        if beat % 4 == 0:
            root = tonic_hz * 2.0 ** (rng.choice([0, 5, 7, 9]) / 12.0)
            length = seconds(4 * beat_seconds)
            for semitones in (0, 4, 7):
                tone = harmonics(np.full(length, root * 2.0 ** (semitones / 12.0)), points_hz, chord_db, 8)
                place(stream, 0.3 * tone * fade(length, 0.02, 0.2), start)
        if drum_level:
            length = seconds(0.15)
            time = np.arange(length) / CORPUS_RATE
            kick = np.sin(2 * np.pi * 90 * time) if beat % 2 == 0 else 0.6 * rng.standard_normal(length)
            place(stream, drum_level * kick * np.exp(-time / 0.04), start)
    return stream


# UrbanSound8K's classes; the position is the class_id.
SOUNDS: dict[str, SoundModel] = {
    "air_conditioner": air_conditioner,
    "car_horn": car_horn,
    "children_playing": children_playing,
    "dog_bark": dog_bark,
    "drilling": drilling,
    "engine_idling": engine_idling,
    "gun_shot": gun_shot,
    "jackhammer": jackhammer,
    "siren": siren,
    "street_music": street_music,
}
