"""The benchmarks at toy size: they run, and their tables say what was measured."""

import csv
import sys
from pathlib import Path

import pytest
import torch
from tiny_pipeline import run, tiny_params, workspace

from benchmarks import generate, measure, published
from benchmarks.measure import flop, matmul_peak, time_by_kind, timed


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


def test_the_peak_is_that_of_the_best_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "PEAK_SIDES", (8, 256))
    assert matmul_peak(torch.float32, torch.device("cpu")) > 1e9


def test_time_by_kind_is_all_of_it() -> None:
    a = torch.randn(200, 200)
    found = time_by_kind(lambda: [a @ a for _ in range(20)])
    assert sum(found.values()) == pytest.approx(1)
    assert found["convolutions, matrix products"] > 0.5


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
        run("train_encoder", "--fold", 1)
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
