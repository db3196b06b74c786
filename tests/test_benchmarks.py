"""The benchmarks at toy size: they run, and their tables say what was measured."""

import csv
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny_pipeline import run, tiny_params, workspace

from benchmarks import __main__ as side_by_side
from benchmarks import comparison, featurize, generate, invert, measure, plain, published, repro, train
from benchmarks.comparison import Comparison, read_comparison
from benchmarks.measure import fft_peak, flop, matmul_peak, read_rate, time_by_kind, timed, timed_in_turn
from soundaug.params import parse_params
from soundaug.running.errors import StudyError
from soundaug.sound.audio import fit
from soundaug.sound.features import MelFrontEnd
from soundaug.sound.phase import Stft


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_operations_of_a_matrix_product() -> None:
    a, b = torch.zeros(3, 5), torch.zeros(5, 7)
    assert flop(lambda: a @ b) == 2 * 3 * 5 * 7


def test_the_median_of_the_runs_that_count() -> None:
    calls: list[int] = []
    found = timed(lambda: calls.append(1), repeats=3, warm_up=2)
    assert (len(calls), len(found.runs)) == (5, 3)
    assert found.median == sorted(found.runs)[1]


def test_in_turn_every_run_is_once_a_round() -> None:
    calls: list[str] = []
    found = timed_in_turn([lambda: calls.append("a"), lambda: calls.append("b")], repeats=3)
    assert "".join(calls) == "ab" * 4
    assert [len(one.runs) for one in found] == [3, 3]
    assert found[1].median == sorted(found[1].runs)[1]


def test_the_peak_is_that_of_the_best_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "PEAK_SIDES", (8, 256))
    assert matmul_peak(torch.float32, torch.device("cpu")) > 1e9


def test_time_by_kind_is_all_of_it() -> None:
    a = torch.randn(200, 200)
    found = time_by_kind(lambda: [a @ a for _ in range(20)])
    assert sum(found.values()) == pytest.approx(1)
    assert found["convolutions, matrix products"] > 0.5


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process alone is told by Linux")
def test_the_peak_memory_is_the_processs_own_and_not_that_of_the_one_that_started_it() -> None:
    here = bytearray(b"1") * (400 * 2**20)  # beside torch: more than the process it starts has at first
    asked = "from benchmarks.measure import peak_memory_mb as peak"
    child = f"{asked}; before = peak(); held = bytearray(b'1') * (300 * 2**20); print(before, peak())"
    told = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True).stdout
    before, after = map(float, told.split())
    assert after - before == pytest.approx(300, abs=10)
    assert measure.peak_memory_mb() > before + len(here) / 2**20 / 2


def test_generate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for module, name, value in (
        (published, "STEPS", 2),
        (generate, "PARITY", generate.PARITY | {"steps": 2}),
        (generate, "SECOND_ORDER", generate.SECOND_ORDER | {"steps": 2}),
        (generate, "BATCH", 4),
        (generate, "SOUNDED", 2),
        (generate, "COMMON", generate.COMMON | {"batch_size": 4}),
        (generate, "COSTS", {"clips": (4, 8)}),
        (generate, "COSTS_AT", {"clips": 4, "steps": 2, "batch": 4}),
        (measure, "PEAK_SIDES", (64,)),
    ):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(sys, "argv", ["generate", "--per-class", "1", "--pixel-steps", "2", "--repeats", "1"])
    with workspace(tmp_path, tiny_params({"folds": [1], "controls": [], "generator.condition": "sound"})):
        run("fetch")
        run("featurize")
        run("train_helper", "--fold", 1)
        run("train_generator", "--fold", 1)
        run("train_base", "--fold", 1, "--seed", 0)
        generate.main()
    last = capsys.readouterr().out.splitlines()[-1].split()
    reports = tmp_path / "reports/benchmarks"
    sides = {row["side"]: row for row in rows(reports / "generate.csv")}
    assert list(sides) == ["AudioDiffusionPipeline", "the same weights", "the study's generator"]
    assert [last[0], float(last[1])] == [
        "ratio",
        pytest.approx(float(sides["the study's generator"]["ratio"]), abs=0.05),
    ]
    theirs = float(sides["AudioDiffusionPipeline"]["seconds_a_clip"])
    for row in sides.values():
        assert float(row["ratio"]) == pytest.approx(theirs / float(row["seconds_a_clip"]))
        assert 0 <= float(row["accuracy_score"]) <= 1
    changes = rows(reports / "generate_factors.csv")
    assert float(changes[0]["seconds_a_clip"]) == theirs
    assert float(changes[-1]["seconds_a_clip"]) == float(sides["the same weights"]["seconds_a_clip"])
    product = 1.0
    for row in changes:
        product *= float(row["factor"])
    assert product == pytest.approx(float(changes[-1]["ratio"]))
    for row in rows(reports / "generate_peak.csv"):
        assert float(row["share"]) == pytest.approx(float(row["gflop_a_second"]) / float(row["peak_gflop_a_second"]))
    costs = rows(reports / "generate_costs.csv")
    assert [(row["axis"], row["value"], row["clips"], row["steps"]) for row in costs] == [
        ("clips", "4", "4", "2"),
        ("clips", "8", "8", "2"),
    ]
    assert all(float(row["seconds"]) > 0 and float(row["peak_memory_mb"]) > 100 for row in costs)
    for name in ("generate_factors.png", "generate_costs.png"):
        assert (reports / name).read_bytes().startswith(b"\x89PNG")


def test_without_the_pipelines_data_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["generate"])
    with workspace(tmp_path, tiny_params()), pytest.raises(Exception, match="data/features"):
        generate.main()


@pytest.fixture
def raw(tmp_path: Path) -> Iterator[Path]:
    """The toy pipeline up to data/raw."""
    with workspace(tmp_path, tiny_params({"features.sample_rate": 16000, "features.fmax_hz": 8000.0})):
        run("fetch")
        yield tmp_path / "reports/benchmarks"


def test_invert(raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in (
        ("ITERATIONS", (1, 3)),
        ("THEIR_ITERATIONS", (1, 2)),
        ("LIBROSA_ITERATIONS", 1),
        ("TRUE_STFT", Stft(1024, 256, 22050)),
        ("AUDIO_DIFFUSION", invert.AUDIO_DIFFUSION | {"clip_seconds": 1.0, "n_mels": 64}),
    ):
        monkeypatch.setattr(invert, name, value)
    monkeypatch.setattr(sys, "argv", ["invert", "--clips", "2", "--repeats", "1"])
    invert.main()
    last = capsys.readouterr().out.splitlines()[-1].split()
    table = rows(raw / "invert_synthetic.csv")
    given = {row["given"] for row in table}
    assert given == {"audio-diffusion's mels", "true magnitudes", "the study's mels"}
    errors = {(row["given"], row["method"], row["iterations"]): float(row["error_db"]) for row in table}
    assert errors["true magnitudes", "study admm", "3"] < errors["true magnitudes", "study admm", "1"] < 0
    mel = "audio-diffusion's mels"
    assert errors[mel, "study mel_griffin_lim", "3"] < errors[mel, "study griffin_lim", "3"]
    of = {(row["method"], row["iterations"]): row for row in table if row["given"] == mel}
    theirs = of["librosa mel_to_audio", "1"]
    good = [
        float(row["seconds_a_clip"])
        for (method, _), row in of.items()
        if method.startswith("study") and float(row["error_db"]) <= float(theirs["error_db"])
    ]
    assert [last[0], float(last[1])] == [
        "ratio",
        pytest.approx(float(theirs["seconds_a_clip"]) / min(good), abs=0.06),
    ]
    assert (raw / "invert_synthetic.png").read_bytes().startswith(b"\x89PNG")


def test_gain_in_equal_time() -> None:
    """A rival is met by what the study's curve reaches in its time; one that is faster than that by nothing."""
    sides = [
        invert.Side("librosa", 1, 1.0, -10.0),
        invert.Side("torchaudio", 2, 0.5, -12.0),
        invert.Side("study a", 1, 0.4, -13.0),
        invert.Side("study a", 2, 0.8, -16.0),
        invert.Side("study a", 3, 2.0, -20.0),
    ]
    assert invert.gain_db(sides) == pytest.approx(1.75)  # torchaudio's, in 0.5 s; librosa's: 4.7 dB in 1 s
    assert invert.best_db(sides[2:], 5.0) == -20.0
    assert invert.gain_db([*sides, invert.Side("torchaudio", 1, 0.3, -2.0)]) == -math.inf
    assert invert.fastest(sides, -12.0) == sides[2]
    assert invert.fastest(sides, -14.0) == sides[3]
    assert invert.fastest(sides, -30.0) == sides[4]


def test_featurize(raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["featurize", "--clips", "3", "--repeats", "1"])
    featurize.main()
    last = capsys.readouterr().out.splitlines()[-1].split()
    theirs, torchaudios, ours = rows(raw / "featurize_synthetic.csv")
    assert torchaudios["side"] == "torchaudio"
    assert [last[0], float(last[1])] == ["ratio", pytest.approx(float(ours["ratio"]), abs=0.06)]
    assert float(ours["ratio"]) == pytest.approx(float(theirs["seconds_a_clip"]) / float(ours["seconds_a_clip"]))
    assert float(ours["difference_db"]) < 0.05  # the same mels


def test_the_peaks_of_transforms_and_of_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "PEAK_FRAMES", (4, 64))
    monkeypatch.setattr(measure, "READ_BYTES", 2**21)
    assert 1e3 < fft_peak(1024, 2) < 1e9
    assert 1e6 < read_rate() < 1e12


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_the_plain_loops_mels_are_the_studys(scale: str, tmp_path: Path) -> None:
    features = parse_params(tiny_params({"features.scale": scale})).features
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 6000)).astype(np.float32)  # shorter than a clip
    soundfile.write(tmp_path / "clip.wav", noise.T, features.sample_rate, subtype="FLOAT")
    mel, class_id = plain.ClipFiles([tmp_path / "clip.wav"], [3], features)[0]
    waveform = fit(noise.mean(axis=0), features.n_samples)
    wanted = MelFrontEnd(features)(torch.from_numpy(waveform)[None])[0]
    assert class_id == 3
    torch.testing.assert_close(mel, wanted, rtol=1e-3, atol=1e-3)


def test_train(raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(measure, "PEAK_SIDES", (64,))
    monkeypatch.setattr(train.os, "cpu_count", lambda: 1)
    monkeypatch.setattr(sys, "argv", ["train", "--seeds", "2"])
    train.main()
    last = capsys.readouterr().out.splitlines()[-1].split()
    theirs, helped, ours = rows(raw / "train_synthetic.csv")
    assert [row["side"] for row in (theirs, helped, ours)] == ["plain loop", "plain loop, 1 processes decode", "study"]
    assert float(ours["seconds"]) > float(ours["of_them_features"]) > 0
    assert float(ours["ratio"]) == pytest.approx(float(theirs["seconds"]) / float(ours["seconds"]))
    assert all(0 <= float(row["accuracy"]) <= 1 and float(row["accuracy_deviation"]) >= 0 for row in (theirs, ours))
    assert theirs["accuracy"] == helped["accuracy"]  # whoever decodes
    found = read_comparison("train")
    assert last == ["ratio", f"{found.ratio:.1f}"]
    assert found.ratio == pytest.approx(float(ours["ratio"]))
    assert found.work == "training a classifier, 12 steps"


def test_repro(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dvc.yaml").write_text("stages:\n  one: {cmd: echo 1 > one, outs: [one]}\n")
    monkeypatch.setattr(sys, "argv", ["repro", "--repeats", "1"])
    with workspace(tmp_path, tiny_params()):
        repro.call("-m", "dvc", "init", "--no-scm", "-q")
        with pytest.raises(StudyError, match="found no stage that ran on this machine"):
            repro.main()
        used = tmp_path / ".scratch/usage/one.json"
        used.parent.mkdir(parents=True)
        used.write_text(json.dumps({"stage": "one", "arguments": [], "seconds": 90.0, "peak_mb": 1}))
        with pytest.raises(StudyError, match=r"dvc status: found 1 stages to run \(one\)"):
            repro.main()
        repro.call("-m", "dvc", "repro", "-q")
        repro.main()
    last = capsys.readouterr().out.splitlines()[-1]
    stages, again, status, start = rows(tmp_path / "reports/benchmarks/repro.csv")
    assert (stages["seconds"], again["what"], status["what"]) == ("90.0", "dvc repro, nothing changed", "dvc status")
    assert float(again["ratio"]) == pytest.approx(90 / float(again["seconds"]))
    assert last == f"ratio {float(again['ratio']):.1f}"
    assert float(start["seconds"]) > 0


def test_the_table_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--table"])
    with pytest.raises(StudyError, match="found no benchmark that has run"):
        side_by_side.main()
    Comparison("train", "a training", "plain loop", 30.0, 2.0, 0.5, "products").tell()
    Comparison("featurize", "a clip", "librosa", 0.006, 0.0008, 0.0001, "FFTs").tell()
    asked: list[list[str]] = []

    def run(command: list[str], check: bool) -> subprocess.CompletedProcess[bytes]:
        asked.append(command[1:])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(side_by_side.subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--only", "train", "repro"])
    capsys.readouterr()
    side_by_side.main()
    assert asked == [["-m", "benchmarks.train"], ["-m", "benchmarks.repro"]]
    assert [line.split() for line in capsys.readouterr().out.splitlines()[-2:]] == [
        ["a", "clip", "0.0008", "librosa", "0.006", "7.5", "12%"],
        ["a", "training", "2", "plain", "loop", "30", "15.0", "25%"],
    ]
    table = rows(comparison.FOLDER.with_suffix(".csv"))
    assert [(row["benchmark"], row["ratio"], row["share_of_peak"]) for row in table] == [
        ("featurize", "7.5", "0.125"),
        ("train", "15.0", "0.25"),
    ]
    assert comparison.FOLDER.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
