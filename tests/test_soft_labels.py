"""Soft labels: a teacher's probabilities mixed with the class."""

import numpy as np
from tiny import tiny_clips

from soundaug.classification.soft_labels import soft_labels


def test_by_hand() -> None:
    clips = tiny_clips(recordings=1, slices=1)  # one clip each of classes 0, 1, 2
    believed = np.array([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    found = soft_labels(clips, believed, 0.4)
    np.testing.assert_allclose(found, [[0.8, 0.1, 0.1], [0.4, 0.6, 0.0], [0.0, 0.0, 1.0]], atol=1e-12)
    np.testing.assert_array_equal(soft_labels(clips, believed, 0.0), np.eye(3))
    np.testing.assert_array_equal(soft_labels(clips, believed, 1.0), believed)
