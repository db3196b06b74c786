"""Tunes with their chords, drawn from a seed: what an arrangement in any style is made of."""

from dataclasses import dataclass

import numpy as np

from soundaug.music.score import Note

MODES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
NOTE_NAMES = ("C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B")
BEATS_A_BAR = 4

# Degrees of the scale, a chord a bar.
PROGRESSIONS = {
    "major": ((1, 5, 6, 4), (1, 6, 4, 5), (1, 4, 2, 5), (6, 4, 1, 5), (1, 3, 4, 5), (1, 4, 6, 5)),
    "minor": ((1, 6, 3, 7), (1, 4, 7, 3), (1, 7, 6, 5), (1, 4, 6, 5), (1, 6, 4, 5), (1, 3, 6, 5)),
}
# Onsets of the melody's notes within a bar, in beats; the last of each lasts to the bar's end.
RHYTHMS: tuple[tuple[float, ...], ...] = (
    (0.0, 1.0, 2.0, 3.0),
    (0.0, 1.5, 2.0, 3.0),
    (0.0, 0.5, 1.0, 2.0, 3.0),
    (0.0, 1.0, 1.5, 2.0, 3.0, 3.5),
    (0.0, 0.5, 1.0, 1.5, 2.0),
    (0.0, 1.5, 3.0),
    (0.0, 2.0, 2.5, 3.0, 3.5),
)
MELODY_RANGE = (67, 84)  # MIDI pitches


@dataclass(frozen=True)
class Chord:
    """A seventh chord on a degree of the scale: pitch classes of root, third, fifth and seventh."""

    pitch_classes: tuple[int, int, int, int]

    def voiced(self, low: int, notes: int = 3) -> list[int]:
        """Its first ``notes`` pitch classes as the closest pitches from ``low`` on, ascending."""
        return sorted(low + (pitch_class - low) % 12 for pitch_class in self.pitch_classes[:notes])

    def root(self, low: int) -> int:
        """Its root as the lowest pitch from ``low`` on."""
        return low + (self.pitch_classes[0] - low) % 12


@dataclass(frozen=True)
class Composition:
    """A tune in four-four time with a chord a bar."""

    tonic: int  # pitch class
    mode: str  # major | minor
    tempo: int  # beats a minute
    chords: tuple[Chord, ...]
    melody: tuple[Note, ...]

    @property
    def bars(self) -> int:
        """How many there are."""
        return len(self.chords)

    @property
    def beats(self) -> float:
        """Length."""
        return float(BEATS_A_BAR * self.bars)

    @property
    def key(self) -> str:
        """Its name, such as E flat major."""
        return f"{NOTE_NAMES[self.tonic]} {self.mode}"


def compose(rng: np.random.Generator, bars: int, tempo: tuple[float, float]) -> Composition:
    """A composition of ``bars`` bars with a tempo between two; every draw from ``rng``.

    It ends on the tonic. Every second bar takes up the first one's rhythm.
    """
    tonic = int(rng.integers(12))
    mode = str(rng.choice(list(MODES)))
    progression = PROGRESSIONS[mode][rng.integers(len(PROGRESSIONS[mode]))]
    degrees = [progression[bar % len(progression)] for bar in range(bars - 1)] + [1]
    chords = tuple(_chord(tonic, mode, degree) for degree in degrees)
    first, second = (RHYTHMS[index] for index in rng.choice(len(RHYTHMS), 2, replace=False))
    rhythms: list[tuple[float, ...]] = [first if bar % 2 == 0 else second for bar in range(bars - 1)] + [(0.0,)]
    beats_a_minute = int(rng.integers(round(tempo[0]), round(tempo[1]) + 1))
    return Composition(tonic, mode, beats_a_minute, chords, tuple(_melody(rng, tonic, mode, chords, rhythms)))


def _chord(tonic: int, mode: str, degree: int) -> Chord:
    scale = MODES[mode]
    classes = [(tonic + scale[(degree - 1 + 2 * third) % 7]) % 12 for third in range(4)]
    if mode == "minor" and degree == 5:  # the leading note, which makes it a dominant
        classes[1] = (tonic + 11) % 12
    return Chord((classes[0], classes[1], classes[2], classes[3]))


def _melody(
    rng: np.random.Generator, tonic: int, mode: str, chords: tuple[Chord, ...], rhythms: list[tuple[float, ...]]
) -> list[Note]:
    """Steps of the scale, a note of the chord on the first and third beat, the tonic at the end."""
    low, high = MELODY_RANGE
    scale = [p for p in range(low, high + 1) if (p - tonic) % 12 in MODES[mode]]
    at = int(rng.integers(len(scale) // 4, 3 * len(scale) // 4))
    notes = []
    for bar, (chord, rhythm) in enumerate(zip(chords, rhythms, strict=True)):
        for onset, end in zip(rhythm, (*rhythm[1:], float(BEATS_A_BAR)), strict=True):
            at = int(np.clip(at + rng.choice([-2, -1, -1, 1, 1, 2]), 0, len(scale) - 1))
            pitch = scale[at]
            if onset in (0.0, 2.0):
                wanted = {tonic} if bar == len(chords) - 1 else set(chord.pitch_classes[:3])
                pitch = min((p for p in range(low, high + 1) if p % 12 in wanted), key=lambda p: abs(p - scale[at]))
                at = int(np.argmin([abs(p - pitch) for p in scale]))
            velocity = int(rng.integers(80, 97)) + (8 if onset == 0.0 else 0)
            notes.append(Note(BEATS_A_BAR * bar + onset, 0.95 * (end - onset), pitch, velocity))
    return notes
