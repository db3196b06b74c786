"""Chroma similarity of tunes that are the same, in another sound, and others."""

import numpy as np
import pytest

from soundaug.stylizer.chroma import chroma_of, chroma_similarity, similarity_to_others

RATE = 16000


def tune(notes: list[int], partials: int = 1, gain: float = 0.3) -> np.ndarray:
    """Half a second of each MIDI note, with as many partials."""
    time = np.arange(RATE // 2) / RATE
    hertz = [440 * 2 ** ((note - 69) / 12) for note in notes]
    return np.concatenate(
        [sum(gain / n * np.sin(2 * np.pi * n * f * time) for n in range(1, partials + 1)) for f in hertz]
    )


def test_pitch_classes() -> None:
    chroma = chroma_of(tune([69, 72]), RATE)
    assert chroma[:, 2].argmax() == 9  # A
    assert chroma[:, -3].argmax() == 0  # C
    assert np.linalg.norm(chroma[:, 3]) == pytest.approx(1)


def alike(first: np.ndarray, second: np.ndarray) -> float:
    return chroma_similarity(chroma_of(first, RATE), chroma_of(second, RATE))


def test_a_tune_is_itself_in_another_sound_and_no_other() -> None:
    one, bright, quiet = tune([60, 64, 67, 72]), tune([60, 64, 67, 72], 2), tune([60, 64, 67, 72], 1, 0.001)
    other = tune([61, 66, 70, 63])
    assert alike(one, one) == pytest.approx(1)
    assert alike(one, quiet) == pytest.approx(1, abs=1e-3)
    assert alike(one, bright) > 0.9
    assert alike(one, other) < 0.1
    chroma = chroma_of(one, RATE)
    found = similarity_to_others(chroma, [chroma, chroma_of(other, RATE)])
    assert found == pytest.approx(0.5 + 0.5 * alike(one, other), abs=1e-6)
    assert similarity_to_others(chroma, []) is None


def test_silence_is_like_nothing_and_lengths_may_differ() -> None:
    one = tune([60, 64])
    assert alike(one, np.zeros_like(one)) == 0
    assert alike(one, tune([60, 64, 67])) == pytest.approx(1, abs=0.05)
    assert np.isfinite(alike(one[:10], one))
