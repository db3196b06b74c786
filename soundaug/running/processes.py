"""Several processes for one stage, by Hugging Face accelerate: GPUs of a machine, or parts of a processor."""

import os
import subprocess
import sys

import torch
import torch.distributed as dist

from soundaug.running.errors import StudyError


def relaunch(processes: int) -> bool:
    """Run this very command in ``processes`` processes by `accelerate launch`, wait, and return True.

    False with one process, and inside those launched, which find each other by torch.distributed (gloo on CPUs, NCCL
    on GPUs). Ends the program when one of them fails: it has told why.
    """
    if "WORLD_SIZE" in os.environ:  # set by whatever launched this: the lines below, or a cluster's own launcher
        _join()
        return False
    if processes == 1:
        return False
    if torch.cuda.is_available() and torch.cuda.device_count() < processes:
        raise StudyError(f"processes: found {processes}, wanted at most the {torch.cuda.device_count()} GPUs there are")
    spec = sys.modules["__main__"].__spec__
    assert spec is not None, "a stage is run as a module"
    command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", str(processes)]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    # On CPUs too: it is the option that starts several processes without MPI; `_join` tells that they are on CPUs.
    command += ["--multi_gpu", "-m", spec.name, *sys.argv[1:]]
    # Each gets its part of the cores; accelerate's own default is one thread.
    environment = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // processes))} | os.environ
    done = subprocess.run(command, env=environment, check=False)  # noqa: S603 - this very command
    if done.returncode:
        sys.exit(1)
    return True


def rank() -> int:
    """This process's number, 0 for the one that reads out progress and writes results."""
    return dist.get_rank() if _several() else 0


def count() -> int:
    """How many processes work on this stage."""
    return dist.get_world_size() if _several() else 1


def is_main() -> bool:
    """Whether this process reads out progress and writes results."""
    return rank() == 0


def sum_over(tensor: torch.Tensor) -> torch.Tensor:
    """The element-wise sum of every process's ``tensor``, on all of them; in place."""
    if _several() and dist.get_backend() == "nccl":  # which knows GPUs only
        moved = tensor.cuda()
        dist.all_reduce(moved)
        tensor.copy_(moved)
    elif _several():
        dist.all_reduce(tensor)
    return tensor


def least(number: int) -> int:
    """The smallest of the processes' numbers."""
    if not _several():
        return number
    value = torch.tensor(number, device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(value, dist.ReduceOp.MIN)
    return int(value)


def _several() -> bool:
    return dist.is_available() and dist.is_initialized()


def _join() -> None:
    if not _several():
        from accelerate import PartialState

        PartialState(cpu=not torch.cuda.is_available())
