"""Outputs that are whole or not there: written under a temporary name, then renamed."""

import csv
import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from soundaug.running.errors import WANTED, StudyError
from soundaug.running.foreign import reason

RUST_SAYS_FULL = f"(os error {errno.ENOSPC})"  # safetensors, which removes its file: then there is room again
LEAST_FREE = 2**16  # bytes: with fewer, a disk is full


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` for a file or folder; it takes ``path``'s place when all went well.

    Raises StudyError as `room_for` does.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with room_for(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove(partial)
            yield partial
            if path.is_dir():
                _remove(path)
            partial.replace(path)
    finally:
        _remove(partial)


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Raise StudyError that names ``path`` when what is written to its folder within finds the disk full.

    Some libraries tell it by the system's error, some by one of their own: those count where nothing is free.
    """
    try:
        yield
    except StudyError:
        raise
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        if number is None and (RUST_SAYS_FULL in str(error) or _is_full(path.parent)):
            number = errno.ENOSPC
        if number not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StudyError(f"{path}: {os.strerror(number)}, wanted {WANTED[number]}") from None


def _is_full(folder: Path) -> bool:
    return folder.is_dir() and shutil.disk_usage(folder).free < LEAST_FREE


def write_json(path: Path, values: Any) -> None:
    """Write ``values`` as indented JSON, keys in the order given."""
    with whole(path) as partial:
        partial.write_text(json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """What is in a file that an earlier stage wrote; StudyError when it is missing or no JSON."""
    if not path.is_file():
        raise StudyError(f"{path}: not there, wanted a file made by an earlier stage (dvc repro makes it)")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise StudyError(f"{path}: not valid JSON: {reason(error)}") from None


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table with a header line; text is quoted where CSV needs it."""
    with whole(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of the same columns, at least one; a value that is None is an empty cell."""
    write_csv(path, list(rows[0]), (list(row.values()) for row in rows))


def read_rows(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """Rows of a CSV that has at least ``columns``; raises StudyError that names the file, or the missing column."""
    if not path.is_file():
        raise StudyError(f"{path}: not there, wanted a file made by an earlier stage (dvc repro makes it)")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            header = reader.fieldnames or []
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise StudyError(f"{path}: not readable as CSV: {error}") from None
    missing = [column for column in columns if column not in header]
    if missing:
        raise StudyError(f"{path}: found columns {', '.join(header) or 'none'}, wanted also {', '.join(missing)}")
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise StudyError(f"{path} line {number}: found a row cut short or too long, wanted {len(header)} values")
    return rows


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
