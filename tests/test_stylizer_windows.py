"""Windows of spectrogram images: where they are, how they are joined, what is written beside a model."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from soundaug.images import riffusion
from soundaug.images.riffusion import SpectrogramParams
from soundaug.running.errors import StudyError
from soundaug.stylizer.windows import (
    FORMAT_FILE,
    ImageFormat,
    joined,
    max_value_of,
    window_starts,
    windows_of,
    with_parameters,
)

PARAMS = SpectrogramParams(
    sample_rate=8000,
    step_size_ms=10,
    window_duration_ms=40,
    padded_duration_ms=80,
    num_frequencies=32,
    max_frequency=4000,
)
FORM = ImageFormat(PARAMS, 32, 2e5)


def sweep(seconds: float, channels: int = 1) -> np.ndarray:
    time = np.arange(int(seconds * 8000)) / 8000
    tone = 0.3 * np.sin(2 * np.pi * (300 + 400 * time) * time) * (0.2 + time)
    return np.repeat(tone[None], channels, axis=0).astype(np.float32)


@pytest.mark.parametrize(
    ("columns", "overlap", "starts"),
    [
        (10, 0.25, [0]),
        (32, 0.25, [0]),
        (33, 0.25, [0, 1]),
        (56, 0.25, [0, 24]),
        (57, 0.25, [0, 12, 25]),
        (64, 0.0, [0, 32]),
    ],
)
def test_windows_cover_the_sound(columns: int, overlap: float, starts: list[int]) -> None:
    assert window_starts(columns, 32, overlap) == starts


@pytest.mark.parametrize("seconds", [0.05, 0.31, 1.0])
def test_windows_join_to_what_they_were_made_of(seconds: float) -> None:
    waveforms = sweep(seconds)
    windows = windows_of(waveforms, FORM, 0.25)
    image = joined(windows, FORM)
    columns = 1 + waveforms.shape[1] // 80
    assert image.width == windows.columns == columns
    assert all(window.size == (32, 32) for window in windows.images)
    padded = np.pad(waveforms, ((0, 0), (0, max(0, 321 - waveforms.shape[1]))))
    wanted = riffusion.mel_magnitudes(torch.from_numpy(padded), PARAMS).numpy()[..., :columns]
    found, _ = riffusion.from_image(image)
    assert np.abs(found - wanted).max() < 0.03 * wanted.max()  # two roundings to 8 bits
    assert max_value_of(image) == pytest.approx(wanted.max() * 2**15, rel=0.02)


def test_levels_of_quiet_windows_survive() -> None:
    waveforms = sweep(1.0)
    waveforms[:, :4000] *= 0.01
    windows = windows_of(waveforms, FORM, 0.0)
    maxima = [max_value_of(image) for image in windows.images]
    assert maxima[0] < 0.05 * maxima[-1]
    magnitudes, _ = riffusion.from_image(joined(windows, FORM))
    assert magnitudes[..., :20].max() == pytest.approx(
        riffusion.from_image(windows.images[0])[0][..., :20].max(), rel=0.3
    )


def test_neighbours_fade_into_each_other() -> None:
    black = with_parameters(Image.new("RGB", (32, 32)), FORM, 2.0**15)
    white = with_parameters(Image.new("RGB", (32, 32), "white"), FORM, 2.0**15)
    windows = replace(windows_of(sweep(0.55), FORM, 0.25), images=[black, white])
    assert windows.starts == [0, 24]
    magnitudes = riffusion.from_image(joined(windows, FORM))[0][0, 0]
    assert (magnitudes[:24] == 1).all()
    assert (magnitudes[32:] == 0).all()
    assert magnitudes[24:32] == pytest.approx(1 - np.arange(1, 9) / 9, abs=0.02)


def test_stereo_is_averaged_or_kept_by_the_model() -> None:
    waveforms = sweep(0.3, channels=2) * np.array([[1.0], [0.0]], np.float32)
    mono = windows_of(waveforms, FORM, 0.0).images[0]
    assert max_value_of(mono) == pytest.approx(
        0.5 * max_value_of(windows_of(waveforms[:1], FORM, 0.0).images[0]), rel=1e-5
    )
    stereo = replace(FORM, params=replace(PARAMS, stereo=True))
    both = np.asarray(windows_of(waveforms, stereo, 0.0).images[0])
    assert (both[..., 2] == 255).all()
    assert (both[..., 1] < 100).any()
    with pytest.raises(StudyError, match="3 channels, wanted one or two"):
        windows_of(sweep(0.3, channels=3), stereo, 0.0)


def test_silence_has_no_maximum() -> None:
    windows = windows_of(np.zeros((1, 4000), np.float32), FORM, 0.25)
    assert [max_value_of(image) for image in windows.images] == [0.0] * len(windows.images)
    assert max_value_of(joined(windows, FORM)) == 0


def test_the_format_beside_a_model(tmp_path: Path) -> None:
    FORM.save(tmp_path)
    assert ImageFormat.load(tmp_path) == FORM
    assert FORM.columns_of(0.32) == 32
    assert FORM.columns_of(0.33) == 40
    assert ImageFormat.load(tmp_path / "another").params == SpectrogramParams()
    assert ImageFormat().window_seconds == pytest.approx(5.12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 12}, "found width 12"),
        ({"sample_rate": "much"}, "found 'much'"),
        ({"step_size_ms": 0}, "step_size_ms: found 0"),
        ({"more": 1}, "wanted stereo, sample_rate"),
    ],
)
def test_a_broken_format_is_told(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    FORM.save(tmp_path)
    path = tmp_path / FORMAT_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(StudyError, match=message):
        ImageFormat.load(tmp_path)
