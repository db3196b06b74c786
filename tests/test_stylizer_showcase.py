"""What is made is on the disk, judged, and the same again."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_stylizer import CAPTIONS, RATE, sound, write_model, write_music

from soundaug.images.files import open_image
from soundaug.images.riffusion import params_of
from soundaug.music import PIECES, read_pieces
from soundaug.params import Stylize
from soundaug.stylizer.chroma import chroma_of, chroma_similarity
from soundaug.stylizer.model import StylizerModel, load_stylizer
from soundaug.stylizer.showcase import Showcase
from soundaug.stylizer.style import StyleClassifier, train_style_classifier
from soundaug.stylizer.tunes import Restyling, Tune

SETTINGS = Stylize(
    model=None,
    prompts=["church organ"],
    strengths=[0.5, 1.0],
    strength=0.5,
    negative_prompt="",
    samples=2,
    judge_steps=30,
    guidance=2.0,
    sampler="ddim",
    steps=2,
    overlap=0.25,
    batch_size=2,
    iterations=2,
    precision="float32",
)
WAVEFORM = sound("church_organ", np.random.default_rng(3), 1.0).astype(np.float32)
CHROMA = chroma_of(WAVEFORM, RATE)
BACH = Tune("bach", "church_organ", WAVEFORM, CHROMA, [])


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> StyleClassifier:
    music = tmp_path_factory.mktemp("music")
    write_music(music)
    return train_style_classifier(music, read_pieces(music / PIECES), SETTINGS.judge_steps, 0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> StylizerModel:
    folder = tmp_path_factory.mktemp("models") / "stylizer"
    write_model(folder)
    return load_stylizer(folder)


@pytest.fixture
def showcase(tmp_path: Path, model: StylizerModel, judge: StyleClassifier) -> Showcase:
    return Showcase(tmp_path, model, judge, SETTINGS, 7)


def read(folder: Path, file: str) -> np.ndarray:
    samples, rate = soundfile.read(folder / file, dtype="float32")
    assert rate == RATE
    return np.asarray(samples)


def test_sounds_of_texts(showcase: Showcase, judge: StyleClassifier) -> None:
    asked = [(style, prompt) for style, captions in CAPTIONS.items() for prompt in captions]
    rows = showcase.from_text(asked)
    assert [row.file for row in rows[:2]] == ["text/chiptune_seed7.flac", "text/fast_chiptune_seed8.flac"]
    for row in rows:
        waveform = read(showcase.folder, row.file)
        assert row.heard == judge.style_of(waveform, RATE)
        assert params_of(open_image((showcase.folder / row.file).with_suffix(".png")))[1] == 3e5
    assert not np.array_equal(read(showcase.folder, rows[0].file), read(showcase.folder, rows[1].file))


def test_sounds_of_a_tune_by_strength(showcase: Showcase) -> None:
    other = Tune("a", "chiptune", WAVEFORM[:4000], CHROMA, [CHROMA])
    rows = showcase.restyled("piece", [Restyling(BACH, "organ: a/b", None), Restyling(other, "chiptune", "chiptune")])
    assert [row.file for row in rows] == [
        "piece/bach/organ_a_b_0.5.flac",
        "piece/a/chiptune_0.5.flac",
        "piece/bach/organ_a_b_1.flac",
        "piece/a/chiptune_1.flac",
    ]
    assert [(row.seed, row.source, row.strength) for row in rows] == [
        (7, "bach", 0.5),
        (8, "a", 0.5),
        (7, "bach", 1.0),
        (8, "a", 1.0),
    ]
    for row, tune in zip(rows, [BACH, other] * 2, strict=True):
        waveform = read(showcase.folder, row.file)
        assert len(waveform) == len(tune.waveform)
        assert row.chroma_similarity == pytest.approx(chroma_similarity(chroma_of(waveform, RATE), CHROMA), abs=0.02)
    assert rows[0].chroma_similarity_to_others is None
    assert rows[1].chroma_similarity_to_others == rows[1].chroma_similarity


def test_the_original_is_as_it_was(showcase: Showcase) -> None:
    row = showcase.original(BACH)
    assert (row.file, row.heard, row.source) == ("original/bach.flac", "church_organ", "bach")
    assert read(showcase.folder, row.file) == pytest.approx(BACH.waveform, abs=1e-4)
    assert open_image(showcase.folder / "original/bach.png").width == 1 + len(BACH.waveform) // 80


def test_what_is_lost_without_restyling(showcase: Showcase, monkeypatch: pytest.MonkeyPatch) -> None:
    """An untrained autoencoder loses the tune; one that gives the image back keeps it."""
    lost = showcase.ceiling([BACH])
    monkeypatch.setattr("soundaug.stylizer.sound.autoencoded", lambda model, images, sampling: list(images))
    kept = showcase.ceiling([BACH])
    assert kept["reconstruction_style_accuracy"] == 1
    assert lost["reconstruction_chroma_similarity"] < kept["reconstruction_chroma_similarity"]
