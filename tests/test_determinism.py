"""What stays the same to the bit, and what within a stated tolerance, over runs, batch sizes and threads.

docs/determinism.md states the tolerances and why there are any.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from test_generation import FEATURES, draw, parents_of, sampler_of
from tiny import tiny_clips, tiny_params

from soundaug.classification.training import train_classifier
from soundaug.generation.methods import generate
from soundaug.inversion.mel_to_audio import MelToAudio, sound
from soundaug.sound.features import MelFrontEnd, mels_of_waveforms

FLOAT32_DB, BFLOAT16_DB = 0.01, 1.0  # of a generated log mel: the most that one number may differ
SAMPLE_STEPS = 2  # of a 16-bit sample
FEATURE_DB = 1e-3
PARAMS = tiny_params()
PAIRS = draw()


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def made(folder: Path, count: int = 1, batch_size: int = 4, precision: str = "float32") -> np.ndarray:
    """The log mels [M, n_mels, T] of PAIRS; ``folder`` is a new one, where nothing is gone on with."""
    folder.mkdir()
    with threads(count):
        sampler = sampler_of(batch_size=batch_size, precision=precision)
        rows, _ = generate(sampler, parents_of(), PAIRS, FEATURES.frames_per_second, folder)
    return np.array(rows.array())


def test_generated_again(tmp_path: Path) -> None:
    first, second = made(tmp_path / "a"), made(tmp_path / "b")
    assert first.std() > 1
    assert np.array_equal(first, second)


@pytest.mark.parametrize(("precision", "most"), [("float32", FLOAT32_DB), ("bfloat16", BFLOAT16_DB)])
def test_generated_in_batches_of_any_size_by_one_or_two_threads(precision: str, most: float, tmp_path: Path) -> None:
    reference = made(tmp_path / "reference", precision=precision)
    for batch_size, count in ((1, 1), (3, 1), (16, 1), (4, 2)):
        found = made(tmp_path / f"{batch_size}-{count}", count, batch_size, precision)
        assert np.abs(found - reference).max() <= most, f"batches of {batch_size}, {count} threads"


def test_sound_by_one_or_two_threads() -> None:
    log_mels, seeds = tiny_clips().mel[:3], [1, 2, 3]
    found = []
    for count in (1, 2):
        with threads(count):
            found.append(sound(log_mels, seeds, MelToAudio(MelFrontEnd(FEATURES), PARAMS.invert), "test")[0])
    assert np.abs(found[0]).max() > 100
    assert np.abs(found[0].astype(int) - found[1]).max() <= SAMPLE_STEPS


def test_features_by_one_or_two_threads() -> None:
    waveforms = np.random.default_rng(0).normal(0, 0.1, (5, FEATURES.n_samples)).astype(np.float32)
    found = []
    for count in (1, 2):
        with threads(count):
            found.append(mels_of_waveforms(waveforms, MelFrontEnd(FEATURES)))
    assert np.abs(found[0] - found[1]).max() <= FEATURE_DB
    alone = np.concatenate([mels_of_waveforms(one[None], MelFrontEnd(FEATURES)) for one in waveforms])
    assert np.abs(found[0] - alone).max() <= FEATURE_DB


def test_a_classifier_trained_again() -> None:
    real, test = tiny_clips(1), tiny_clips(2)
    arguments = (real, None, test, 3, FEATURES, PARAMS.training, PARAMS.classifier, 0, "test")
    first, second = train_classifier(*arguments), train_classifier(*arguments)
    assert np.array_equal(first.probabilities, second.probabilities)
    assert first.history == second.history
