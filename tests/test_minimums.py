"""What is too little for a study is told before any work."""

import re
from dataclasses import replace
from typing import Any

import pytest
from fake_study import fake_params

from soundaug.folds.partition import Partition
from soundaug.running.errors import StudyError
from soundaug.sources.corpus import Clip
from soundaug.statistics.minimums import require_enough


def corpus(folds: int = 2, recordings: int = 2, slices: int = 1, classes: int = 3) -> list[Clip]:
    """Of every class ``recordings`` in every fold, of ``slices`` clips each."""
    return [
        Clip(f"{k}-{c}-{r}-{s}.wav", f"{k}-{c}-{r}", k, c, f"class {c}", path=f"{k}-{c}-{r}-{s}.wav")
        for k in range(1, folds + 1)
        for c in range(classes)
        for r in range(recordings)
        for s in range(slices)
    ]


def enough(clips: list[Clip], **changes: Any) -> Partition:
    return require_enough(clips, fake_params(**changes))


def refused(clips: list[Clip], message: str, folds: tuple[int, ...] = (1,), **generate: str) -> None:
    with pytest.raises(StudyError, match=f"^{re.escape(message)}$"):
        enough(clips, folds=list(folds), generate=generate)


def test_the_least_that_is_enough() -> None:
    enough(corpus(folds=2, recordings=2, classes=2), folds=[1, 2])
    enough(corpus(folds=3, recordings=1, classes=2), folds=[1, 2, 3])
    enough(corpus(folds=2, recordings=1, slices=2, classes=2), folds=[1, 2], generate={"single_recording": "within"})


def test_held_out_folds_must_exist() -> None:
    refused(corpus(), "folds: found 3, wanted one of the corpus's folds: 1, 2", folds=(1, 3))
    refused(
        corpus(folds=1), "folds: found only fold 1 in the corpus, wanted two or more: one to train, another to test on"
    )


def test_a_fold_of_one_recording_tests_nothing() -> None:
    clips = [replace(clip, fs_id="one") if clip.fold == 2 else clip for clip in corpus(folds=3, slices=3)]
    enough(clips, folds=[1])
    refused(clips, "fold 2 held out: found clips of one recording to test on, wanted two or more", folds=(1, 2))


def test_every_class_is_trained_in_every_turn() -> None:
    lonely = [*corpus(), *(Clip(f"{n}.wav", str(n), 2, 3, "owl", path=f"{n}.wav") for n in range(2))]
    enough(lonely, folds=[1])
    refused(
        lonely,
        "class owl, fold 2 held out: found no clips to train on, wanted some of two recordings or more",
        folds=(2,),
    )


def test_two_recordings_to_pair_unless_those_of_one_may_be() -> None:
    clips = [clip for clip in corpus(slices=2) if clip.fs_id != "2-1-0"]
    one = "class class 1, fold 1 held out: found one training"
    hint = "(or generate.single_recording: within, to pair clips of the same recording)"
    refused(clips, f"{one} recording, wanted two or more to pair {hint}")
    enough(clips, folds=[1], generate={"single_recording": "within"})
    clips = [clip for clip in clips if clip.name != "2-1-1-0.wav"]
    refused(clips, f"{one} clip, wanted two or more to pair", single_recording="within")


def test_a_fold_that_trains_alone_has_pairs_and_others_to_test_on() -> None:
    alone = {"held_out": "others"}
    assert enough(corpus(folds=2, recordings=2), folds=[1], data=alone).held_out == "others"
    one = "class class 0, fold 1 training alone: found one training recording"
    with pytest.raises(StudyError, match=one):
        enough(corpus(folds=3, recordings=1), folds=[1], data=alone)
    one = "^folds: found only fold 1 in the corpus, wanted two or more: one to train, another to test on$"
    with pytest.raises(StudyError, match=one):
        enough(corpus(folds=1), folds=[1], data=alone)


def test_withheld_recordings_do_not_train() -> None:
    assert len(enough(corpus(recordings=4), folds=[1], data={"recordings_share": 0.5}).withheld) == 12
    with pytest.raises(StudyError, match="class class 0, fold 1 held out: found one training recording"):
        enough(corpus(recordings=4, slices=2), folds=[1], data={"recordings_share": 0.25})
