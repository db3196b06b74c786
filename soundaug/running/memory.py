"""Memory that the allocator keeps for what needs it next: a clip, a batch."""

import ctypes
import sys

import numpy as np

KEPT = 30 * 2**20  # bytes; glibc takes up to 32 MiB for an example
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h


def keep_freed_memory() -> None:
    """Let the allocator keep the memory of spectrograms, which costs as much to get anew as they cost to compute.

    glibc gives free memory back to the system above a threshold: twice the largest block that it was seen to free.
    """
    np.empty(KEPT, dtype=np.uint8)


def keep_all_freed_memory() -> bool:
    """The same for blocks of any size, such as a batch's activations; for a process that soon ends, which has its peak.

    Returns whether the C library is one that can be asked, glibc; elsewhere nothing changes. Results do not change.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return mallopt is not None and bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))
