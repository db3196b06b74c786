"""Where the labelled clips come from: a function for every value of data.source."""

from collections.abc import Callable
from pathlib import Path

from soundaug.params import Data
from soundaug.running.outputs import write_csv
from soundaug.running.scratch import ROOT
from soundaug.sources.corpus import TABLE, URBANSOUND8K_CLASSES, Listing, keep_present, read_clips

DOWNLOADS = ROOT / "download"

# What a source is given: the settings, the corpus's folder (data/raw), which takes its audio unless that stays in
# data.root, and the seed. A source's imports cost a second or more, hence only where they are needed.
Source = Callable[[Data, Path, int], Listing]


def list_clips(data: Data, raw: Path, seed: int) -> Listing:
    """Fetch the clips of ``data.source`` and list them with their folds; raises StudyError as the source does."""
    return SOURCES[data.source](data, raw, seed)


def synthetic(data: Data, raw: Path, seed: int) -> Listing:
    """The embedded corpus, synthesised into ``raw``."""
    from soundaug.sources.synthetic import synthesise_corpus

    rows = synthesise_corpus(raw, data.synthetic, data.n_folds, seed)
    write_csv(raw / TABLE, list(rows[0]), [list(row.values()) for row in rows])
    return _in_urbansound8ks_layout(data, raw)


def urbansound8k(data: Data, raw: Path, seed: int) -> Listing:
    """UrbanSound8K, downloaded and unpacked into ``raw``."""
    from soundaug.sources.download import fetch_urbansound8k

    fetch_urbansound8k(data, DOWNLOADS, raw)
    return _in_urbansound8ks_layout(data, raw)


def directory(data: Data, raw: Path, seed: int) -> Listing:
    """The user's own folder, data.root; nothing is copied."""
    from soundaug.sources.directory import list_folder

    return list_folder(data, seed)


def _in_urbansound8ks_layout(data: Data, raw: Path) -> Listing:
    clips = read_clips(raw / TABLE, URBANSOUND8K_CLASSES, paths=False)
    return Listing(*keep_present(clips, raw, raw, skip="missing" in data.skip))


SOURCES: dict[str, Source] = {
    "synthetic": synthetic,
    "urbansound8k": urbansound8k,
    "directory": directory,
}
