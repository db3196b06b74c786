"""How long something takes, how many operations it is, and how many the machine can do."""

import os
import re
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from soundaug.running.device import autocast

PEAK_SIDES = (1024, 2048, 4096)  # of the square matrices whose product gives the peak
PEAK_FRAMES = (16, 64, 256, 1024)  # that are transformed at once
READ_BYTES = 256 * 2**20
KINDS = {  # of operations, by what torch calls them
    "convolutions, matrix products": ("convolution", "conv2d", "mm", "bmm", "addmm", "baddbmm", "linear", "attention"),
    "normalization": ("group_norm", "batch_norm"),
    "activations, sums": ("silu", "add", "mul", "div", "softmax", "cat", "sub", "sqrt", "addcdiv", "addcmul", "lerp"),
    "copies, conversions": ("copy_", "clone", "contiguous", "_to_copy", "fill_", "zero_", "upsample"),
}


class Timing(NamedTuple):
    """Seconds of repeated runs."""

    median: float
    runs: list[float]


def timed(run: Callable[[], object], repeats: int = 5, warm_up: int = 1) -> Timing:
    """``repeats`` runs after ``warm_up`` that are not counted."""
    seconds = []
    for index in range(warm_up + repeats):
        start = time.perf_counter()
        run()
        if index >= warm_up:
            seconds.append(time.perf_counter() - start)
    return Timing(statistics.median(seconds), seconds)


def timed_in_turn(runs: Sequence[Callable[[], object]], repeats: int = 5) -> list[Timing]:
    """Each of ``runs`` once a round, after a round that is not counted: what slows the machine down meets them all."""
    for run in runs:
        run()
    rounds = [[timed(run, 1, warm_up=0).median for run in runs] for _ in range(repeats)]
    return [Timing(statistics.median(seconds), list(seconds)) for seconds in zip(*rounds, strict=True)]


def flop(run: Callable[[], object]) -> int:
    """Floating-point operations of ``run``'s convolutions and matrix products, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


def matmul_peak(dtype: torch.dtype, device: torch.device, repeats: int = 5) -> float:
    """Operations a second of the fastest product of two square matrices of ``dtype``: the best run of the best size."""
    best = 0.0
    for side in PEAK_SIDES:
        a, b = (torch.randn((side, side), device=device).to(dtype) for _ in range(2))
        best = max(best, 2 * side**3 / min(timed(lambda a=a, b=b: a @ b, repeats).runs))  # type: ignore[misc]
    return best


def product_dtype(device: torch.device, precision: str) -> torch.dtype:
    """What matrices are multiplied in at ``precision``, as the parameters name it."""
    with autocast(device, precision):
        return (torch.ones(1, 1, device=device) @ torch.ones(1, 1, device=device)).dtype


def fft_peak(n_fft: int, repeats: int = 5) -> float:
    """Real Fourier transforms of ``n_fft`` samples a second, all cores at work: the best run of the best batch."""
    best = 0.0
    for count in PEAK_FRAMES:
        frames, spectra = torch.randn(count, n_fft), torch.empty(count, n_fft // 2 + 1, dtype=torch.complex64)
        rounds = max(1, 1024 // count)

        def run(frames: torch.Tensor = frames, spectra: torch.Tensor = spectra, rounds: int = rounds) -> None:
            for _ in range(rounds):
                torch.fft.rfft(frames, out=spectra)

        best = max(best, rounds * count / min(timed(run, repeats).runs))
    return best


def read_rate() -> float:
    """Bytes a second that come from the disk of the temporary folder, past the system's memory of files."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "bytes"
        with path.open("wb") as file:
            for _ in range(READ_BYTES // 2**20):
                file.write(os.urandom(2**20))
            file.flush()
            os.fsync(file.fileno())
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        start = time.perf_counter()
        with path.open("rb", buffering=0) as file:
            while file.read(2**20):
                pass
        return READ_BYTES / (time.perf_counter() - start)


def time_by_kind(run: Callable[[], object]) -> dict[str, float]:
    """The share of a run's time that each kind of operation takes, from torch's profiler; they sum to 1."""
    run()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        run()
    totals = dict.fromkeys([*KINDS, "all else"], 0.0)
    for event in found.key_averages():
        name = event.key.removeprefix("aten::")
        kind = next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), "all else")
        totals[kind] += event.self_cpu_time_total
    whole = sum(totals.values())
    return {kind: value / whole for kind, value in totals.items()}


def peak_memory_mb() -> float:
    """Of this process since it was started, in MB of resident memory.

    Linux tells it in /proc. getrusage, asked elsewhere, counts there what the process that started this one had.
    """
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+)", status.read_text()) if status.exists() else None
    return (int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024
