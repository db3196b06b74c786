"""Audio files in: formats, rates, channels and problems; and 16 bits out."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundaug.sound.audio import (
    ClipProblem,
    check_audible,
    fit,
    from_pcm16,
    read_channels,
    read_mono,
    to_pcm16,
    write_flac,
)

RATE = 16000
HALF_LSB = 0.5 / 2**15


def sine(rate: int, hz: float = 440.0, amplitude: float = 0.5, seconds: float = 1.0) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)


def frequency_and_amplitude(waveform: np.ndarray, rate: int) -> tuple[float, float]:
    """Of the strongest sine in the middle half: the peak of a finely sampled Hann spectrum."""
    middle = waveform[len(waveform) // 4 : -len(waveform) // 4]
    window = np.hanning(len(middle))
    spectrum = np.abs(np.fft.rfft(middle * window, 2**18))
    peak = int(spectrum.argmax())
    return peak * rate / 2**18, 2 * spectrum[peak] / window.sum()


@pytest.mark.parametrize(
    ("ending", "subtype", "tolerance"),
    [
        ("wav", "PCM_U8", 1 / 2**7),
        ("wav", "PCM_16", 1 / 2**15),
        ("wav", "PCM_24", 1 / 2**23),
        ("wav", "PCM_32", 1e-7),
        ("wav", "FLOAT", 1e-7),
        ("wav", "DOUBLE", 1e-7),
        ("flac", "PCM_16", 1 / 2**15),
        ("flac", "PCM_24", 1 / 2**23),
        ("ogg", "VORBIS", 0.02),
    ],
)
def test_every_format_gives_the_same_samples(tmp_path: Path, ending: str, subtype: str, tolerance: float) -> None:
    path, written = tmp_path / f"clip.{ending}", sine(RATE)
    soundfile.write(path, written, RATE, subtype=subtype)
    read = read_mono(path, RATE)
    assert read.dtype == np.float32
    assert read.shape == written.shape
    assert np.abs(read - written).max() <= tolerance * 1.01


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 32000, 44100, 48000, 96000, 192000])
def test_resampling_keeps_length_frequency_and_level(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "clip.wav", sine(rate), rate, subtype="FLOAT")
    waveform = read_mono(tmp_path / "clip.wav", RATE)
    assert waveform.dtype == np.float32
    assert abs(len(waveform) - RATE) <= 1
    hz, amplitude = frequency_and_amplitude(waveform, RATE)
    assert hz == pytest.approx(440.0, abs=0.1)
    assert amplitude == pytest.approx(0.5, rel=1e-3)


def test_resampling_down_leaves_no_alias(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", sine(48000, hz=10000.0), 48000, subtype="FLOAT")
    middle = read_mono(tmp_path / "clip.wav", RATE)[2000:-2000]
    assert np.abs(middle).max() < 1e-4  # 10 kHz would fold to 6 kHz


def test_stereo_is_the_mean_of_its_channels(tmp_path: Path) -> None:
    left, right = sine(RATE, 440.0, 0.5), sine(RATE, 1000.0, 0.25)
    soundfile.write(tmp_path / "clip.wav", np.stack([left, right], axis=1), RATE, subtype="FLOAT")
    assert np.abs(read_mono(tmp_path / "clip.wav", RATE) - (left + right) / 2).max() < 1e-7


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_samples_are_libsndfiles_and_their_mean_is_numpys(tmp_path: Path, channels: int, subtype: str) -> None:
    """To the bit, though both are reached another way."""
    samples = np.random.default_rng(channels).uniform(-1, 1, (500, channels))
    soundfile.write(tmp_path / "clip.wav", samples, RATE, subtype=subtype)
    read, _ = soundfile.read(tmp_path / "clip.wav", dtype="float32", always_2d=True)
    assert np.array_equal(read_channels(tmp_path / "clip.wav")[0], read.T)
    assert np.array_equal(read_mono(tmp_path / "clip.wav", RATE), read.mean(axis=1))


def test_opposite_channels_cancel_and_are_silent(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", np.stack([sine(RATE), -sine(RATE)], axis=1), RATE, subtype="FLOAT")
    with pytest.raises(ClipProblem) as raised:
        check_audible(read_mono(tmp_path / "clip.wav", RATE))
    assert (raised.value.kind, str(raised.value)) == ("silent", "holds only zeros")


def test_problems(tmp_path: Path) -> None:
    samples = sine(RATE)
    samples[100] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, RATE, subtype="FLOAT")
    samples[100] = np.inf
    soundfile.write(tmp_path / "infinite.wav", samples, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "empty.wav", np.empty(0), RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    (tmp_path / "text.wav").write_text("no audio at all, but long enough to hold a header")
    (tmp_path / "text.mp3").write_text("no audio at all")
    (tmp_path / "zero_bytes.wav").touch()
    for name, kind, what in [
        ("not_there.wav", "missing", "not there"),
        ("text.wav", "unreadable", "not readable as audio ("),
        ("zero_bytes.wav", "unreadable", "not readable as audio ("),
        ("text.mp3", "unreadable", "not readable as audio (Format not recognised.)"),
        ("empty.wav", "empty", "holds no samples"),
        ("nan.wav", "not_finite", "holds samples that are NaN or infinite"),
        ("infinite.wav", "not_finite", "holds samples that are NaN or infinite"),
        ("silent.wav", "silent", "holds only zeros"),
    ]:
        with pytest.raises(ClipProblem) as raised:
            check_audible(read_mono(tmp_path / name, RATE))
        assert raised.value.kind == kind, name
        assert str(raised.value).startswith(what), name


def test_what_is_audible_is_left_as_it_is() -> None:
    waveform = np.zeros(100, np.float32)
    waveform[-1] = 1e-9
    assert check_audible(waveform) is waveform


def test_fit_cuts_the_end_and_pads_with_zeros() -> None:
    waveform = np.array([1, 2, 3], np.float32)
    assert fit(waveform, 2).tolist() == [1, 2]
    assert fit(waveform, 3).tolist() == [1, 2, 3]
    assert fit(waveform, 5).tolist() == [1, 2, 3, 0, 0]
    assert fit(waveform, 5).dtype == np.float32


def test_16_bits_keep_a_sample_within_half_a_step() -> None:
    waveform = np.random.default_rng(0).uniform(-1, 1 - 2 * HALF_LSB, 10000)
    assert np.abs(from_pcm16(to_pcm16(waveform)) - waveform).max() <= HALF_LSB
    assert to_pcm16(np.array([0.4, 0.6, 1.5, -0.6]) / 2**15).tolist() == [0, 1, 2, -1]  # rounded, halves to even
    assert to_pcm16(np.array([1.0, 2.0, -1.0, -2.0])).tolist() == [32767, 32767, -32768, -32768]


def test_every_16_bit_sample_comes_back_from_float() -> None:
    samples = np.arange(-(2**15), 2**15).astype(np.int16)
    assert from_pcm16(samples).dtype == np.float32
    assert np.array_equal(to_pcm16(from_pcm16(samples)), samples)


def test_flac_loses_nothing_and_repeats(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, 5000).astype(np.int16)
    for name in ("one", "two"):
        write_flac(tmp_path / "new" / f"{name}.flac", samples, RATE)
    read, rate = soundfile.read(tmp_path / "new" / "one.flac", dtype="int16")
    assert rate == RATE
    assert np.array_equal(read, samples)
    assert (tmp_path / "new" / "one.flac").read_bytes() == (tmp_path / "new" / "two.flac").read_bytes()
