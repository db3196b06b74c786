"""What a study's folds and test clips can prove at best, in plain words."""

import math

FEW_CLIPS = 100  # test clips below which one of them is more than a point
FEW_RECORDINGS = 30  # test recordings below which an interval drawn from them is rough
LARGE_CLASS = 0.3  # of the test clips, and twice an even share or two thirds: then accuracy is largely that class's


def smallest_sign_flip_p(k: int) -> float:
    """The smallest two-sided p that the exact sign-flip test can give with k folds: 2 / 2^k (3: 0.25, 10: 0.002)."""
    return float(min(1.0, 2.0 / 2.0**k))


def what_folds_can_prove(k: int, alpha: float = 0.05) -> str:
    """A sentence on the smallest p that k folds can reach, and on how many can reach one below ``alpha``."""
    if k == 1:
        return "With one fold there is no test over folds, and no p-value."
    smallest = f"{smallest_sign_flip_p(k):.2g}"
    if smallest_sign_flip_p(k) < alpha:
        return f"With {k} folds the sign-flip test cannot give a p below {smallest}."
    least = math.floor(math.log2(2 / alpha)) + 1
    return (
        f"{k} folds cannot reach p < {smallest} in the sign-flip test, whatever the difference; {least} folds or more "
        f"can reach p < {alpha:.2g}."
    )


def what_seeds_can_prove(n_seeds: int) -> str | None:
    """A sentence where the interval cannot know what runs differ by; None with two seeds or more."""
    if n_seeds > 1:
        return None
    return "With one seed the interval leaves out what another training run would change, and claims too often."


def what_clips_can_prove(test_clips: int, test_recordings: int) -> str | None:
    """A sentence on how coarse accuracy and interval are with so few to test on; None where they are many."""
    if test_clips >= FEW_CLIPS and test_recordings >= FEW_RECORDINGS:
        return None
    return (
        f"The test folds have {test_clips} clips of {test_recordings} recordings in all: one clip is about "
        f"{100 / test_clips:.2g} points, and an interval drawn from so few is rough."
    )


def what_accuracy_hides(largest_share: float, n_classes: int) -> str | None:
    """A sentence where one class has so many of the test clips that accuracy tells little of the others."""
    if largest_share < max(LARGE_CLASS, min(2 / n_classes, 2 / 3)):
        return None
    return (
        f"One class has {largest_share:.0%} of the test clips, so that accuracy is largely its own; macro-F1 takes all "
        "classes alike."
    )
