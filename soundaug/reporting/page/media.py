"""Pictures and sounds as data URIs, small enough to lie in the page."""

import base64
import io
import os
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import matplotlib.image
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from soundaug.sound.audio import from_pcm16

MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz
SHOWN_DB = 80.0


def spectrogram(log_mel: NDArray[np.floating], loudest_db: float) -> str:
    """A log mel [n_mels, T] in dB as a PNG of one pixel a bin, low bands below; black is 80 dB under ``loudest_db``."""
    content = io.BytesIO()
    matplotlib.image.imsave(
        content,
        log_mel,
        vmin=loudest_db - SHOWN_DB,
        vmax=loudest_db,
        cmap="magma",
        origin="lower",
        format="png",
        metadata={"Software": ""},
    )
    return _data_uri("image/png", content.getvalue())


def sound(samples: NDArray[np.int16], sample_rate: int) -> str:
    """int16 [n_samples] as MP3, which every browser plays; at the next rate that MP3 knows where it lacks the own."""
    rate = min((one for one in MP3_RATES if one >= sample_rate), default=MP3_RATES[-1])
    waveform = from_pcm16(samples)
    if rate != sample_rate:
        waveform = soxr.resample(waveform, sample_rate, rate)
    content = io.BytesIO()
    soundfile.write(content, waveform, rate, format="MP3", subtype="MPEG_LAYER_III")
    return _data_uri("audio/mpeg", content.getvalue())


class Encoded:
    """Sounds as MP3, each encoded once, by threads: libsndfile lets what is computed beside them go on."""

    def __init__(self, ahead: Iterable[tuple[NDArray[np.int16], int]] = ()) -> None:
        """Begin with the sounds ``ahead``, int16 [n_samples] and their rate in Hz, in their order."""
        self._pool = ThreadPoolExecutor(os.cpu_count())
        self._made: dict[tuple[bytes, int], Future[str]] = {}
        for samples, sample_rate in ahead:
            self._begin(samples, sample_rate)

    def __call__(self, samples: NDArray[np.int16], sample_rate: int) -> str:
        """As `sound`: begun ahead, or now."""
        return self._begin(samples, sample_rate).result()

    def _begin(self, samples: NDArray[np.int16], sample_rate: int) -> Future[str]:
        key = samples.tobytes(), sample_rate
        if key not in self._made:
            self._made[key] = self._pool.submit(sound, samples, sample_rate)
        return self._made[key]


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
