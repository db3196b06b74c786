"""The leakage audit: a clean study passes, every kind of leak is found and named."""

from pathlib import Path

import numpy as np
import pytest
from fake_study import fake_params, fake_study, read_csv, write_csv

from soundaug.audit.checks import audit, load_clips
from soundaug.folds.partition import Partition
from soundaug.running.errors import StudyError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    fake_study(tmp_path, fake_params())
    return tmp_path


def change_first_row(path: Path, **values: str) -> None:
    rows = read_csv(path)
    rows[0] |= values
    write_csv(path, list(rows[0]), [list(row.values()) for row in rows])


def change_features(data: Path, fold: int, **values: str) -> None:
    """Set values of the fold's first clip."""
    path = data / "features" / f"fold{fold}.npz"
    with np.load(path) as arrays:
        content = dict(arrays)
    for key, value in values.items():
        content[key] = np.array([value, *content[key][1:]])
    np.savez(path, **content)


def test_clean_study_passes(data: Path) -> None:
    found = audit(data, fake_params())
    assert found.findings == ()
    assert found.metrics == {
        "folds": 3,
        "test_clips": 36,
        "shared_recordings": 0,
        "pairs": 18,
        "generator_clips": 72,
        "models": 27,  # 3 generators, and 4 arms x 2 seeds for each fold
        "findings": 0,
    }


def test_clips_are_read_in_order(data: Path) -> None:
    clips = load_clips(data / "features")
    assert len(clips) == 36
    assert (clips[0].name, clips[0].fs_id, clips[0].class_id, clips[0].fold) == ("100-0-0-0.wav", "100", 0, 1)


def follow_pairs(data: Path, fold: int) -> None:
    """Let the generated clips and what runs were given be as pairs.csv tells them."""
    folder = data / "generated" / f"fold{fold}"
    rows = read_csv(folder / "pairs.csv")
    with np.load(folder / "mels.npz") as arrays:
        np.savez(folder / "mels.npz", **(dict(arrays) | {"fs_id": np.array([row["fs_id_a"] for row in rows])}))
    for table in (data / "runs").glob(f"*/fold{fold}/seed*/extra_clips.csv"):
        if read_csv(table):
            write_csv(table, ("name", "fs_id"), [(row["name"], row["fs_id_a"]) for row in rows])


PAIRS, TRAINED = "generated/fold2/pairs.csv", "models/generator/fold2/train_clips.csv"
RUN = "runs/aug/fold2/seed1/train_clips.csv"


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        (PAIRS, {"parent_a": "200-0-0-0.wav", "fs_id_a": "200", "fold_a": "2"}, "is one of its test clips"),
        (PAIRS, {"parent_a": "200-0-0-0.wav"}, "noted as recording 100, fold 1, wanted recording 200, fold 2"),
        (PAIRS, {"parent_b": "310-1-0-0.wav", "fs_id_b": "310"}, "is of class 1, wanted 0"),
        (PAIRS, {"parent_b": "100-0-0-1.wav", "fs_id_b": "100", "fold_b": "1"}, "are of recording 100"),
        (PAIRS, {"parent_b": "nobody.wav"}, "parent nobody.wav of gen2-0-0.flac is not among the features"),
        (
            PAIRS,
            {"others": '[["301-0-0-0.wav", "301", 3], ["200-0-0-0.wav", "200", 2]]'},
            "parent 200-0-0-0.wav of gen2-0-0.flac is one of its test clips",
        ),
        (
            PAIRS,
            {"others": '[["200-0-0-0.wav", "301", 3]]'},
            "noted as recording 301, fold 3, wanted recording 200, fold 2",
        ),
        (PAIRS, {"others": '[["310-1-0-0.wav", "310", 3]]'}, "parent 310-1-0-0.wav of gen2-0-0.flac is of class 1"),
        (
            PAIRS,
            {"others": '[["100-0-0-1.wav", "100", 1]]'},
            "parents 100-0-0-0.wav and 100-0-0-1.wav of gen2-0-0.flac are of recording 100",
        ),
        (PAIRS, {"others": '[["nobody.wav", "1", 1]]'}, "parent nobody.wav of gen2-0-0.flac is not among the features"),
        (TRAINED, {"name": "200-0-0-0.wav"}, "the generator was trained on its test clip 200-0-0-0.wav"),
        (TRAINED, {"fold": "2"}, "the generator was trained on its test clip 100-0-0-0.wav"),
        (TRAINED, {"fs_id": "200"}, "the generator was trained on 100-0-0-0.wav of a tested recording"),
        (TRAINED, {"name": "nobody.wav"}, "training clip nobody.wav of the generator is not among the features"),
        (RUN, {"name": "200-0-0-0.wav"}, "classifier of aug, seed 1, was trained on its test clip 200-0-0-0.wav"),
        (RUN, {"fs_id": "200"}, "classifier of aug, seed 1, was trained on 100-0-0-0.wav of a tested recording"),
    ],
)
def test_each_leak_is_named(data: Path, file: str, values: dict[str, str], message: str) -> None:
    change_first_row(data / file, **values)
    with pytest.raises(StudyError, match="held-out fold 2") as caught:
        audit(data, fake_params())
    assert message in str(caught.value)


EXTRA = "runs/aug/fold2/seed1/extra_clips.csv"
LACKS = "leaves out 100-0-0-0.wav, one of 24 training clips it lacks"


@pytest.mark.parametrize(
    ("file", "kept", "message"),
    [
        (TRAINED, 0, f"the table of the generator {LACKS}"),
        (RUN, 0, f"the table of the classifier of aug, seed 1, {LACKS}"),
        (RUN, 1, "leaves out 100-0-0-1.wav, one of 23 training clips it lacks"),
        (PAIRS, 0, "pairs.csv tells no parents, wanted those of every clip made"),
        (PAIRS, 5, "mels.npz holds 6 clips, wanted the 5 that pairs.csv tells the parents of"),
        (EXTRA, 5, "classifier of aug, seed 1, names 5 extra clips, wanted the 6 of its summary.json"),
    ],
)
def test_a_table_that_does_not_tell_all_is_refused(data: Path, file: str, kept: int, message: str) -> None:
    rows = read_csv(data / file)
    write_csv(data / file, list(rows[0]), [list(row.values()) for row in rows[:kept]])
    with pytest.raises(StudyError, match="held-out fold 2") as caught:
        audit(data, fake_params())
    assert message in str(caught.value)


def test_a_clip_told_twice_is_refused(data: Path) -> None:
    rows = read_csv(data / RUN)
    write_csv(data / RUN, list(rows[0]), [list(row.values()) for row in (rows[0], *rows)])
    with pytest.raises(StudyError, match="seed 1, names 25 training clips, wanted 24, each once"):
        audit(data, fake_params())


def test_another_folds_generated_clips_are_refused(data: Path) -> None:
    theirs, ours = (data / f"generated/fold{fold}/mels.npz" for fold in (1, 2))
    ours.write_bytes(theirs.read_bytes())
    with pytest.raises(StudyError, match=r"fold 2: .*holds gen1-0-0\.flac of class 0 and recording 200, which pairs"):
        audit(data, fake_params())


def test_a_test_clip_among_the_extra_ones_is_refused(data: Path) -> None:
    change_first_row(data / EXTRA, name="200-0-0-0.wav", fs_id="200")
    with pytest.raises(StudyError, match=r"aug, seed 1, was given 200-0-0-0\.wav of recording 200, which the tr"):
        audit(data, fake_params())


def test_withheld_clips_may_be_given_under_other_labels(data: Path) -> None:
    name = next(name for name in (clip.name for clip in load_clips(data / "features")) if name.startswith("101"))
    withhold(data, 1, name)
    for table in [*(data / "runs").rglob("train_clips.csv"), *(data / "models").rglob("train_clips.csv")]:
        rows = [row for row in read_csv(table) if row["fs_id"] != "101"]
        write_csv(table, list(rows[0]), [list(row.values()) for row in rows])
    change_first_row(data / EXTRA, name=name, fs_id="101")
    assert audit(data, fake_params()).findings == ()
    change_first_row(data / "runs/aug/fold1/seed1/extra_clips.csv", name=name, fs_id="101")  # tested there
    with pytest.raises(StudyError, match=f"fold 1: the classifier of aug, seed 1, was given {name}"):
        audit(data, fake_params())


@pytest.mark.parametrize(
    ("model", "changes"),
    [("selector", {"generate": {"candidates": 2}}), ("encoder", {"generator": {"condition": "sound"}})],
)
def test_selector_and_encoder_must_tell_what_they_were_fitted_on(
    data: Path, model: str, changes: dict[str, dict[str, object]]
) -> None:
    told = data / "models" / model / "fold2" / "train_clips.csv"
    for fold in (1, 2, 3):
        folder = data / "models" / model / f"fold{fold}"
        folder.mkdir(parents=True)
        (folder / "train_clips.csv").write_bytes((data / f"models/generator/fold{fold}/train_clips.csv").read_bytes())
    assert audit(data, fake_params(**changes)).metrics["models"] == 30
    change_first_row(told, name="200-0-0-0.wav")
    with pytest.raises(StudyError, match=f"fold 2: the {model} was trained on its test clip 200-0-0-0.wav"):
        audit(data, fake_params(**changes))
    told.unlink()
    with pytest.raises(StudyError, match=r"train_clips\.csv: not there"):
        audit(data, fake_params(**changes))


def test_more_than_two_parents_pass(data: Path) -> None:
    change_first_row(data / PAIRS, others='[["301-0-0-0.wav", "301", 3], ["101-0-0-1.wav", "101", 1]]')
    assert audit(data, fake_params()).findings == ()


@pytest.mark.parametrize("others", ["", "[", "5", "{}5", '[["name", "1"]]', "[1]", "[null]"])
def test_other_parents_that_cannot_be_read_are_told(data: Path, others: str) -> None:
    change_first_row(data / PAIRS, others=others)
    with pytest.raises(StudyError) as caught:
        audit(data, fake_params())
    assert str(caught.value) == (
        f"{data / PAIRS}: gen2-0-0.flac: found others {others!r}, wanted a JSON list of [name, fs_id, fold]"
    )


def test_recording_on_both_sides(data: Path) -> None:
    change_features(data, 1, fs_id="200")
    with pytest.raises(StudyError, match="leak, held-out fold 1: recording 200 is in it and in a training fold"):
        audit(data, fake_params())


def test_clip_in_two_folds(data: Path) -> None:
    change_features(data, 1, name="200-0-0-0.wav")
    with pytest.raises(StudyError, match=r"200-0-0-0\.wav is 2 times among the features"):
        audit(data, fake_params())


def test_random_split_is_counted_as_leaky(data: Path) -> None:
    change_features(data, 1, fs_id="201")
    random = fake_params(data={"split": "random"})
    for fold in (2, 3):  # clip 100-0-0-0.wav is a parent of class 0 there
        path = data / "generated" / f"fold{fold}" / "pairs.csv"
        rows = read_csv(path)
        rewritten = [row | ({"fs_id_a": "201"} if row["class_id"] == "0" else {}) for row in rows]
        write_csv(path, list(rows[0]), [list(row.values()) for row in rewritten])
        follow_pairs(data, fold)
    found = audit(data, random)
    assert found.shared_recordings == 2  # recording 201 for fold 1 and for fold 2
    assert all(finding.inherent for finding in found.findings)
    assert any("of a tested recording" in finding.message for finding in found.findings)
    change_first_row(data / TRAINED, name="210-1-0-0.wav")
    with pytest.raises(StudyError, match="trained on its test clip"):
        audit(data, random)


def test_pairs_within_a_recording_by_param(data: Path) -> None:
    others = '[["100-0-0-1.wav", "100", 1]]'
    change_first_row(data / PAIRS, parent_b="100-0-0-1.wav", fs_id_b="100", fold_b="1", others=others)
    assert audit(data, fake_params(generate={"single_recording": "within"})).findings == ()


def test_missing_artefacts(data: Path) -> None:
    (data / TRAINED).unlink()
    with pytest.raises(StudyError, match=r"train_clips\.csv: not there"):
        audit(data, fake_params())
    assert audit(data, fake_params(generate={"per_class": 0})).generator_clips == 48
    write_csv(data / PAIRS, ("name", "class_id"), [])
    with pytest.raises(StudyError, match=r"pairs\.csv: found columns name, class_id, wanted also parent_a"):
        audit(data, fake_params())


def test_fold_that_is_not_there(data: Path) -> None:
    with pytest.raises(StudyError, match=r"params\.yaml: folds: found 9, wanted one of \[1, 2, 3\]"):
        audit(data, fake_params(folds=[9]))
    with pytest.raises(StudyError, match=r"found no fold<k>\.npz"):
        audit(data / "runs", fake_params())


def test_broken_features_are_named(data: Path) -> None:
    (data / "features" / "fold2.npz").write_bytes(b"PK no archive")
    with pytest.raises(StudyError, match=r"fold2\.npz: found no packed features"):
        audit(data, fake_params())


def withhold(data: Path, fold: int, name: str) -> None:
    clip = next(clip for clip in load_clips(data / "features") if clip.name == name)
    Partition("fold", frozenset({(fold, clip.class_id, clip.fs_id)})).save(data / "features")


def test_a_withheld_recordings_label_may_not_be_used(data: Path) -> None:
    parent = read_csv(data / PAIRS)[0]["parent_a"]
    withhold(data, 1, parent)
    with pytest.raises(StudyError, match=f"parent {parent} of .* is withheld, its label may not be used"):
        audit(data, fake_params())


def test_a_generator_learns_withheld_recordings_where_it_is_told_to(data: Path) -> None:
    parents = {
        row[side]
        for fold in (1, 2, 3)
        for row in read_csv(data / f"generated/fold{fold}/pairs.csv")
        for side in ("parent_a", "parent_b")
    }
    name = next(
        clip.name
        for clip in load_clips(data / "features")
        if clip.name not in parents and clip.fs_id not in {other[:3] for other in parents}
    )
    withhold(data, int(name[0]), name)
    with pytest.raises(StudyError, match=f"the generator was trained on {name[:4]}.*, which is withheld"):
        audit(data, fake_params())
    unlabelled = fake_params().generator.model_dump() | {"unlabelled": True}
    with pytest.raises(
        StudyError, match=f"the classifier of base, seed 0, was trained on {name[:4]}.*, which is withheld"
    ):
        audit(data, fake_params(generator=unlabelled))
    for table in (data / "runs").rglob("train_clips.csv"):
        left = [list(row.values()) for row in read_csv(table) if row["fs_id"] != name[:3]]
        write_csv(table, ("name", "fs_id"), left)
    assert audit(data, fake_params(generator=unlabelled)).findings == ()


def test_in_a_validation_the_other_folds_are_the_tested_ones(data: Path) -> None:
    Partition("others").save(data / "features")
    with pytest.raises(StudyError, match=r"leak, held-out fold 1: parent .* is one of its test clips"):
        audit(data, fake_params())  # it was made for the other way round
