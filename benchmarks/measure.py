"""How long something takes, how many operations it is, and how many the machine can do."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

PEAK_SIDES = (1024, 2048, 4096)  # of the square matrices whose product gives the peak
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
