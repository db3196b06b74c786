"""Gradients of a batch in parts, a part a core: on up to four cores the same bytes, however many there are."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise

import torch

SMALLEST, MOST = 4, 4  # examples a part at least, parts at most

Losses = Callable[[slice], tuple[torch.Tensor, ...]]
Gradients = Callable[[Losses, int, Sequence[torch.nn.Parameter]], tuple[float, ...]]


def parts_of(size: int) -> list[slice]:
    """A batch of ``size`` examples in up to `MOST` parts of nearly the same size, each of `SMALLEST` or more."""
    count = max(1, min(MOST, size // SMALLEST))
    edges = [size * part // count for part in range(count + 1)]
    return [slice(*pair) for pair in pairwise(edges)]


@contextmanager
def side_by_side_gradients(device: torch.device) -> Iterator[Gradients]:
    """Yield ``gradients(losses, size, parameters)``: sets every parameter's ``grad`` to that of the batch's mean loss.

    ``losses`` takes a slice of the batch and returns the mean over those examples, of the loss first and then of what
    else is to be known; their means over the batch are returned. It must not depend on the other examples. On a
    processor each part is one core's, with one thread of torch's (more where there are more cores than parts), and
    parts are added in their order: no operation waits for another core's half of it, which takes long where that core
    is busy with something else. On a GPU the batch is one part.
    """
    if device.type != "cpu":
        yield whole_gradients
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // MOST))
    try:
        with ThreadPoolExecutor(min(threads, MOST)) as pool:

            def gradients(losses: Losses, size: int, parameters: Sequence[torch.nn.Parameter]) -> tuple[float, ...]:
                parts = parts_of(size)
                shares = [(part.stop - part.start) / size for part in parts]
                done = pool.map(lambda part: _gradients(losses, part, parameters), parts)
                return _add(list(done), shares, parameters)

            yield gradients
    finally:
        torch.set_num_threads(threads)


def whole_gradients(losses: Losses, size: int, parameters: Sequence[torch.nn.Parameter]) -> tuple[float, ...]:
    """The same of a batch at once, by torch's ``backward``, whose hooks share gradients among processes."""
    values = losses(slice(0, size))
    for parameter in parameters:
        parameter.grad = None
    values[0].backward()
    return tuple(value.item() for value in values)


def _gradients(
    losses: Losses, part: slice, parameters: Sequence[torch.nn.Parameter]
) -> tuple[list[float], list[torch.Tensor | None]]:
    """The values and, of every parameter, the gradient of the first, None where it has no part in it."""
    values = losses(part)
    return [value.item() for value in values], list(torch.autograd.grad(values[0], parameters, allow_unused=True))


def _add(
    done: Sequence[tuple[list[float], list[torch.Tensor | None]]],
    shares: Sequence[float],
    parameters: Sequence[torch.nn.Parameter],
) -> tuple[float, ...]:
    """Means of the values over the batch; the gradients' go to the parameters."""
    for parameter, *found in zip(parameters, *(gradients for _, gradients in done), strict=True):
        present = [(gradient, share) for gradient, share in zip(found, shares, strict=True) if gradient is not None]
        total = None
        for gradient, share in present:
            total = gradient * share if total is None else total.add_(gradient, alpha=share)
        parameter.grad = total
    weighted = [[value * share for value in values] for (values, _), share in zip(done, shares, strict=True)]
    return tuple(sum(column) for column in zip(*weighted, strict=True))
