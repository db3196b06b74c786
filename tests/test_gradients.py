"""Gradients in parts are those of the whole batch, and the same bytes on one core or two."""

import pytest
import torch
from torch import nn

from soundaug.running.gradients import parts_of, side_by_side_gradients, whole_gradients


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU(), nn.Flatten(), nn.Linear(8 * 36, 4)
    )


def losses_of(model: nn.Module, size: int):  # type: ignore[no-untyped-def]
    random = torch.Generator().manual_seed(5)
    given, wanted = torch.randn(size, 2, 6, 6, generator=random), torch.randn(size, 4, generator=random)

    def losses(part: slice) -> tuple[torch.Tensor, torch.Tensor]:
        error = (model(given[part]) - wanted[part]).square()
        return error.mean(), error.detach().abs().sqrt().mean()

    return losses


def gradients_with(threads: int, size: int) -> tuple[tuple[float, ...], list[torch.Tensor]]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        model = network()
        with side_by_side_gradients(torch.device("cpu")) as gradients:
            values = gradients(losses_of(model, size), size, list(model.parameters()))
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    return values, [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize(
    ("size", "lengths"), [(1, [1]), (4, [4]), (7, [7]), (8, [4, 4]), (11, [5, 6]), (64, [16] * 4), (18, [4, 5, 4, 5])]
)
def test_parts_cover_the_batch_in_order(size: int, lengths: list[int]) -> None:
    parts = parts_of(size)
    assert [part.stop - part.start for part in parts] == lengths
    assert [index for part in parts for index in range(size)[part]] == list(range(size))


@pytest.mark.parametrize("size", [3, 11, 32])
def test_parts_add_up_to_the_whole_batch(size: int) -> None:
    model = network()
    wanted_values = whole_gradients(losses_of(model, size), size, list(model.parameters()))
    wanted = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    values, found = gradients_with(2, size)
    assert values == pytest.approx(wanted_values, rel=1e-5)
    assert len(found) == len(wanted) == 6
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_the_same_bytes_on_one_core_and_on_two() -> None:
    values, found = gradients_with(1, 19)
    again_values, again = gradients_with(2, 19)
    assert values == again_values
    assert all(torch.equal(one, other) for one, other in zip(found, again, strict=True))


def test_what_has_no_part_in_the_loss_has_no_gradient_and_old_ones_are_gone() -> None:
    model, idle = network(), nn.Parameter(torch.ones(2))
    idle.grad = torch.ones(2)
    with side_by_side_gradients(torch.device("cpu")) as gradients:
        gradients(losses_of(model, 8), 8, [*model.parameters(), idle])
        first = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
        gradients(losses_of(model, 8), 8, [*model.parameters(), idle])
    assert idle.grad is None
    assert all(torch.equal(one, p.grad) for one, p in zip(first, model.parameters(), strict=True) if p.grad is not None)


def test_an_error_of_a_part_is_the_callers() -> None:
    model = network()

    def broken(part: slice) -> tuple[torch.Tensor]:
        if part.start:
            raise ValueError("the second half")
        return (next(model.parameters()).sum(),)

    with (
        pytest.raises(ValueError, match="the second half"),
        side_by_side_gradients(torch.device("cpu")) as gradients,
    ):
        gradients(broken, 8, list(model.parameters()))
