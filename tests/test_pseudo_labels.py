"""Pseudo-labels: what a classifier is sure of, under its own labels."""

import numpy as np
from tiny import tiny_clips

from soundaug.params import PseudoLabel
from soundaug.pseudo_labels import pseudo_labelled


def test_by_hand() -> None:
    clips = tiny_clips(recordings=1, slices=1)  # one clip each of classes 0, 1, 2
    believed = np.array([[0.05, 0.9, 0.05], [0.5, 0.3, 0.2], [0.0, 0.05, 0.95]])
    found = pseudo_labelled(clips, believed, PseudoLabel(confidence=0.9))
    assert found.name.tolist() == [clips.name[0], clips.name[2]]
    assert found.class_id.tolist() == [1, 2]  # the first is of class 0: that is not looked at
    np.testing.assert_array_equal(found.mel, clips.mel[[0, 2]])
    assert len(pseudo_labelled(clips, believed, PseudoLabel(confidence=0.96))) == 0


def test_nothing_withheld_gives_nothing() -> None:
    nothing = tiny_clips().take(np.array([], np.int64))
    assert len(pseudo_labelled(nothing, np.empty((0, 3)), PseudoLabel(confidence=0.5))) == 0
