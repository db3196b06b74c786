"""What a preset costs: clips that go through its networks, and their operations, worked out by hand."""

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import cost
from benchmarks.cost import Corpus, forward_passes, networks
from soundaug.params import load_params
from soundaug.running.errors import StudyError

PRESETS = Path(__file__).parents[1] / "presets"


def test_the_published_presets_passes() -> None:
    corpus = Corpus(8732, 10)
    assert (corpus.test, corpus.train) == (873, 7859)
    found = forward_passes(load_params(PRESETS / "published.yaml"), corpus)
    assert found == {
        "generator: training": 3 * 20000 * 64,
        "generator: inversion": 2000 * 50,
        "generator: decoding": 1000 * 50,
        "classifiers: training": 3 * 50 * (7859 + 6 * 8859 + 1000),  # base, aug and 5 controls; the clips' own judge
        "classifiers: looks at the test fold": 7 * 50 * 873,
    }


def test_seeds_folds_guidance_and_order_multiply() -> None:
    params = load_params(PRESETS / "subset.yaml")
    changes = {
        "sampler": "heun",
        "guidance": 2.0,
        "candidates": 3,
        "inversion": "fixed_point",
        "inversion_iterations": 2,
        "steps": 20,
    }
    params = params.model_copy(update={"generate": params.generate.model_copy(update=changes), "controls": []})
    found = forward_passes(params, Corpus(2598, 3))
    assert found["generator: inversion"] == 3 * 1732 * 41  # no parent twice
    assert found["generator: decoding"] == 3 * 3000 * 20 * 2 * 2
    assert found["classifiers: training"] == 3 * 3 * 600 * 64 * (2 * 2 + 1)
    assert found["classifiers: looks at the test fold"] == 3 * 2 * 2 * 10 * 866


def test_the_published_classifiers_operations() -> None:
    found = networks(load_params(PRESETS / "published.yaml"), torch.device("cpu"))
    convolutions = 60 * 40 * 64 * 25 + 56 * 36 * 128 * 64 * 25 + 52 * 32 * 256 * 128 * 25
    assert found["classifiers"].operations() == 2 * (convolutions + 256 * 256 + 256 * 10)
    assert 0.5e9 < found["generator"].operations() < 1.5e9


def test_hours_are_operations_over_throughput(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    preset = str(PRESETS / "published.yaml")
    monkeypatch.setattr("sys.argv", ["cost", preset, "--teraflops", "2"])
    cost.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "classifiers: 3.560 GFLOP a clip forwards, 2.000 TFLOP/s"
    rows = [line.rsplit(maxsplit=4) for line in lines[2:-1]]
    for _, petaflop, _, hours, _ in rows:
        assert float(hours) == pytest.approx(float(petaflop) * 1e15 / 2e12 / 3600, abs=0.006)
    assert float(lines[-1].split()[1]) == pytest.approx(sum(float(row[3]) for row in rows), abs=0.03)


def test_a_measured_throughput_is_that_of_a_training_step(monkeypatch: pytest.MonkeyPatch) -> None:
    params = load_params(PRESETS / "quick.yaml")
    monkeypatch.setattr(cost, "TIMED", 2)
    network = networks(params, torch.device("cpu"))["classifiers"]
    assert 1e7 < network.throughput(torch.device("cpu")) < 1e14
    assert all(parameter.grad is not None for parameter in network.module.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--teraflops", "0"], "--teraflops: found 0, wanted more than 0"),
        (["--teraflops", "-5"], "--teraflops: found -5, wanted more than 0"),
        (["--teraflops", "nan"], "--teraflops: found nan, wanted more than 0"),
        (["--corpus-folds", "1"], "--corpus-folds: found 1, wanted at least 2"),
        (["--clips", "0"], "--clips: found 0, wanted at least 10"),
    ],
)
def test_figures_that_cannot_be_are_refused(options: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["cost", str(PRESETS / "published.yaml"), *options])
    with pytest.raises(StudyError) as error:
        cost.main()
    assert str(error.value) == message


def test_a_generator_of_another_kind_is_refused() -> None:
    params = load_params(PRESETS / "quick.yaml")
    other = params.model_copy(update={"generator": params.generator.model_copy(update={"space": "latent"})})
    with pytest.raises(StudyError, match="wanted a U-Net of mel bins alone"):
        networks(other, torch.device("cpu"))


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("generate", {"method": "inpainting"}, "generate.method: inpainting"),
        ("data", {"held_out": "others"}, "data.held_out: others"),
        ("data", {"recordings_share": 0.5}, "data.recordings_share below 1"),
        ("augmentation", {"on_top_of": "waveform"}, "augmentation.on_top_of"),
    ],
)
def test_what_is_not_counted_is_refused(section: str, change: dict[str, Any], message: str) -> None:
    params = load_params(PRESETS / "subset.yaml")
    params = params.model_copy(update={section: getattr(params, section).model_copy(update=change)})
    with pytest.raises(StudyError, match=f"cost: found {message}, wanted a study without it"):
        forward_passes(params, Corpus(2598, 3))
