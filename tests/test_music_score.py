"""Notes on paper: swing, counts, and the prelude by Bach against its score."""

import pytest

from soundaug.music.bach import BARS, TEMPO, pitch_of, prelude
from soundaug.music.score import Note, Part, Score, pitch_class_counts, swung

C, D, E, F, G, A, B = 0, 2, 4, 5, 7, 9, 11


def test_names_of_pitches() -> None:
    assert [pitch_of(name) for name in ("C4", "A4", "F#4", "Bb3", "C2")] == [60, 69, 66, 58, 36]


def test_a_score_lasts_its_beats_at_its_tempo() -> None:
    assert Score(90.0, 6.0, ()).seconds == pytest.approx(4.0)


def test_swing_moves_the_second_eighth_and_nothing_on_the_beat() -> None:
    notes = [Note(onset, 0.5, 60, 80) for onset in (0.0, 0.25, 0.5, 1.0, 1.5, 1.75)]
    assert [note.onset for note in swung(notes, 2 / 3)] == pytest.approx([0, 1 / 3, 2 / 3, 1, 5 / 3, 11 / 6])
    assert swung(notes, 0.5) == notes


def test_drums_have_no_pitch_class() -> None:
    part = Part(0, (Note(0, 1, 36, 80),), is_drum=True)
    assert sum(pitch_class_counts([part])) == 0
    assert pitch_class_counts([Part(0, part.notes)])[C] == 1


def test_the_preludes_first_four_bars_have_the_pitches_of_the_score() -> None:
    # C major; D minor seventh on C; G dominant seventh on B; C major: sixteen sixteenths each.
    bars = [prelude(bars).parts[0].notes for bars in (1, 2, 3, 4)]
    counts = [pitch_class_counts([Part(0, bars[i][len(bars[i - 1]) if i else 0 :])]) for i in range(4)]
    c_major = {C: 6, E: 6, G: 4}
    assert [{pc: n for pc, n in enumerate(bar) if n} for bar in counts] == [
        c_major,
        {C: 2, D: 6, A: 4, F: 4},
        {B: 2, D: 6, G: 4, F: 4},
        c_major,
    ]


def test_the_preludes_first_bar_note_by_note() -> None:
    first = sorted(prelude(1).parts[0].notes)
    assert [note.pitch for note in first] == [60, 64, 67, 72, 76, 67, 72, 76] * 2
    assert [note.onset for note in first] == [0.25 * n for n in range(16)]
    assert [note.beats for note in first[:3]] == [2.0, 1.75, 0.25]


def test_the_whole_prelude() -> None:
    score = prelude()
    assert (BARS, score.beats, score.tempo) == (35, 140.0, TEMPO)
    notes = score.parts[0].notes
    assert len(notes) == 32 * 16 + 2 * 16 + 5
    assert {note.pitch for note in notes if note.onset == 136.0} == {36, 48, 64, 67, 72}
    # A pedal on G from bar 24 to 31, then on C to the end.
    lowest = [min(n.pitch for n in notes if 4 * bar <= n.onset < 4 * bar + 4) for bar in range(23, 35)]
    assert lowest == [43] * 8 + [36] * 4
    assert max(note.onset + note.beats for note in notes) == 140.0
