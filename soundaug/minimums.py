"""The least that a study can be made of, and what its folds and test clips can prove at best."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from soundaug.corpus import Clip, folds_of
from soundaug.errors import StudyError
from soundaug.params import Params

FEW_CLIPS = 100  # test clips below which one of them is more than a point
FEW_RECORDINGS = 30  # test recordings below which an interval drawn from them is rough
LARGE_CLASS = 0.3  # of the test clips, and twice an even share: then accuracy is largely that of the class


def require_enough(clips: Sequence[Clip], params: Params) -> None:
    """Raise StudyError unless every fold of ``params.folds`` can be held out: there, tested and trained.

    Two recordings or more to test on, since intervals are drawn from recordings; of every class clips to train on, of
    two recordings or more, which are paired (with ``generate.single_recording: within`` two clips will do).
    """
    existing = folds_of(clips)
    if len(existing) < 2:
        raise StudyError(f"folds: found only fold {existing[0]} in the corpus, wanted at least 2 folds")
    recordings: defaultdict[tuple[str, int], set[str]] = defaultdict(set)  # by class and fold
    counts = Counter((clip.class_name, clip.fold) for clip in clips)
    for clip in clips:
        recordings[clip.class_name, clip.fold].add(clip.fs_id)
    classes = list(dict.fromkeys(clip.class_name for clip in clips))
    for fold in params.folds:
        if fold not in existing:
            raise StudyError(f"folds: found {fold}, wanted one of the corpus's folds: {', '.join(map(str, existing))}")
        tested = {clip.fs_id for clip in clips if clip.fold == fold}
        if len(tested) < 2:
            raise StudyError(f"folds: found clips of one recording in fold {fold}, wanted two or more to test on")
        for name in classes:
            others = [other for other in existing if other != fold]
            n_clips = sum(counts[name, other] for other in others)
            n_recordings = len(set().union(*(recordings[name, other] for other in others)))
            if n_clips == 0:
                raise StudyError(f"folds: found class {name} in fold {fold} only, wanted clips of it to train on")
            where = f"class {name}, fold {fold} held out"
            if n_recordings < 2 and params.generate.single_recording == "error":
                raise StudyError(
                    f"{where}: found one training recording, wanted two or more to pair "
                    "(or generate.single_recording: within, to pair clips of the same recording)"
                )
            if n_clips < 2:
                raise StudyError(f"{where}: found one training clip, wanted two or more to pair")


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
    if largest_share < max(LARGE_CLASS, 2 / n_classes):
        return None
    return (
        f"One class has {largest_share:.0%} of the test clips, so that accuracy is largely its own; macro-F1 takes all "
        "classes alike."
    )
