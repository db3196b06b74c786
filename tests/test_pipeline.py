"""The whole pipeline at toy size: it repeats to the byte, nothing leaks, and an empty augmentation changes nothing."""

import csv
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny_pipeline import hashes, predicted_right, run, run_pipeline, tiny_params, workspace

from soundaug.folds.packed import ClipSet
from soundaug.interpolation import read_pairs
from soundaug.running.errors import StudyError
from soundaug.sound.features import MelFrontEnd


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    with workspace(folder, tiny_params()) as params:
        run_pipeline(params)
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_second_run_elsewhere_writes_the_same_bytes(study: Path, tmp_path: Path) -> None:
    with workspace(tmp_path / "again", tiny_params()) as params:
        run_pipeline(params)
    first, second = hashes(study), hashes(tmp_path / "again")
    assert first == second
    assert len(first) > 100


def test_no_recording_is_on_both_sides_and_no_generator_saw_its_test_fold(study: Path) -> None:
    data = study / "data"
    recordings = {k: set(ClipSet.load(data / f"features/fold{k}.npz").fs_id.tolist()) for k in (1, 2)}
    assert not recordings[1] & recordings[2]
    for held_out in (1, 2):
        learned = rows(data / f"models/generator/fold{held_out}/train_clips.csv")
        test = ClipSet.load(data / f"features/fold{held_out}.npz")
        assert len(learned) == 40
        assert not {row["name"] for row in learned} & set(test.name.tolist())
        assert not {row["fs_id"] for row in learned} & recordings[held_out]
        pairs = read_pairs(data / f"generated/fold{held_out}/pairs.csv")
        assert len(pairs) == 30
        for pair in pairs:
            assert pair.fold_a != held_out
            assert pair.fold_b != held_out
            assert pair.fs_id_a != pair.fs_id_b
            assert not {pair.fs_id_a, pair.fs_id_b} & recordings[held_out]


def test_half_of_the_training_recordings_are_watched_and_none_of_the_test_fold(study: Path) -> None:
    for held_out in (1, 2):
        folder = study / f"data/models/generator/fold{held_out}"
        summary = json.loads((folder / "summary.json").read_text())
        assert (summary["train_clips"], summary["steps"]) == (20, 4)
        (last,) = rows(folder / "history.csv")
        assert last["step"] == "4"
        assert float(last["validation_loss"]) == pytest.approx(summary["validation_loss"], abs=1e-5)
        assert f"**fold {held_out} is held out**" in (folder / "README.md").read_text()


def test_the_generators_figures_reach_the_report(study: Path) -> None:
    metrics = json.loads((study / "reports/metrics.json").read_text())["generator"]
    folds = [json.loads((study / f"data/generated/fold{k}/quality.json").read_text()) for k in (1, 2)]
    for name in ("accuracy_score", "label_agreement", "kid_test", "copies", "copies_beyond_recordings", "threshold_db"):
        assert metrics[name] == pytest.approx(np.mean([fold[name] for fold in folds]), abs=1e-5)
    for held_out in (1, 2):
        train = ClipSet.load(study / f"data/features/fold{3 - held_out}.npz").name.tolist()
        pairs = read_pairs(study / f"data/generated/fold{held_out}/pairs.csv")
        closest = rows(study / f"data/generated/fold{held_out}/closest.csv")
        assert len(closest) == 10
        for row in closest:
            pair = pairs[int(row["generated"])]
            is_parent = train[int(row["train"])] in {parent.name for parent in pair.parents}
            assert row["is_parent"] == str(is_parent)


def test_generated_audio_has_urbansound8ks_layout(study: Path) -> None:
    folder = study / "unpacked"
    with zipfile.ZipFile(study / "data/generated/fold1/clips.zip") as archive:
        archive.extractall(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["audio", "metadata"]
    table = rows(folder / "metadata/UrbanSound8K.csv")
    assert [row["fold"] for row in table] == ["1"] * 30
    for row in table:
        info = soundfile.info(folder / "audio/fold1" / row["slice_file_name"])
        assert (info.format, info.samplerate, info.frames, info.channels) == ("FLAC", 8000, 8000, 1)
        assert row["slice_file_name"].split("-")[:2] == [row["fsID"], row["classID"]]


def test_resynthesized_parents_keep_their_level(study: Path) -> None:
    pairs = read_pairs(study / "data/generated/fold1/pairs.csv")
    real = ClipSet.load(study / "data/features/fold2.npz")
    row_of = {name: row for row, name in enumerate(real.name.tolist())}
    parents = real.mel[[row_of[pair.parent_a] for pair in pairs]]
    heard = ClipSet.load(study / "data/generated/fold1/resynthesis.npz").mel
    level = [10 * np.log10((10 ** (mel / 10)).sum(axis=(1, 2))) for mel in (parents, heard)]
    assert np.ptp(level[0]) > 10  # the parents differ in level by more than what is allowed to be lost
    np.testing.assert_allclose(level[0], level[1], atol=0.5)


def test_every_arm_takes_the_same_steps_and_as_many_extra_clips(study: Path) -> None:
    runs = study / "data/runs"
    for arm in ("base", "aug", "duplicate", "waveform", "specaugment", "mixup", "resynthesis"):
        for fold in (1, 2):
            sizes = json.loads((runs / arm / f"fold{fold}/seed0/summary.json").read_text())
            assert sizes == {"n_train": 40, "n_extra": 0 if arm == "base" else 30, "n_test": 40, "steps": 12}


def test_metrics_agree_with_the_predictions(study: Path) -> None:
    metrics = json.loads((study / "reports/metrics.json").read_text())
    for arm in ("base", "aug", "mixup"):
        accuracies = []
        for fold in (1, 2):
            predictions = rows(study / f"data/runs/{arm}/fold{fold}/seed0/predictions.csv")
            accuracies.append(np.mean([row["class_id"] == row["predicted"] for row in predictions]))
        assert metrics[arm]["accuracy"]["mean"] == pytest.approx(np.mean(accuracies), abs=1e-6)
    difference = metrics["aug"]["accuracy"]["mean"] - metrics["base"]["accuracy"]["mean"]
    assert metrics["delta"]["accuracy"]["mean"] == pytest.approx(difference, abs=2e-6)


def test_restyled_music_is_in_the_metrics_and_the_report(study: Path) -> None:
    found = json.loads((study / "reports/metrics.json").read_text())["stylize"]
    sounds = rows(study / "data/stylized/sounds.csv")
    text = [row for row in sounds if row["kind"] == "text"]
    assert found["style_accuracy"] == pytest.approx(np.mean([row["style"] == row["heard"] for row in text]), abs=1e-6)
    pieces = [float(row["chroma_similarity"]) for row in sounds if row["kind"] == "piece"]
    assert found["chroma_similarity"] == pytest.approx(np.mean(pieces), abs=1e-6)
    assert "(figures/stylize.png)" in (study / "reports/report.md").read_text()
    assert "Bach&#39;s prelude by the prompt lo fi beats" in (study / "reports/index.html").read_text()


def test_report_says_that_the_embedded_corpus_is_not_urbansound8k(study: Path) -> None:
    text = (study / "reports/report.md").read_text()
    assert "say nothing about UrbanSound8K" in text
    assert (study / "reports/figures/spectrograms.png").stat().st_size > 10_000


def test_without_generated_clips_every_arm_is_the_base_arm_to_the_bit(tmp_path: Path) -> None:
    with workspace(tmp_path, tiny_params({"generate.per_class": 0, "folds": [1]})) as params:
        run_pipeline(params)
        runs = tmp_path / "data/runs"
        base = runs / "base/fold1/seed0"
        for arm in params.arms[1:]:
            for file in ("predictions.csv", "model.safetensors", "history.csv"):
                assert (runs / arm / "fold1/seed0" / file).read_bytes() == (base / file).read_bytes(), (arm, file)
        metrics = json.loads((tmp_path / "reports/metrics.json").read_text())
        assert metrics["delta"]["accuracy"]["mean"] == 0
        assert metrics["delta"]["changed_predictions"] == 0


def test_the_published_protocol_runs_through(tmp_path: Path) -> None:
    published = {
        "generator.corpus": "data/music",
        "generator.condition": "none",
        "invert.stretch": 2.0,
        "invert.level_db": -19.0,
        "features.scale": "linear",
        "features.normalization": "none",
        "classifier.pool": 1,
        "classifier.batch_norm": False,
        "classifier.padding": 0,
        "training.steps": None,
        "training.epochs": 2,
        "training.schedule": "constant",
        "training.average_decay": 0.0,
        "data.split": "random",
        "folds": [1],
        "controls": ["duplicate"],
    }
    with workspace(tmp_path, tiny_params(published)) as params:
        run_pipeline(params)
        base = json.loads((tmp_path / "data/runs/base/fold1/seed0/summary.json").read_text())
        aug = json.loads((tmp_path / "data/runs/aug/fold1/seed0/summary.json").read_text())
        front_end = MelFrontEnd(params.features)
    assert rows(tmp_path / "data/models/generator/fold1/train_clips.csv") == []  # none is of the study
    loudest = {}
    for name in ("features", "resynthesis"):
        mels = ClipSet.load(tmp_path / f"data/generated/fold1/{name}.npz").mel
        loudest[name] = front_end.log_mel(torch.from_numpy(mels)).amax(dim=(1, 2))
    assert (loudest["features"] + 19).abs().max() < 6  # sound holds to the mel nearly, its level kept as a whole
    assert loudest["resynthesis"].std() > 2 * loudest["features"].std()
    assert base["steps"] == 2 * -(-base["n_train"] // 16)
    assert aug["steps"] == 2 * -(-(aug["n_train"] + 30) // 16)
    assert "leak" in (tmp_path / "reports/report.md").read_text()


def test_a_fold_that_is_not_there_is_one_line(study: Path) -> None:
    with workspace(study, tiny_params()), pytest.raises(StudyError) as caught:
        run("train_base", "--fold", 9, "--seed", 0)
    assert str(caught.value) == "params.yaml: folds: found 9, wanted one of the corpus's [1, 2], of at least two"


def test_folds_that_the_corpus_lacks_stop_featurize(tmp_path: Path) -> None:
    with workspace(tmp_path, tiny_params({"folds": [1, 9]})):
        run("fetch")
        with pytest.raises(StudyError, match=r"^folds: found 9, wanted one of the corpus's folds: 1, 2$"):
            run("featurize")
        assert not (tmp_path / "data/features").exists()


def test_a_class_with_one_training_recording(tmp_path: Path) -> None:
    values = tiny_params({"data.synthetic.recordings_per_class": 2, "folds": [1]})
    with workspace(tmp_path, values):
        run("fetch")
        with pytest.raises(StudyError, match="found one training recording, wanted two or more to pair"):
            run("featurize")
        assert not (tmp_path / "data/features").exists()
    values["generate"]["single_recording"] = "within"
    with workspace(tmp_path, values):
        run("featurize")
        for stage in ("train_helper", "train_generator", "generate"):
            run(stage, "--fold", 1)
        pairs = read_pairs(tmp_path / "data/generated/fold1/pairs.csv")
    assert all(pair.fs_id_a == pair.fs_id_b and pair.parent_a != pair.parent_b for pair in pairs)


def test_a_generator_told_sounds(tmp_path: Path) -> None:
    with workspace(tmp_path, tiny_params({"generator.condition": "sound", "folds": [1]})):
        run("fetch")
        run("featurize")
        for stage in ("train_helper", "train_generator", "generate"):
            run(stage, "--fold", 1)
        folder = tmp_path / "data/models"
        for name in ("config.json", "model.safetensors"):
            copy = (folder / "generator/fold1/encoder" / name).read_bytes()
            assert copy == (folder / "encoder/fold1" / name).read_bytes()
        assert len(read_pairs(tmp_path / "data/generated/fold1/pairs.csv")) == 30


def test_real_clips(real_audio: Path, tmp_path: Path) -> None:
    """A few real recordings of two folds, linked into a folder of their own."""
    source, folder = rows(real_audio / "metadata/UrbanSound8K.csv"), tmp_path / "some"
    folds = sorted({int(row["fold"]) for row in source})[:2]
    taken: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in source:
        taken.setdefault((row["fold"], row["classID"]), []).append(row)
    chosen = []
    for (fold, _), clips in taken.items():
        if int(fold) in folds:
            first = {clip["fsID"]: clip for clip in clips}
            chosen += list(first.values())[:3]
    for row in chosen:
        link = folder / f"audio/fold{row['fold']}" / row["slice_file_name"]
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(real_audio / f"audio/fold{row['fold']}" / row["slice_file_name"])
    (folder / "metadata").mkdir()
    with (folder / "metadata/UrbanSound8K.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(chosen[0]))
        writer.writeheader()
        writer.writerows(chosen)
    changes = {
        "data.source": "directory",
        "data.root": str(folder),
        "folds": folds,
        "generate.single_recording": "within",
    }
    with workspace(tmp_path / "study", tiny_params(changes)) as params:
        run_pipeline(params)
        assert not (tmp_path / "study/data/raw/audio").exists()
        metrics = json.loads((tmp_path / "study/reports/metrics.json").read_text())
    assert metrics["corpus"]["clips"] == len(chosen)
    assert metrics["base"]["accuracy"]["mean"] == pytest.approx(predicted_right(tmp_path / "study"), abs=1e-6)
    assert metrics["audit"]["findings"] == 0
