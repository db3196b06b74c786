"""Riffusion's image, field by field, against its formulas worked out here with NumPy alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from soundaug.images.files import open_image, save_image
from soundaug.images.riffusion import (
    DEFAULT_MAX_VALUE,
    ExifTag,
    SpectrogramParams,
    from_image,
    mel_filters,
    mel_magnitudes,
    params_of,
    to_image,
)
from soundaug.running.errors import StudyError

SMALL = SpectrogramParams(
    sample_rate=8000, padded_duration_ms=100, window_duration_ms=50, num_frequencies=48, max_frequency=4000
)


def noise(seconds: float = 0.5, channels: int = 1, seed: int = 0) -> np.ndarray:
    """16-bit noise that grows louder, full scale +-1."""
    n = round(8000 * seconds)
    samples = np.random.default_rng(seed).standard_normal((channels, n)) * np.linspace(100, 5000, n)
    return (np.rint(samples) / 2**15).astype(np.float32)


def by_numpy(waveform: np.ndarray) -> np.ndarray:
    """Mel magnitudes [F, T] of one channel in 16-bit units, after torchaudio's documentation."""
    n_fft, win, hop = 800, 400, 80
    window = np.zeros(n_fft)
    window[(n_fft - win) // 2 : (n_fft + win) // 2] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win) / win)
    padded = np.pad(waveform * 2.0**15, n_fft // 2, mode="reflect")
    frames = np.stack([padded[start : start + n_fft] for start in range(0, len(padded) - n_fft + 1, hop)])
    magnitudes = np.abs(np.fft.rfft(frames * window)).T
    hz = np.linspace(0, 4000, n_fft // 2 + 1)
    top = 2595 * np.log10(1 + 4000 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, 48 + 2) / 2595) - 1)
    up = (hz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    down = (edges[2:, None] - hz) / (edges[2:] - edges[1:-1])[:, None]
    return np.clip(np.minimum(up, down), 0, None) @ magnitudes


def written_by_riffusion(magnitudes: np.ndarray, path: Path, stereo: bool = False, tags: bool = True) -> None:
    """A file as Riffusion writes it from magnitudes [C, F, T] in 16-bit units."""
    data = (255 - np.power(magnitudes / magnitudes.max(), 0.25) * 255).astype(np.uint8)
    if stereo:
        image = Image.fromarray(np.stack([np.zeros_like(data[0]), data[0], data[1]], axis=-1))
    else:
        image = Image.fromarray(data[0]).convert("RGB")
    image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    values = {11000: 8000, 11005: stereo, 11010: 10, 11020: 50, 11030: 100, 11040: 48, 11050: 0, 11060: 4000}
    if tags:
        image.getexif().update(values | {11070: 0.25, 11080: float(magnitudes.max())})
    image.save(path, exif=image.getexif(), format="PNG")


def test_defaults_are_riffusions() -> None:
    params = SpectrogramParams()
    assert (params.sample_rate, params.hop_length, params.win_length, params.n_fft) == (44100, 441, 4410, 17640)
    assert (params.num_frequencies, params.min_frequency, params.max_frequency) == (512, 0, 10000)
    assert (params.power_for_image, params.stereo) == (0.25, False)
    assert mel_filters(SMALL).shape == (48, 401)


def test_the_image_has_the_pixels_of_riffusions_formula() -> None:
    waveform = noise()
    expected = by_numpy(waveform[0])
    magnitudes = mel_magnitudes(torch.from_numpy(waveform), SMALL).numpy()
    np.testing.assert_allclose(magnitudes[0] * 2**15, expected, rtol=2e-4, atol=0.05)
    image = to_image(magnitudes, SMALL)
    assert (image.mode, image.size) == ("RGB", (51, 48))
    pixels = np.asarray(image)
    assert (pixels[..., 0] == pixels[..., 1]).all()
    assert (pixels[..., 0] == pixels[..., 2]).all()
    wanted = np.floor(255 - 255 * (expected / expected.max()) ** 0.25)[::-1]
    difference = np.abs(pixels[..., 0].astype(int) - wanted)
    assert difference.max() <= 1
    assert (difference == 0).mean() > 0.99
    assert pixels.min() == 0


def test_the_exif_tags_are_riffusions_and_no_others(tmp_path: Path) -> None:
    magnitudes = mel_magnitudes(torch.from_numpy(noise()), SMALL).numpy()
    save_image(to_image(magnitudes, SMALL), tmp_path / "a.png")
    exif = Image.open(tmp_path / "a.png").getexif()
    max_value = exif[11080]
    assert max_value == pytest.approx(2**15 * magnitudes.max(), rel=1e-6)
    assert dict(exif) == {
        11000: 8000,
        11005: 0,
        11010: 10,
        11020: 50,
        11030: 100,
        11040: 48,
        11050: 0,
        11060: 4000,
        11070: 0.25,
        11080: max_value,
    }
    assert params_of(open_image(tmp_path / "a.png")) == (SMALL, max_value)


@pytest.mark.parametrize("stereo", [False, True])
def test_an_image_of_riffusions_own_decodes(tmp_path: Path, stereo: bool) -> None:
    waveforms = noise(channels=2)
    magnitudes = np.stack([by_numpy(channel) for channel in waveforms])[: 1 + stereo]
    written_by_riffusion(magnitudes, tmp_path / "theirs.png", stereo)
    found, params = from_image(open_image(tmp_path / "theirs.png"))
    assert params.stereo == stereo
    assert found.shape == magnitudes.shape
    # The eight bits cut off up to one step of 255 of the fourth root.
    root, wanted = (np.power(x / magnitudes.max(), 0.25) for x in (found * 2**15, magnitudes))
    assert (root - wanted).min() > -1e-4
    assert (root - wanted).max() < 1.01 / 255
    # Encoded again it is the same image.
    again = to_image(found, params)
    assert np.abs(np.asarray(again).astype(int) - np.asarray(Image.open(tmp_path / "theirs.png"))).max() <= 1


def test_level_and_silence_survive(tmp_path: Path) -> None:
    levels = []
    for name, gain in (("loud", 1.0), ("quiet", 0.01), ("silent", 0.0)):
        magnitudes = mel_magnitudes(torch.from_numpy(gain * noise()), SMALL).numpy()
        save_image(to_image(magnitudes, SMALL), tmp_path / f"{name}.png")
        found, _ = from_image(open_image(tmp_path / f"{name}.png"))
        levels.append(float(np.sqrt((found**2).sum())))
        assert levels[-1] == pytest.approx(np.sqrt((magnitudes**2).sum()), rel=0.03)
    assert 20 * np.log10(levels[1] / levels[0]) == pytest.approx(-40.0, abs=0.05)
    assert levels[2] == 0
    assert (np.asarray(Image.open(tmp_path / "silent.png")) == 255).all()


def test_stereo_is_in_green_and_blue() -> None:
    params = SpectrogramParams(**{**vars(SMALL), "stereo": True})
    magnitudes = mel_magnitudes(torch.from_numpy(noise(channels=2) * np.float32([[1.0], [0.1]])), params).numpy()
    pixels = np.asarray(to_image(magnitudes, params))
    assert not pixels[..., 0].any()
    assert pixels[..., 1].mean() < pixels[..., 2].mean()  # white is silence
    found, _ = from_image(to_image(magnitudes, params))
    assert np.sqrt((found[1] ** 2).sum() / (found[0] ** 2).sum()) == pytest.approx(0.1, rel=0.05)


def test_grey_images_and_given_parameters(tmp_path: Path) -> None:
    written_by_riffusion(by_numpy(noise()[0])[None], tmp_path / "bare.png", tags=False)
    grey = Image.open(tmp_path / "bare.png").convert("L")
    found, params = from_image(grey, SMALL)
    assert params == SMALL
    assert found.max() == pytest.approx(DEFAULT_MAX_VALUE / 2**15)
    assert from_image(grey, SMALL, max_value=100.0)[0].max() == pytest.approx(100 / 2**15)


def test_sound_shorter_than_a_window_is_padded() -> None:
    assert mel_magnitudes(torch.ones(1, 10), SMALL).shape == (1, 48, 6)


def bare(height: int = 48, **tags: object) -> Image.Image:
    image = Image.fromarray(np.zeros((height, 5, 3), np.uint8))
    values = SMALL.to_exif() | {int(ExifTag.MAX_VALUE): 10.0}
    if tags != {"none": True}:
        image.getexif().update(values | {ExifTag[name]: value for name, value in tags.items()})
    return image


def foreign() -> Image.Image:
    image = bare(none=True)
    image.getexif()[0x010F] = "Camera"
    return image


def without(name: str) -> Image.Image:
    image = bare()
    del image.getexif()[ExifTag[name]]
    return image


@pytest.mark.parametrize(
    ("image", "line"),
    [
        (bare(none=True), "image: found no EXIF, wanted a spectrogram image with Riffusion's parameters"),
        (foreign(), "image: found EXIF without tag 11000 (SAMPLE_RATE), wanted a spectrogram image with Riffusion's"),
        (bare(height=47), "image: found an image of 47 rows, wanted 48, its num_frequencies"),
        (without("STEP_SIZE_MS"), "image: EXIF tag 11010 (STEP_SIZE_MS): found None, wanted a number"),
        (bare(NUM_FREQUENCIES="many"), "image: EXIF tag 11040 (NUM_FREQUENCIES): found 'many', wanted a number"),
        (bare(POWER_FOR_IMAGE=0.0), "image: power_for_image: found 0.0, wanted more than 0"),
        (bare(MAX_VALUE=-1.0), "image: EXIF tag 11080 (MAX_VALUE): found -1.0, wanted 0 to 1e+15"),
        (bare(MAX_FREQUENCY=0), "image: min_frequency, max_frequency: found 0, 0, wanted 0 <= min < max"),
        (
            bare(STEP_SIZE_MS=60),
            "image: step_size_ms, window_duration_ms, padded_duration_ms: found 60, 50, 100, wanted",
        ),
        (bare(TRIPLE_RES_MONO=1), "image: EXIF tag 11007 (TRIPLE_RES_MONO): found true, wanted false"),
    ],
)
def test_a_wrong_image_is_told_in_a_line(image: Image.Image, line: str) -> None:
    with pytest.raises(StudyError) as error:
        from_image(image)
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)


def test_a_spectrogram_of_other_bands_or_channels_is_refused() -> None:
    with pytest.raises(StudyError, match=r"spectrogram: found \(2, 48\) channels and bands, wanted \(1, 48\)"):
        to_image(np.ones((2, 48, 5)), SMALL)


def test_an_image_without_a_maximum_takes_riffusions() -> None:
    assert params_of(without("MAX_VALUE"))[1] == DEFAULT_MAX_VALUE
