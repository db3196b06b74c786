"""Windows of the music to learn from: images that are right, draws that repeat."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny_stylizer import IMAGE, write_music

from soundaug.images.sound import image_of
from soundaug.music import PIECES, read_pieces
from soundaug.running.errors import StudyError
from soundaug.stylizer.dataset import WindowParts, draw_windows
from soundaug.stylizer.windows import ImageFormat


def test_windows_are_parts_of_their_pieces(tmp_path: Path) -> None:
    write_music(tmp_path)
    pieces = read_pieces(tmp_path / PIECES)
    windows = draw_windows(tmp_path, pieces, IMAGE, 3, 0)
    assert len(windows) == 3 * len(pieces)
    assert windows.pixels.shape == (len(windows), IMAGE.num_frequencies, IMAGE.width)
    assert windows.captions[:3] == [pieces[0].captions] * 3
    assert [windows.styles[index] for index in (0, 3)] == [pieces[0].style, pieces[1].style]
    form = ImageFormat.of(IMAGE, 1.0)
    samples, _ = soundfile.read(tmp_path / pieces[0].file, dtype="float32")
    start = np.random.default_rng([0, *pieces[0].file.encode()]).integers(0, len(samples) - form.window_samples + 1, 3)[
        0
    ]
    image = image_of(samples[None, start : start + form.window_samples], form.params)
    assert (windows.pixels[0] == np.asarray(image)[..., 0]).all()
    images = windows[torch.tensor([0, 4])]
    assert images.shape == (2, 3, IMAGE.num_frequencies, IMAGE.width)
    assert images[0, 2].numpy() == pytest.approx(windows.pixels[0] / 127.5 - 1, abs=1e-6)
    assert windows.max_value > 0


def test_the_seed_and_the_piece_decide_the_windows(tmp_path: Path) -> None:
    write_music(tmp_path)
    pieces = read_pieces(tmp_path / PIECES)
    all_of_them = draw_windows(tmp_path, pieces, IMAGE, 2, 0).pixels
    assert (draw_windows(tmp_path, pieces[1:], IMAGE, 2, 0).pixels == all_of_them[2:]).all()
    assert not (draw_windows(tmp_path, pieces, IMAGE, 2, 1).pixels == all_of_them).all()


def test_short_pieces_are_padded_and_missing_ones_told(tmp_path: Path) -> None:
    write_music(tmp_path)
    piece = read_pieces(tmp_path / PIECES)[0]
    soundfile.write(tmp_path / piece.file, 0.1 * np.ones(200), IMAGE.sample_rate)
    assert (draw_windows(tmp_path, [piece], IMAGE, 1, 0).pixels[0, :, -10:] == 255).all()
    with pytest.raises(StudyError, match=r"gone\.flac: not there, wanted audio made by fetch_music"):
        draw_windows(tmp_path, [replace(piece, file="gone.flac")], IMAGE, 1, 0)
    with pytest.raises(StudyError, match="found no pieces"):
        draw_windows(tmp_path, [], IMAGE, 1, 0)


def test_parts_of_windows_are_their_columns_one_after_another(tmp_path: Path) -> None:
    write_music(tmp_path)
    windows = draw_windows(tmp_path, read_pieces(tmp_path / PIECES), IMAGE, 2, 0)
    parts = WindowParts(windows, 4)
    assert len(parts) == 4 * len(windows)
    made = parts[torch.tensor([7, 8, 2])]
    for image, (window, start) in zip(made, ((1, 24), (2, 0), (0, 16)), strict=True):
        assert torch.equal(image, windows[torch.tensor([window])][0, :, :, start : start + 8])
