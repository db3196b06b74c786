"""fetch: the labelled clips and their folds, from the source that data.source names.

Writes data/raw; a folder of the user's own (data.root) is listed there, its audio is not copied.
"""

import argparse
from pathlib import Path

from soundaug.params import load_params
from soundaug.running.errors import run_stage
from soundaug.running.outputs import whole
from soundaug.sources.checksums import CHECKSUMS, write_checksums
from soundaug.sources.corpus import (
    EXCLUDED,
    TABLE,
    class_names,
    folds_of,
    recordings_of_several_classes,
    require_disjoint_recordings,
    write_clips,
    write_excluded,
)
from soundaug.sources.directory import is_each_its_own
from soundaug.sources.kinds import list_clips

RAW = Path("data/raw")


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    params = load_params()
    where = f"data.source {params.data.source}"
    with whole(RAW) as raw:
        listing = list_clips(params.data, raw, params.seed)
        clips = listing.clips
        classes = class_names(clips, where)
        if params.data.split == "official":
            require_disjoint_recordings(clips, where)
        write_clips(raw / TABLE, clips)
        write_excluded(raw / EXCLUDED, listing.excluded)
        write_checksums(raw / CHECKSUMS, clips, raw, Path(params.data.root))
    if listing.ignored:
        endings = ", ".join(f"{count} {ending or 'without one'}" for ending, count in listing.ignored.items())
        print(f"ignored {listing.ignored.total()} files that are no audio by their ending: {endings}")
    if is_each_its_own(params.data):
        print(
            "data.group_pattern is null: every clip counts as a recording of its own, and clips of one recording may "
            "come to lie in training and test"
        )
    by_pattern = params.data.source == "directory" and params.data.group_pattern is not None
    if by_pattern and (several := recordings_of_several_classes(clips)):
        first, names = next(iter(several.items()))
        print(
            f"{len(several)} recordings have clips of more than one class, the first is {first} ({', '.join(names)}): "
            "where those are not of one recording, data.group_pattern should read more of the path, such as '^(.+)_'"
        )
    print(
        f"fetched {len(clips)} clips of {len(classes)} classes, {len({clip.fs_id for clip in clips})} recordings, "
        f"folds {' '.join(map(str, folds_of(clips)))}; {len(listing.excluded)} left out"
    )


if __name__ == "__main__":
    run_stage(main)
