"""Stems: a tone and clicks come apart, and add up to what they came from."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundaug.cli import main
from soundaug.running.errors import run_stage
from soundaug.sound.stems import split

RATE = 22050


def tone_and_clicks(seconds: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """A sine of 440 Hz, and ten clicks of a sample, float32 [1, n] each."""
    time = np.arange(int(seconds * RATE)) / RATE
    clicks = np.zeros(len(time), np.float32)
    clicks[1000 :: len(time) // 10] = 0.8
    return np.sin(2 * np.pi * 440 * time).astype(np.float32)[None] * 0.2, clicks[None]


def energy(waveforms: np.ndarray) -> float:
    return float(np.square(waveforms.astype(np.float64)).sum())


def test_a_tone_and_clicks_come_apart() -> None:
    tone, clicks = tone_and_clicks()
    stems = split(tone + clicks)
    assert energy(stems["harmonic"] - tone) < 0.02 * energy(tone)
    assert energy(stems["percussive"] - clicks) < 0.25 * energy(clicks)
    assert energy(stems["percussive"] * (clicks == 0)) < 0.02 * energy(tone)
    assert np.abs(sum(stems.values()) - tone - clicks).max() < 1e-6


@pytest.mark.parametrize("samples", [1, 300, 5000])
def test_a_sound_of_any_length_and_channels_keeps_them(samples: int) -> None:
    waveforms = np.random.default_rng(0).normal(0, 0.1, (2, samples)).astype(np.float32)
    stems = split(waveforms)
    assert {stem.shape for stem in stems.values()} == {(2, samples)}
    assert sum(stems.values()) == pytest.approx(waveforms, abs=1e-6)


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["soundaug.cli", *map(str, words)])
    main()


def test_the_command_writes_stems_that_add_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tone, clicks = tone_and_clicks()
    soundfile.write(tmp_path / "song.wav", (tone + clicks)[0], RATE, subtype="FLOAT")
    command(monkeypatch, "split", tmp_path / "song.wav", tmp_path / "out")
    stems = [soundfile.read(tmp_path / f"out/song_{name}.wav")[0] for name in ("harmonic", "percussive")]
    assert sum(stems) == pytest.approx((tone + clicks)[0], abs=2 / 32768)
    assert "song_harmonic.wav, " in capsys.readouterr().out


def test_stems_beyond_full_scale_are_turned_down_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tone, clicks = tone_and_clicks()
    loud = (8 * tone + clicks)[0]
    soundfile.write(tmp_path / "loud.wav", loud, RATE, subtype="FLOAT")
    command(monkeypatch, "split", tmp_path / "loud.wav", tmp_path, "--ending", "flac")
    total = sum(soundfile.read(tmp_path / f"loud_{name}.flac")[0] for name in ("harmonic", "percussive"))
    gain = float(total @ loud / (loud @ loud))
    assert gain < 0.95
    assert total == pytest.approx(gain * loud, abs=3 / 32768)


def test_a_mistake_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    for file, told in (("text.wav", "wanted audio"), ("gone.wav", "not there")):
        monkeypatch.setattr(sys, "argv", ["soundaug.cli", "split", str(tmp_path / file), str(tmp_path / "out")])
        with pytest.raises(SystemExit):
            run_stage(main)
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
