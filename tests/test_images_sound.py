"""Images to sound: the tone, the level and the silence are those that went in."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from soundaug.images.audio_diffusion import MelParams
from soundaug.images.files import kind_of, open_image, save_image
from soundaug.images.riffusion import SpectrogramParams
from soundaug.images.sound import image_of, sound_of
from soundaug.running.errors import StudyError

RATE = 8000
RIFFUSION = SpectrogramParams(
    sample_rate=RATE, padded_duration_ms=100, window_duration_ms=50, num_frequencies=64, max_frequency=4000
)
STEREO = SpectrogramParams(**{**vars(RIFFUSION), "stereo": True})
MEL = MelParams(width=64, n_mels=64, sample_rate=RATE, n_fft=512, hop_length=128)


def tone(hz: float, level: float = 0.2, n: int = 8191) -> np.ndarray:
    return (level * np.sqrt(2) * np.sin(2 * np.pi * hz * np.arange(n) / RATE)).astype(np.float32)[None]


def peak_hz(waveform: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(waveform)).argmax() * RATE / len(waveform))


def decibels(ratio: float) -> float:
    return 20 * float(np.log10(ratio))


def rms(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(waveform**2)))


@pytest.mark.parametrize("params", [RIFFUSION, MEL])
@pytest.mark.parametrize("level", [0.2, 0.002])
def test_a_tone_comes_back_at_its_pitch_and_level(
    params: SpectrogramParams | MelParams, level: float, tmp_path: Path
) -> None:
    save_image(image_of(tone(700, level), params), tmp_path / "a.png")
    sound = sound_of(open_image(tmp_path / "a.png"), seed=0)
    assert sound.sample_rate == RATE
    assert sound.waveforms.shape[1] == pytest.approx(8191, abs=80)
    assert peak_hz(sound.waveforms[0]) == pytest.approx(700, abs=25)
    assert decibels(rms(sound.waveforms) / level) == pytest.approx(0.0, abs=1.0)


@pytest.mark.parametrize("params", [RIFFUSION, MEL, STEREO])
def test_silence_stays_silent(params: SpectrogramParams | MelParams) -> None:
    assert not sound_of(image_of(np.zeros((1, 4000), np.float32), params), seed=0).waveforms.any()


def test_stereo_keeps_each_channels_tone_and_level() -> None:
    sound = sound_of(image_of(np.concatenate([tone(500), tone(1500, 0.05)]), STEREO), seed=1)
    assert [peak_hz(channel) for channel in sound.waveforms] == pytest.approx([500, 1500], abs=40)
    assert decibels(rms(sound.waveforms[1]) / rms(sound.waveforms[0])) == pytest.approx(-12.0, abs=1.0)


def test_mono_sound_fills_both_channels_and_stereo_sound_is_averaged() -> None:
    pixels = np.asarray(image_of(tone(500), STEREO))
    np.testing.assert_array_equal(pixels[..., 1], pixels[..., 2])
    both = np.asarray(image_of(np.concatenate([tone(500), -tone(500)]), RIFFUSION))
    assert (both == 255).all()
    with pytest.raises(StudyError, match="found sound of 3 channels, wanted one or two for a stereo image"):
        image_of(np.zeros((3, 4000), np.float32), STEREO)


def test_the_same_seed_gives_the_same_sound() -> None:
    image = image_of(tone(700), RIFFUSION)
    state = torch.random.get_rng_state()
    one, two, other = (sound_of(image, seed, iterations=4).waveforms for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - other).max() > 0.01
    assert torch.equal(torch.random.get_rng_state(), state)


def test_an_image_without_parameters_needs_some_to_assume(tmp_path: Path) -> None:
    grey = Image.fromarray(np.asarray(image_of(tone(700), MEL)))
    grey.save(tmp_path / "bare.png")
    bare = open_image(tmp_path / "bare.png")
    assert kind_of(bare) is None
    with pytest.raises(StudyError, match=r"bare\.png: found no EXIF and no text chunks of parameters, wanted an image"):
        sound_of(bare, seed=0)
    sound = sound_of(bare, seed=0, assume=MEL)
    assert peak_hz(sound.waveforms[0]) == pytest.approx(700, abs=25)
    with pytest.raises(StudyError, match=r"bare\.png: found an image of 64 rows, wanted 512, its num_frequencies"):
        sound_of(bare, seed=0, assume=SpectrogramParams())
    own = image_of(tone(700), MEL)
    assert sound_of(own, seed=0, assume=SpectrogramParams()).sample_rate == RATE  # the image's own parameters win


@pytest.mark.parametrize("columns", [1, 2, 5])
def test_a_narrow_image_is_a_short_sound(columns: int) -> None:
    for params, samples in ((RIFFUSION, 80 * (columns - 1)), (MEL, 128 * columns - 1)):
        image = image_of(tone(700), params)
        narrow = image.crop((10, 0, 10 + columns, 64))
        narrow.info |= image.info
        narrow.getexif().update(image.getexif())
        sound = sound_of(narrow, seed=0, iterations=4)
        assert sound.waveforms.shape == (1, samples)
        assert np.isfinite(sound.waveforms).all()
        assert columns < 5 or rms(sound.waveforms) > 0.05


def test_image_files(tmp_path: Path) -> None:
    image = image_of(tone(700), RIFFUSION)
    with pytest.raises(StudyError, match=r"a\.jpg: found the ending '\.jpg', wanted \.png"):
        save_image(image, tmp_path / "a.jpg")
    with pytest.raises(StudyError, match=r"none\.png: not there, wanted a spectrogram image"):
        open_image(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(StudyError, match=r"text\.png: not readable as an image"):
        open_image(tmp_path / "text.png")
    save_image(image, tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:600])
    with pytest.raises(StudyError, match=r"half\.png: not readable as an image"):
        open_image(tmp_path / "half.png")
    assert kind_of(open_image(tmp_path / "whole.png")) == "riffusion"
    assert kind_of(image_of(tone(700), MEL)) == "audio-diffusion"
