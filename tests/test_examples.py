"""The clips that the report shows: pairs with their parents, and the closest copies."""

from pathlib import Path

import numpy as np
import pytest
from fake_study import CLASSES, fake_params, fake_study, write_csv

from soundaug.listening.examples import decibels, load_closest, load_examples
from soundaug.reporting import plots
from soundaug.running.errors import StudyError

PARAMS = fake_params()
FOLDS = PARAMS.folds
COLUMNS = ("generated", "train", "shift", "distance_db", "is_parent")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    fake_study(tmp_path, PARAMS)
    for fold in FOLDS:
        # train rows count through the training folds in order: 12 clips each
        path = tmp_path / "generated" / f"fold{fold}" / "closest.csv"
        write_csv(path, COLUMNS, [(fold, 13, -2, 2.0 + fold, True), (0, 3, 0, 9.0 + fold, False)])
    return tmp_path


def test_examples_are_a_pair_with_its_parents(data: Path) -> None:
    examples = load_examples(data, 1, PARAMS.features, CLASSES)
    assert [one.class_name for one in examples] == list(CLASSES)
    with np.load(data / "features" / "fold2.npz") as arrays:
        index = arrays["name"].tolist().index("210-1-0-0.wav")
        np.testing.assert_allclose(examples[1].parent_a, arrays["mel"][index])
    with np.load(data / "features" / "fold1.npz") as arrays:
        np.testing.assert_allclose(examples[1].test_clip, arrays["mel"][4])
    with np.load(data / "generated" / "fold1" / "mels.npz") as arrays:
        np.testing.assert_allclose(examples[1].generated, arrays["mel"][2])


def test_linear_mels_are_shown_indecibels() -> None:
    params = fake_params(features={"scale": "linear"})
    power = np.array([[0.375 * 256, 0.375 * 2.56, 0.0]])
    np.testing.assert_allclose(decibels(power, params.features), [[0.0, -20.0, -80.0]])


def test_the_closest_pairs_of_all_folds(data: Path) -> None:
    pairs = load_closest(data, FOLDS, PARAMS.features, CLASSES)
    assert [pair.distance_db for pair in pairs] == [3.0, 4.0, 5.0, 10.0, 11.0, 12.0]
    first = pairs[0]  # of fold 1, whose training clips are those of folds 2 and 3
    with np.load(data / "generated/fold1/mels.npz") as made, np.load(data / "features/fold3.npz") as real:
        np.testing.assert_array_equal(first.generated, made["mel"][1])
        np.testing.assert_allclose(first.real, real["mel"][1])
        assert (first.name, first.real_name) == (str(made["name"][1]), str(real["name"][1]))
        assert first.class_name == CLASSES[made["class_id"][1]]
    assert [pair.fold for pair in pairs] == [1, 2, 3, 1, 2, 3]
    assert (first.shift, first.is_parent, pairs[3].is_parent) == (-2, True, False)
    assert plots.closest_figure(pairs, PARAMS.features).startswith(b"\x89PNG")


def test_a_row_that_is_nowhere_is_refused(data: Path) -> None:
    write_csv(data / "generated/fold1/closest.csv", COLUMNS, [(0, 99, 0, 1.0, True)])
    with pytest.raises(StudyError, match=r"closest\.csv: found .*'99'.*wanted what assess_generator writes"):
        load_closest(data, FOLDS, PARAMS.features, CLASSES)
