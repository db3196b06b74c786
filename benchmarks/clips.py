"""Audio of the pipeline's data/raw for a benchmark."""

from pathlib import Path

import numpy as np

from soundaug.params import Params
from soundaug.sound.audio import fit, read_mono
from soundaug.sources.corpus import TABLE, audio_path, read_clips

RAW = Path("data/raw")


def spread_paths(params: Params, count: int) -> list[Path]:
    """``count`` files (or all there are), evenly spread over the table; raises StudyError before `dvc repro`."""
    clips = read_clips(RAW / TABLE)
    chosen = sorted(set(np.linspace(0, len(clips) - 1, count).round().astype(int).tolist()))
    return [audio_path(clips[index], RAW, Path(params.data.root)) for index in chosen]


def read_waveforms(paths: list[Path], sample_rate: int, n_samples: int) -> np.ndarray:
    """Float32 [N, n_samples]."""
    return np.stack([fit(read_mono(path, sample_rate), n_samples) for path in paths])
