"""The user's own labelled folder: UrbanSound8K's layout, or one folder per class. No audio is copied."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import soundfile

from soundaug.params import Data
from soundaug.running.errors import StudyError
from soundaug.sources.corpus import TABLE, Clip, Listing, is_plain, keep_present, make_folds, read_clips

# Endings in common use that libsndfile does not list as a format's name.
ALIASES = {"aif", "aifc", "au", "iff", "mpga", "nist", "oga", "opus", "snd", "sph", "wve"}
# Audio that it does not read: listed all the same, so that it is told, or left out by data.skip and counted.
UNREADABLE = {"3gp", "aac", "ac3", "amr", "ape", "dsf", "m4a", "mka", "mpc", "ra", "tta", "weba", "wma", "wv"}


def audio_suffixes() -> frozenset[str]:
    """Endings, as in ``.flac``, of files that libsndfile reads by themselves, and of other audio.

    Headerless ``.raw`` needs a rate and is none.
    """
    names = {name.lower() for name in soundfile.available_formats()} - {"raw"}
    return frozenset(f".{name}" for name in names | ALIASES | UNREADABLE)


def list_folder(data: Data, seed: int) -> Listing:
    """List the clips of ``data.root`` with their folds; ``path`` is relative to it. Audio is not decoded.

    UrbanSound8K's layout brings its folds; one folder a class gets them from ``make_folds``.
    Raises StudyError that names the file or parameter when the folder or its table is not as wanted.
    """
    root, skip = Path(data.root), "missing" in data.skip
    if not root.is_dir():
        raise StudyError(f"data.root: found {data.root}, which is no folder, wanted the folder of your labelled clips")
    if (root / TABLE).is_file():
        if data.group_pattern is not None:
            raise StudyError(
                f"data.group_pattern: found {data.group_pattern!r}, wanted null: {root / TABLE} names the recordings"
            )
        clips = [replace(clip, in_root=True) for clip in read_clips(root / TABLE, paths=False)]
        return Listing(*keep_present(clips, root, root, skip))
    clips, ignored = _class_folders(root, data.group_pattern)
    kept, excluded = keep_present(clips, root, root, skip)
    return Listing(make_folds(kept, data.n_folds, seed), excluded, ignored)


def is_each_its_own(data: Data) -> bool:
    """Whether nothing tells which clips of a folder are of one recording."""
    return data.source == "directory" and data.group_pattern is None and not (Path(data.root) / TABLE).is_file()


def _class_folders(root: Path, group_pattern: str | None) -> tuple[list[Clip], Counter[str]]:
    """Every audio file below every class folder, all in fold 1, and the files that are no audio by their ending."""
    suffixes = audio_suffixes()
    clips: list[Clip] = []
    ignored: Counter[str] = Counter()
    path_of: dict[str, str] = {}
    entries = [entry for entry in sorted(root.iterdir()) if not entry.name.startswith(".")]
    folders = [entry for entry in entries if entry.is_dir()]
    if not folders:
        raise StudyError(f"data.root: found neither {TABLE} nor class folders in {root}, wanted one of the two layouts")
    for stray in entries:
        if stray.is_dir():
            continue
        if stray.suffix.lower() in suffixes:
            raise StudyError(f"{stray}: found audio outside the class folders, wanted it in the folder of its class")
        ignored[stray.suffix.lower()] += 1
    for class_id, folder in enumerate(folders):
        before = len(clips)
        for file in _files(folder, (root.resolve(),)):
            if file.suffix.lower() not in suffixes:
                ignored[file.suffix.lower()] += 1
                continue
            path = file.relative_to(root).as_posix()
            if not is_plain(path):
                raise StudyError(
                    f"{root}: found the file name {path!r}, wanted one without control characters, in UTF-8"
                )
            name = path.replace("/", "__")
            if name in path_of:
                raise StudyError(
                    f"{root}: found {path_of[name]} and {path}, which are both called {name}, wanted other names"
                )
            path_of[name] = path
            fs_id = _recording(path, group_pattern)
            clips.append(Clip(name, fs_id, 1, class_id, folder.name, path=path, in_root=True))
        if len(clips) == before:
            raise StudyError(f"{folder}: found no audio, wanted the clips of class {folder.name}")
    return clips, ignored


def _files(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """Files below ``folder`` by name, hidden ones left out; a link to a folder above it is not followed."""
    resolved = folder.resolve()
    if resolved in above:
        return
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _files(entry, (*above, resolved))
        else:
            yield entry


def _recording(path: str, group_pattern: str | None) -> str:
    """The recording's id, read out of the clip's path; the path itself without a pattern."""
    if group_pattern is None:
        return path
    found = re.search(group_pattern, path)
    if found is None or not found[1]:
        raise StudyError(f"data.group_pattern: found no recording id in {path!r}, wanted {group_pattern!r} to read one")
    return found[1]
