"""The embedded music cut into clips of the study's length, for a generator that is to learn something else."""

from pathlib import Path

import numpy as np

from soundaug.folds.packed import ClipSet
from soundaug.running.errors import StudyError
from soundaug.running.outputs import read_rows
from soundaug.running.threads import over_cores
from soundaug.sound.audio import ClipProblem, read_mono
from soundaug.sound.features import MelFrontEnd, mels_of_waveforms

# fetch_music's table, read without soundaug.music: a change of how music is played is told by its sound.
PIECES, COLUMNS = "pieces.csv", ("file", "piece", "style", "split")


def music_clips(folder: Path, front_end: MelFrontEnd) -> tuple[ClipSet, list[str]]:
    """Clips of the pieces to train on, one after another, and the styles that are their classes.

    A clip's recording is its composition, the same in every style. What is left at a piece's end is dropped. Raises
    StudyError for a missing or broken piece, or where no piece is as long as a clip.
    """
    settings = front_end.settings
    pieces = [piece for piece in read_rows(folder / PIECES, COLUMNS) if piece["split"] == "train"]
    styles = sorted({piece["style"] for piece in pieces})

    def cut(file: str) -> np.ndarray | ClipProblem:
        try:
            waveform = read_mono(folder / file, settings.sample_rate)
        except ClipProblem as problem:
            return problem
        n_clips = len(waveform) // settings.n_samples
        return waveform[: n_clips * settings.n_samples].reshape(n_clips, settings.n_samples)

    parts: list[np.ndarray] = []
    class_ids: list[int] = []
    fs_ids: list[str] = []
    names: list[str] = []
    for piece, found in zip(pieces, over_cores(cut, [piece["file"] for piece in pieces], "music"), strict=True):
        if isinstance(found, ClipProblem):
            raise StudyError(f"{folder / piece['file']}: {found}, wanted audio made by fetch_music")
        parts.append(found)
        class_ids += [styles.index(piece["style"])] * len(found)
        fs_ids += [piece["piece"]] * len(found)
        names += [f"{piece['file']}#{number}" for number in range(len(found))]
    if not names:
        raise StudyError(
            f"{folder}: found no piece as long as a clip ({settings.clip_seconds:g} s), wanted one or more"
        )
    return ClipSet.pack(mels_of_waveforms(np.concatenate(parts), front_end), class_ids, fs_ids, names), styles
