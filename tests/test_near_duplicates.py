"""Near-duplicates are found whatever their level and shift, other sounds are not; the stage counts, names, refuses."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from fake_study import fake_params, fake_study, read_csv, write_normalisation

from soundaug.audit.closeness import Closeness, read_closeness
from soundaug.audit.generator_scale import check_generator_scale
from soundaug.audit.near_duplicates import fingerprint, near_duplicates
from soundaug.audit.normalisation import check_normalisation, fitted
from soundaug.classification.classifier import SoundClassifier, build_classifier, save_classifier
from soundaug.classification.encoder import SoundEncoder
from soundaug.folds.packed import ClipSet
from soundaug.params import Features, Params, load_params
from soundaug.reporting.tables import closeness_text
from soundaug.running.errors import StudyError
from soundaug.sound.features import MelFrontEnd, mels_of_waveforms
from stages import audit

PARAMS = fake_params()
PRESETS = Path(__file__).parents[1] / "presets"
FEATURES = PARAMS.features.model_copy(update={"clip_seconds": 1.0})
HOP = FEATURES.hop_length


def noise(seed: int, n_samples: int = FEATURES.n_samples) -> np.ndarray:
    """Noise with a burst, as unlike sounds of one class have in common."""
    envelope = 0.02 + np.exp(-np.arange(n_samples) / (0.1 * n_samples))
    return (0.2 * envelope * np.random.default_rng(seed).standard_normal(n_samples)).astype(np.float32)


def clips(waveforms: list[np.ndarray], fs_ids: list[str]) -> ClipSet:
    mels = mels_of_waveforms(np.stack(waveforms), MelFrontEnd(FEATURES))
    return ClipSet.pack(mels, [0] * len(fs_ids), fs_ids, [f"{fs_id}.wav" for fs_id in fs_ids])


TRAIN = clips([noise(seed) for seed in range(20)], [f"t{seed}" for seed in range(20)])


def test_other_sounds_are_none() -> None:
    test = clips([noise(seed) for seed in range(100, 130)], [str(seed) for seed in range(100, 130)])
    assert near_duplicates(test, TRAIN, FEATURES, 0.5, 1) == []


def test_a_louder_copy_with_some_noise_is_one() -> None:
    copy = 3 * noise(7) + 0.003 * np.random.default_rng(9).standard_normal(FEATURES.n_samples)
    (found,) = near_duplicates(clips([copy.astype(np.float32), noise(50)], ["a", "b"]), TRAIN, FEATURES, 0.5, 3)
    assert (found.held_out, found.kind, found.test, found.train) == (3, "real", "a.wav", "t7.wav")
    assert (found.test_fs_id, found.train_fs_id, found.shift_seconds) == ("a", "t7", 0.0)
    assert found.similarity > 0.8


@pytest.mark.parametrize("frames", [-18, -3, 4, 18])
def test_a_shifted_copy_is_one(frames: int) -> None:
    long = noise(11, 3 * FEATURES.n_samples)
    start, shift = FEATURES.n_samples, frames * HOP
    train = clips([noise(1), long[start:][: FEATURES.n_samples]], ["x", "y"])
    test = clips([long[start - shift :][: FEATURES.n_samples]], ["a"])
    (found,) = near_duplicates(test, train, FEATURES, 0.5, 1)
    assert found.train == "y.wav"
    assert found.shift_seconds == pytest.approx(frames * HOP / FEATURES.sample_rate, abs=HOP / FEATURES.sample_rate)


@pytest.mark.parametrize("frames", [-4.5, 7.5])
def test_a_copy_cut_between_two_frames_is_one(frames: float) -> None:
    features = load_params(PRESETS / "quick.yaml").features  # of the presets the one whose frames overlap least
    start, shift = features.n_samples, round(frames * features.hop_length)
    long = [partials(seed, 3 * features.n_samples) for seed in range(4)]
    sides = [
        ClipSet.pack(mels_of_waveforms(np.stack(side), MelFrontEnd(features)), [0] * 4, list(names), list(names))
        for names, side in (
            ("abcd", [one[start - shift :][: features.n_samples] for one in long]),
            ("efgh", [one[start:][: features.n_samples] for one in long]),
        )
    ]
    found = near_duplicates(*sides, features, 0.5, 1)
    assert [(pair.test, pair.train) for pair in found] == [("a", "e"), ("b", "f"), ("c", "g"), ("d", "h")]
    assert [pair.shift_seconds for pair in found] == [
        pytest.approx(frames * features.hop_length / features.sample_rate, abs=0.002)
    ] * 4


def partials(seed: int, n_samples: int) -> np.ndarray:
    """Tones in noise, each of which swells and falls some ten times a second."""
    rng = np.random.default_rng(seed)
    time = np.arange(n_samples)
    knots = np.arange(0, n_samples + 1600, 1600)
    tones = [
        np.interp(time, knots, rng.uniform(0, 1, len(knots))) * np.sin(rate * time + rng.uniform(0, 6))
        for rate in rng.uniform(0.05, 2.5, 20)
    ]
    return (0.02 * np.sum(tones, axis=0) + 0.001 * rng.standard_normal(n_samples)).astype(np.float32)


@pytest.mark.parametrize("preset", ["quick", "subset"])
def test_slices_that_overlap_by_half_are_near_duplicates(preset: str) -> None:
    """As collections are cut."""
    features = load_params(PRESETS / f"{preset}.yaml").features
    half = features.n_samples // 2
    long = [noise(seed, 3 * half) for seed in range(4)]
    sides = [
        ClipSet.pack(mels_of_waveforms(np.stack(slices), MelFrontEnd(features)), [0] * 4, list(side), list(side))
        for side, slices in (("abcd", [one[half:] for one in long]), ("efgh", [one[: 2 * half] for one in long]))
    ]
    found = near_duplicates(*sides, features, 0.5, 1)
    assert sorted((pair.test, pair.train) for pair in found) == [("a", "e"), ("b", "f"), ("c", "g"), ("d", "h")]
    assert all(abs(pair.shift_seconds) == pytest.approx(half / features.sample_rate, abs=0.05) for pair in found)


def test_clips_of_the_same_recording_and_silence_do_not_count() -> None:
    silent = np.zeros(FEATURES.n_samples, np.float32)
    test = clips([noise(7), silent], ["t7", "s"])
    assert near_duplicates(test, TRAIN, FEATURES, 0.5, 1) == []
    assert near_duplicates(test, clips([silent], ["r"]), FEATURES, 0.5, 1) == []
    prints, told = fingerprint(np.full((2, 16, 9), -60.0, np.float32))
    assert prints.shape == (2, 16, 8)
    assert told.tolist() == [False, False]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    fake_study(tmp_path / "data", PARAMS)
    for fold in PARAMS.folds:
        folder = tmp_path / "data" / "generated" / f"fold{fold}"
        (folder / "features.npz").write_bytes((folder / "mels.npz").read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["audit"])
    return tmp_path


def set_params(study: Path, **limits: float | None) -> None:
    params = fake_params(leakage=limits)
    (study / "params.yaml").write_text(yaml.safe_dump(params.model_dump()), encoding="utf-8")


def copy_clip(study: Path, source: str, source_row: int, target: str, target_row: int) -> None:
    one, other = (ClipSet.load(study / "data" / path) for path in (source, target))
    other.mel[target_row] = one.mel[source_row] - 6.0
    other.save(study / "data" / target)
    write_normalisation(study / "data", PARAMS)


def test_stage_writes_counts_and_names(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy_clip(study, "features/fold1.npz", 4, "features/fold2.npz", 0)
    copy_clip(study, "features/fold3.npz", 5, "generated/fold3/features.npz", 2)
    set_params(study, similarity=0.9, max_share=0.1)
    audit.main()
    found = json.loads((study / "reports/audit.json").read_text())
    assert (found["test_clips"], found["models"], found["findings"]) == (36, 27, 0)
    assert (found["near_duplicates"], found["near_generated"]) == (2, 1)  # of the two real ones, each in its turn
    assert found["near_share"] == pytest.approx(3 / 36, abs=1e-6)
    rows = read_csv(study / "reports/near_duplicates.csv")
    assert {(row["held_out"], row["kind"], row["test"], row["train"]) for row in rows} == {
        ("1", "real", "110-1-0-0.wav", "200-0-0-0.wav"),
        ("2", "real", "200-0-0-0.wav", "110-1-0-0.wav"),
        ("3", "generated", "310-1-0-1.wav", "gen3-1-0.flac"),
    }
    assert "8.33% of the test clips nearly the same" in capsys.readouterr().out
    again = read_closeness(study / "reports/near_duplicates.csv", 36)
    assert again.metrics == {"near_duplicates": 2, "near_generated": 1, "near_share": 0.083333}


def test_stage_refuses_too_many_only_where_a_limit_is_set(study: Path) -> None:
    copy_clip(study, "features/fold1.npz", 4, "features/fold2.npz", 0)
    set_params(study, similarity=0.9, max_share=None)
    audit.main()
    assert json.loads((study / "reports/audit.json").read_text())["near_duplicates"] == 2
    near = read_closeness(study / "reports/near_duplicates.csv", 36)
    assert "does not stop the study (leakage.max_share: null)" in closeness_text(
        near, fake_params(leakage={"max_share": None})
    )
    bounded = fake_params(leakage={"max_share": 0.1})
    assert "More than 10.00% (leakage.max_share) would be an error." in closeness_text(near, bounded)
    set_params(study, similarity=0.9, max_share=0.05)
    with pytest.raises(StudyError) as caught:
        audit.main()
    assert str(caught.value) == (
        "leak: 5.56% of the test clips are nearly the same as a clip trained on (in reports/near_duplicates.csv), "
        "wanted at most 5.00% (leakage.max_share)"
    )
    assert len(read_csv(study / "reports/near_duplicates.csv")) == 2


def test_stage_refuses_a_model_fitted_on_test_clips(study: Path) -> None:
    set_params(study)
    path = study / "data/runs/base/fold1/seed0/train_clips.csv"
    path.write_text(path.read_text() + "100-0-0-0.wav,100\n")
    with pytest.raises(StudyError, match="fold 1: the classifier of base, seed 0, was trained on its test clip 100-0"):
        audit.main()
    assert not (study / "reports").exists()


def test_stage_refuses_a_normalisation_of_other_clips(study: Path) -> None:
    set_params(study)
    path = study / "data/runs/mixup/fold2/seed1/model.safetensors"
    other = study / "data/runs/mixup/fold3/seed1/model.safetensors"
    path.write_bytes(other.read_bytes())  # fitted with fold 2, which is tested here
    with pytest.raises(StudyError, match="fold 2: the normalisation of the classifier of mixup, seed 1, is off by 0"):
        audit.main()
    assert not (study / "reports").exists()


def test_stage_refuses_a_generator_whose_images_have_the_scale_of_other_clips(study: Path) -> None:
    set_params(study)
    ours, other = (study / "data/models/generator" / fold / "mel.json" for fold in ("fold2", "fold3"))
    config = json.loads(ours.read_text())
    ours.write_bytes(other.read_bytes())  # fitted with fold 2, which is tested here
    with pytest.raises(StudyError, match="fold 2: the scale in dB of the generator is off by 0"):
        audit.main()
    ours.write_text(json.dumps(config | {"deviation_db": 1.01 * config["deviation_db"]}))
    with pytest.raises(StudyError, match="fold 2: the scale in dB of the generator is off by 0"):
        audit.main()
    assert not (study / "reports").exists()


def test_a_whitening_of_other_clips_is_refused(tmp_path: Path) -> None:
    """Whitened patches are told by their covariance, whatever the signs of the axes."""
    params = fake_params(generator={"space": "whitened"}, features={"clip_seconds": 0.475})  # of as many frames
    fake_study(tmp_path, params)
    check_generator_scale(tmp_path, params)
    path = tmp_path / "models/generator/fold1/mel.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"axes": (-np.array(config["axes"])).tolist()}))
    check_generator_scale(tmp_path, params)
    path.write_text(json.dumps(config | {"deviation": (1.01 * np.array(config["deviation"])).tolist()}))
    with pytest.raises(StudyError, match="fold 1: the whitening of the generator is off by 0"):
        check_generator_scale(tmp_path, params)
    path.write_text(json.dumps(config["scaling"]))
    with pytest.raises(StudyError, match="fold1: found a generator without whitening, wanted that of its training"):
        check_generator_scale(tmp_path, params)


def test_a_scale_of_no_clips_of_the_study_is_not_looked_at(study: Path) -> None:
    data = study / "data"
    for path in data.glob("models/generator/*/mel.json"):
        path.unlink()
    check_generator_scale(data, fake_params(generate={"per_class": 0}))
    check_generator_scale(data, fake_params(generator={"corpus": "data/music", "condition": "none"}))
    check_generator_scale(data, fake_params(generator={"pretrained": "a/checkpoint"}))
    with pytest.raises(StudyError, match=r"mel\.json: not there"):
        check_generator_scale(data, PARAMS)


@pytest.mark.parametrize("normalization", ["clip_mean", "standardize"])
def test_selector_and_encoder_are_looked_at(tmp_path: Path, normalization: str) -> None:
    """Their normalisation, and the scale of the encoder's embeddings."""
    changes = {"features": {"normalization": normalization}, "folds": [1], "seeds": [0]}
    fake_study(tmp_path, fake_params())
    params = fake_params(**changes, generate={"candidates": 2}, generator={"condition": "sound"})
    for arm in params.arms:
        runs = tmp_path / "runs" / arm / "fold1/seed0/model.safetensors"
        save_classifier(runs, trained_on(tmp_path, params, (2, 3))[0])
    selector, encoder = (tmp_path / "models" / name / "fold1" for name in ("selector", "encoder"))
    model, mel = trained_on(tmp_path, params, (2, 3))
    selector.mkdir(parents=True)
    save_classifier(selector / "model.safetensors", model)
    SoundEncoder.fit(model, mel).save(encoder)
    check_normalisation(tmp_path, params)

    other, others = trained_on(tmp_path, params, (1, 2))
    save_classifier(selector / "model.safetensors", other)
    with pytest.raises(StudyError, match="fold 1: the normalisation of the selector is off by"):
        check_normalisation(tmp_path, params)
    save_classifier(selector / "model.safetensors", model)
    SoundEncoder.fit(model, others).save(encoder)
    with pytest.raises(StudyError, match="fold 1: the scale of the embeddings of the encoder is off by"):
        check_normalisation(tmp_path, params)
    SoundEncoder.fit(other, others).save(encoder)
    with pytest.raises(StudyError, match="fold 1: the normalisation of the encoder is off by"):
        check_normalisation(tmp_path, params)


def trained_on(data: Path, params: Params, folds: tuple[int, ...]) -> tuple[SoundClassifier, np.ndarray]:
    """A classifier, untrained but for its normalisation, and the mels that that is of."""
    mels = []
    for fold in folds:
        with np.load(data / "features" / f"fold{fold}.npz") as arrays:
            mels.append(arrays["mel"])
    mel = np.concatenate(mels)
    return build_classifier(params.classifier, params.features, 3, torch.from_numpy(mel), 0), mel


@pytest.mark.parametrize("kind", ["none", "standardize", "clip_mean"])
def test_normalisation_is_computed_as_classifiers_do(kind: str) -> None:
    rng = np.random.default_rng(0)
    mel = (rng.normal(-40, 10, (50, 64, 1)) + rng.normal(0, 6, (50, 64, 63))).astype(np.float32)
    values = PARAMS.features.model_dump() | {"n_mels": 64, "clip_seconds": 1.6, "normalization": kind}
    model = build_classifier(PARAMS.classifier, Features(**values), 3, torch.from_numpy(mel), 0)
    mean, deviation = fitted(mel, kind)
    assert model.mean[:, 0].numpy() == pytest.approx(mean, abs=1e-4)
    assert model.std[:, 0].numpy() == pytest.approx(deviation, rel=1e-5)


def test_a_table_of_something_else_is_told(tmp_path: Path) -> None:
    path = tmp_path / "near_duplicates.csv"
    with pytest.raises(StudyError, match="not there"):
        read_closeness(path, 1)
    path.write_text("held_out,kind,test,test_fs_id,train,train_fs_id,similarity,shift_seconds\none,a,b,c,d,e,f,g\n")
    with pytest.raises(StudyError, match="found no near-duplicates"):
        read_closeness(path, 1)
    assert Closeness(0, []).share == 0.0
