"""Effects by numbers: slopes, decays, speeds and levels."""

import numpy as np
import pytest

from soundaug.music.effects import (
    LOUDNESS_DBFS,
    PEAK_LIMIT,
    Waveform,
    drive,
    levelled,
    low_pass,
    pump,
    room,
    root_mean_square,
    vinyl,
    wow,
)

RATE = 22050


def tone(hz: float, seconds: float = 2.0) -> Waveform:
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE).astype(np.float32)


def decibels(ratio: float) -> float:
    return 20 * float(np.log10(ratio))


def test_low_pass_falls_as_its_order_says() -> None:
    gains = [decibels(root_mean_square(low_pass(tone(hz), RATE, 2000)) / np.sqrt(0.5)) for hz in (500, 2000, 4000)]
    warped = np.tan(np.pi * 4000 / RATE) / np.tan(np.pi * 2000 / RATE)  # of the bilinear transform
    assert gains == pytest.approx([0.0, -3.01, -10 * np.log10(1 + warped**12)], abs=0.5)


def test_low_pass_above_the_band_is_held_within_it() -> None:
    assert np.isfinite(low_pass(tone(100), RATE, 40_000)).all()


def test_a_room_rings_for_its_time_and_keeps_the_length() -> None:
    click = np.zeros(2 * RATE, np.float32)
    click[0] = 1.0
    tail = room(click, RATE, np.random.default_rng(0), rt60_seconds=1.0, wet=0.5)
    assert len(tail) == len(click)
    early, late = (root_mean_square(tail[round(t * RATE) :][:2205]) for t in (0.1, 0.6))
    assert decibels(late / early) == pytest.approx(-30.0, abs=1.5)
    assert not tail[RATE + 100 :].any() or np.abs(tail[RATE + 100 :]).max() < 1e-6
    assert tail[0] ** 2 == pytest.approx(0.5, rel=0.05)


def test_drive_adds_odd_harmonics() -> None:
    spectrum = np.abs(np.fft.rfft(drive(tone(1000, 1.0), 6.0)))
    assert decibels(spectrum[3000] / spectrum[1000]) == pytest.approx(-16.0, abs=3.0)
    assert spectrum[2000] < 1e-4 * spectrum[1000]


def test_pump_ducks_on_the_beat() -> None:
    ducked = pump(np.ones(RATE, np.float32), RATE, tempo=120, depth=0.4)
    assert ducked[[0, RATE // 8, RATE // 4, RATE // 2]] == pytest.approx([0.6, 0.8, 1.0, 0.6], abs=1e-3)


def test_wow_bends_the_pitch_by_its_depth() -> None:
    bent = wow(tone(1000, 4.0), RATE, np.random.default_rng(1), depth=0.01)
    crossings = np.flatnonzero((bent[:-1] < 0) & (bent[1:] >= 0))
    fraction = crossings + bent[crossings] / (bent[crossings] - bent[crossings + 1])
    hz = RATE * 50 / (fraction[50:] - fraction[:-50])  # over 50 periods, 50 ms
    assert hz.max() == pytest.approx(1010, abs=2.5)
    assert hz.min() == pytest.approx(990, abs=2.5)


def test_vinyl_adds_noise_below_the_music() -> None:
    music = tone(440, 4.0)
    noise = vinyl(music, RATE, np.random.default_rng(0)) - music
    assert decibels(root_mean_square(noise) / root_mean_square(music)) == pytest.approx(-32 + 7, abs=1.0)
    assert np.abs(noise).max() > 8 * np.median(np.abs(noise))  # crackles stand out


def test_levelled_is_loud_as_said_and_never_clips() -> None:
    assert decibels(root_mean_square(levelled(0.001 * tone(440)))) == pytest.approx(LOUDNESS_DBFS, abs=0.01)
    spiky = 0.001 * tone(440)
    spiky[100] = 1.0
    assert np.abs(levelled(spiky)).max() == pytest.approx(PEAK_LIMIT)
    assert not levelled(np.zeros(100, np.float32)).any()
