"""The Prelude in C major, BWV 846, of J. S. Bach's Well-Tempered Clavier (1722): in the public domain."""

from soundaug.music.score import Note, Part, Score

TITLE = "J. S. Bach, Prelude in C major, BWV 846"
TEMPO = 72  # quarter notes a minute
PIANO = 0

# A line a bar: two notes that are held, then three above them; each half of the bar plays them in sixteenths as
# 1 2 3 4 5 3 4 5. # and b follow the note's letter; C4 is middle C.
BROKEN_CHORDS = """
C4 E4 G4 C5 E5
C4 D4 A4 D5 F5
B3 D4 G4 D5 F5
C4 E4 G4 C5 E5
C4 E4 A4 E5 A5
C4 D4 F#4 A4 D5
B3 D4 G4 D5 G5
B3 C4 E4 G4 C5
A3 C4 E4 G4 C5
D3 A3 D4 F#4 C5
G3 B3 D4 G4 B4
G3 Bb3 E4 G4 C#5
F3 A3 D4 A4 D5
F3 Ab3 D4 F4 B4
E3 G3 C4 G4 C5
E3 F3 A3 C4 F4
D3 F3 A3 C4 F4
G2 D3 G3 B3 F4
C3 E3 G3 C4 E4
C3 G3 Bb3 C4 E4
F2 F3 A3 C4 E4
F#2 C3 A3 C4 Eb4
Ab2 F3 B3 C4 D4
G2 F3 G3 B3 D4
G2 E3 G3 C4 E4
G2 D3 G3 C4 F4
G2 D3 G3 B3 F4
G2 Eb3 A3 C4 F#4
G2 E3 G3 C4 G4
G2 D3 G3 C4 F4
G2 D3 G3 B3 F4
C2 C3 G3 Bb3 E4
"""
# The last bars but one: a held note each, then fifteen sixteenths; the chord of the last bar.
RUNS = """
C2 C3 F3 A3 C4 F4 C4 A3 C4 A3 F3 A3 F3 D3 F3 D3
C2 B2 G4 B4 D5 F5 D5 B4 D5 B4 G4 B4 D4 F4 E4 D4
"""
LAST_CHORD = "C2 C3 E4 G4 C5"
BARS = len(BROKEN_CHORDS.split("\n")[1:-1]) + len(RUNS.split("\n")[1:-1]) + 1

_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_SIXTEENTH = 0.25  # beats


def pitch_of(name: str) -> int:
    """MIDI's number of a note such as F#4 or Bb3."""
    accidental = {"#": 1, "b": -1}.get(name[1:-1], 0)
    return 12 * (int(name[-1]) + 1) + _LETTERS[name[0]] + accidental


def prelude(bars: int = BARS) -> Score:
    """The first ``bars`` of the prelude, at most BARS, for a piano."""
    notes: list[Note] = []
    lines = [*BROKEN_CHORDS.split("\n")[1:-1], *RUNS.split("\n")[1:-1], LAST_CHORD][:bars]
    for bar, line in enumerate(lines):
        pitches = [pitch_of(name) for name in line.split()]
        start = 4.0 * bar
        if bar == BARS - 1:
            notes += [Note(start, 4.0, pitch, 60) for pitch in pitches]
        elif len(pitches) == 5:
            notes += _half(start, pitches) + _half(start + 2, pitches)
        else:
            notes += [Note(start, 4.0, pitches[0], 66), Note(start + _SIXTEENTH, 3.75, pitches[1], 62)]
            notes += [Note(start + _SIXTEENTH * i, _SIXTEENTH, p, 68) for i, p in enumerate(pitches[2:], 2)]
    return Score(TEMPO, 4.0 * len(lines), (Part(PIANO, tuple(notes)),))


def _half(start: float, pitches: list[int]) -> list[Note]:
    """Half a bar: two held notes, then six sixteenths above them, the highest a little louder."""
    held = [Note(start, 2.0, pitches[0], 72), Note(start + _SIXTEENTH, 1.75, pitches[1], 64)]
    upper = [pitches[index] for index in (2, 3, 4, 2, 3, 4)]
    return held + [
        Note(start + _SIXTEENTH * place, _SIXTEENTH, pitch, 78 if pitch == pitches[4] else 66)
        for place, pitch in enumerate(upper, 2)
    ]
