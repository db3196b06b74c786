"""The styles: who plays what of a composition, what the recording does to it, and the words for it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from soundaug.music import arrangement as play
from soundaug.music.arrangement import CLAP, CLOSED_HAT, CRASH, KICK, OPEN_HAT, RIDE, SNARE, STICK
from soundaug.music.composition import Composition
from soundaug.music.effects import Waveform, drive, low_pass, pump, room, vinyl, wow
from soundaug.music.score import DRUM_KITS, Part, swung

LO_FI_CUTOFF_HZ = 2800.0
SWING = 0.62


@dataclass(frozen=True)
class Style:
    """A style of playing and recording."""

    arrange: Callable[[Composition, np.random.Generator], tuple[Part, ...]]
    record: Callable[[Waveform, int, float, np.random.Generator], Waveform]  # of waveform, sample rate and tempo
    names: tuple[str, ...]  # what captions call it, the plain name first
    sounds: tuple[str, ...]  # its instruments and traits, in words


def _electric_beats(composition: Composition, rng: np.random.Generator) -> tuple[Part, ...]:
    kick = "x...x...x...x..." if rng.random() < 0.6 else "x..x..x.x..x..x."
    pattern = {KICK: kick, CLAP: "....x.......x...", CLOSED_HAT: "x.oox.oox.oox.oo", OPEN_HAT: "..o...o...o...o."}
    figure = [(0.5 * eighth, 0.4, 12 * (eighth % 2)) for eighth in range(8)]
    stabs = play.short_chords(composition, 60, 78, (0.5, 1.5, 2.5, 3.5), 0.3)
    return (
        play.drums(composition, rng, DRUM_KITS["tr808"], pattern, 96),
        Part(38, tuple(play.bass(composition, 33, 105, figure)), 115),
        Part(81, tuple(play.melody(composition)), 80),
        Part(90, tuple(stabs), 75),
    )


def _epic_orchestra(composition: Composition, rng: np.random.Generator) -> tuple[Part, ...]:
    ostinato = play.broken_chords(composition, 43, 88, (0, 0, 2, 0, 1, 0, 2, 0), 0.5, 0.7)
    timpani = play.bass(composition, 38, 104, [(0.0, 1.0, 0), (3.0, 0.4, 0), (3.5, 0.4, 0)])
    pattern = {CRASH: "x...............", KICK: "x.......x......."}
    return (
        Part(48, tuple(play.held_chords(composition, 55, 92)), 105),
        Part(48, tuple(play.held_chords(composition, 67, 80)), 85),
        Part(42, tuple(ostinato), 105),
        Part(60, tuple(play.melody(composition, -1)), 120),
        Part(56, tuple(play.melody(composition, 0, softer=int(rng.integers(8, 24)))), 85),
        Part(52, tuple(play.held_chords(composition, 60, 76)), 85),
        Part(43, tuple(play.bass(composition, 28, 96, [(0.0, 3.9, 0)])), 110),
        Part(47, tuple(timpani), 120),
        play.drums(composition, rng, DRUM_KITS["orchestra"], pattern, 85),
    )


def _lo_fi_beats(composition: Composition, rng: np.random.Generator) -> tuple[Part, ...]:
    kick = "x.....o.x......." if rng.random() < 0.5 else "x.......o.x....."
    pattern = {KICK: kick, SNARE: "....x.......x...", CLOSED_HAT: "o.o.o.o.o.o.o.o."}
    beat = play.drums(composition, rng, DRUM_KITS["standard"], pattern, 105)
    chords = play.held_chords(composition, 55, 70, 4, (0.0, 2.5))
    figure = [(0.0, 1.4, 0), (2.5, 1.0, 0), (3.5, 0.4, 7)]
    return (
        Part(beat.program, tuple(play.human(swung(beat.notes, SWING), rng)), beat.volume, is_drum=True),
        Part(4, tuple(play.human(swung(chords, SWING), rng)), 100),
        Part(4, tuple(play.human(swung(play.melody(composition, 0, softer=12), SWING), rng)), 95),
        Part(33, tuple(play.human(swung(play.bass(composition, 33, 84, figure), SWING), rng)), 105),
    )


def _solo_piano(composition: Composition, rng: np.random.Generator) -> tuple[Part, ...]:
    order = (0, 2, 3, 2, 4, 2, 3, 2) if rng.random() < 0.5 else (0, 2, 1, 2, 3, 2, 1, 2)
    left = play.broken_chords(composition, 45, 66, order, 0.5, 1.6)
    return (Part(0, tuple(play.human([*left, *play.melody(composition)], rng)), 110),)


def _jazz_trio(composition: Composition, rng: np.random.Generator) -> tuple[Part, ...]:
    pattern = {RIDE: "x...x.o.x...x.o.", STICK: "....o.......o...", KICK: "o.......o......."}
    beat = play.drums(composition, rng, DRUM_KITS["brush"], pattern, 84)
    comping = play.short_chords(composition, 57, 66, (0.0, 1.5) if rng.random() < 0.5 else (0.5, 2.5), 0.6, 4)
    return (
        Part(beat.program, tuple(play.human(swung(beat.notes, 2 / 3), rng)), beat.volume, is_drum=True),
        Part(32, tuple(play.human(play.walking_bass(composition, rng, 31, 92), rng)), 120),
        Part(0, tuple(play.human(swung(comping, 2 / 3), rng)), 108),
        Part(26, tuple(play.human(swung(play.melody(composition), 2 / 3), rng)), 110),
    )


def _acoustic_guitar(composition: Composition, rng: np.random.Generator) -> tuple[Part, ...]:
    order = (0, 2, 3, 4, 2, 3, 4, 3) if rng.random() < 0.5 else (0, 3, 2, 4, 0, 3, 2, 3)
    picking = play.broken_chords(composition, 45, 78, order, 0.5, 2.0)
    return (
        Part(24, tuple(play.human(picking, rng)), 110),
        Part(25, tuple(play.human(play.melody(composition, -1), rng)), 110),
    )


def _church_organ(composition: Composition, rng: np.random.Generator) -> tuple[Part, ...]:
    onsets = (0.0,) if rng.random() < 0.5 else (0.0, 2.0)
    return (
        Part(19, tuple(play.held_chords(composition, 52, 84, 3, onsets)), 95),
        Part(19, tuple(play.melody(composition)), 115),
        Part(19, tuple(play.bass(composition, 36, 88, [(0.0, 3.9, 0)])), 105),
    )


def _chiptune(composition: Composition, rng: np.random.Generator) -> tuple[Part, ...]:
    order = (0, 1, 2, 3) if rng.random() < 0.5 else (0, 2, 1, 3)
    pattern = {CLOSED_HAT: "o.o.o.o.o.o.o.o.", SNARE: "....x.......x..."}
    return (
        Part(80, tuple(note._replace(beats=0.8 * note.beats) for note in play.melody(composition)), 110),
        Part(80, tuple(play.broken_chords(composition, 60, 80, order, 0.25, 0.8)), 70),
        Part(80, tuple(play.bass(composition, 36, 92, [(beat, 0.45, 0) for beat in (0.0, 1.0, 2.0, 3.0)])), 95),
        play.drums(composition, rng, DRUM_KITS["electronic"], pattern, 70),
    )


def _club(waveform: Waveform, sample_rate: int, tempo: float, rng: np.random.Generator) -> Waveform:
    del rng
    return drive(pump(waveform, sample_rate, tempo, 0.4), 6.0)


def _worn_record(waveform: Waveform, sample_rate: int, tempo: float, rng: np.random.Generator) -> Waveform:
    del tempo
    warm = low_pass(drive(waveform, 2.0), sample_rate, LO_FI_CUTOFF_HZ)
    return vinyl(wow(warm, sample_rate, rng), sample_rate, rng)


def _in_a_room(rt60_seconds: float, wet: float) -> Callable[[Waveform, int, float, np.random.Generator], Waveform]:
    def record(waveform: Waveform, sample_rate: int, tempo: float, rng: np.random.Generator) -> Waveform:
        del tempo
        return room(waveform, sample_rate, rng, rt60_seconds, wet)

    return record


# New ones at the end: a style's place is part of the seed of what it draws.
STYLES = {
    "electric_beats": Style(
        _electric_beats,
        _club,
        ("electric beats", "electric beats music", "hard electric beats"),
        ("drum machine and synth bass", "electronic drums and a saw lead", "pumping synthesisers"),
    ),
    "epic_orchestra": Style(
        _epic_orchestra,
        _in_a_room(2.2, 0.35),
        ("epic orchestra", "epic orchestra music", "grand epic orchestra"),
        ("strings, horns and timpani", "brass, choir and strings", "a large orchestra in a concert hall"),
    ),
    "lo_fi_beats": Style(
        _lo_fi_beats,
        _worn_record,
        ("lo fi beats", "lo-fi beats", "mellow lo fi beats"),
        ("electric piano and dusty drums", "vinyl crackle and a warm electric piano", "a worn tape and swung drums"),
    ),
    "solo_piano": Style(
        _solo_piano,
        _in_a_room(0.8, 0.12),
        ("solo piano", "solo piano music", "quiet solo piano"),
        ("a grand piano", "piano alone", "broken chords on a piano"),
    ),
    "jazz_trio": Style(
        _jazz_trio,
        _in_a_room(0.6, 0.12),
        ("jazz trio", "jazz trio music", "swinging jazz trio"),
        ("walking bass, brushes and jazz guitar", "ride cymbal, upright bass and guitar", "swung brushes and bass"),
    ),
    "acoustic_guitar": Style(
        _acoustic_guitar,
        _in_a_room(0.5, 0.1),
        ("acoustic guitar", "acoustic guitar music", "fingerpicked acoustic guitar"),
        ("nylon and steel strings", "fingerpicking", "two picked guitars"),
    ),
    "church_organ": Style(
        _church_organ,
        _in_a_room(3.0, 0.4),
        ("church organ", "church organ music", "solemn church organ"),
        ("pipes in a stone church", "organ with pedals", "a large pipe organ"),
    ),
    "chiptune": Style(
        _chiptune,
        lambda waveform, sample_rate, tempo, rng: waveform,
        ("chiptune", "chiptune music", "bright chiptune"),
        ("square waves and fast arpeggios", "an old video game", "game console sounds"),
    ),
}
