"""Which clips every step sees: passes over all, shares of a batch, extra clips first."""

from typing import Any

import pytest
import torch
from tiny import tiny_params

from soundaug.classification.batches import index_batches, mixed_batches, n_steps
from soundaug.params import Augmentation, Training
from soundaug.running.device import generator_of
from soundaug.running.errors import StudyError


def settings(**changes: Any) -> Training:
    return Training.model_validate(tiny_params().training.model_dump() | changes)


def uses(**changes: Any) -> Augmentation:
    return Augmentation.model_validate(
        {"on_top_of": None, "share": None, "pretraining": 0.0, "soft_labels": 0.0} | changes
    )


def mixed(augmentation: Augmentation, n_real: int = 30, n_extra: int = 12, steps: int = 10) -> list[torch.Tensor]:
    return list(mixed_batches(n_real, n_extra, settings(), augmentation, steps, generator_of(0)))


def test_steps_and_epochs() -> None:
    assert n_steps(settings(steps=7), 1000) == 7
    assert n_steps(settings(steps=None, epochs=3), 18) == 9  # 8 + 8 + 2, three times
    assert n_steps(settings(steps=None, epochs=3), 16) == 6


def test_every_clip_comes_once_a_pass() -> None:
    epochs = settings(steps=None, epochs=3)
    batches = list(index_batches(18, epochs, 9, generator_of(0)))
    assert [len(batch) for batch in batches] == [8, 8, 2] * 3
    passes = torch.cat(batches).view(3, 18)
    assert all(sorted(one.tolist()) == list(range(18)) for one in passes)
    assert not torch.equal(passes[0], passes[1])

    batches = list(index_batches(18, settings(steps=9), 9, generator_of(0)))
    assert [len(batch) for batch in batches] == [8] * 9
    passes = torch.cat(batches).view(4, 18)  # 9 x 8 = 4 x 18
    assert all(sorted(one.tolist()) == list(range(18)) for one in passes)
    assert not torch.equal(passes[0], passes[1])


def test_a_batch_of_more_clips_than_there_are() -> None:
    batches = list(index_batches(3, settings(batch_size=8), 6, generator_of(0)))
    assert [len(batch) for batch in batches] == [8] * 6
    assert torch.bincount(torch.cat(batches)).tolist() == [16, 16, 16]


def test_the_batches_are_fixed_by_their_generator() -> None:
    first, again, other = (
        torch.cat(list(index_batches(18, settings(steps=4), 4, generator_of(*seed)))).tolist()
        for seed in ((0, 2), (0, 2), (1, 2))
    )
    assert first == again != other


@pytest.mark.parametrize("augmentation", [uses(), uses(share=0.5), uses(pretraining=0.5)])
def test_without_extra_clips_the_batches_are_those_of_the_base_arm(augmentation: Augmentation) -> None:
    base = list(index_batches(30, settings(), 10, generator_of(0)))
    found = mixed(augmentation, n_extra=0)
    assert all(torch.equal(one, other) for one, other in zip(found, base, strict=True))


def test_as_they_come() -> None:
    base = list(index_batches(42, settings(), 10, generator_of(0)))
    assert all(torch.equal(one, other) for one, other in zip(mixed(uses()), base, strict=True))


@pytest.mark.parametrize(("share", "extra"), [(0.25, 2), (0.5, 4), (0.75, 6)])
def test_every_batch_has_its_share(share: float, extra: int) -> None:
    batches = mixed(uses(share=share), steps=12)
    assert [len(batch) for batch in batches] == [8] * 12
    assert [int((batch >= 30).sum()) for batch in batches] == [extra] * 12
    counts = torch.bincount(torch.cat(batches), minlength=42)
    assert counts[30:].tolist() == [extra] * 12  # 12 extra clips in 12 batches
    assert counts[:30].max() - counts[:30].min() <= 1


def test_extra_clips_alone_then_real_clips_alone() -> None:
    batches = mixed(uses(pretraining=0.3))
    assert [len(batch) for batch in batches] == [8] * 10
    assert all(int(batch.min()) >= 30 for batch in batches[:3])
    assert all(int(batch.max()) < 30 for batch in batches[3:])
    assert torch.bincount(torch.cat(batches[:3]), minlength=42)[30:].tolist() == [2] * 12


def test_settings_that_cannot_be() -> None:
    with pytest.raises(StudyError, match=r"share is 0\.5 and pretraining 0.2, wanted one of them alone"):
        tiny_params(augmentation={"share": 0.5, "pretraining": 0.2})
    with pytest.raises(StudyError, match=r"augmentation\.share is 0.5, wanted training\.steps with it, not epochs"):
        tiny_params(augmentation={"share": 0.5}, training={"steps": None, "epochs": 2})
    with pytest.raises(StudyError, match=r"augmentation\.share is 0.01, wanted at least one extra and one real clip"):
        tiny_params(augmentation={"share": 0.01})
