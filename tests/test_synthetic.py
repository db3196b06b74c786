"""The embedded corpus: each sound is what its name says, and the corpus is reproducible, balanced and unclipped."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundaug.params import Synthetic
from soundaug.running.errors import StudyError
from soundaug.sources.synthetic import CLASS_NAMES, CORPUS_RATE, ClipRow, synthesise_corpus
from soundaug.sources.synthetic.scene import PEAK_LIMIT, compose, mix
from soundaug.sources.synthetic.signals import (
    Waveform,
    active_level,
    coloured_noise,
    decay,
    equalize,
    formant_gain,
    harmonics,
    pulse_train,
    ring,
    rms,
    room,
    sines_of_multiples,
)
from soundaug.sources.synthetic.sounds import SOUNDS, air_conditioner, car_horn, gun_shot, jackhammer, siren

SECONDS = 8
N = SECONDS * CORPUS_RATE


def settings(recordings: int = 2, slices: int = 2) -> Synthetic:
    return Synthetic(
        recordings_per_class=recordings, slices_per_recording=slices, snr_db=[0.0, 18.0], slice_seconds=[1.5, 2.5]
    )


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(folder.rglob("*.flac"))
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def spectrum_frames(waveform: Waveform, n_frame: int = 1024) -> np.ndarray:
    """Power [frames, bins] of Hann-windowed frames without overlap."""
    frames = waveform[: len(waveform) // n_frame * n_frame].reshape(-1, n_frame) * np.hanning(n_frame)
    return np.asarray(np.abs(np.fft.rfft(frames)) ** 2)


def centroid_hz(waveform: Waveform, n_frame: int = 1024) -> Waveform:
    """Spectral centroid of each frame."""
    power = spectrum_frames(waveform, n_frame)
    return np.asarray(power @ np.fft.rfftfreq(n_frame, 1 / CORPUS_RATE) / power.sum(axis=1))


def concentration(waveform: Waveform) -> float:
    """The part of the power that the strongest hundredth of the frequencies holds."""
    power = np.sort(np.abs(np.fft.rfft(waveform)) ** 2)
    return float(power[-len(power) // 100 :].sum() / power.sum())


def envelope_peak_hz(waveform: Waveform, low_hz: float, high_hz: float) -> tuple[float, float]:
    """Rate and height of the highest peak in the autocorrelation of the envelope (1 kHz) between two rates."""
    step = CORPUS_RATE // 1000
    envelope = np.abs(waveform[: len(waveform) // step * step]).reshape(-1, step).mean(axis=1)
    envelope -= envelope.mean()
    power = np.abs(np.fft.rfft(envelope, 2 * len(envelope))) ** 2
    correlation = np.fft.irfft(power)[: len(envelope)]
    rate = CORPUS_RATE / step
    lags = np.arange(int(rate / high_hz), int(rate / low_hz) + 1)
    best = lags[np.argmax(correlation[lags])]
    return rate / best, float(correlation[best] / correlation[0])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[ClipRow]]:
    folder = tmp_path_factory.mktemp("corpus")
    return folder, synthesise_corpus(folder, settings(), n_folds=2, seed=5, n_jobs=1)


# Building blocks


def test_coloured_noise_falls_by_its_slope_an_octave() -> None:
    noise = coloured_noise(np.random.default_rng(0), N, slope_db=-6.0)
    power = spectrum_frames(noise).mean(axis=0)
    frequency = np.fft.rfftfreq(1024, 1 / CORPUS_RATE)
    low, high = (power[(frequency > f) & (frequency < 1.25 * f)].mean() for f in (500, 4000))
    assert 10 * np.log10(high / low) == pytest.approx(-18.0, abs=0.5)
    assert rms(noise) == pytest.approx(1.0)


def test_harmonics_are_sines_at_the_gain_of_the_curve() -> None:
    tone = harmonics(np.full(N, 200.0), [100, 200, 400, 800], [0, 0, -6, -12], n_harmonics=2)
    spectrum = 2 / N * np.abs(np.fft.rfft(tone))
    assert spectrum[200 * SECONDS] == pytest.approx(1.0, abs=1e-3)
    assert spectrum[400 * SECONDS] == pytest.approx(10 ** (-6 / 20), abs=1e-3)
    assert spectrum[600 * SECONDS] < 1e-3


def test_harmonics_above_the_band_are_silent_and_gains_glide() -> None:
    assert not harmonics(np.full(1000, 10_500.0), [100, 11025], [0, 0], n_harmonics=3).any()
    tone = harmonics(np.full(N, 500.0), [100, 11025], [[0, 0], [-40, -40]], n_harmonics=1)
    assert np.abs(tone[:1000]).max() == pytest.approx(1.0, abs=0.01)
    assert np.abs(tone[-1000:]).max() == pytest.approx(0.01, abs=0.01)


@pytest.mark.parametrize("count", [1, 2, 60])
def test_sines_of_multiples_are_those_of_the_library(count: int) -> None:
    angle = np.random.default_rng(0).uniform(-50, 50, (3, 40))
    angle[0, :3] = 0.0, np.pi, np.pi / 2
    expected = np.sin(np.arange(1, count + 1)[:, None, None] * angle)
    np.testing.assert_allclose(sines_of_multiples(angle, count), expected, rtol=0, atol=1e-10)


def test_waveforms_are_equalized_each_as_if_alone() -> None:
    waveforms = np.random.default_rng(0).normal(size=(2, N))
    together = equalize(waveforms, [100, 1000], [0, -20])
    for alone, one in zip(waveforms, together, strict=True):
        np.testing.assert_array_equal(equalize(alone, [100, 1000], [0, -20]), one)
    power = (np.abs(np.fft.rfft(together)) ** 2 / (np.abs(np.fft.rfft(waveforms)) ** 2)).reshape(2, -1)
    frequency = np.fft.rfftfreq(N, 1 / CORPUS_RATE)
    for low_hz, high_hz, level_db in [(20, 95, 0.0), (1100, 8000, -20.0)]:
        band = (low_hz < frequency) & (frequency < high_hz)
        assert 10 * np.log10(np.median(power[:, band])) == pytest.approx(level_db, abs=0.1)


def test_pulse_train_keeps_its_rate() -> None:
    pulses = pulse_train(np.random.default_rng(0), np.full(N, 20.0), jitter=0.0, level_jitter=0.0)
    times = np.flatnonzero(pulses)
    assert len(times) == pytest.approx(20 * SECONDS, abs=1)
    np.testing.assert_allclose(np.diff(times), CORPUS_RATE / 20, atol=1)


def test_decay_and_ring_against_their_closed_forms() -> None:
    impulse = np.zeros(2000)
    impulse[0] = 1.0
    np.testing.assert_allclose(decay(impulse, 0.01), np.exp(-np.arange(2000) / (0.01 * CORPUS_RATE)), atol=1e-12)
    response = np.abs(np.fft.rfft(ring(impulse, 1000.0, 0.005), 2 * CORPUS_RATE))
    assert np.argmax(response) / 2 == pytest.approx(1000.0, abs=5)
    assert response.max() == pytest.approx(1.0, abs=0.05)


def test_formant_gain_peaks_at_the_formants() -> None:
    gain = formant_gain([700.0, 1000.0, 1500.0], [700.0, 1500.0])
    assert gain[0] == pytest.approx(1.0, abs=0.05)
    assert gain[2] == pytest.approx(0.5, abs=0.05)
    assert gain[1] < 0.5 * gain[2]


def test_room_tail_falls_60_db_in_its_time() -> None:
    impulse = np.zeros(CORPUS_RATE)
    impulse[0] = 1.0
    tail = room(np.random.default_rng(0), impulse, rt60_seconds=0.5, wet=1.0)[1:]
    early, late = (rms(tail[round(t * CORPUS_RATE) :][: CORPUS_RATE // 20]) for t in (0.05, 0.4))
    assert 20 * np.log10(late / early) == pytest.approx(-60 * 0.35 / 0.5, abs=2.0)
    assert np.sum(tail**2) == pytest.approx(1.0, abs=0.1)


def test_active_level_ignores_silence() -> None:
    tone = np.sin(2 * np.pi * 441 * np.arange(N) / CORPUS_RATE)
    tone[N // 4 :] = 0.0
    assert active_level(tone) == pytest.approx(np.sqrt(0.5), rel=0.02)


# Sounds


def test_siren_sweeps_and_air_conditioner_does_not() -> None:
    for seed in range(6):
        centroid = centroid_hz(siren(np.random.default_rng(seed), N), n_frame=1024)
        steady = centroid_hz(air_conditioner(np.random.default_rng(seed), N), n_frame=CORPUS_RATE)
        assert np.divide(*np.percentile(centroid, [95, 5])) > 1.15
        assert steady.max() / steady.min() < 1.25


def test_jackhammer_beats_at_9_to_32_hz() -> None:
    rates = []
    for seed in range(6):
        rate_hz, height = envelope_peak_hz(jackhammer(np.random.default_rng(seed), 2 * CORPUS_RATE), 9.0, 33.0)
        assert height > 0.25
        rates.append(rate_hz)
        _, steady = envelope_peak_hz(coloured_noise(np.random.default_rng(seed), 2 * CORPUS_RATE, -3.0), 9.0, 33.0)
        assert steady < 0.15
    assert max(rates) > 1.3 * min(rates)  # each recording its own rate


def test_car_horn_is_tonal_and_gun_shot_is_impulsive() -> None:
    for seed in range(4):
        shot, horn = gun_shot(np.random.default_rng(seed), N), car_horn(np.random.default_rng(seed), N)
        assert np.abs(shot).max() / rms(shot) > 6.0
        assert concentration(horn) > max(0.5, 1.3 * concentration(shot))


@pytest.mark.parametrize("name", SOUNDS)
def test_no_sound_pauses_longer_than_a_slice(name: str) -> None:
    for seed in range(4):
        waveform = SOUNDS[name](np.random.default_rng(seed), N)
        assert waveform.shape == (N,)
        assert np.isfinite(waveform).all()
        n_frame = CORPUS_RATE // 20
        power = np.mean(waveform[: N // n_frame * n_frame].reshape(-1, n_frame) ** 2, axis=1)
        loud = np.flatnonzero(power > power.max() * 1e-3)
        gaps = np.diff(np.concatenate([[-1], loud, [len(power)]])) - 1
        assert gaps.max() / 20 <= 1.45


# Scenes


def test_mix_has_the_asked_signal_to_noise_ratio() -> None:
    rng = np.random.default_rng(0)
    foreground, background = mix(7.0 * rng.standard_normal(N), 0.1 * rng.standard_normal(N), snr_db=9.0)
    assert 20 * np.log10(active_level(foreground) / active_level(background)) == pytest.approx(9.0, abs=1e-6)


def test_scenes_span_the_range_of_snr_and_tens_of_db_of_level() -> None:
    scenes = [compose(np.random.default_rng(seed), 2 * CORPUS_RATE, seed % 10, (-5.0, 15.0)) for seed in range(40)]
    measured = [20 * np.log10(active_level(s.foreground) / active_level(s.background)) for s in scenes]
    np.testing.assert_allclose(measured, [s.snr_db for s in scenes], atol=1e-6)
    assert -5.0 <= min(measured) < -2.0
    assert 12.0 < max(measured) <= 15.0
    levels_db = [20 * np.log10(active_level(s.waveform)) for s in scenes]
    assert max(levels_db) - min(levels_db) > 15.0
    for scene in scenes:
        np.testing.assert_allclose(scene.foreground + scene.background, scene.waveform, atol=1e-12)
        assert np.abs(scene.waveform).max() <= PEAK_LIMIT + 1e-9


# Corpus


def test_classes_are_urbansound8ks() -> None:
    assert CLASS_NAMES == [
        "air_conditioner",
        "car_horn",
        "children_playing",
        "dog_bark",
        "drilling",
        "engine_idling",
        "gun_shot",
        "jackhammer",
        "siren",
        "street_music",
    ]


def test_layout_and_table_agree(corpus: tuple[Path, list[ClipRow]]) -> None:
    folder, rows = corpus
    assert len(rows) == 10 * 2 * 2
    listed = {f"audio/fold{row['fold']}/{row['slice_file_name']}" for row in rows}
    assert listed == set(hashes(folder))
    for row in rows:
        fs_id, class_id, occurrence, index = row["slice_file_name"].removesuffix(".flac").split("-")
        assert (int(fs_id), int(class_id), int(occurrence)) == (row["fsID"], row["classID"], 0)
        assert int(index) in (0, 1)
        assert row["class"] == CLASS_NAMES[row["classID"]]
        assert row["salience"] in (1, 2)
        info = soundfile.info(folder / "audio" / f"fold{row['fold']}" / row["slice_file_name"])
        assert (info.samplerate, info.channels, info.subtype) == (CORPUS_RATE, 1, "PCM_16")
        assert info.duration == pytest.approx(row["end"] - row["start"], abs=1e-5)
        assert 1.499 < info.duration < 2.501


def test_each_recording_in_one_fold_and_classes_balanced(corpus: tuple[Path, list[ClipRow]]) -> None:
    _, rows = corpus
    homes: dict[int, set[tuple[int, int]]] = {}
    for row in rows:
        homes.setdefault(row["fsID"], set()).add((row["fold"], row["classID"]))
    assert len(homes) == 20
    assert all(len(home) == 1 for home in homes.values())
    assert set(Counter((row["fold"], row["classID"]) for row in rows).values()) == {2}


def test_no_clip_is_silent_or_clipped(corpus: tuple[Path, list[ClipRow]]) -> None:
    folder, _ = corpus
    for file in folder.rglob("*.flac"):
        waveform, _ = soundfile.read(file)
        assert np.abs(waveform).max() < 0.99
        assert 20 * np.log10(rms(waveform)) > -65.0


def test_same_seed_same_bytes_whatever_the_workers(corpus: tuple[Path, list[ClipRow]], tmp_path: Path) -> None:
    folder, rows = corpus
    assert synthesise_corpus(tmp_path, settings(), n_folds=2, seed=5, n_jobs=2) == rows
    assert hashes(tmp_path) == hashes(folder)


def test_another_seed_changes_every_clip(corpus: tuple[Path, list[ClipRow]], tmp_path: Path) -> None:
    folder, _ = corpus
    synthesise_corpus(tmp_path, settings(), n_folds=2, seed=6, n_jobs=1)
    assert not set(hashes(tmp_path).values()) & set(hashes(folder).values())


def test_more_recordings_leave_the_earlier_ones_alone(corpus: tuple[Path, list[ClipRow]], tmp_path: Path) -> None:
    folder, _ = corpus
    synthesise_corpus(tmp_path, settings(recordings=3), n_folds=2, seed=5, n_jobs=1)
    larger = hashes(tmp_path)
    assert len(larger) == 60
    assert hashes(folder).items() <= larger.items()


def test_slices_of_a_recording_differ(corpus: tuple[Path, list[ClipRow]]) -> None:
    assert len(set(hashes(corpus[0]).values())) == 40


def test_a_fold_without_a_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"recordings_per_class: found 2, wanted at least one a fold \(3\)"):
        synthesise_corpus(tmp_path, settings(), n_folds=3, seed=0)
    assert not list(tmp_path.iterdir())


def test_clips_are_as_long_as_asked_for(tmp_path: Path) -> None:
    wanted = settings(slices=2).model_copy(update={"slice_seconds": [3.0, 3.0]})
    rows = synthesise_corpus(tmp_path, wanted, n_folds=2, seed=5, n_jobs=1)
    assert {soundfile.info(file).duration for file in tmp_path.rglob("*.flac")} == {3.0}
    assert {(row["start"], row["end"]) for row in rows} == {(0.0, 3.0), (3.0, 6.0)}
