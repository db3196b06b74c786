"""The sounds that the report plays, as a folder: FLAC files, their spectrograms and a table of what they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from soundaug.running.foreign import reading
from soundaug.running.outputs import read_rows, whole, write_csv
from soundaug.sound.audio import write_flac

TABLE, MELS = "sounds.csv", "mels.npy"
COLUMNS = ("file", "group", "number", "role", "alpha", "name")


@dataclass(frozen=True)
class Sound:
    """``samples`` int16 [n_samples] and the log mel [n_mels, T] in dB of one sound, where it belongs and what it is."""

    group: str  # class: of the class with id ``number``; closest: of the pair of that rank among the closest
    number: int
    role: str  # parent_a, parent_b, generated, mixture, mel_only, reconstructed, real
    name: str  # of the clip that it is or was made of
    samples: np.ndarray
    log_mel: np.ndarray
    alpha: float | None = None  # of a mixture: the share of the second parent

    @property
    def file(self) -> str:
        """Its file's name."""
        return f"{self.group}{self.number}-{self.role}{'' if self.alpha is None else f'-{self.alpha:g}'}.flac"


def write_sounds(folder: Path, sounds: Sequence[Sound], sample_rate: int) -> None:
    """Write ``folder`` as a whole."""
    with whole(folder) as partial:
        partial.mkdir()
        for sound in sounds:
            write_flac(partial / sound.file, sound.samples, sample_rate)
        with (partial / MELS).open("wb") as file:
            np.save(file, np.array([sound.log_mel for sound in sounds], np.float32))
        rows = [(one.file, one.group, one.number, one.role, one.alpha, one.name) for one in sounds]
        write_csv(partial / TABLE, COLUMNS, rows)


def read_sounds(folder: Path) -> list[Sound]:
    """Read what `write_sounds` wrote, nothing where there is no such folder; StudyError when it is something else."""
    if not folder.is_dir():
        return []
    rows, sounds = read_rows(folder / TABLE, COLUMNS), []
    with reading(folder, "no sounds", "what demonstrate writes"):
        mels = np.load(folder / MELS, allow_pickle=False)
        for row, log_mel in zip(rows, mels, strict=True):
            samples, _ = soundfile.read(folder / Path(row["file"]).name, dtype="int16")
            alpha = float(row["alpha"]) if row["alpha"] else None
            sounds.append(Sound(row["group"], int(row["number"]), row["role"], row["name"], samples, log_mel, alpha))
    return sounds
