"""The embedded corpus on disk: recordings cut into slices, in UrbanSound8K's layout."""

from pathlib import Path
from typing import TypedDict

import numpy as np
import soundfile
from joblib import Parallel, delayed
from tqdm import tqdm

from soundaug.params import Synthetic
from soundaug.running.errors import StudyError
from soundaug.running.memory import keep_freed_memory
from soundaug.sources.synthetic.scene import compose
from soundaug.sources.synthetic.signals import CORPUS_RATE
from soundaug.sources.synthetic.sounds import SOUNDS

CLASS_NAMES = list(SOUNDS)
SALIENT_SNR_DB = 6.0  # from here on the sound is in the foreground (salience 1), below in the background (2)

# UrbanSound8K's columns; start and end are seconds in the recording.
ClipRow = TypedDict(
    "ClipRow",
    {
        "slice_file_name": str,
        "fsID": int,
        "start": float,
        "end": float,
        "salience": int,
        "fold": int,
        "classID": int,
        "class": str,
    },
)


def synthesise_corpus(folder: Path, settings: Synthetic, n_folds: int, seed: int, n_jobs: int = -1) -> list[ClipRow]:
    """Write the corpus to ``folder``/audio/fold<k>/ as 16-bit mono FLAC at CORPUS_RATE Hz and return its table.

    Rows are sorted by class and recording. A recording depends on (seed, class, recording) and its own settings only:
    not on ``n_jobs``, nor on how many others there are. Raises StudyError when a fold would lack a class.
    """
    if settings.recordings_per_class < n_folds:
        raise StudyError(
            f"data.synthetic.recordings_per_class: found {settings.recordings_per_class}, "
            f"wanted at least one a fold ({n_folds})"
        )
    for fold in range(1, n_folds + 1):
        (folder / "audio" / f"fold{fold}").mkdir(parents=True, exist_ok=True)
    recordings = [(c, r) for c in range(len(CLASS_NAMES)) for r in range(settings.recordings_per_class)]
    tasks = (delayed(write_recording)(folder, settings, n_folds, seed, *recording) for recording in recordings)
    # NumPy, SciPy and libsndfile let other threads run; a process would have to import them again.
    keep_freed_memory()
    tables = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")(tasks)
    progress = tqdm(tables, total=len(recordings), desc="synthesise", unit="recording", disable=None)
    return [row for table in progress for row in table]


def write_recording(
    folder: Path, settings: Synthetic, n_folds: int, seed: int, class_id: int, recording: int
) -> list[ClipRow]:
    """Write the slices of one recording and return their rows."""
    rng = np.random.default_rng(np.random.SeedSequence((seed, class_id, recording)))
    n_slices = settings.slices_per_recording
    shortest, longest = settings.slice_seconds
    hop_seconds = (shortest + longest) / 2
    total_seconds = hop_seconds * (n_slices - 1) + longest
    low, high = settings.snr_db
    scene = compose(rng, round(total_seconds * CORPUS_RATE), class_id, (low, high))
    fs_id = 100_000 + len(CLASS_NAMES) * recording + class_id
    fold = 1 + (recording + class_id) % n_folds  # turns with the class: folds stay even when they do not divide
    rows: list[ClipRow] = []
    for index in range(n_slices):
        length = round(rng.uniform(shortest, longest) * CORPUS_RATE)
        slack = round(longest * CORPUS_RATE) - length
        start = round(index * hop_seconds * CORPUS_RATE) + int(rng.integers(0, slack + 1))
        name = f"{fs_id}-{class_id}-0-{index}.flac"
        path = folder / "audio" / f"fold{fold}" / name
        soundfile.write(path, scene.waveform[start : start + length], CORPUS_RATE, subtype="PCM_16")
        rows.append(
            {
                "slice_file_name": name,
                "fsID": fs_id,
                "start": round(start / CORPUS_RATE, 6),
                "end": round((start + length) / CORPUS_RATE, 6),
                "salience": 1 if scene.snr_db >= SALIENT_SNR_DB else 2,
                "fold": fold,
                "classID": class_id,
                "class": CLASS_NAMES[class_id],
            }
        )
    return rows
