"""Scores played through a sound font.

The font is TimGM6mb (T. Brechbill; GPL-2, as Debian distributes it), which the package pretty_midi brings along; the
player is rustysynth, by midirenderer.
"""

import io
from functools import cache
from pathlib import Path

import midirenderer
import pretty_midi
import soundfile
import soxr

from soundaug.music.effects import Waveform
from soundaug.music.score import Part, Score
from soundaug.sound.audio import fit

SOUND_FONT = Path(pretty_midi.__file__).with_name("TimGM6mb.sf2")
TICKS_A_BEAT = 960
VOLUME, ALL_SOUND_OFF = 7, 120  # MIDI's controllers


def play(score: Score, sample_rate: int, ring_seconds: float) -> Waveform:
    """The score as float32 [samples], mono, and ``ring_seconds`` of what rings on; some 20 dB below full scale.

    The same score gives the same samples.
    """
    wav = midirenderer.render_wave_from(_sound_font(), midi_bytes(score, ring_seconds))
    samples, rate = soundfile.read(io.BytesIO(wav), dtype="float32", always_2d=True)
    waveform = soxr.resample(samples.mean(axis=1), rate, sample_rate)
    return fit(waveform, round((score.seconds + ring_seconds) * sample_rate))


def midi_bytes(score: Score, ring_seconds: float = 0.0) -> bytes:
    """The score as a standard MIDI file that ends ``ring_seconds`` after its last beat."""
    midi = pretty_midi.PrettyMIDI(resolution=TICKS_A_BEAT, initial_tempo=score.tempo)
    midi.instruments = [_instrument(part, 60.0 / score.tempo) for part in score.parts]
    # The player stops at the last event: one that changes nothing stands where the last sound has died away.
    last = pretty_midi.ControlChange(ALL_SOUND_OFF, 0, score.seconds + ring_seconds)
    midi.instruments[0].control_changes.append(last)
    file = io.BytesIO()
    midi.write(file)
    return file.getvalue()


def _instrument(part: Part, beat_seconds: float) -> pretty_midi.Instrument:
    instrument = pretty_midi.Instrument(part.program, part.is_drum)
    instrument.control_changes = [pretty_midi.ControlChange(VOLUME, part.volume, 0.0)]
    for onset, beats, pitch, velocity in part.notes:
        start = onset * beat_seconds
        instrument.notes.append(pretty_midi.Note(velocity, pitch, start, start + beats * beat_seconds))
    return instrument


@cache
def _sound_font() -> bytes:
    return SOUND_FONT.read_bytes()
