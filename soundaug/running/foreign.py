"""Files from outside, or damaged ones: whatever a library raises while it reads them becomes one line."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from reprlib import Repr
from typing import Any

from soundaug.running.errors import StudyError

LONGEST_REASON, LONGEST_VALUE = 200, 80  # characters that are shown
# What the system refuses, whatever is in the file.
SYSTEM = {errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EROFS}

_brief = Repr()
_brief.maxlevel, _brief.maxlist, _brief.maxdict, _brief.maxtuple = 3, 10, 4, 10
_brief.maxstring = _brief.maxother = _brief.maxlong = LONGEST_VALUE


@contextmanager
def reading(path: Path, found: str, wanted: str) -> Iterator[None]:
    """Raise StudyError `path: found <found> (reason), wanted <wanted>` for whatever goes wrong within.

    Decoders raise whatever their first failing line does, so that no list of exceptions is complete; MemoryError is one
    of them, where a header lies about sizes. What the system refuses (no rights, a failing disk) stays an OSError.
    """
    try:
        yield
    except StudyError:
        raise
    except FileNotFoundError as error:
        raise StudyError(f"{error.filename or path}: not there, wanted {wanted}") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno in SYSTEM:
            raise
        raise StudyError(f"{path}: found {found} ({reason(error)}), wanted {wanted}") from None


def reason(error: Exception) -> str:
    """What an error says, or its name: on one line, no longer than anybody reads."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    said = (error.strerror if isinstance(error, OSError) else None) or str(error)
    line = " ".join(said.split()) or type(error).__name__
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]}..."


def brief(value: Any) -> str:
    """``repr`` of a value from outside, cut where it is long or deep: YAML's aliases make it grow exponentially."""
    try:
        return _brief.repr(value)
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return "a number of thousands of digits"
