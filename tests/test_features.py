"""The mel front end against closed forms and librosa, and the stage that runs it over a corpus."""

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml
from tiny import tiny_params, write_params

from soundaug.classification.classifier import SoundClassifier
from soundaug.folds.packed import ClipSet
from soundaug.params import Features, Params, load_params
from soundaug.running.errors import StudyError, run_stage
from soundaug.sound.audio import ClipProblem, fit, read_mono
from soundaug.sound.features import MelFrontEnd, mels_of_files, mels_of_waveforms
from soundaug.statistics.proof import what_folds_can_prove
from stages import featurize

PRESETS = Path(__file__).parents[1] / "presets"
SETTINGS = Features(
    sample_rate=16000,
    clip_seconds=1.0,
    n_fft=1024,
    hop_length=256,
    n_mels=40,
    fmin_hz=50.0,
    fmax_hz=8000.0,
    filters="htk",
    scale="log",
    floor_db=-60.0,
    ceiling_db=20.0,
    normalization="none",
)


def front_end(**changes: object) -> MelFrontEnd:
    return MelFrontEnd(SETTINGS.model_copy(update=changes))


def noise(count: int, n_samples: int = 16000) -> torch.Tensor:
    return torch.randn(count, n_samples, generator=torch.Generator().manual_seed(0))


def band_centres(settings: Features) -> np.ndarray:
    """HTK's mel scale by hand: the centres of ``n_mels`` triangles between fmin and fmax, in Hz."""
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (settings.fmin_hz, settings.fmax_hz))
    return 700 * (10 ** (np.linspace(low, high, settings.n_mels + 2)[1:-1] / 2595) - 1)


@pytest.mark.parametrize("band", [5, 20, 35])
def test_a_sine_peaks_in_its_own_band(band: int) -> None:
    seconds = torch.arange(16000) / 16000
    sine = torch.sin(2 * torch.pi * float(band_centres(SETTINGS)[band]) * seconds)
    mel = front_end()(sine[None])[0]
    assert mel.shape == (40, SETTINGS.n_frames)
    assert (mel[:, 3:-3].argmax(dim=0) == band).all()


def test_white_noise_of_full_scale_reads_0_db_a_bin() -> None:
    one = front_end()
    bins = one.filters.sum(dim=1)  # how many bins each band adds up
    level = 10 * torch.log10(one.power(noise(64))[:, :, 3:-3].mean(dim=(0, 2)) / bins / one.reference)
    assert level.abs().max() < 0.15
    assert one.reference == pytest.approx(3 / 8 * 1024, rel=1e-6)  # the sum of a squared Hann window
    ten_down = front_end()(noise(64) * 10**-0.5) - front_end()(noise(64))
    assert torch.allclose(ten_down, torch.full_like(ten_down, -10.0), atol=1e-3)


def test_power_is_librosas() -> None:
    librosa = pytest.importorskip("librosa")
    audio = noise(1)[0] * torch.linspace(0, 1, 16000)
    ours = front_end().power(audio[None])[0].numpy()
    theirs = librosa.feature.melspectrogram(
        y=audio.numpy(),
        sr=16000,
        n_fft=1024,
        hop_length=256,
        n_mels=40,
        fmin=50.0,
        fmax=8000.0,
        htk=True,
        norm=None,
        power=2.0,
        pad_mode="reflect",
    )
    assert ours.shape == theirs.shape
    assert np.abs(ours / theirs - 1).max() < 1e-3


def test_slaney_power_is_librosas_default() -> None:
    librosa = pytest.importorskip("librosa")
    audio = noise(1)[0] * torch.linspace(0, 1, 16000)
    ours = front_end(filters="slaney").power(audio[None])[0].numpy()
    theirs = librosa.feature.melspectrogram(
        y=audio.numpy(),
        sr=16000,
        n_fft=1024,
        hop_length=256,
        n_mels=40,
        fmin=50.0,
        fmax=8000.0,
        htk=False,
        norm="slaney",
        pad_mode="reflect",
    )
    assert ours.shape == theirs.shape
    assert np.abs(ours / theirs - 1).max() < 1e-3
    # Slaney's triangles have the area 1 Hz each: of white noise every band has the same power.
    levels = front_end(filters="slaney").power(noise(64))[:, :, 3:-3].mean(dim=(0, 2))
    level = 10 * torch.log10(levels / front_end().reference * (16000 / 1024))
    assert level.abs().max() < 0.5
    assert (10 * np.log10(front_end().power(audio[None])[0].numpy() / ours)).min() > 5  # HTK's are not so scaled


CHANGES: dict[str, object] = {
    "sample_rate": 16001,
    "clip_seconds": 1.02,
    "n_fft": 1026,
    "hop_length": 255,
    "n_mels": 41,
    "fmin_hz": 50.1,
    "fmax_hz": 7990.0,
    "filters": "slaney",
    "scale": "linear",
}


@pytest.mark.parametrize("name", sorted(set(Features.model_fields) - {"ceiling_db", "floor_db", "normalization"}))
def test_a_changed_front_end_shows_in_the_mels(name: str) -> None:
    """So what depends on data/features need not name these parameters; the others it must."""

    def mels(settings: Features) -> bytes:
        noise = torch.randn(1, settings.n_samples, generator=torch.Generator().manual_seed(0))
        return MelFrontEnd(settings)(noise).numpy().tobytes()

    assert mels(SETTINGS.model_copy(update={name: CHANGES[name]})) != mels(SETTINGS)


def test_decibels_and_back() -> None:
    one = front_end()
    power = torch.logspace(-3, 4, 50)
    assert torch.allclose(one.from_db(one.to_db(power)), power, rtol=1e-4)
    assert one.to_db(torch.tensor([0.0, one.reference * 1e-7, one.reference])).tolist() == pytest.approx(
        [-60.0, -60.0, 0.0], abs=1e-5
    )


def test_either_scale_is_the_other_above_the_floor() -> None:
    log, linear = front_end(), front_end(scale="linear")
    seen_log, seen_linear = log(noise(2)), linear(noise(2))
    assert torch.equal(seen_linear, linear.power(noise(2)))
    assert log.log_mel(seen_log) is seen_log
    assert log.stored(seen_log) is seen_log
    assert torch.allclose(linear.log_mel(seen_linear), seen_log, atol=1e-4)
    assert torch.allclose(linear.stored(seen_log), seen_linear, rtol=1e-4)
    assert torch.allclose(linear.stored(linear.log_mel(seen_linear)), seen_linear, rtol=1e-4)


def test_the_published_front_end_gives_1_x_64_x_44() -> None:
    params = load_params(PRESETS / "published.yaml")
    waveforms = noise(2, params.features.n_samples)
    mel = MelFrontEnd(params.features)(waveforms)
    seen = SoundClassifier(params.classifier, params.features.n_mels, 10).normalize(mel)
    assert seen.shape == (2, 1, 64, 44)
    assert torch.equal(seen[:, 0], mel)  # nothing normalised
    level = mel[:, :, 2:-2].mean() / MelFrontEnd(params.features).filters.sum(dim=1).mean()
    assert 10 * torch.log10(level / (3 / 8 * 1024)).abs() < 1.0  # power, not dB


def write_corpus(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{number}.wav" for number in range(count)]
    for number, path in enumerate(paths):
        soundfile.write(path, noise(count, 8000 + 100 * number)[number] * 0.1, 16000, subtype="FLOAT")
    return paths


def test_files_all_at_once_are_files_one_by_one(tmp_path: Path) -> None:
    paths = write_corpus(tmp_path, 6)
    silent, missing = tmp_path / "silent.wav", tmp_path / "missing.wav"
    soundfile.write(silent, np.zeros(100), 16000)
    problems: list[tuple[int, str]] = []

    def note(index: int, problem: ClipProblem) -> None:
        problems.append((index, problem.kind))

    one = front_end()
    mels, kept = mels_of_files([missing, *paths[:3], silent, *paths[3:]], one, note, "test")
    assert problems == [(0, "missing"), (4, "silent")]
    assert kept == [1, 2, 3, 5, 6, 7]
    assert mels.dtype == np.float32
    for mel, path in zip(mels, paths, strict=True):
        alone = one(torch.from_numpy(fit(read_mono(path, 16000), 16000))[None])[0].numpy()
        np.testing.assert_allclose(mel, alone, atol=1e-4)
    # what follows a file's end is silence
    assert (mels[0][:, 8000 // 256 + 4 :] == -60.0).all()


def test_nothing_usable_gives_no_mels(tmp_path: Path) -> None:
    mels, kept = mels_of_files([tmp_path / "a.wav", tmp_path / "b.wav"], front_end(), lambda *_: None, "test")
    assert (mels.shape, kept) == ((0, 40, 63), [])


def test_a_callback_that_raises_ends_it(tmp_path: Path) -> None:
    def stop(index: int, problem: ClipProblem) -> None:
        raise StudyError(f"{index} {problem}")

    with pytest.raises(StudyError, match="2 not there"):
        mels_of_files([*write_corpus(tmp_path, 2), tmp_path / "missing.wav"], front_end(), stop, "test")


def test_any_number_of_cores_gives_the_same_bytes(tmp_path: Path) -> None:
    paths, one, before = write_corpus(tmp_path, 5), front_end(), torch.get_num_threads()
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(mels_of_files(paths, one, lambda *_: None, "test")[0].tobytes())
    torch.set_num_threads(before)
    assert found[1:] == found[:1] * 2


def test_waveforms_all_at_once_are_waveforms_alone() -> None:
    waveforms = noise(5, 4000).numpy()
    one = front_end(clip_seconds=0.25, n_mels=8, hop_length=1024)
    mels = mels_of_waveforms(waveforms, one)
    assert (mels.shape, mels.dtype) == ((5, 8, 4), np.float32)
    for mel, waveform in zip(mels, waveforms, strict=True):
        np.testing.assert_allclose(mel, one(torch.from_numpy(waveform)[None])[0].numpy(), atol=1e-4)
    assert mels_of_waveforms(waveforms[:0], one).shape == (0, 8, 4)


# the stage


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """data/raw with 2 classes x 2 folds x 3 clips of a recording each."""
    monkeypatch.setattr(sys, "argv", ["featurize"])
    monkeypatch.chdir(tmp_path)
    raw = tmp_path / "data" / "raw"
    rows = []
    for fold in (1, 2):
        (raw / "audio" / f"fold{fold}").mkdir(parents=True)
        for class_id, name in enumerate(("dog_bark", "siren")):
            for part in range(3):
                clip = f"{fold}{class_id}-{part}.wav"
                rows.append([clip, f"{fold}{class_id}", fold, class_id, name])
                audio = noise(12, 4000)[6 * (fold - 1) + 3 * class_id + part] * 0.1
                soundfile.write(raw / "audio" / f"fold{fold}" / clip, audio, 8000, subtype="FLOAT")
    (raw / "metadata").mkdir()
    with (raw / "metadata" / "UrbanSound8K.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["slice_file_name", "fsID", "fold", "classID", "class"], *rows])
    (raw / "excluded.csv").write_text("name,reason\nearlier.wav,missing\n")
    return raw


def two_folds(**changes: Any) -> Params:
    """Clips of one recording may be paired: there is but one of each class to train on."""
    return tiny_params(folds=[1, 2], generate={"single_recording": "within"}, **changes)


def run(params: Params) -> None:
    write_params(Path("params.yaml"), params)
    featurize.main()


def error_line(params: Params, capsys: pytest.CaptureFixture[str]) -> str:
    write_params(Path("params.yaml"), params)
    with pytest.raises(SystemExit) as raised:
        run_stage(featurize.main)
    assert raised.value.code == 1
    return next(line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))


def excluded() -> list[list[str]]:
    with Path("data/features/excluded.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_featurize_packs_every_fold(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = two_folds()
    run(params)
    assert capsys.readouterr().out == f"12 clips of 2 classes, 1 left out\n{what_folds_can_prove(2)}\n"
    assert sorted(path.name for path in Path("data/features").iterdir()) == [
        "classes.json",
        "excluded.csv",
        "fold1.npz",
        "fold2.npz",
        "partition.json",
    ]
    assert json.loads(Path("data/features/classes.json").read_text()) == ["dog_bark", "siren"]
    assert excluded() == [["name", "reason"], ["earlier.wav", "missing"]]
    for fold in (1, 2):
        clips = ClipSet.load(Path(f"data/features/fold{fold}.npz"))
        assert clips.name.tolist() == [f"{fold}{class_id}-{part}.wav" for class_id in range(2) for part in range(3)]
        assert clips.fs_id.tolist() == [f"{fold}0"] * 3 + [f"{fold}1"] * 3
        assert clips.class_id.tolist() == [0, 0, 0, 1, 1, 1]
        audio = noise(12, 4000)[6 * (fold - 1) : 6 * fold] * 0.1
        np.testing.assert_allclose(clips.mel, MelFrontEnd(params.features)(audio).numpy(), atol=1e-3)


def test_featurize_twice_gives_the_same_bytes(corpus: Path) -> None:
    run(two_folds())
    before = {path.name: path.read_bytes() for path in Path("data/features").iterdir()}
    run(two_folds())
    assert {path.name: path.read_bytes() for path in Path("data/features").iterdir()} == before


def test_featurize_refuses_folds_that_share_clips(
    corpus: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(two_folds())
    before = Path("data/features/fold1.npz").read_bytes()
    for part in range(3):  # of other recordings by their ids
        shutil.copyfile(corpus / f"audio/fold1/10-{part}.wav", corpus / f"audio/fold2/20-{part}.wav")
    bounded = two_folds(leakage={"similarity": 0.9, "max_share": 0.1})
    assert error_line(bounded, capsys) == (
        "error: leak: 50.00% of the test clips are nearly the same as a clip trained on (in "
        ".scratch/near_duplicates.csv), wanted at most 10.00% (leakage.max_share)"
    )
    assert Path(".scratch/near_duplicates.csv").read_text().count("10-1.wav,10,") == 2  # tested, and trained on
    assert Path("data/features/fold1.npz").read_bytes() == before
    assert not Path("data/.features.partial").exists()
    run(two_folds(leakage={"similarity": 0.9, "max_share": None}))
    assert Path("data/features/fold1.npz").read_bytes() == before
    shutil.rmtree("data/features")
    monkeypatch.setattr(featurize, "MANY", 12)  # of so many the stage audit tells
    run(bounded)
    assert ClipSet.load(Path("data/features/fold2.npz")).name.tolist()[0] == "20-0.wav"


def test_featurize_names_the_clip_that_it_cannot_use(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(two_folds())
    before = Path("data/features/fold1.npz").read_bytes()
    broken = Path("data/raw/audio/fold2/20-1.wav")
    for make, kind, what in [
        (lambda: broken.write_text("no audio"), "unreadable", "not readable as audio ("),
        (lambda: soundfile.write(broken, np.zeros(0), 8000), "empty", "holds no samples"),
        (lambda: soundfile.write(broken, np.zeros(9), 8000), "silent", "holds only zeros"),
        (lambda: soundfile.write(broken, np.full(9, np.nan), 8000, subtype="FLOAT"), "not_finite", "holds samples"),
        (broken.unlink, "missing", "not there"),
    ]:
        make()
        line = error_line(two_folds(), capsys)
        assert line.startswith(f"error: {broken}: {what}")
        assert line.endswith(f"wanted audio (or {kind} in data.skip, to leave such clips out)")
        assert Path("data/features/fold1.npz").read_bytes() == before  # and nothing half-written
        assert not Path("data/.features.partial").exists()


def test_featurize_leaves_out_what_skip_names_and_nothing_else(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (corpus / "audio/fold1/10-0.wav").write_text("no audio")
    soundfile.write(corpus / "audio/fold2/21-1.wav", np.zeros(9), 8000)
    only_one = two_folds(data={"skip": ["unreadable"]})
    assert error_line(only_one, capsys).startswith("error: data/raw/audio/fold2/21-1.wav: holds only zeros")
    run(two_folds(data={"skip": ["silent", "unreadable"]}))
    assert capsys.readouterr().out.startswith("10 clips of 2 classes, 3 left out\n2 folds cannot reach p < 0.5 ")
    assert excluded()[1:] == [["earlier.wav", "missing"], ["10-0.wav", "unreadable"], ["21-1.wav", "silent"]]
    assert ClipSet.load(Path("data/features/fold1.npz")).name.tolist() == [
        "10-1.wav",
        "10-2.wav",
        "11-0.wav",
        "11-1.wav",
        "11-2.wav",
    ]
    assert ClipSet.load(Path("data/features/fold2.npz")).name.tolist() == [
        "20-0.wav",
        "20-1.wav",
        "20-2.wav",
        "21-0.wav",
        "21-2.wav",
    ]


def test_featurize_needs_a_clip_of_every_class(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in corpus.glob("audio/fold*/*1-*.wav"):
        path.unlink()
    line = error_line(two_folds(data={"skip": ["missing"]}), capsys)
    assert line == "error: class siren: found no usable clip, wanted one or more (data.skip left them out)"


def test_featurize_needs_clips_to_pair_after_some_are_left_out(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = error_line(tiny_params(folds=[1, 2]), capsys)
    assert line.startswith("error: class dog_bark, fold 1 held out: found one training recording, wanted two or more")
    for part in (0, 2):
        (corpus / f"audio/fold1/11-{part}.wav").unlink()
    line = error_line(two_folds(data={"skip": ["missing"]}), capsys)
    assert line == "error: class siren, fold 2 held out: found one training clip, wanted two or more to pair"
    assert not Path("data/features").exists()


def test_featurize_splits_at_random_where_asked(corpus: Path) -> None:
    run(two_folds(data={"split": "random", "n_folds": 2}))
    folds = [ClipSet.load(Path(f"data/features/fold{fold}.npz")) for fold in (1, 2)]
    assert [sorted(clips.class_id) for clips in folds] == [[0, 0, 0, 1, 1, 1]] * 2
    assert len({*folds[0].name, *folds[1].name}) == 12
    assert set(folds[0].fs_id) & set(folds[1].fs_id)  # leaky, as it says


def test_the_written_params_are_the_params(tmp_path: Path) -> None:
    write_params(tmp_path / "params.yaml", tiny_params())
    assert load_params(tmp_path / "params.yaml") == tiny_params()
    assert yaml.safe_load((tmp_path / "params.yaml").read_text())["folds"] == [1, 2, 3]
