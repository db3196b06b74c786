"""Which style a sound is of: on styles that are easy to tell apart."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_stylizer import RATE, sound, write_music

from soundaug.music import PIECES, read_pieces
from soundaug.running.errors import StudyError
from soundaug.stylizer.style import FEATURES, StyleClassifier, clips_of, train_style_classifier

STEPS = 30


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("music")
    write_music(folder)
    return folder


@pytest.fixture(scope="module")
def judge(music: Path) -> StyleClassifier:
    return train_style_classifier(music, read_pieces(music / PIECES), STEPS, 0)


def test_styles_are_told_on_tunes_never_heard(judge: StyleClassifier) -> None:
    rng = np.random.default_rng(5)
    assert judge.styles == ["chiptune", "church_organ"]
    assert judge.accuracy == 1
    for style in judge.styles:
        waveform = sound(style, rng).astype(np.float32)
        assert judge.style_of(waveform, RATE) == style
        assert judge.style_of(np.repeat(waveform, 2), 2 * RATE) == style
        assert judge.probabilities(waveform, RATE).sum() == pytest.approx(1)


def test_it_learns_from_held_out_pieces_and_is_checked_on_the_others(music: Path) -> None:
    """With the styles of the training pieces swapped, nothing of them is told right."""
    names = {"chiptune": "church_organ", "church_organ": "chiptune"}
    pieces = [
        replace(piece, style=names[piece.style]) if piece.split == "train" else piece
        for piece in read_pieces(music / PIECES)
    ]
    assert train_style_classifier(music, pieces, STEPS, 0).accuracy == 0


def test_a_split_without_pieces_is_told(music: Path) -> None:
    pieces = [piece for piece in read_pieces(music / PIECES) if piece.split == "train"]
    with pytest.raises(StudyError, match="found no pieces of the split held_out"):
        train_style_classifier(music, pieces, STEPS, 0)
    with pytest.raises(StudyError, match=r"gone\.flac: not there"):
        train_style_classifier(music, [replace(pieces[0], file="gone.flac", split="held_out")], STEPS, 0)


def test_clips_one_after_another() -> None:
    waveform = np.arange(70000, dtype=np.float32)
    assert FEATURES.n_samples == 32000
    assert (clips_of(waveform) == waveform[:64000].reshape(2, 32000)).all()
    assert (clips_of(waveform[:10])[0, 10:] == 0).all()
