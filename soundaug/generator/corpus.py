"""What a generator learns: the training folds of a held-out fold, or the embedded music."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soundaug.folds.packed import ClipSet, class_list, fold_by_name, split, withheld_clips
from soundaug.generator.music_clips import music_clips
from soundaug.params import Generator
from soundaug.sound.features import MelFrontEnd


@dataclass(frozen=True)
class GeneratorCorpus:
    """Clips, their classes by id, those learned without a class, and the study's folds of all: none of music."""

    clips: ClipSet
    classes: list[str]
    unlabelled: ClipSet
    fold_of: dict[str, int]  # of every clip of the study's, by its name

    @classmethod
    def load(cls, settings: Generator, held_out: int, front_end: MelFrontEnd) -> "GeneratorCorpus":
        """By ``corpus`` and ``unlabelled``; raises StudyError as `split` and `music_clips` do."""
        folder = Path(settings.corpus)
        if settings.corpus == "data/music":
            clips, styles = music_clips(folder, front_end)
            return cls(clips, styles, clips.take(np.array([], int)), {})
        return cls.of_study(folder, settings, held_out)

    @classmethod
    def of_study(cls, folder: Path, settings: Generator, held_out: int) -> "GeneratorCorpus":
        """Of the packed features in ``folder``; raises StudyError as `split` does."""
        clips, _ = split(folder, held_out)
        unlabelled = withheld_clips(folder, held_out) if settings.unlabelled else clips.take(np.array([], int))
        return cls(clips, class_list(folder), unlabelled, fold_by_name(folder))

    def watched(self, share: float, seed: int) -> np.ndarray:
        """Which of ``clips`` (bool [N]) are not learned: their loss is watched. Of `validation_recordings`."""
        return validation_recordings(self.clips.class_id, self.clips.fs_id, share, seed)

    def learned(self, share: float, seed: int) -> np.ndarray:
        """Mels [N, n_mels, T] of all that is learned, those without a class last."""
        return np.concatenate([self.clips.mel[~self.watched(share, seed)], self.unlabelled.mel])

    @property
    def folds(self) -> list[int]:
        """The study's folds that it learns, ascending."""
        return sorted({fold for _, _, fold in self.rows()})

    def rows(self) -> list[tuple[str, str, int]]:
        """Name, recording and fold of every clip of the study that is learned or watched."""
        if not self.fold_of:
            return []
        return [
            (name, fs_id, self.fold_of[name])
            for learned in (self.clips, self.unlabelled)
            for name, fs_id in zip(learned.name.tolist(), learned.fs_id.tolist(), strict=True)
        ]


def validation_recordings(class_id: np.ndarray, fs_id: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Which clips (bool [N], of classes and recordings [N]) are of the ``share`` of each class's recordings left out.

    Rounded down, so that a class of few recordings gives none.
    """
    chosen = np.zeros(len(class_id), bool)
    for one in np.unique(class_id):
        recordings = np.unique(fs_id[class_id == one])
        random = np.random.default_rng([seed, int(one)])
        chosen |= np.isin(fs_id, random.permutation(recordings)[: int(share * len(recordings))])
    return chosen
