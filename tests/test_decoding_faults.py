"""Lost time and level of generated clips: exactly as much as is asked for."""

from typing import Any

import pytest
import torch
from fake_study import fake_params

from soundaug.inversion.decoding_faults import faulty, levelled, stretched
from soundaug.params import Invert
from soundaug.running.errors import StudyError

MELS = torch.arange(12.0).reshape(1, 2, 6) * torch.tensor([1.0, -1.0]).reshape(2, 1, 1)  # rising, and falling


def settings(**changes: Any) -> Invert:
    return fake_params(invert=changes).invert


def test_nothing_is_lost_by_default() -> None:
    assert (settings().stretch, settings().level_db) == (1.0, None)
    assert torch.equal(faulty(MELS, settings()), MELS)


def test_twice_as_slow_is_the_first_half_with_what_is_between() -> None:
    found = stretched(MELS, 2.0)
    assert found.shape == MELS.shape
    assert found[0, 0].tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    assert torch.equal(found[..., ::2], MELS[..., :3])
    assert torch.equal(found[1], -stretched(-MELS, 2.0)[1])
    torch.testing.assert_close(stretched(MELS, 1.25)[0, 0], torch.tensor([0.0, 0.8, 1.6, 2.4, 3.2, 4.0]))


def test_the_last_frame_is_not_read_beyond() -> None:
    assert torch.equal(stretched(MELS, 1.0), MELS)


def test_the_loudest_band_is_at_the_level_and_the_rest_as_far_below() -> None:
    found = levelled(MELS, -10.0)
    assert found.amax(dim=(1, 2)).tolist() == [-10.0, -10.0]
    torch.testing.assert_close(found.diff(dim=-1), MELS.diff(dim=-1))
    louder = levelled(MELS + 33.0, -10.0)
    torch.testing.assert_close(found, louder)  # a gain makes no difference


def test_the_level_is_that_of_what_is_heard() -> None:
    falling = faulty(MELS.flip(-1), settings(stretch=2.0, level_db=0.0))  # the loudest frames are cut off or kept
    assert falling.amax(dim=(1, 2)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("value", [0.5, 20.0])
def test_a_stretch_out_of_range_is_told(value: float) -> None:
    with pytest.raises(StudyError, match=r"invert\.stretch: found"):
        settings(stretch=value)
