"""AdamW is torch's."""

import copy

import pytest
import torch

from soundaug.classification.optimizer import AdamW


@pytest.mark.parametrize(("fused", "tolerance"), [(True, 0.0), (False, 1e-7)])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_twenty_steps_are_torchs(weight_decay: float, fused: bool, tolerance: float) -> None:
    torch.manual_seed(0)
    ours = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten())
    ours.append(torch.nn.Linear(4 * 6 * 6, 3))
    theirs = copy.deepcopy(ours)
    optimizer = AdamW(ours.parameters(), 0.01, weight_decay)
    reference = torch.optim.AdamW(theirs.parameters(), lr=0.01, weight_decay=weight_decay, fused=fused)
    before = [parameter.clone() for parameter in ours.parameters()]
    for step in range(20):
        rate = 0.01 / (1 + step)
        optimizer.learning_rate = rate
        reference.param_groups[0]["lr"] = rate
        batch, labels = torch.randn(5, 1, 8, 8), torch.arange(5) % 3
        for model, one in ((ours, optimizer), (theirs, reference)):
            one.zero_grad()
            torch.nn.functional.cross_entropy(model(batch), labels).backward()
            one.step()
    for mine, its, old in zip(ours.parameters(), theirs.parameters(), before, strict=True):
        torch.testing.assert_close(mine, its, rtol=0, atol=tolerance)
        assert (mine - old).abs().max() > 1e-3


def test_the_first_step_by_hand() -> None:
    """Loshchilov & Hutter 2019, algorithm 2: at the first step the bias-corrected ratio is the gradient's sign."""
    parameter = torch.nn.Parameter(torch.tensor([2.0, -4.0]))
    optimizer = AdamW([parameter], learning_rate=0.1, weight_decay=0.5)
    parameter.grad = torch.tensor([3.0, -0.01])
    optimizer.step()
    assert parameter.tolist() == pytest.approx([2 * (1 - 0.05) - 0.1, -4 * (1 - 0.05) + 0.1], abs=1e-5)
    optimizer.zero_grad()
    assert parameter.grad is None
    with pytest.raises(AssertionError):
        optimizer.step()
