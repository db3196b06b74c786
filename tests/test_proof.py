"""What the size of a study cannot prove is told in plain words."""

import re

import pytest

from soundaug.statistics.proof import (
    smallest_sign_flip_p,
    what_accuracy_hides,
    what_clips_can_prove,
    what_folds_can_prove,
    what_seeds_can_prove,
)


@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.01])
def test_the_folds_that_are_named_reach_the_level_and_one_less_does_not(alpha: float) -> None:
    found = re.search(r"; (\d+) folds or more can reach p < ([\d.]+)\.$", what_folds_can_prove(2, alpha))
    assert found is not None
    least = int(found[1])
    assert float(found[2]) == alpha
    assert smallest_sign_flip_p(least) < alpha <= smallest_sign_flip_p(least - 1)
    assert what_folds_can_prove(least - 1, alpha).startswith(f"{least - 1} folds cannot reach p < ")
    assert what_folds_can_prove(least, alpha).startswith(f"With {least} folds the sign-flip test cannot give a p below")


def test_three_folds_and_one() -> None:
    assert what_folds_can_prove(3) == (
        "3 folds cannot reach p < 0.25 in the sign-flip test, whatever the difference; 6 folds or more can reach "
        "p < 0.05."
    )
    assert what_folds_can_prove(1) == "With one fold there is no test over folds, and no p-value."


def test_one_seed_is_told() -> None:
    assert what_seeds_can_prove(2) is None
    assert what_seeds_can_prove(1) == (
        "With one seed the interval leaves out what another training run would change, and claims too often."
    )


def test_few_clips_or_recordings_are_told() -> None:
    assert what_clips_can_prove(100, 30) is None
    assert what_clips_can_prove(15, 15) == (
        "The test folds have 15 clips of 15 recordings in all: one clip is about 6.7 points, and an interval drawn "
        "from so few is rough."
    )
    assert "500 clips of 29 recordings in all: one clip is about 0.2 points" in str(what_clips_can_prove(500, 29))


def test_a_class_that_outweighs_the_others_is_told() -> None:
    assert what_accuracy_hides(0.34, 3) is None
    assert what_accuracy_hides(0.6, 3) is None
    assert what_accuracy_hides(0.29, 30) is None
    assert what_accuracy_hides(0.42, 30) == (
        "One class has 42% of the test clips, so that accuracy is largely its own; macro-F1 takes all classes alike."
    )
    assert "One class has 88%" in str(what_accuracy_hides(0.885, 3))


def test_so_is_one_of_two() -> None:
    assert what_accuracy_hides(0.65, 2) is None
    assert "One class has 70%" in str(what_accuracy_hides(0.7, 2))
