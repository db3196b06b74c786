"""audio-diffusion's image against diffusers' own Mel, and the level that it has here."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from soundaug.images.audio_diffusion import MelParams, from_image, mel_power, params_of, slice_of, to_image
from soundaug.images.files import open_image, save_image
from soundaug.running.errors import StudyError

SMALL = MelParams(width=32, n_mels=48, sample_rate=8000, n_fft=512, hop_length=128)


def sound(seconds: float = 1.3) -> np.ndarray:
    time = np.arange(round(8000 * seconds)) / 8000
    tones = 0.3 * np.sin(2 * np.pi * 440 * time) + 0.02 * np.sin(2 * np.pi * 2000 * time * time)
    return (tones + 1e-4 * np.random.default_rng(0).standard_normal(len(time))).astype(np.float32)


def mel_of_diffusers() -> Any:
    from diffusers.pipelines.deprecated.audio_diffusion import Mel

    return Mel(x_res=32, y_res=48, sample_rate=8000, n_fft=512, hop_length=128, top_db=80, n_iter=1)


def test_defaults_are_audio_diffusions() -> None:
    params = MelParams()
    assert (params.width, params.n_mels, params.sample_rate) == (256, 256, 22050)
    assert (params.n_fft, params.hop_length, params.top_db, params.slice_samples) == (2048, 512, 80, 131071)


@pytest.mark.parametrize(("seconds", "number"), [(1.3, 0), (1.3, 1), (0.2, 0)])
def test_the_pixels_are_those_of_diffusers(seconds: float, number: int) -> None:
    theirs = mel_of_diffusers()
    theirs.load_audio(raw_audio=sound(seconds))
    wanted = np.asarray(theirs.audio_slice_to_image(number)).astype(int)
    image = to_image(mel_power(slice_of(sound(seconds), SMALL, number), SMALL), SMALL)
    assert (image.mode, image.size) == ("L", (32, 48))
    difference = np.abs(np.asarray(image).astype(int) - wanted)
    assert difference.max() <= 1
    assert (difference == 0).mean() > 0.998
    assert (wanted.max(), wanted.min() < 60) == (255, True)


def test_an_image_of_diffusers_decodes_to_its_power_and_ours_decodes_there(tmp_path: Path) -> None:
    theirs = mel_of_diffusers()
    theirs.load_audio(raw_audio=sound())
    theirs.audio_slice_to_image(0).save(tmp_path / "theirs.png")
    power = mel_power(slice_of(sound(), SMALL), SMALL)
    found, _ = from_image(open_image(tmp_path / "theirs.png"), SMALL)
    audible = power > power.max() * 1e-7
    step = 80 / 255
    assert np.abs(10 * np.log10(found / (power / power.max())))[audible].max() < 0.51 * step
    save_image(to_image(power, SMALL), tmp_path / "ours.png")
    assert (
        np.abs(
            np.asarray(Image.open(tmp_path / "ours.png")).astype(int) - np.asarray(Image.open(tmp_path / "theirs.png"))
        ).max()
        <= 1
    )
    decoded = theirs.image_to_audio(Image.open(tmp_path / "ours.png"))  # reads the bytes: 8-bit grey, nothing else
    assert len(decoded) == 31 * 128
    assert np.isfinite(decoded).all()


def test_level_and_silence_survive_in_the_text_chunks(tmp_path: Path) -> None:
    sums = []
    for name, gain in (("loud", 1.0), ("quiet", 0.01), ("silent", 0.0)):
        power = mel_power(slice_of(gain * sound(), SMALL), SMALL)
        save_image(to_image(power, SMALL), tmp_path / f"{name}.png")
        found, params = from_image(open_image(tmp_path / f"{name}.png"))
        assert params == SMALL
        sums.append(found.sum())
        assert sums[-1] == pytest.approx(power.sum(), rel=0.03, abs=1e-12)
    assert 10 * np.log10(sums[1] / sums[0]) == pytest.approx(-40.0, abs=0.05)
    assert sums[2] == 0
    assert not np.asarray(Image.open(tmp_path / "silent.png")).any()
    loud, quiet = (np.asarray(Image.open(tmp_path / f"{name}.png")).astype(int) for name in ("loud", "quiet"))
    assert np.abs(loud - quiet)[quiet > 13].max() <= 1  # the pixels hold no level; 13 is the smallest power told apart


def test_text_chunks_field_by_field(tmp_path: Path) -> None:
    power = mel_power(slice_of(sound(), SMALL), SMALL)
    save_image(to_image(power, SMALL), tmp_path / "a.png")
    image = Image.open(tmp_path / "a.png")
    assert image.info == {
        "soundaug.width": "32",
        "soundaug.n_mels": "48",
        "soundaug.sample_rate": "8000",
        "soundaug.n_fft": "512",
        "soundaug.hop_length": "128",
        "soundaug.top_db": "80",
        "soundaug.reference_power": repr(float(power.max())),
    }
    assert params_of(image) == (SMALL, float(power.max()))


def test_slices() -> None:
    whole = np.arange(2 * SMALL.slice_samples + 5, dtype=np.float32)
    assert SMALL.slice_samples == 4095
    np.testing.assert_array_equal(slice_of(whole, SMALL, 1), whole[4095:8190])
    np.testing.assert_array_equal(slice_of(whole[:10], SMALL), np.pad(whole[:10], (0, 4085)))
    with pytest.raises(StudyError, match=r"slice: found 2, wanted 0 to 1: the sound has 2 whole slices"):
        slice_of(whole, SMALL, 2)


def image_with(height: int = 48, **text: str) -> Image.Image:
    image = Image.fromarray(np.zeros((height, 5), np.uint8))
    image.info |= to_image(np.ones((48, 5)), SMALL).info | {f"soundaug.{name}": value for name, value in text.items()}
    return image


@pytest.mark.parametrize(
    ("image", "line"),
    [
        (Image.new("L", (5, 48)), "image: found no text chunk soundaug.width, wanted the image's parameters"),
        (image_with(height=50), "image: found an image of 50 rows, wanted 48, its n_mels"),
        (image_with(n_fft="x"), "image: text chunk soundaug.n_fft: found 'x', wanted a number from 0 to"),
        (image_with(hop_length="0"), "image: hop_length: found 0, wanted 1 or more"),
        (image_with(n_mels="300"), "image: n_mels: found 300, wanted at most n_fft / 2 (256)"),
        (image_with(reference_power="-1"), "image: text chunk soundaug.reference_power: found '-1', wanted a number"),
    ],
)
def test_a_wrong_image_is_told_in_a_line(image: Image.Image, line: str) -> None:
    with pytest.raises(StudyError) as error:
        from_image(image)
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)


def test_given_parameters_keep_the_level_that_the_image_says() -> None:
    image = image_with(reference_power="5.0")
    assert from_image(image, SMALL)[0].max() == pytest.approx(5e-8)
    del image.info["soundaug.reference_power"]
    assert from_image(image, SMALL)[0].max() == pytest.approx(1e-8)
