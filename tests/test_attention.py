"""Attention on a processor."""

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor

from soundaug.diffusion import attention
from soundaug.diffusion.attention import CachedAttention, attend


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def layer(**changes: object) -> Attention:
    """A layer as those of diffusers' U-Nets, with weights that the seed decides."""
    settings = {"query_dim": 16, "heads": 4, "dim_head": 4, "norm_num_groups": 2, "residual_connection": True}
    made = Attention(**(settings | changes)).eval()
    for index, parameter in enumerate(made.parameters()):
        parameter.data = random(*parameter.shape, seed=index)
    return made


@pytest.mark.parametrize("scores", [1, 200, 2**20])
@pytest.mark.parametrize(
    ("changes", "given"),
    [
        ({}, None),
        ({"rescale_output_factor": 2.0, "bias": True}, None),
        ({"norm_num_groups": None, "residual_connection": False}, None),
        ({"cross_attention_dim": 8}, (3, 5, 8)),
    ],
)
@pytest.mark.parametrize("shape", [(3, 16, 4, 6), (3, 24, 16)])
def test_the_formula_is_the_plain_one(
    monkeypatch: pytest.MonkeyPatch,
    scores: int,
    changes: dict[str, object],
    given: tuple[int, ...] | None,
    shape: tuple[int, ...],
) -> None:
    monkeypatch.setattr(attention, "SCORES", scores)
    one, states = layer(**changes), random(*shape, seed=9)
    context = None if given is None else random(*given, seed=8)
    with torch.no_grad():
        one.set_processor(AttnProcessor())
        wanted = one(states, encoder_hidden_states=context)
        one.set_processor(CachedAttention())
        found = one(states, encoder_hidden_states=context)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("short", [0, 256])
def test_gradients_are_the_plain_ones(monkeypatch: pytest.MonkeyPatch, short: int) -> None:
    monkeypatch.setattr(attention, "SHORT", short)
    found = []
    for processor in (AttnProcessor(), CachedAttention()):
        one, states = layer(), random(2, 16, 4, 6, seed=9).requires_grad_()
        one.set_processor(processor)
        one(states).square().sum().backward()
        assert states.grad is not None
        found.append(states.grad)
    torch.testing.assert_close(found[1], found[0], rtol=2e-3, atol=1e-3)


def test_scores_stay_in_the_precision_of_the_queries() -> None:
    query, key, value = (random(3, 8, 4, seed=seed).to(torch.bfloat16) for seed in range(3))
    found = attend(query, key, value)
    assert found.dtype == torch.bfloat16
    wanted = torch.softmax(query.float() @ key.float().mT, dim=-1) @ value.float()
    torch.testing.assert_close(found.float(), wanted, rtol=0.02, atol=0.02)
    one, states = layer(), random(3, 16, 4, 6)
    with torch.no_grad():
        one.set_processor(CachedAttention())
        exact = one(states)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = one(states)
    assert (mixed - exact).square().mean().sqrt() < 0.02 * exact.square().mean().sqrt()
