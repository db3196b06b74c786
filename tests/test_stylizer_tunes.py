"""What a stylizer is tried on: prompts, and tunes out of every other style."""

import numpy as np
import pytest
import soundfile
from tiny_stylizer import RATE

from soundaug.music import MusicPiece
from soundaug.stylizer.tunes import HeldOut

STYLES = ("chiptune", "church_organ", "jazz_trio")


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> HeldOut:
    """Two held-out tunes in three styles, of one tone each, and a training piece that is not there to be read."""
    folder = tmp_path_factory.mktemp("music")
    pieces = []
    for number, style in enumerate(STYLES):
        pieces.append(piece("train", style))
        for tune in range(2):
            (folder / style).mkdir(exist_ok=True)
            hz = 440 * 2 ** (tune / 2)
            tone = 0.1 * (1 + number) * np.sin(2 * np.pi * hz * np.arange(RATE) / RATE)
            soundfile.write(folder / style / f"held_out{tune}.flac", tone, RATE)
            pieces.append(piece(f"held_out{tune}", style, (style.replace("_", " "), f"{style} {tune}")))
    return HeldOut(folder, pieces, RATE)


def piece(name: str, style: str, captions: tuple[str, ...] = ("other words",)) -> MusicPiece:
    split = "train" if name == "train" else "held_out"
    return MusicPiece(f"{style}/{name}.flac", name, style, captions, "C major", 100, 1.0, 0, split)


def test_prompts_are_the_plain_names_first(held_out: HeldOut) -> None:
    prompts = held_out.prompts(4)
    assert prompts[:4] == [
        ("chiptune", "chiptune"),
        ("chiptune", "chiptune 0"),
        ("chiptune", "chiptune 1"),
        ("chiptune", "chiptune"),
    ]
    assert [style for style, _ in prompts[::4]] == list(STYLES)


def test_every_tune_goes_to_every_style_out_of_another(held_out: HeldOut) -> None:
    listed = held_out.restylings(100)
    assert [(one.tune.name, one.style) for one in listed] == [
        ("held_out0_church_organ", "chiptune"),
        ("held_out0_jazz_trio", "church_organ"),
        ("held_out0_chiptune", "jazz_trio"),
        ("held_out1_jazz_trio", "chiptune"),
        ("held_out1_chiptune", "church_organ"),
        ("held_out1_church_organ", "jazz_trio"),
    ]
    assert [one.prompt for one in listed[:2]] == ["chiptune", "church organ"]
    first = listed[0].tune
    assert first.style == "church_organ"
    assert len(first.waveform) == 100
    assert np.abs(first.waveform).max() == pytest.approx(0.2, abs=0.01)  # the style's level
    assert first.chroma.mean(axis=1).argmax() == 9  # A
    (other,) = first.others
    assert other.mean(axis=1).argmax() == 3  # the other tune, D sharp
    assert [tune.name for tune in held_out.tunes(10)][:2] == ["held_out0_chiptune", "held_out0_church_organ"]
    assert len(held_out.chroma_in("jazz_trio")) == 2


def test_the_same_tune_in_another_style_is_alike(held_out: HeldOut) -> None:
    assert held_out.played() == {"played_chroma_similarity": pytest.approx(1, abs=0.01)}
