"""Notes on paper: what is played when, in beats, by which instrument of General MIDI."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

DRUM_KITS = {"standard": 0, "room": 8, "power": 16, "electronic": 24, "tr808": 25, "brush": 40, "orchestra": 48}


class Note(NamedTuple):
    """One note; ``pitch`` and ``velocity`` as in MIDI (60 is middle C; 1 to 127)."""

    onset: float  # beats from the start
    beats: float
    pitch: int
    velocity: int


@dataclass(frozen=True)
class Part:
    """The notes of one instrument: a program of General MIDI, or of a drum kit."""

    program: int
    notes: tuple[Note, ...]
    volume: int = 100  # 0 to 127, as MIDI's controller 7
    is_drum: bool = False


@dataclass(frozen=True)
class Score:
    """Parts that are played together."""

    tempo: float  # beats a minute
    beats: float  # length, whatever rings on after it
    parts: tuple[Part, ...]

    @property
    def seconds(self) -> float:
        """Length without what rings on."""
        return self.beats * 60 / self.tempo


def swung(notes: Iterable[Note], ratio: float) -> list[Note]:
    """Notes whose second eighth of every beat comes at ``ratio`` of it: 0.5 is straight, 2/3 a triplet's."""
    moved = []
    for note in notes:
        beat, within = divmod(note.onset, 1.0)
        late = within * ratio / 0.5 if within < 0.5 else ratio + (within - 0.5) * (1 - ratio) / 0.5
        moved.append(note._replace(onset=beat + late))
    return moved


def pitch_class_counts(parts: Sequence[Part]) -> list[int]:
    """How many notes of the pitched parts are C, C sharp, ... B."""
    counts = [0] * 12
    for part in parts:
        for note in part.notes if not part.is_drum else ():
            counts[note.pitch % 12] += 1
    return counts
