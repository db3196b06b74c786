"""Audio files in and out: any format libsndfile reads, to mono float32 of one rate and length."""

import io
from functools import reduce
from pathlib import Path

import numpy as np
import soundfile
import soxr

from soundaug.params import Problem
from soundaug.running.foreign import reason

LOWEST_RATE, HIGHEST_RATE = 100, 10_000_000  # Hz: others are broken headers, and resampling from 1 Hz fills the memory
LOUDEST = 2.0**32  # times full scale, as floats that hold whole numbers may be; beyond, a power is no float32 number


class ClipProblem(Exception):
    """A clip that cannot be used: ``kind`` is one of the problems that data.skip may name."""

    def __init__(self, kind: Problem, what: str) -> None:
        super().__init__(kind, what)  # both, so that it can be pickled
        self.kind = kind

    def __str__(self) -> str:
        return str(self.args[1])


def read_mono(path: Path, sample_rate: int) -> np.ndarray:
    """Decode, average the channels, resample: float32 [samples], full scale +-1; raises ClipProblem."""
    samples, rate = _decode(path)
    # As samples.mean(axis=1), which takes 40 times as long over so short an axis.
    mono = reduce(np.add, samples.T) / np.float32(samples.shape[1])
    return _resample(mono, rate, sample_rate)


def read_channels(path: Path, sample_rate: int | None = None) -> tuple[np.ndarray, int]:
    """Decode and resample, unless ``sample_rate`` is None: float32 [channels, samples] and its rate.

    Full scale is +-1. Raises ClipProblem.
    """
    samples, rate = _decode(path)
    return np.ascontiguousarray(_resample(samples, rate, sample_rate or rate).T), sample_rate or rate


def _decode(path: Path) -> tuple[np.ndarray, int]:
    """Float32 [samples, channels] and their rate."""
    if not path.is_file():
        raise ClipProblem("missing", "not there")
    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            whole_numbers = file.subtype == "PCM_16"
            if whole_numbers:  # the same samples, which libsndfile takes eight times as long to convert
                samples = from_pcm16(file.read(dtype="int16", always_2d=True))
            else:
                samples = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        # Which libsndfile says of a file that is there, too, where its MP3 decoder finds no MP3 in it.
        no_mp3 = "does not exist" in error.error_string
        said = "Format not recognised." if no_mp3 else error.error_string
        raise ClipProblem("unreadable", f"not readable as audio ({said})") from None
    except (MemoryError, OverflowError, ValueError) as error:  # of a header that lies about the number of samples
        raise ClipProblem("unreadable", f"not readable as audio ({reason(error)})") from None
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise ClipProblem("unreadable", f"has {rate} samples a second, not {LOWEST_RATE} to {HIGHEST_RATE}")
    if len(samples) == 0:
        raise ClipProblem("empty", "holds no samples")
    if not whole_numbers:
        _check_finite(samples)
    return samples, rate


def _check_finite(samples: np.ndarray) -> None:
    if not np.isfinite(samples).all():
        raise ClipProblem("not_finite", "holds samples that are NaN or infinite")
    if max(samples.max(), -samples.min()) > LOUDEST:
        raise ClipProblem("not_finite", f"holds samples above {LOUDEST:.0f} times full scale")


def _resample(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """[samples] or [samples, channels] at the rate wanted."""
    if rate == wanted:
        return samples
    resampled: np.ndarray = soxr.resample(samples, rate, wanted)
    if len(resampled) == 0:
        raise ClipProblem("empty", f"holds less than one sample at {wanted} Hz")
    return resampled


def check_audible(waveform: np.ndarray) -> np.ndarray:
    """The waveform as it is; raises ClipProblem when all its samples are zero."""
    if not waveform.any():
        raise ClipProblem("silent", "holds only zeros")
    return waveform


def fit(waveform: np.ndarray, n_samples: int) -> np.ndarray:
    """Cut to the first ``n_samples``, or pad with zeros at the end."""
    waveform = waveform[:n_samples]
    return np.pad(waveform, (0, n_samples - len(waveform)))


def to_pcm16(waveform: np.ndarray) -> np.ndarray:
    """Float samples within +-1 as int16, rounded: what a 16-bit file keeps of them."""
    return np.clip(np.rint(waveform * 2.0**15), -(2**15), 2**15 - 1).astype(np.int16)


def from_pcm16(samples: np.ndarray) -> np.ndarray:
    """int16 samples as float32, full scale +-1."""
    return samples.astype(np.float32) / np.float32(2.0**15)


def write_flac(path: Path, samples: np.ndarray, sample_rate: int) -> None:
    """Write int16 [samples] as 16-bit FLAC."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(samples, sample_rate, "FLAC", "PCM_16"))


def encoded(samples: np.ndarray, sample_rate: int, kind: str, subtype: str) -> bytes:
    """A sound file of [samples] or [samples, channels] in libsndfile's format ``kind``, in memory.

    Written to a disk that is full, libsndfile tells nothing when it closes the file, of which the end is missing.
    """
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, format=kind, subtype=subtype)
    return file.getvalue()
