"""Clips side by side: one thread a core, each with a clip of its own."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from tqdm import tqdm

KEPT = 30 * 2**20  # bytes; glibc takes up to 32 MiB for an example

Item = TypeVar("Item")
Result = TypeVar("Result")


def over_cores(work: Callable[[Item], Result], items: Sequence[Item], label: str) -> Iterator[Result]:
    """``work`` of every item, in their order, by as many threads as torch would use; ``label`` names the progress bar.

    Within ``work`` torch has one thread: it runs the same arithmetic on any number of cores. libsndfile, soxr, NumPy
    and torch let other threads run, so that no second process need import them.
    """
    _keep_freed_memory()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(threads)
    try:
        yield from tqdm(pool.map(work, items), total=len(items), desc=label, disable=None, unit="clip")
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def _keep_freed_memory() -> None:
    """Let the allocator keep the memory of spectrograms, which costs as much to get anew as they cost to compute.

    glibc gives free memory back to the system above a threshold: twice the largest block that it was seen to free.
    """
    torch.empty(KEPT, dtype=torch.uint8)
