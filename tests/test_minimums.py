"""What is too little for a study is told before any work, and what its size cannot prove in plain words."""

import re
from dataclasses import replace

import pytest
from fake_study import fake_params

from soundaug.corpus import Clip
from soundaug.errors import StudyError
from soundaug.minimums import (
    require_enough,
    smallest_sign_flip_p,
    what_accuracy_hides,
    what_clips_can_prove,
    what_folds_can_prove,
)


def corpus(folds: int = 2, recordings: int = 2, slices: int = 1, classes: int = 3) -> list[Clip]:
    """Of every class ``recordings`` in every fold, of ``slices`` clips each."""
    return [
        Clip(f"{k}-{c}-{r}-{s}.wav", f"{k}-{c}-{r}", k, c, f"class {c}", path=f"{k}-{c}-{r}-{s}.wav")
        for k in range(1, folds + 1)
        for c in range(classes)
        for r in range(recordings)
        for s in range(slices)
    ]


def refused(clips: list[Clip], message: str, folds: tuple[int, ...] = (1,), **generate: str) -> None:
    with pytest.raises(StudyError, match=f"^{re.escape(message)}$"):
        require_enough(clips, fake_params(folds=list(folds), generate=generate))


def test_the_least_that_is_enough() -> None:
    require_enough(corpus(folds=2, recordings=2, classes=2), fake_params(folds=[1, 2]))
    require_enough(corpus(folds=3, recordings=1, classes=2), fake_params(folds=[1, 2, 3]))
    within = fake_params(folds=[1, 2], generate={"single_recording": "within"})
    require_enough(corpus(folds=2, recordings=1, slices=2, classes=2), within)


def test_held_out_folds_must_exist() -> None:
    refused(corpus(), "folds: found 3, wanted one of the corpus's folds: 1, 2", folds=(1, 3))
    refused(corpus(folds=1), "folds: found only fold 1 in the corpus, wanted at least 2 folds")


def test_a_fold_of_one_recording_tests_nothing() -> None:
    clips = [replace(clip, fs_id="one") if clip.fold == 2 else clip for clip in corpus(folds=3, slices=3)]
    require_enough(clips, fake_params(folds=[1]))
    refused(clips, "folds: found clips of one recording in fold 2, wanted two or more to test on", folds=(1, 2))


def test_every_class_is_trained_in_every_turn() -> None:
    lonely = [*corpus(), *(Clip(f"{n}.wav", str(n), 2, 3, "owl", path=f"{n}.wav") for n in range(2))]
    require_enough(lonely, fake_params(folds=[1]))
    refused(lonely, "folds: found class owl in fold 2 only, wanted clips of it to train on", folds=(2,))


def test_two_recordings_to_pair_unless_those_of_one_may_be() -> None:
    clips = [clip for clip in corpus(slices=2) if clip.fs_id != "2-1-0"]
    one = "class class 1, fold 1 held out: found one training"
    hint = "(or generate.single_recording: within, to pair clips of the same recording)"
    refused(clips, f"{one} recording, wanted two or more to pair {hint}")
    require_enough(clips, fake_params(folds=[1], generate={"single_recording": "within"}))
    clips = [clip for clip in clips if clip.name != "2-1-1-0.wav"]
    refused(clips, f"{one} clip, wanted two or more to pair", single_recording="within")


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
