"""Does audio made by a diffusion model improve a sound classifier? The study's shared code, a module per concept."""

import os
import sys
from types import TracebackType

# How long OpenMP's threads spin while they wait for one another, before they sleep. By default it is so long that where
# another busy process shares a core a training takes three times as long; not at all (OMP_WAIT_POLICY=passive) makes a
# training of small operations 1.5 times as long where nothing else runs. It must be set before torch loads OpenMP.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# Torch asks the system for huge pages where a block is 2 MiB or more: a training is a tenth faster for it.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

INTERRUPTED = "interrupted: what was finished is kept, run the same command to go on"


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print(INTERRUPTED, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


# While a stage or the command line is being imported, which takes seconds, Ctrl-C ends it with a line too.
if sys.argv[:1] == ["-m"]:
    sys.excepthook = _tell
