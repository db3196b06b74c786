"""Memory that the allocator keeps for the next clip."""

import numpy as np

KEPT = 30 * 2**20  # bytes; glibc takes up to 32 MiB for an example


def keep_freed_memory() -> None:
    """Let the allocator keep the memory of spectrograms, which costs as much to get anew as they cost to compute.

    glibc gives free memory back to the system above a threshold: twice the largest block that it was seen to free.
    """
    np.empty(KEPT, dtype=np.uint8)
