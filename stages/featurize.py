"""featurize: every clip's mel spectrogram, packed per fold.

Reads data/raw, writes data/features.
"""

import argparse
from pathlib import Path

from soundaug.audio import ClipProblem
from soundaug.corpus import (
    EXCLUDED,
    TABLE,
    audio_path,
    class_names,
    random_split,
    read_clips,
    read_excluded,
    require_folds,
    write_excluded,
)
from soundaug.errors import StudyError, run_stage
from soundaug.features import MelFrontEnd, mels_of_files
from soundaug.outputs import whole, write_json
from soundaug.packed import ClipSet, fold_file
from soundaug.params import load_params
from soundaug.partition import Partition, check_partition, draw_withheld

RAW = Path("data/raw")
FEATURES = Path("data/features")


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    params = load_params()
    clips = read_clips(RAW / TABLE)
    classes = class_names(clips)
    if params.data.split == "random":
        clips = random_split(clips, params.data.n_folds, params.seed)
    require_folds(clips, params.folds)
    paths = [audio_path(clip, RAW, Path(params.data.root)) for clip in clips]
    excluded = read_excluded(RAW / EXCLUDED)

    def leave_out(index: int, problem: ClipProblem) -> None:
        if problem.kind not in params.data.skip:
            raise StudyError(
                f"{paths[index]}: {problem}, wanted audio (or {problem.kind} in data.skip, to leave such clips out)"
            )
        excluded.append((clips[index].name, problem.kind))

    mels, kept = mels_of_files(paths, MelFrontEnd(params.features), leave_out, "featurize")
    left = [clips[index] for index in kept]
    for class_id, name in enumerate(classes):
        if all(clip.class_id != class_id for clip in left):
            raise StudyError(f"class {name}: found no usable clip, wanted one or more (data.skip left them out)")
    clip_folds = [clip.fold for clip in left]
    class_ids, fs_ids = [clip.class_id for clip in left], [clip.fs_id for clip in left]
    check_partition(params.data.held_out, params.folds, clip_folds)
    withheld = draw_withheld(clip_folds, class_ids, fs_ids, params.data.recordings_share, params.seed)
    partition = Partition(params.data.held_out, withheld)
    with whole(FEATURES) as partial:
        partial.mkdir()
        for fold in sorted(set(clip_folds)):
            rows = [row for row, other in enumerate(clip_folds) if other == fold]
            ClipSet.pack(
                mels[rows],
                [class_ids[row] for row in rows],
                [fs_ids[row] for row in rows],
                [left[row].name for row in rows],
            ).save(fold_file(partial, fold))
        partition.save(partial)
        write_json(partial / "classes.json", classes)
        write_excluded(partial / EXCLUDED, excluded)
    print(f"{len(left)} clips of {len(classes)} classes, {len(excluded)} left out")


if __name__ == "__main__":
    run_stage(main)
