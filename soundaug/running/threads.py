"""Clips side by side: one thread a core, each with a clip of its own."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from threading import Event
from typing import TypeVar

import torch
from tqdm import tqdm

from soundaug.running.memory import keep_freed_memory

CHUNK = 6  # items handed to a thread at once: a hand-over costs about 0.2 ms, the features of a clip some ms
AHEAD = 2  # chunks a thread that are begun or waited for before the first of them is taken

Item = TypeVar("Item")
Result = TypeVar("Result")


def over_cores(
    work: Callable[[Item], Result], items: Sequence[Item], label: str, unit: str = "clip"
) -> Iterator[Result]:
    """``work`` of every item, in their order, by as many threads as torch would use; ``label`` names the progress bar.

    Within ``work`` torch has one thread: it runs the same arithmetic on any number of cores. libsndfile, soxr, NumPy
    and torch let other threads run, so that no second process need import them. However many items there are, only some
    are held: work stops where nobody takes what is made.
    """
    keep_freed_memory()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(threads)
    size = max(1, min(CHUNK, len(items) // (AHEAD * threads)))
    left = iter(range(0, len(items), size))
    ahead: deque[Future[list[Result]]] = deque()
    over = Event()
    try:
        with tqdm(total=len(items), desc=label, disable=None, unit=unit) as progress:
            while True:
                for first in islice(left, AHEAD * threads - len(ahead)):
                    ahead.append(pool.submit(_each, work, items[first : first + size], over))
                if not ahead:
                    break
                for result in ahead.popleft().result():
                    yield result
                    progress.update()
    finally:
        over.set()
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def side_by_side(
    work: Callable[[Item], Result], items: Sequence[Item], label: str, unit: str = "clip"
) -> Iterator[Result]:
    """`over_cores` where there is an item for every core; else one item after another, each on all of them."""
    if len(items) >= torch.get_num_threads():
        yield from over_cores(work, items, label, unit)
    else:
        yield from map(work, tqdm(items, desc=label, disable=None, unit=unit))


def _each(work: Callable[[Item], Result], items: Sequence[Item], over: Event) -> list[Result]:
    """``work`` of the items in turn, until nobody wants more."""
    return [work(item) for item in items if not over.is_set()]
