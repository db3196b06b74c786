"""featurize: every clip's mel spectrogram, packed per fold.

Reads data/raw, writes data/features.
"""

import argparse
from pathlib import Path

from soundaug.audit.closeness import refuse, write_pairs
from soundaug.audit.near_duplicates import among_real
from soundaug.folds.packed import ClipSet, fold_file
from soundaug.params import load_params
from soundaug.running.errors import StudyError, run_stage
from soundaug.running.outputs import whole, write_json
from soundaug.sound.audio import ClipProblem
from soundaug.sound.features import MelFrontEnd, mels_of_files
from soundaug.sources.corpus import (
    EXCLUDED,
    TABLE,
    Clip,
    audio_path,
    class_names,
    random_split,
    read_clips,
    read_excluded,
    write_excluded,
)
from soundaug.statistics.minimums import require_enough
from soundaug.statistics.proof import what_folds_can_prove

RAW = Path("data/raw")
FEATURES = Path("data/features")
NEAR = Path(".scratch/near_duplicates.csv")  # of a split that is refused
MANY = 10_000  # clips from which near-duplicates, looked for in every pair of clips, are left to the stage audit


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    params = load_params()
    clips = read_clips(RAW / TABLE)
    classes = class_names(clips)
    if params.data.split == "random":
        clips = random_split(clips, params.data.n_folds, params.seed)
    require_enough(clips, params)
    paths = [audio_path(clip, RAW, Path(params.data.root)) for clip in clips]
    excluded = read_excluded(RAW / EXCLUDED)

    def leave_out(index: int, problem: ClipProblem) -> None:
        if problem.kind not in params.data.skip:
            raise StudyError(
                f"{paths[index]}: {problem}, wanted audio (or {problem.kind} in data.skip, to leave such clips out)"
            )
        excluded.append((clips[index].name, problem.kind))

    front_end = MelFrontEnd(params.features)
    left: list[Clip] = []
    with whole(FEATURES) as partial:
        partial.mkdir()
        for fold in sorted({clip.fold for clip in clips}):  # one at a time: memory is that of a fold's mels
            rows = [row for row, clip in enumerate(clips) if clip.fold == fold]
            mels, kept = mels_of_files(
                [paths[row] for row in rows],
                front_end,
                lambda index, problem, rows=rows: leave_out(rows[index], problem),  # type: ignore[misc]
                f"featurize, fold {fold}",
                params.workers,
            )
            if kept:
                of_fold = [clips[rows[index]] for index in kept]
                left += of_fold
                ids = zip(*((clip.class_id, clip.fs_id, clip.name) for clip in of_fold), strict=True)
                ClipSet.pack(mels, *ids).save(fold_file(partial, fold))
        for class_id, name in enumerate(classes):
            if all(clip.class_id != class_id for clip in left):
                raise StudyError(f"class {name}: found no usable clip, wanted one or more (data.skip left them out)")
        require_enough(left, params).save(partial)
        write_json(partial / "classes.json", classes)
        write_excluded(partial / EXCLUDED, excluded)
        if params.leakage.max_share is not None and len(left) < MANY:  # audit would stop it, but after all training
            near = among_real(partial, params)
            write_pairs(NEAR, near)
            refuse(near, params, NEAR)
    told = f"{len(left)} clips of {len(classes)} classes, {len(excluded)} left out"
    print(told, what_folds_can_prove(len(params.folds)), sep="\n")


if __name__ == "__main__":
    run_stage(main)
