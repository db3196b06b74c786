"""One training function for every arm: it learns, repeats itself, and adds nothing when there is nothing to add."""

import csv
import json
import math
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_clips, tiny_params

from soundaug.classification.arms import run_arm, run_folder
from soundaug.classification.training import AS_THEY_COME, Trained, cross_entropy, predict, train_classifier
from soundaug.folds.packed import ClipSet, concatenate
from soundaug.folds.provenance import EXTRA_CLIPS, TRAIN_CLIPS
from soundaug.params import Augmentation, Training
from soundaug.running.errors import StudyError

PARAMS = tiny_params()
REAL, TEST = tiny_clips(fold=1), tiny_clips(fold=2, slices=2)
EXTRA = tiny_clips(fold=3, slices=1)
EMPTY = REAL.take(np.array([], np.int64))


def settings(**changes: Any) -> Training:
    return Training.model_validate(PARAMS.training.model_dump() | changes)


def train(
    extra: ClipSet | None = None,
    seed: int = 0,
    real: ClipSet = REAL,
    augmentation: Augmentation = AS_THEY_COME,
    targets: np.ndarray | None = None,
    **changes: Any,
) -> Trained:
    label = "base, fold 1, seed 0"
    network, features = PARAMS.classifier, PARAMS.features
    return train_classifier(
        real, extra, TEST, 3, features, settings(**changes), network, seed, label, augmentation, targets
    )


def weights(trained: Trained) -> dict[str, torch.Tensor]:
    return trained.model.state_dict()


def equal(one: Trained, other: Trained) -> bool:
    same = all(torch.equal(tensor, weights(other)[name]) for name, tensor in weights(one).items())
    return same and np.array_equal(one.probabilities, other.probabilities) and one.history == other.history


def test_one_batch_is_learned() -> None:
    trained = train(steps=100, batch_size=18, learning_rate=0.03, average_decay=0.0, evaluations=100)
    assert trained.history[0].train_loss > 0.5 * math.log(3)
    predicted = predict(trained.model, REAL.mel, torch.device("cpu")).argmax(axis=1)
    assert (predicted == REAL.class_id).mean() > 0.95
    assert trained.history[-1].train_loss < 0.1
    assert trained.history[-1].test_accuracy > 0.95  # the classes are easy


def test_nothing_extra_is_the_base_arm_to_the_bit() -> None:
    base = train()
    assert equal(base, train())
    assert equal(base, train(extra=EMPTY))
    assert not equal(base, train(extra=EXTRA))


def test_the_best_look_is_kept_and_is_the_first_of_the_best() -> None:
    changes: dict[str, Any] = {"learning_rate": 0.1, "average_decay": 0.0, "schedule": "constant"}
    trained = train(steps=30, evaluations=30, **changes)
    accuracies = [row.test_accuracy for row in trained.history]
    assert (trained.best_on_test.argmax(axis=1) == TEST.class_id).mean() == max(accuracies) > accuracies[0]
    first = accuracies.index(max(accuracies)) + 1
    assert first < 30
    assert np.array_equal(trained.best_on_test, train(steps=first, evaluations=first, **changes).probabilities)


def test_neither_is_anything_drawn_from_the_global_generator() -> None:
    torch.manual_seed(1)
    base = train(steps=3)
    state = torch.random.get_rng_state()
    assert equal(base, train(steps=3))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_extra_clips_are_trained_on_and_not_normalised_by() -> None:
    loud = replace(EXTRA, mel=EXTRA.mel + 100)
    both = train(extra=loud, steps=2)
    assert torch.equal(weights(both)["mean"], weights(train(steps=2))["mean"])
    assert torch.equal(weights(both)["std"], weights(train(steps=2))["std"])
    np.testing.assert_allclose(weights(both)["mean"][:, 0], REAL.mel.mean(axis=(0, 2)), rtol=1e-5)
    # the same clips, told as real, are normalised by
    merged = train(real=concatenate([REAL, loud]), steps=2)
    assert (weights(merged)["mean"] - weights(both)["mean"]).abs().min() > 10


def test_the_extra_clips_labels_are_learned() -> None:
    """Extra clips of a fourth pattern under class 0: a test of that pattern is then class 0."""
    strange = ClipSet.pack(REAL.mel[:6].copy(), [0] * 6, ["x"] * 6, [f"x{n}" for n in range(6)])
    strange.mel[:, 12:] += 40
    trained = train(extra=strange, steps=60, average_decay=0.0)
    assert (predict(trained.model, strange.mel, torch.device("cpu")).argmax(axis=1) == 0).mean() > 0.95


def test_hard_labels_given_as_probabilities_are_the_labels() -> None:
    one, other = train(extra=EXTRA), train(extra=EXTRA, targets=np.eye(3)[EXTRA.class_id])
    np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)


def test_soft_labels_are_learned() -> None:
    """A pattern of its own, whose label is half class 1 and half class 2: so says the classifier."""
    strange = ClipSet.pack(REAL.mel[:6].copy(), [0] * 6, ["x"] * 6, [f"x{n}" for n in range(6)])
    strange.mel[:, 12:] += 40
    targets = np.tile([0.0, 0.5, 0.5], (6, 1))
    trained = train(extra=strange, targets=targets, steps=200, average_decay=0.0)
    found = predict(trained.model, strange.mel, torch.device("cpu")).mean(axis=0)
    np.testing.assert_allclose(found, [0.0, 0.5, 0.5], atol=0.1)


def test_pretraining_ends_with_real_clips_in_as_many_steps() -> None:
    """All steps but the last on extra clips: the first steps are those of extra clips alone, normalised by real."""
    augmentation = Augmentation(on_top_of=None, share=None, pretraining=0.5, soft_labels=0.0)
    nothing = train(extra=EMPTY, augmentation=augmentation)
    assert equal(train(), nothing)
    pretrained = train(extra=EXTRA, augmentation=augmentation)
    assert pretrained.steps == nothing.steps == 20
    assert not equal(pretrained, train(extra=EXTRA))


def test_the_last_row_is_the_probabilities_accuracy() -> None:
    trained = train(steps=7, evaluations=3)
    last = trained.history[-1]
    assert [row.step for row in trained.history] == [3, 5, 7]
    assert trained.steps == 7
    assert last.test_accuracy == (trained.probabilities.argmax(axis=1) == TEST.class_id).mean()
    assert last.test_loss == cross_entropy(trained.probabilities, TEST.class_id)
    np.testing.assert_allclose(trained.probabilities.sum(axis=1), 1.0, atol=1e-12)
    assert np.array_equal(trained.probabilities, predict(trained.model, TEST.mel, torch.device("cpu")))


def test_looking_more_often_changes_nothing_but_the_curves() -> None:
    seldom, often = train(steps=8, evaluations=1), train(steps=8, evaluations=8)
    assert np.array_equal(seldom.probabilities, often.probabilities)
    assert [row.step for row in often.history] == list(range(1, 9))
    assert seldom.history[0].train_loss == pytest.approx(np.mean([row.train_loss for row in often.history]), rel=1e-12)
    assert seldom.history[0].train_accuracy == pytest.approx(np.mean([row.train_accuracy for row in often.history]))
    assert seldom.history[0].test_accuracy == often.history[-1].test_accuracy


def test_learning_rates_in_the_history() -> None:
    cosine = train(steps=10, evaluations=10).history
    wanted = [0.01 * 0.5 * (1 + math.cos(math.pi * step / 10)) for step in range(10)]
    assert [row.learning_rate for row in cosine] == pytest.approx(wanted, rel=1e-12)
    constant = train(steps=4, evaluations=4, schedule="constant").history
    assert [row.learning_rate for row in constant] == [0.01] * 4
    assert [row.epoch for row in constant] == pytest.approx([step * 8 / 18 for step in range(1, 5)])


def test_averaged_weights_are_the_average() -> None:
    """With decay d the kept weights after two steps are d w1 + (1 - d) w2: the first step starts the average."""
    w1 = weights(train(steps=1, schedule="constant", average_decay=0.0))
    w2 = weights(train(steps=2, schedule="constant", average_decay=0.0))
    kept = weights(train(steps=2, schedule="constant", average_decay=0.9))
    for name, tensor in kept.items():
        if "weight" in name:
            torch.testing.assert_close(tensor, 0.9 * w1[name] + 0.1 * w2[name], rtol=1e-4, atol=1e-6)


def test_epochs_are_of_all_clips() -> None:
    by_epochs = train(extra=EXTRA, steps=None, epochs=2)
    assert by_epochs.steps == 2 * math.ceil(24 / 8)
    assert by_epochs.history[-1].step == 6
    assert by_epochs.history[-1].epoch == pytest.approx(2.0)


def test_cross_entropy_by_hand() -> None:
    probabilities = np.array([[0.5, 0.5], [0.1, 0.9], [1.0, 0.0]])
    wanted = -(math.log(0.5) + math.log(0.9) + math.log(1e-12)) / 3
    assert cross_entropy(probabilities, np.array([0, 1, 1])) == pytest.approx(wanted)


def test_predict_is_the_same_in_every_batch_size() -> None:
    trained = train(steps=2)
    many = np.tile(TEST.mel, (25, 1, 1))  # 300 clips, two batches
    once = predict(trained.model, TEST.mel, torch.device("cpu"))
    np.testing.assert_allclose(predict(trained.model, many, torch.device("cpu")), np.tile(once, (25, 1)), atol=1e-6)


def test_a_loss_that_is_no_number_is_told() -> None:
    mel = REAL.mel.copy()
    mel[0, 0, 0] = np.nan
    with pytest.raises(StudyError) as raised:
        train(real=replace(REAL, mel=mel), evaluations=4)
    assert str(raised.value) == (
        "base, fold 1, seed 0: found a loss of nan by step 5, wanted a number: "
        "lower training.learning_rate or set training.precision to float32"
    )


# an arm's files


def files(arm: str, seed: int) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run_folder(arm, 2, seed).iterdir()}


def test_an_arms_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    run_arm("base", 2, 0, REAL, None, TEST, 3, PARAMS)
    run_arm("aug", 2, 0, REAL, EMPTY, TEST, 3, PARAMS)
    run_arm("aug", 2, 1, REAL, EXTRA, TEST, 3, PARAMS)
    assert files("base", 0) == files("aug", 0)  # the A/A check
    drawn = ["history.csv", "model.safetensors", "predictions.csv"]
    assert sorted(files("base", 0)) == [EXTRA_CLIPS, *drawn, "summary.json", TRAIN_CLIPS]
    assert all(files("aug", 0)[name] != files("aug", 1)[name] for name in drawn)
    assert json.loads(files("base", 0)["summary.json"]) == {"n_train": 18, "n_extra": 0, "n_test": 12, "steps": 20}
    assert json.loads(files("aug", 1)["summary.json"]) == {"n_train": 18, "n_extra": 6, "n_test": 12, "steps": 20}
    trained = train()
    with (run_folder("base", 2, 0) / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "clip",
        "fs_id",
        "class_id",
        "predicted",
        "p_0",
        "p_1",
        "p_2",
        "predicted_at_best_epoch",
    ]
    assert [int(row["predicted_at_best_epoch"]) for row in rows] == trained.best_on_test.argmax(axis=1).tolist()
    assert [row["clip"] for row in rows] == TEST.name.tolist()
    assert [row["fs_id"] for row in rows] == TEST.fs_id.tolist()
    assert [int(row["class_id"]) for row in rows] == TEST.class_id.tolist()
    assert [int(row["predicted"]) for row in rows] == trained.probabilities.argmax(axis=1).tolist()
    for class_id in range(3):
        written = [float(row[f"p_{class_id}"]) for row in rows]
        np.testing.assert_allclose(written, trained.probabilities[:, class_id], atol=5.1e-7)
    with (run_folder("base", 2, 0) / "history.csv").open(newline="") as file:
        history = list(csv.reader(file))
    assert history[0][0:3] == ["step", "epoch", "learning_rate"]
    for written, row in zip(history[1:], trained.history, strict=True):
        assert [float(value) for value in written] == pytest.approx(list(astuple(row)), rel=1e-5)
    correct = np.mean([row["class_id"] == row["predicted"] for row in rows])
    assert float(history[-1][-1]) == pytest.approx(correct, abs=1e-6)
    assert capsys.readouterr().out.splitlines()[0] == f"base, fold 2, seed 0: accuracy {correct:.4f}"


def test_the_base_arms_classifier_is_the_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    soft = Augmentation(on_top_of=None, share=None, pretraining=0.0, soft_labels=0.5)
    with pytest.raises(StudyError, match=r"data/runs/base/fold2/seed0/model\.safetensors: not there"):
        run_arm("aug", 2, 0, REAL, EXTRA, TEST, 3, PARAMS, soft)
    run_arm("base", 2, 0, REAL, None, TEST, 3, PARAMS, soft)  # nothing extra: it needs no teacher
    run_arm("aug", 2, 0, REAL, EMPTY, TEST, 3, PARAMS, soft)
    assert files("base", 0) == files("aug", 0)
    run_arm("aug", 2, 0, REAL, EXTRA, TEST, 3, PARAMS, soft)
    base = train()
    believed = predict(base.model, EXTRA.mel, torch.device("cpu"))
    wanted = train(extra=EXTRA, targets=0.5 * np.eye(3)[EXTRA.class_id] + 0.5 * believed)
    with (run_folder("aug", 2, 0) / "predictions.csv").open(newline="") as file:
        written = [float(row["p_1"]) for row in csv.DictReader(file)]
    np.testing.assert_allclose(written, wanted.probabilities[:, 1], atol=5.1e-7)


def test_the_seed_decides_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    for folder, seed in (("one", 0), ("two", 0), ("three", 1)):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        run_arm("base", 2, seed, REAL, None, TEST, 3, PARAMS)
        written.append(files("base", seed))
    assert written[0] == written[1]
    assert written[0]["model.safetensors"] != written[2]["model.safetensors"]
    assert written[0]["predictions.csv"] != written[2]["predictions.csv"]
