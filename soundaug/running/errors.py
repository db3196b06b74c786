"""Mistakes of the user, told in one line."""

import atexit
import errno
import gc
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from soundaug import INTERRUPTED
from soundaug.running.usage import record_usage

WANTED = {  # where the system refuses something
    errno.ENOSPC: "room for it on the disk: free some, then run the same command to go on",
    errno.EDQUOT: "room for it within the quota: free some, then run the same command to go on",
    errno.EACCES: "the right to read and write it",
    errno.EPERM: "the right to read and write it",
    errno.EROFS: "a disk that may be written to",
}


class StudyError(Exception):
    """A mistake the user can mend: names the file or parameter, what was found and what was wanted, in one line."""


def run_stage(main: Callable[[], None]) -> NoReturn:
    """Run a stage's ``main`` and exit: 0 when done, 1 with one line on stderr for a user's mistake, 130 for Ctrl-C."""
    # Python looks for cycles among all objects before it ends: a third of a second after torch's import.
    atexit.register(gc.freeze)
    try:
        main()
        record_usage()
    except StudyError as error:
        _leave(f"error: {error}", 1)
    except KeyboardInterrupt:
        _leave(INTERRUPTED, 130)
    except OSError as error:
        if error.errno is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        wanted = f", wanted {WANTED[error.errno]}" if error.errno in WANTED else ""
        _leave(f"error: {where}{os.strerror(error.errno)}{wanted}", 1)
    sys.exit(0)


def _leave(line: str, code: int) -> NoReturn:
    print(" ".join(line.split()), file=sys.stderr)
    sys.exit(code)
