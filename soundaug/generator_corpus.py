"""What a generator learns: the training folds of a held-out fold, or the embedded music."""

from dataclasses import dataclass
from pathlib import Path

from soundaug.features import MelFrontEnd
from soundaug.music_clips import music_clips
from soundaug.packed import ClipSet, class_list, fold_file, folds_of, split


@dataclass(frozen=True)
class GeneratorCorpus:
    """Clips, their classes by id, and the study's folds that they are from: none of music."""

    clips: ClipSet
    classes: list[str]
    folds: list[int]
    of_clip: list[int]  # the fold of every clip of the study's

    @classmethod
    def load(cls, corpus: str, held_out: int, front_end: MelFrontEnd) -> "GeneratorCorpus":
        """By ``generator.corpus``; raises StudyError as `split` and `music_clips` do."""
        folder = Path(corpus)
        if corpus == "data/music":
            clips, styles = music_clips(folder, front_end)
            return cls(clips, styles, [], [])
        clips, _ = split(folder, held_out)
        folds = [fold for fold in folds_of(folder) if fold != held_out]
        of_clip = [fold for fold in folds for _ in range(len(ClipSet.load(fold_file(folder, fold))))]
        return cls(clips, class_list(folder), folds, of_clip)

    def rows(self) -> list[tuple[str, str, int]]:
        """Name, recording and fold of every clip of the study that is learned or watched."""
        if not self.folds:
            return []
        columns = (self.clips.name, self.clips.fs_id, self.of_clip)
        return [(str(name), str(fs_id), fold) for name, fs_id, fold in zip(*columns, strict=True)]
