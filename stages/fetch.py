"""fetch: the labelled clips and their folds, from the source that data.source names.

Writes data/raw; a folder of the user's own (data.root) is listed there, its audio is not copied.
"""

import argparse
from pathlib import Path

from soundaug.corpus import (
    EXCLUDED,
    TABLE,
    URBANSOUND8K_CLASSES,
    Clip,
    Exclusion,
    class_names,
    folds_of,
    keep_present,
    read_clips,
    require_disjoint_recordings,
    write_clips,
    write_excluded,
)
from soundaug.errors import StudyError, run_stage
from soundaug.outputs import whole, write_csv
from soundaug.params import Params, load_params
from soundaug.scratch import ROOT

RAW = Path("data/raw")
DOWNLOADS = ROOT / "download"


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    params = load_params()
    where = f"data.source {params.data.source}"
    with whole(RAW) as raw:
        clips, excluded = _clips(params, raw)
        classes = class_names(clips, where)
        if len(classes) < 2:
            raise StudyError(f"{where}: found the class {classes[0]} only, wanted at least two")
        if params.data.split == "official":
            require_disjoint_recordings(clips, where)
        write_clips(raw / TABLE, clips)
        write_excluded(raw / EXCLUDED, excluded)
    print(
        f"fetched {len(clips)} clips of {len(classes)} classes, {len({clip.fs_id for clip in clips})} recordings, "
        f"folds {' '.join(map(str, folds_of(clips)))}; {len(excluded)} left out"
    )


def _clips(params: Params, raw: Path) -> tuple[list[Clip], list[Exclusion]]:
    """The clips and those left out; audio goes to ``raw``, unless the user's own folder keeps it."""
    # A source's imports cost a second or more: only those of the source in use.
    if params.data.source == "directory":
        from soundaug.directory import list_folder

        listing = list_folder(params.data, params.seed)
        if listing.ignored:
            endings = ", ".join(f"{count} {ending or 'without one'}" for ending, count in listing.ignored.items())
            print(f"ignored {listing.ignored.total()} files that are no audio by their ending: {endings}")
        return listing.clips, listing.excluded
    if params.data.source == "urbansound8k":
        from soundaug.download import fetch_urbansound8k

        fetch_urbansound8k(params.data, DOWNLOADS, raw)
    else:
        from soundaug.synthetic import synthesise_corpus

        rows = synthesise_corpus(raw, params.data.synthetic, params.data.n_folds, params.seed)
        write_csv(raw / TABLE, list(rows[0]), [list(row.values()) for row in rows])
    clips = read_clips(raw / TABLE, URBANSOUND8K_CLASSES, paths=False)
    return keep_present(clips, raw, raw, skip="missing" in params.data.skip)


if __name__ == "__main__":
    run_stage(main)
