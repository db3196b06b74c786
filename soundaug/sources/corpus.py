"""The table of clips: UrbanSound8K's CSV read, checked and written, and how clips fall into folds."""

import csv
import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from soundaug.running.errors import StudyError
from soundaug.running.foreign import brief
from soundaug.running.outputs import read_rows, write_csv

URBANSOUND8K_CLASSES = (
    "air_conditioner",
    "car_horn",
    "children_playing",
    "dog_bark",
    "drilling",
    "engine_idling",
    "gun_shot",
    "jackhammer",
    "siren",
    "street_music",
)  # by class id

TABLE = Path("metadata/UrbanSound8K.csv")  # relative to a folder in UrbanSound8K's layout
EXCLUDED = "excluded.csv"

REQUIRED_COLUMNS = ("slice_file_name", "fsID", "fold", "classID", "class")
COLUMNS = ("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class")

LONGEST_NAME, LONGEST_PATH = 255, 4000  # bytes that file systems take

Exclusion = tuple[str, str]  # name of a clip that was left out, and the reason


@dataclass(frozen=True)
class Clip:
    """One labelled slice of a recording."""

    name: str  # slice_file_name: a bare file name, unique in the corpus
    fs_id: str  # the recording it was cut from
    fold: int  # from 1
    class_id: int  # from 0
    class_name: str
    path: str  # of the audio file, with slashes: relative to data.root when in_root, else to the table's corpus folder
    in_root: bool = False
    start: float | None = None  # seconds, within the recording
    end: float | None = None  # seconds
    salience: int | None = None  # UrbanSound8K: 1 foreground, 2 background


@dataclass(frozen=True)
class Listing:
    """What a source has: clips, those left out, and for each ending how many files are no audio by it."""

    clips: list[Clip]
    excluded: list[Exclusion]
    ignored: Counter[str] = field(default_factory=Counter)


def layout_path(fold: int, name: str) -> str:
    """Where UrbanSound8K's layout keeps a clip, relative to the corpus's folder, with slashes."""
    return f"audio/fold{fold}/{name}"


def audio_path(clip: Clip, raw: Path, root: Path) -> Path:
    """The clip's audio file: ``raw`` is the corpus's folder (data/raw), ``root`` the user's own (data.root)."""
    return (root if clip.in_root else raw) / clip.path


def read_clips(table: Path, classes: Sequence[str] | None = None, paths: bool = True) -> list[Clip]:
    """Read and check a table of clips in UrbanSound8K's columns, in the file's order.

    ``classes``: the names allowed, by class id (None: any, as long as the ids run from 0 and each has one name).
    ``paths``: whether a column `path`, when there is one, says where under data.root the audio lies.
    start, end, salience and path may be absent or blank.

    Raises StudyError that names file, row (the header is row 1) and column for the first thing that is wrong.
    """
    clips = []
    first_row: dict[str, int] = {}
    for number, row in _rows(table):
        clip = _clip(table, number, row, paths)
        if clip.name in first_row:
            raise _wrong(
                table, number, "slice_file_name", clip.name, f"every name once (also in row {first_row[clip.name]})"
            )
        if classes is not None and clip.class_name not in classes:
            raise _wrong(table, number, "class", clip.class_name, f"one of {', '.join(classes)}")
        if classes is not None and classes.index(clip.class_name) != clip.class_id:
            wanted = f"{classes.index(clip.class_name)}, the id of {clip.class_name}"
            raise _wrong(table, number, "classID", str(clip.class_id), wanted)
        first_row[clip.name] = number
        clips.append(clip)
    if not clips:
        raise StudyError(f"{table}: found no clips, wanted one row a clip")
    _check_ids_and_names(table, clips, first_row)
    class_names(clips, str(table))
    return clips


def write_clips(table: Path, clips: Sequence[Clip]) -> None:
    """Write ``clips`` in UrbanSound8K's columns, with a column `path` when any clip lies in data.root."""
    columns = list(COLUMNS)
    rows = [
        [clip.name, clip.fs_id, clip.start, clip.end, clip.salience, clip.fold, clip.class_id, clip.class_name]
        for clip in clips
    ]
    if any(clip.in_root for clip in clips):
        columns.append("path")
        rows = [[*row, clip.path if clip.in_root else ""] for row, clip in zip(rows, clips, strict=True)]
    write_csv(table, columns, rows)


def write_excluded(table: Path, excluded: Iterable[Exclusion]) -> None:
    """Write the clips that were left out as name, reason; the header alone when there are none."""
    write_csv(table, ("name", "reason"), excluded)


def read_excluded(table: Path) -> list[Exclusion]:
    """Read what ``write_excluded`` wrote."""
    return [(row["name"], row["reason"]) for row in read_rows(table, ("name", "reason"))]


def class_names(clips: Sequence[Clip], where: str = "corpus") -> list[str]:
    """The names of the classes by id; StudyError where there is one alone, or an id up to the highest has no clip."""
    names = {clip.class_id: clip.class_name for clip in clips}
    if len(names) == 1:
        raise StudyError(f"{where}: found the class {clips[0].class_name} only, wanted at least two")
    if sorted(names) != list(range(len(names))):
        found = ", ".join(str(class_id) for class_id in sorted(names))
        raise StudyError(f"{where}: found class ids {found}, wanted every id from 0 to {len(names) - 1}")
    return [names[class_id] for class_id in range(len(names))]


def recordings_of_several_classes(clips: Sequence[Clip]) -> dict[str, list[str]]:
    """Recordings that have clips of more than one class, with the names of those classes."""
    found: dict[str, set[str]] = {}
    for clip in clips:
        found.setdefault(clip.fs_id, set()).add(clip.class_name)
    return {fs_id: sorted(names) for fs_id, names in found.items() if len(names) > 1}


def folds_of(clips: Iterable[Clip]) -> list[int]:
    """The folds that have clips, ascending."""
    return sorted({clip.fold for clip in clips})


def keep_present(clips: Sequence[Clip], raw: Path, root: Path, skip: bool) -> tuple[list[Clip], list[Exclusion]]:
    """Split ``clips`` into those whose audio file is there and exclusions with the reason `missing`.

    Raises StudyError naming the first file that is not there, unless ``skip``; or when no file is there at all.
    """
    kept, missing = [], []
    for clip in clips:
        path = audio_path(clip, raw, root)
        if path.is_file():
            kept.append(clip)
        elif skip:
            missing.append((clip.name, "missing"))
        else:
            raise StudyError(
                f"{path}: not there, wanted the audio of {clip.name} (data.skip: [missing] leaves such clips out)"
            )
    if not kept:
        raise StudyError(
            f"{audio_path(clips[0], raw, root)}: not there, and neither is any other of {len(clips)} clips"
        )
    return kept, missing


def require_disjoint_recordings(clips: Sequence[Clip], where: str) -> None:
    """Raise StudyError naming the first recording that has clips in two folds."""
    fold_of: dict[str, Clip] = {}
    for clip in clips:
        other = fold_of.setdefault(clip.fs_id, clip)
        if other.fold != clip.fold:
            raise StudyError(
                f"{where}: found recording {clip.fs_id} in folds {other.fold} ({other.name}) "
                f"and {clip.fold} ({clip.name}), wanted every recording in one fold"
            )


def make_folds(clips: Sequence[Clip], n_folds: int, seed: int) -> list[Clip]:
    """Spread recordings over folds 1 to ``n_folds``, classes as even as they go (scikit-learn's StratifiedGroupKFold).

    Raises StudyError when a class has fewer recordings than there are folds.
    """
    recordings: defaultdict[str, set[str]] = defaultdict(set)
    for clip in clips:
        recordings[clip.class_name].add(clip.fs_id)
    for name, fs_ids in recordings.items():
        if len(fs_ids) < n_folds:
            raise StudyError(
                f"data.n_folds: found {len(fs_ids)} recordings of class {name}, wanted at least {n_folds}, one a fold"
            )
    from sklearn.model_selection import StratifiedGroupKFold  # here: it takes seconds to import and is seldom needed

    splitter = StratifiedGroupKFold(n_splits=n_folds, shuffle=True, random_state=seed)
    class_ids, fs_ids_of_clips = [clip.class_id for clip in clips], [clip.fs_id for clip in clips]
    tests = [test.tolist() for _, test in splitter.split(class_ids, class_ids, groups=fs_ids_of_clips)]
    return _with_folds(clips, tests)


def random_split(clips: Sequence[Clip], n_folds: int, seed: int) -> list[Clip]:
    """Spread clips over folds 1 to ``n_folds`` by class alone: clips of one recording land on both sides (leaky).

    Only there to reproduce figures that were published on such a split. A clip's ``path`` stays what it was.
    Raises StudyError when a class has fewer clips than there are folds.
    """
    counts: defaultdict[str, int] = defaultdict(int)
    for clip in clips:
        counts[clip.class_name] += 1
    for name, count in counts.items():
        if count < n_folds:
            raise StudyError(
                f"data.n_folds: found {count} clips of class {name}, wanted at least {n_folds}, one a fold"
            )
    from sklearn.model_selection import StratifiedKFold

    splitter = StratifiedKFold(n_splits=n_folds, shuffle=True, random_state=seed)
    class_ids = [clip.class_id for clip in clips]
    return _with_folds(clips, [test.tolist() for _, test in splitter.split(class_ids, class_ids)])


def is_inside(path: str) -> bool:
    """Whether a path with slashes stays in its folder: not absolute, no `..`, not empty."""
    parts = PurePosixPath(path).parts
    return bool(parts) and parts[0] != "/" and parts[0] != "//" and ".." not in parts


def is_plain(text: str) -> bool:
    """Whether a table can hold ``text`` on one line: more than spaces, no control characters, valid Unicode."""
    return bool(text.strip()) and all(unicodedata.category(char) not in ("Cc", "Cs") for char in text)


def _with_folds(clips: Sequence[Clip], tests: Sequence[Sequence[int]]) -> list[Clip]:
    """Fold i + 1 for the clips whose indices are in ``tests[i]``."""
    fold_of = {index: fold for fold, indices in enumerate(tests, start=1) for index in indices}
    return [replace(clip, fold=fold_of[index]) for index, clip in enumerate(clips)]


def _rows(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(number of the row as a spreadsheet counts it, column -> text) for every row; blank lines are passed over."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, None)
            if header is None:
                raise StudyError(f"{table}: found an empty file, wanted the columns {', '.join(REQUIRED_COLUMNS)}")
            for column in REQUIRED_COLUMNS:
                if column not in header:
                    raise StudyError(f"{table}: row 1: column {column}: not there, found {', '.join(header)}")
            for column in header:
                if header.count(column) > 1:
                    raise StudyError(
                        f"{table}: row 1: column {column}: found {header.count(column)} times, wanted once"
                    )
            for number, row in enumerate(reader, start=2):
                if not row:
                    continue
                if len(row) != len(header):
                    raise StudyError(
                        f"{table}: row {number}: found {len(row)} columns, wanted {len(header)} as in row 1"
                    )
                yield number, dict(zip(header, row, strict=True))
    except FileNotFoundError:
        raise StudyError(f"{table}: not there, wanted the table of clips in UrbanSound8K's columns") from None
    except UnicodeDecodeError as error:
        raise StudyError(f"{table}: found bytes that are not UTF-8 ({error.reason}), wanted a UTF-8 table") from None
    except csv.Error as error:
        raise StudyError(f"{table}: not readable as CSV: {error}") from None


def _clip(table: Path, number: int, row: dict[str, str], paths: bool) -> Clip:
    """One checked row."""
    name, path = row["slice_file_name"], row.get("path", "") if paths else ""
    if not is_plain(name) or not is_inside(name) or "/" in name or len(name.encode()) > LONGEST_NAME:
        raise _wrong(table, number, "slice_file_name", name, "a bare file name")
    if path and not (is_plain(path) and is_inside(path) and len(path.encode()) <= LONGEST_PATH):
        raise _wrong(table, number, "path", path, "a path that stays in data.root")
    fold = _integer(table, number, "fold", row["fold"], lowest=1)
    return Clip(
        name=name,
        fs_id=_text(table, number, "fsID", row["fsID"]),
        fold=fold,
        class_id=_integer(table, number, "classID", row["classID"], lowest=0),
        class_name=_text(table, number, "class", row["class"]),
        path=path or layout_path(fold, name),
        in_root=bool(path),
        start=_seconds(table, number, "start", row.get("start", "")),
        end=_seconds(table, number, "end", row.get("end", "")),
        salience=_integer(table, number, "salience", row["salience"], lowest=0) if row.get("salience") else None,
    )


def _check_ids_and_names(table: Path, clips: Sequence[Clip], row_of: dict[str, int]) -> None:
    """One name for every class id and one id for every name."""
    name_of: dict[int, Clip] = {}
    id_of: dict[str, Clip] = {}
    for clip in clips:
        number = row_of[clip.name]
        first = name_of.setdefault(clip.class_id, clip)
        if first.class_name != clip.class_name:
            wanted = f"{first.class_name}, as class id {clip.class_id} is called in row {row_of[first.name]}"
            raise _wrong(table, number, "class", clip.class_name, wanted)
        first = id_of.setdefault(clip.class_name, clip)
        if first.class_id != clip.class_id:
            wanted = f"{first.class_id}, the id of {clip.class_name} in row {row_of[first.name]}"
            raise _wrong(table, number, "classID", str(clip.class_id), wanted)


def _text(table: Path, number: int, column: str, text: str) -> str:
    if not is_plain(text):
        raise _wrong(table, number, column, text, "a name")
    return text


def _integer(table: Path, number: int, column: str, text: str, lowest: int) -> int:
    if re.fullmatch(r"[0-9]{1,9}", text) is None or int(text) < lowest:
        raise _wrong(table, number, column, text, f"an integer of at least {lowest}")
    return int(text)


def _seconds(table: Path, number: int, column: str, text: str) -> float | None:
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise _wrong(table, number, column, text, "seconds, or nothing")
    return seconds


def _wrong(table: Path, number: int, column: str, found: str, wanted: str) -> StudyError:
    return StudyError(f"{table}: row {number}: column {column}: found {brief(found)}, wanted {wanted}")
