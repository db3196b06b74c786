"""Clips over the threads of this machine or, by joblib, over the workers of a Dask cluster: the same results."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from soundaug.params import Workers
from soundaug.running.errors import StudyError
from soundaug.running.memory import keep_freed_memory
from soundaug.running.threads import over_cores

Item = TypeVar("Item")
Result = TypeVar("Result")


def over_workers(
    work: Callable[[Item], Result], items: Sequence[Item], label: str, workers: Workers
) -> Iterator[Result]:
    """``work`` of every item, in their order, one torch thread each; ``label`` names the progress bar.

    For ``dask`` both must be small when pickled, and files be where the workers find them: paths in full, on a disk
    that all machines see. A worker that is lost is made up for by others. Raises StudyError where none answers.
    """
    return over_cores(work, items, label) if workers == "threads" else _over_cluster(work, items, label)


def _over_cluster(work: Callable[[Item], Result], items: Sequence[Item], label: str) -> Iterator[Result]:
    if not items:
        return
    from joblib import Parallel, delayed, parallel_config

    with parallel_config("dask", client=connect()):
        # A clip takes milliseconds: joblib sends as many at once as make a message worth it.
        parallel = Parallel(n_jobs=-1, return_as="generator", pre_dispatch="4 * n_jobs")
    # In a tuple, or joblib would send every array ahead, in a message of its own.
    made = parallel(delayed(_alone)(work, (item,)) for item in items)
    yield from tqdm(made, total=len(items), desc=label, disable=None, unit="clip")


@functools.cache
def connect() -> Any:
    """Dask's client, one a process: of the scheduler that Dask's settings name, else of a cluster on this machine.

    DASK_SCHEDULER_ADDRESS is the usual way to name one. Raises StudyError when it does not answer or has no workers.
    """
    import dask
    from distributed import Client, LocalCluster

    address = dask.config.get("scheduler-address", None)
    if address is None:
        count = torch.get_num_threads()
        return Client(LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None))
    try:
        client = Client(address)
        client.wait_for_workers(1, timeout=dask.config.get("distributed.comm.timeouts.connect"))
    except (OSError, ValueError) as error:  # a TimeoutError is an OSError
        found = str(error) or type(error).__name__
        raise StudyError(
            f"workers: found no Dask workers at {address} ({found}), wanted the scheduler's address in "
            "DASK_SCHEDULER_ADDRESS, and one worker or more"
        ) from None
    return client


def _alone(work: Callable[[Item], Result], item: tuple[Item]) -> Result:
    """``work`` on a cluster's worker, by the arithmetic of `over_cores`."""
    if torch.get_num_threads() != 1:
        keep_freed_memory()
        torch.set_num_threads(1)
    return work(item[0])
