"""Which style a sound is of, and the figures of what was made: on styles that are easy to tell apart."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny import tiny_params
from tiny_stylizer import RATE, sound, write_model, write_music

from soundaug.errors import StudyError
from soundaug.music import PIECES, read_pieces
from soundaug.params import Stylize
from soundaug.stylizer.model import load_stylizer
from soundaug.stylizer.showcase import Row, accuracy, from_text, restyled, write_figures
from soundaug.stylizer.style import StyleClassifier, clips_of, train_style_classifier

PARAMS = tiny_params()
SETTINGS = Stylize(
    model=None,
    prompts=["church organ", "fast organ music"],
    strengths=[0.5, 1.0],
    negative_prompt="",
    samples=2,
    guidance=2.0,
    steps=2,
    overlap=0.25,
    batch_size=2,
    iterations=2,
)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("music")
    write_music(folder)
    return folder


@pytest.fixture(scope="module")
def judge(music: Path) -> StyleClassifier:
    pieces = read_pieces(music / PIECES)
    return train_style_classifier(music, pieces, PARAMS.features, PARAMS.training, PARAMS.classifier, 0)


def test_styles_are_told_on_tunes_never_heard(judge: StyleClassifier) -> None:
    rng = np.random.default_rng(5)
    assert judge.styles == ["chiptune", "church_organ"]
    assert judge.held_out_accuracy == 1
    for style in judge.styles:
        waveform = sound(style, rng).astype(np.float32)
        assert judge.style_of(waveform, RATE) == style
        assert judge.style_of(np.repeat(waveform, 2), 2 * RATE) == style
        assert judge.probabilities(waveform, RATE).sum() == pytest.approx(1)


def test_a_split_without_pieces_is_told(music: Path) -> None:
    pieces = [piece for piece in read_pieces(music / PIECES) if piece.split == "train"]
    with pytest.raises(StudyError, match="found no pieces of the split held_out"):
        train_style_classifier(music, pieces, PARAMS.features, PARAMS.training, PARAMS.classifier, 0)
    with pytest.raises(StudyError, match=r"gone\.flac: not there"):
        train_style_classifier(
            music, [replace(pieces[0], file="gone.flac")], PARAMS.features, PARAMS.training, PARAMS.classifier, 0
        )


def test_clips_one_after_another() -> None:
    waveform = np.arange(9000, dtype=np.float32)
    assert (clips_of(waveform, PARAMS.features) == waveform[:8000].reshape(2, 4000)).all()
    assert (clips_of(waveform[:10], PARAMS.features)[0, 10:] == 0).all()


def test_accuracy_counts_what_was_asked_for_a_style() -> None:
    row = Row("a.flac", "a.png", "organ", "church_organ", "church_organ", 0, "", "", "")
    assert accuracy([row, replace(row, heard="chiptune"), replace(row, style="")]) == 0.5
    assert accuracy([replace(row, style="")]) is None


def test_what_is_made_is_on_the_disk_and_in_the_table(music: Path, judge: StyleClassifier, tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    model = load_stylizer(tmp_path / "model")
    styles = {"chiptune": "chiptune", "church_organ": "church organ"}
    bach, _ = soundfile.read(music / "bach.flac", dtype="float32")
    rows = from_text(tmp_path, model, styles, SETTINGS, 7, judge)
    rows += restyled(tmp_path, model, bach[None], [bach[::-1]], styles, SETTINGS, 7, judge)
    summary = write_figures(tmp_path, rows, judge)
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    with (tmp_path / "sounds.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["file"] for row in table[:2]] == ["text/chiptune_seed7.flac", "text/chiptune_seed8.flac"]
    assert [(row["prompt"], row["style"], row["strength"]) for row in table[4:]] == [
        ("church organ", "church_organ", "0.5"),
        ("church organ", "church_organ", "1.0"),
        ("fast organ music", "", "0.5"),
        ("fast organ music", "", "1.0"),
    ]
    for row in table:
        assert soundfile.info(tmp_path / row["file"]).samplerate == RATE
        assert (tmp_path / row["image"]).is_file()
        assert row["heard"] in judge.styles
    assert soundfile.info(tmp_path / table[-1]["file"]).frames == len(bach)
    mean = np.mean([float(row["chroma_similarity"]) for row in table[4:]])
    assert summary["chroma_similarity"] == pytest.approx(mean, abs=1e-6)
    assert summary["style_accuracy"] == np.mean([row["heard"] == row["style"] for row in table[:4]])
    with (tmp_path / "curve.csv").open() as file:
        curve = list(csv.DictReader(file))
    assert [row["strength"] for row in curve] == ["0.5", "1.0"]
