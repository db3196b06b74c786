"""What classifiers make of generated clips, which of them are copies, and the stage that writes it down."""

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_study import CLASSES
from tiny import tiny_clips, tiny_params, write_params

from soundaug.classification.classifier import SoundClassifier, load_classifier, save_classifier
from soundaug.classification.training import train_classifier
from soundaug.folds.packed import ClipSet
from soundaug.folds.partition import Partition
from soundaug.interpolation import Pair, Parent, write_pairs
from soundaug.judging.assessment import RealClips, assess_parents, assess_quality
from soundaug.judging.copying import MAX_SHIFT, assess_copies
from soundaug.params import Params
from soundaug.running.errors import StudyError
from soundaug.sound.features import MelFrontEnd
from stages import assess_controls, assess_generator

PARAMS = tiny_params(training={"steps": 80, "learning_rate": 0.02})
TRAIN, TEST = tiny_clips(fold=2, recordings=4), tiny_clips(fold=1, recordings=4)  # 36 clips each


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SoundClassifier:
    """A classifier of the training clips, read back as stages read it: one just trained lies in memory otherwise, where
    some processors round otherwise."""
    trained = train_classifier(
        TRAIN, None, TEST, 3, PARAMS.features, PARAMS.training, PARAMS.classifier, seed=0, label="base"
    )
    assert trained.history[-1].test_accuracy == 1
    path = tmp_path_factory.mktemp("base") / "model.safetensors"
    save_classifier(path, trained.model)
    return load_classifier(path, PARAMS.classifier, PARAMS.features, 3)


def quality(model: SoundClassifier, generated: ClipSet) -> dict[str, float]:
    return assess_quality(model, generated, RealClips.heard_by(model, TRAIN, TEST), 3, PARAMS, 0, "test")


def relabelled(class_id: Sequence[int] | np.ndarray) -> ClipSet:
    return ClipSet(TRAIN.mel, np.asarray(class_id), TRAIN.fs_id, TRAIN.name)


def labels_of(clips: ClipSet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return clips.class_id, clips.fs_id, clips.name


# quality


def test_real_clips_are_as_good_as_real_clips(model: SoundClassifier) -> None:
    figures = quality(model, TRAIN)
    assert figures["accuracy_score"] == 1
    assert figures["label_agreement"] == 1
    assert figures["kid_test"] == figures["kid_train_test"]
    assert figures["precision"] > 0.7
    assert figures["recall"] > 0.7


def test_what_parents_and_their_sound_leave_to_a_generator(model: SoundClassifier) -> None:
    pairs = pairs_of([(row, 5) for row in range(36)])
    of_training_clips = quality(model, TRAIN)
    yardstick, covered = of_training_clips["kid_train_test"], of_training_clips["coverage"]
    real = RealClips.heard_by(model, TRAIN, TEST)
    given_back = assess_parents(model, pairs, TRAIN, real)
    assert given_back == {
        "kid_parents": yardstick,
        "kid_resynthesis": yardstick,
        "coverage_parents": covered,
        "coverage_resynthesis": covered,
    }
    noise = ClipSet(np.random.default_rng(0).normal(-20, 10, TRAIN.mel.shape).astype(np.float32), *labels_of(TRAIN))
    lost = assess_parents(model, pairs, noise, real)
    assert (lost["kid_parents"], lost["coverage_parents"]) == (yardstick, covered)
    assert lost["coverage_resynthesis"] == quality(model, noise)["coverage"] < covered
    assert lost["kid_resynthesis"] == quality(model, noise)["kid_test"] > 3 * abs(yardstick)
    one_class = assess_parents(model, pairs_of([(0, 5)] * 36), TRAIN, real)
    assert one_class["kid_parents"] > 3 * abs(yardstick)
    assert 0 < one_class["coverage_parents"] < covered / 2
    few = assess_parents(model, pairs[:5], TRAIN.take(np.arange(5)), real)
    assert set(few) == {"kid_parents", "kid_resynthesis"}
    assert assess_parents(model, pairs[:1], TRAIN.take(np.arange(1)), real) == {}


def test_the_accuracy_score_is_a_run_on_generated_clips_alone(model: SoundClassifier) -> None:
    few = TRAIN.take(np.arange(0, 36, 9))  # two of class 0, one of the others
    alone = train_classifier(
        few, None, TEST, 3, PARAMS.features, PARAMS.training, PARAMS.classifier, seed=0, label="alone"
    )
    assert alone.steps == PARAMS.training.steps  # as long as every other arm
    assert quality(model, few)["accuracy_score"] == pytest.approx(alone.history[-1].test_accuracy, rel=1e-5)


def test_wrong_labels_are_heard(model: SoundClassifier) -> None:
    thirds = quality(model, relabelled(np.arange(36) % 3))  # a third of every class keeps its own
    assert thirds["label_agreement"] == pytest.approx(1 / 3, abs=1e-5)
    assert 0.1 < thirds["accuracy_score"] < 0.6  # about chance
    others = quality(model, relabelled((TRAIN.class_id + 1) % 3))
    assert others["label_agreement"] == 0
    assert others["accuracy_score"] == 0
    # The distances know nothing of labels.
    assert others["kid_test"] == thirds["kid_test"] == quality(model, TRAIN)["kid_test"]


def test_noise_is_no_good(model: SoundClassifier) -> None:
    mel = np.random.default_rng(0).normal(-40, 5, TRAIN.mel.shape).astype(np.float32)
    figures = quality(model, ClipSet(mel, TRAIN.class_id, TRAIN.fs_id, TRAIN.name))
    assert figures["kid_test"] > 3 * abs(figures["kid_train_test"])
    assert figures["label_agreement"] < 0.7
    assert figures["coverage"] < 0.5


def test_a_class_without_a_generated_clip_is_not_learned(model: SoundClassifier) -> None:
    figures = quality(model, TRAIN.take(TRAIN.class_id < 2))
    assert figures["label_agreement"] == 1
    assert figures["accuracy_score"] <= 2 / 3 + 1e-5  # nothing says what the third class sounds like


def test_nothing_generated_has_no_figures(model: SoundClassifier) -> None:
    assert quality(model, TRAIN.take(np.arange(0))) == {}


# copies


def pairs_of(rows: Sequence[tuple[int, int]], others: Sequence[Sequence[int]] = ()) -> list[Pair]:
    """Pairs of training clips, by their rows; ``others`` are every pair's parents beyond two."""

    def parent(row: int) -> Parent:
        return Parent(str(TRAIN.name[row]), str(TRAIN.fs_id[row]), 2)

    made = []
    for number, (a, b) in enumerate(rows):
        (name_a, fs_a, fold_a), (name_b, fs_b, fold_b) = parent(a), parent(b)
        more = tuple(parent(row) for row in others[number]) if others else ()
        class_id = int(TRAIN.class_id[a])
        made.append(
            Pair(
                name=f"{number}.flac",
                class_id=class_id,
                class_name=CLASSES[class_id],
                parent_a=name_a,
                parent_b=name_b,
                fs_id_a=fs_a,
                fs_id_b=fs_b,
                fold_a=fold_a,
                fold_b=fold_b,
                alpha=0.5,
                seed=number,
                others=more,
            )
        )
    return made


def write_mels(path: Path, mel: np.ndarray, pairs: Sequence[Pair]) -> Path:
    """As generate writes them: dB."""
    ClipSet.pack(
        mel.astype(np.float32), [p.class_id for p in pairs], [p.fs_id_a for p in pairs], [p.name for p in pairs]
    ).save(path)
    return path


def fresh(count: int) -> np.ndarray:
    return np.random.default_rng(7).normal(-40, 5, (count, *TRAIN.mel.shape[1:]))


def test_copies_of_parents_are_found_and_shown(tmp_path: Path) -> None:
    pairs = pairs_of([(0, 5), (13, 20), (30, 25), (2, 9)])
    mel = fresh(4)
    mel[0], mel[1] = TRAIN.mel[0], TRAIN.mel[20]
    shift = round(MAX_SHIFT * 21)
    assert shift == 5
    mel[2][:, shift:] = TRAIN.mel[30][:, :-shift]  # the same sound, later
    figures, closest = assess_copies(write_mels(tmp_path / "mels.npz", mel, pairs), pairs, TRAIN, TEST, PARAMS)
    assert figures["copies"] == figures["copies_parents"] == 0.75
    assert figures["copies_beyond_parents"] == figures["copies_beyond_recordings"] == 0
    assert 5 < figures["threshold_db"] <= figures["test_median_db"] < 8  # two independent clips: 5 dB times sqrt(2)
    assert figures["generated_median_db"] == pytest.approx(0, abs=1e-6)
    assert [(pair.generated, pair.train, pair.shift, pair.is_parent) for pair in closest[:3]] == [
        (0, 0, 0, True),
        (1, 20, 0, True),
        (2, 30, shift, True),
    ]
    assert [pair.distance_db for pair in closest[:3]] == pytest.approx([0, 0, 0], abs=1e-6)
    assert closest[3].distance_db > figures["threshold_db"]


def test_copies_of_others_are_told_apart(tmp_path: Path) -> None:
    """Rows 0 to 2 are of one recording, 3 to 5 of the next."""
    mel = np.stack([TRAIN.mel[1], TRAIN.mel[12], TRAIN.mel[8]])
    pairs = pairs_of([(0, 3), (0, 3), (0, 3)], others=[[6], [6], [8]])
    figures, closest = assess_copies(write_mels(tmp_path / "mels.npz", mel, pairs), pairs, TRAIN, TEST, PARAMS)
    assert figures["copies"] == 1
    assert figures["copies_parents"] == pytest.approx(1 / 3, abs=1e-5)  # the third clip's third parent
    assert figures["copies_beyond_parents"] == pytest.approx(2 / 3, abs=1e-5)
    assert figures["copies_beyond_recordings"] == pytest.approx(1 / 3, abs=1e-5)  # the second clip
    assert {pair.generated: (pair.train, pair.is_parent) for pair in closest} == {
        0: (1, False),
        1: (12, False),
        2: (8, True),
    }


@pytest.mark.parametrize(
    ("method", "condition", "parents"),
    [
        ("interpolation", "class", 3),
        ("variation", "class", 1),
        ("inpainting", "none", 1),
        ("sampling", "class", 0),
        ("sampling", "sound", 3),
        ("variation", "sound", 3),
    ],
)
def test_only_what_a_clip_is_made_of_is_its_parent(tmp_path: Path, method: str, condition: str, parents: int) -> None:
    """Three training clips, of three recordings, come out as they are: every one drawn as a parent of its pair."""
    params = tiny_params(generate={"method": method}, generator={"condition": condition})
    mel = TRAIN.mel[[0, 12, 8]]
    pairs = pairs_of([(0, 12)] * 3, others=[[8]] * 3)
    figures, closest = assess_copies(write_mels(tmp_path / "mels.npz", mel, pairs), pairs, TRAIN, TEST, params)
    assert figures["copies"] == 1
    assert figures["copies_parents"] == pytest.approx(parents / 3, abs=1e-5)
    assert figures["copies_beyond_recordings"] == pytest.approx(1 - parents / 3, abs=1e-5)
    assert [pair.is_parent for pair in sorted(closest, key=lambda pair: pair.generated)] == [
        place < parents for place in range(3)
    ]
    assert ("parents_median_db" in figures) == (parents > 0)


def test_fresh_clips_are_no_copies(tmp_path: Path) -> None:
    pairs = pairs_of([(0, 5), (13, 20)])
    mels = write_mels(tmp_path / "mels.npz", fresh(2), pairs)
    figures, _ = assess_copies(mels, pairs, TRAIN, TEST, PARAMS)
    assert figures["copies"] == figures["copies_beyond_parents"] == 0
    assert figures["parents_median_db"] > 8


def test_copies_are_found_whatever_scale_is_stored(tmp_path: Path) -> None:
    params = tiny_params(features={"scale": "linear"})
    front_end = MelFrontEnd(params.features)
    stored = [
        ClipSet(front_end.stored(torch.from_numpy(clips.mel)).numpy(), clips.class_id, clips.fs_id, clips.name)
        for clips in (TRAIN, TEST)
    ]
    pairs = pairs_of([(0, 5), (13, 20)])
    mel = fresh(2)
    mel[0] = TRAIN.mel[5]
    mels = write_mels(tmp_path / "mels.npz", mel, pairs)
    figures, closest = assess_copies(mels, pairs, stored[0], stored[1], params)
    wanted, _ = assess_copies(mels, pairs, TRAIN, TEST, PARAMS)
    assert figures == {name: pytest.approx(value, abs=1e-3) for name, value in wanted.items()}
    assert closest[0].distance_db < 1e-4


def test_without_clips_only_the_threshold_is_told(tmp_path: Path) -> None:
    mels = write_mels(tmp_path / "mels.npz", TRAIN.mel[:0], [])
    figures, closest = assess_copies(mels, [], TRAIN, TEST, PARAMS)
    assert set(figures) == {"threshold_db", "test_median_db"}
    assert closest == []


# the stage


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: SoundClassifier) -> Params:
    """Fold 1 held out, everything there that assess_generator reads: a copy of row 0 and a fresh clip of class 1."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["assess_generator", "--fold", "1", "--seed", "0"])
    write_params(Path("params.yaml"), PARAMS)
    for fold, clips in ((1, TEST), (2, TRAIN)):
        clips.save(Path(f"data/features/fold{fold}.npz"))
    Path("data/features/classes.json").write_text(json.dumps(CLASSES))
    write_generated(pairs_of([(0, 5), (13, 20)]), np.stack([TRAIN.mel[0], TEST.mel[13]]))
    save_classifier(Path("data/runs/base/fold1/seed0/model.safetensors"), model)
    return PARAMS


def write_generated(pairs: list[Pair], mel: np.ndarray) -> None:
    folder = Path("data/generated/fold1")
    write_pairs(folder / "pairs.csv", pairs)
    for name in ("mels.npz", "features.npz", "resynthesis.npz"):
        write_mels(folder / name, mel, pairs)


def test_the_stage_writes_figures_and_the_closest_pairs(study: Params, capsys: pytest.CaptureFixture[str]) -> None:
    assess_generator.main()
    figures = json.loads(Path("data/generated/fold1/quality.json").read_text())
    assert figures["label_agreement"] == 1
    assert figures["copies"] == 0.5
    assert figures["kid_resynthesis"] == figures["kid_test"] != figures["kid_parents"]
    assert 0 < figures["accuracy_score"] <= 1
    assert all(isinstance(value, float) for value in figures.values())
    with Path("data/generated/fold1/closest.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["generated", "train", "shift", "distance_db", "is_parent"]
    assert rows[1] == ["0", "0", "0", "0.0", "True"]
    assert len(rows) == 3
    assert capsys.readouterr().out.startswith(f"fold 1 held out: accuracy_score {figures['accuracy_score']:.3g}, ")
    before = Path("data/generated/fold1/quality.json").read_bytes()
    assess_generator.main()
    assert Path("data/generated/fold1/quality.json").read_bytes() == before


def test_the_stage_without_clips(study: Params) -> None:
    write_generated([], TRAIN.mel[:0])
    assess_generator.main()
    figures = json.loads(Path("data/generated/fold1/quality.json").read_text())
    assert set(figures) == {"threshold_db", "test_median_db"}
    assert Path("data/generated/fold1/closest.csv").read_text() == "generated,train,shift,distance_db,is_parent\n"


def test_controls_clips_are_judged_as_generated_ones_are(study: Params, capsys: pytest.CaptureFixture[str]) -> None:
    """Duplicates of the parents are as `assess_parents` has these; resynthesis' clips are the generated ones here."""
    params = tiny_params(controls=["duplicate", "resynthesis", "mixup"])
    write_params(Path("params.yaml"), params)
    pairs = pairs_of([(row, (row + 9) % 36) for row in range(36)])
    write_generated(pairs, TRAIN.mel[::-1].copy())
    assess_generator.main()
    assess_controls.main()
    folder = Path("data/generated/fold1")
    generated = json.loads((folder / "quality.json").read_text())
    found = json.loads((folder / "controls.json").read_text())
    assert list(found) == params.controls
    names = "label_agreement", "kid_test", "coverage"
    assert found["resynthesis"] == {name: generated[name] for name in names}
    assert found["duplicate"] == {
        "label_agreement": 1,
        "kid_test": generated["kid_parents"],
        "coverage": generated["coverage_parents"],
    }
    assert found["mixup"] not in (found["duplicate"], found["resynthesis"])
    assert "fold 1 held out, duplicate: label_agreement 1, kid_test " in capsys.readouterr().out
    before = (folder / "controls.json").read_bytes()
    assess_controls.main()
    assert (folder / "controls.json").read_bytes() == before


def test_pseudo_labels_are_judged_on_the_recordings_withheld(study: Params, model: SoundClassifier) -> None:
    """The clips are those of the withheld recordings that it is sure of, here all; their labels are the judge's own,
    so nothing is told of how far it agrees."""
    write_params(
        Path("params.yaml"), tiny_params(controls=["pseudo_label"], control={"pseudo_label": {"confidence": 0.01}})
    )
    some = np.isin(TRAIN.fs_id, np.unique(TRAIN.fs_id)[:5])
    of_them = zip(TRAIN.class_id[some].tolist(), TRAIN.fs_id[some].tolist(), strict=True)
    Partition(withheld=frozenset((2, class_id, fs_id) for class_id, fs_id in of_them)).save(Path("data/features"))
    write_generated([], TRAIN.mel[:0])
    assess_controls.main()
    found = json.loads(Path("data/generated/fold1/controls.json").read_text())["pseudo_label"]
    withheld = quality(model, TRAIN.take(np.flatnonzero(some)))
    assert found == {name: withheld[name] for name in ("kid_test", "coverage")}


def test_controls_without_clips_and_no_controls(study: Params) -> None:
    for controls, wanted in ((["duplicate"], {"duplicate": {}}), ([], {})):
        write_params(Path("params.yaml"), tiny_params(controls=controls))
        write_generated([], TRAIN.mel[:0])
        assess_controls.main()
        assert json.loads(Path("data/generated/fold1/controls.json").read_text()) == wanted


def test_the_stage_without_the_base_run(study: Params) -> None:
    path = Path("data/runs/base/fold1/seed0/model.safetensors")
    path.unlink()
    with pytest.raises(StudyError, match=f"^{path}: not there, wanted what train_base writes$"):
        assess_generator.main()
    assert not Path("data/generated/fold1/quality.json").exists()
