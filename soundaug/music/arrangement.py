"""What instruments play of a composition: chords held or broken, basses, the melody, drums."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from soundaug.music.composition import BEATS_A_BAR, Composition
from soundaug.music.score import Note, Part

KICK, STICK, SNARE, CLAP, CLOSED_HAT, OPEN_HAT, CRASH, RIDE = 36, 37, 38, 39, 42, 46, 49, 51  # General MIDI's drums


def melody(composition: Composition, octaves: int = 0, softer: int = 0) -> list[Note]:
    """The tune, moved by octaves and ``softer`` by so much velocity."""
    return [
        note._replace(pitch=note.pitch + 12 * octaves, velocity=max(1, note.velocity - softer))
        for note in composition.melody
    ]


def held_chords(
    composition: Composition, low: int, velocity: int, notes: int = 3, onsets: Sequence[float] = (0.0,)
) -> list[Note]:
    """Every bar's chord from the pitch ``low`` on, struck at ``onsets`` and held to the next."""
    found = []
    for bar, chord in enumerate(composition.chords):
        for onset, end in zip(onsets, (*onsets[1:], float(BEATS_A_BAR)), strict=True):
            start = BEATS_A_BAR * bar + onset
            found += [Note(start, 0.98 * (end - onset), pitch, velocity) for pitch in chord.voiced(low, notes)]
    return found


def short_chords(
    composition: Composition, low: int, velocity: int, onsets: Sequence[float], beats: float, notes: int = 3
) -> list[Note]:
    """Every bar's chord from the pitch ``low`` on, struck at ``onsets`` for ``beats`` each."""
    return [note._replace(beats=beats) for note in held_chords(composition, low, velocity, notes, onsets)]


def broken_chords(
    composition: Composition, low: int, velocity: int, order: Sequence[int], step: float, ring: float = 1.0
) -> list[Note]:
    """Every bar's chord, a note each ``step`` beats; ``order`` counts up its notes, three an octave.

    ``ring`` is how many steps a note lasts.
    """
    found = []
    for bar, chord in enumerate(composition.chords):
        pitches = chord.voiced(low)
        for place in range(round(BEATS_A_BAR / step)):
            octave, index = divmod(order[place % len(order)], len(pitches))
            start = BEATS_A_BAR * bar + place * step
            found.append(Note(start, ring * step, pitches[index] + 12 * octave, velocity))
    return found


def bass(composition: Composition, low: int, velocity: int, figure: Iterable[tuple[float, float, int]]) -> list[Note]:
    """The same figure in every bar: (onset, beats, semitones above the chord's root)."""
    return [
        Note(BEATS_A_BAR * bar + onset, beats, chord.root(low) + semitones, velocity)
        for bar, chord in enumerate(composition.chords)
        for onset, beats, semitones in figure
    ]


def walking_bass(composition: Composition, rng: np.random.Generator, low: int, velocity: int) -> list[Note]:
    """A note a beat: root, two notes of the chord, and a semitone beside the next root."""
    found = []
    for bar, chord in enumerate(composition.chords):
        root = chord.root(low)
        following = composition.chords[(bar + 1) % composition.bars].root(low)
        third, fifth = (root + (chord.pitch_classes[index] - root) % 12 for index in (1, 2))
        walk = [root, *((third, fifth) if rng.random() < 0.6 else (fifth, third)), following + int(rng.choice([-1, 1]))]
        found += [Note(BEATS_A_BAR * bar + beat, 0.9, pitch, velocity) for beat, pitch in enumerate(walk)]
    return found


def drums(
    composition: Composition, rng: np.random.Generator, kit: int, pattern: Mapping[int, str], volume: int = 100
) -> Part:
    """The same bar over and over: for each drum a grid such as `x...x...`, x loud, o soft; a crash on the first."""
    found = []
    for bar in range(composition.bars):
        for drum, grid in pattern.items():
            step = BEATS_A_BAR / len(grid)
            for place, mark in enumerate(grid):
                if mark in "xo":
                    loud = int(rng.integers(96, 112)) if mark == "x" else int(rng.integers(52, 68))
                    found.append(Note(BEATS_A_BAR * bar + place * step, 0.9 * step, drum, loud))
    return Part(kit, tuple(found), volume, is_drum=True)


def human(notes: Iterable[Note], rng: np.random.Generator, velocity: int = 5, beats: float = 0.01) -> list[Note]:
    """Notes as a hand plays them: loudness and time off by as much as this, evenly drawn."""
    return [
        note._replace(
            onset=max(0.0, note.onset + float(rng.uniform(-beats, beats))),
            velocity=int(np.clip(note.velocity + rng.integers(-velocity, velocity + 1), 1, 127)),
        )
        for note in notes
    ]
