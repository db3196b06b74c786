"""Generated clips as one zip of FLAC files in UrbanSound8K's layout: one file for DVC to watch, not thousands."""

import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile

from soundaug.running.outputs import whole
from soundaug.sound.audio import encoded
from soundaug.sources.corpus import TABLE, Clip, write_clips


def write_archive(path: Path, clips: Sequence[Clip], waveforms: Iterable[np.ndarray], sample_rate: int) -> None:
    """Write ``clips`` at their paths, with int16 [n_samples] of each in turn, and their table after them.

    The same clips give the same bytes. FLAC is not compressed again.
    """
    with whole(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for clip, waveform in zip(clips, waveforms, strict=True):
            archive.writestr(zipfile.ZipInfo(clip.path), encoded(waveform, sample_rate, "FLAC", "PCM_16"))
        with TemporaryDirectory() as folder:
            table = Path(folder) / TABLE.name
            write_clips(table, clips)
            archive.writestr(zipfile.ZipInfo(TABLE.as_posix()), table.read_bytes())


def read_archived(path: Path, clips: Iterable[str]) -> Iterator[np.ndarray]:
    """Samples int16 [n_samples] of those at the paths ``clips`` within the archive, in that order.

    Whatever zipfile and libsndfile raise for an archive that is something else comes from here as it is.
    """
    with zipfile.ZipFile(path) as archive:
        for clip in clips:
            yield soundfile.read(io.BytesIO(archive.read(clip)), dtype="int16")[0]
