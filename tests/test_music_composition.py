"""Compositions: what every style shares, and that they spread over keys, tempi and tunes."""

import numpy as np
import pytest

from soundaug.music.composition import MELODY_RANGE, MODES, Chord, Composition, compose


def composed(seed: int, bars: int = 6) -> Composition:
    return compose(np.random.default_rng(seed), bars, (84.0, 132.0))


def test_a_chord_is_voiced_from_its_lowest_pitch_on() -> None:
    g7 = Chord((7, 11, 2, 5))
    assert g7.voiced(60) == [62, 67, 71]
    assert g7.voiced(60, 4) == [62, 65, 67, 71]
    assert (g7.root(36), g7.root(44)) == (43, 55)


@pytest.mark.parametrize("seed", range(8))
def test_a_tune_is_in_its_key_and_ends_on_the_tonic(seed: int) -> None:
    piece = composed(seed)
    scale = {(piece.tonic + step) % 12 for step in MODES[piece.mode]} | {(piece.tonic + 11) % 12}
    assert {note.pitch % 12 for note in piece.melody} <= scale
    assert {pitch_class for chord in piece.chords for pitch_class in chord.pitch_classes} <= scale
    assert piece.melody[-1].pitch % 12 == piece.chords[-1].pitch_classes[0] == piece.tonic
    assert all(MELODY_RANGE[0] <= note.pitch <= MELODY_RANGE[1] for note in piece.melody)
    for note in piece.melody:
        if note.onset % 4 in (0.0, 2.0):
            assert note.pitch % 12 in piece.chords[int(note.onset // 4)].pitch_classes
    assert piece.melody[-1].onset == piece.beats - 4
    assert len({note.pitch for note in piece.melody}) >= 4


def test_a_minor_dominant_has_the_leading_note() -> None:
    for seed in range(60):
        piece = composed(seed)
        for chord in piece.chords:
            if piece.mode == "minor" and chord.pitch_classes[0] == (piece.tonic + 7) % 12:
                assert chord.pitch_classes[1] == (piece.tonic + 11) % 12
                return
    raise AssertionError("no dominant in sixty compositions")


def test_bars_alternate_two_rhythms() -> None:
    piece = composed(3, 7)
    bars = [[note.onset % 4 for note in piece.melody if note.onset // 4 == bar] for bar in range(7)]
    assert bars[0] == bars[2] == bars[4]
    assert bars[1] == bars[3] == bars[5] != bars[0]
    assert bars[6] == [0.0]


def test_compositions_spread_over_keys_and_tempi() -> None:
    pieces = [composed(seed) for seed in range(100)]
    assert len({piece.tonic for piece in pieces}) == 12
    assert 35 <= sum(piece.mode == "minor" for piece in pieces) <= 65
    tempi = [piece.tempo for piece in pieces]
    assert 84 <= min(tempi) < 90
    assert 126 < max(tempi) <= 132
    assert len({piece.melody for piece in pieces}) == 100
    assert composed(5) == composed(5)


def test_keys_have_names() -> None:
    names = {composed(seed).key for seed in range(40)}
    assert {"E flat minor", "F sharp major"} & names
    assert all(name.split()[-1] in MODES for name in names)
