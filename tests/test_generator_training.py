"""The generator's training: it learns, it resumes to the bit, it stops when the loss is no number."""

import csv
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_clips, tiny_params

from soundaug import scratch
from soundaug.diffusion import MelScaling
from soundaug.errors import StudyError
from soundaug.generator_training import GeneratorTraining, schedule_factor
from soundaug.params import Generator

PARAMS = tiny_params()
CLIPS = tiny_clips()


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(scratch, "ROOT", tmp_path / "scratch")
    return tmp_path / "scratch"


def training(seed: int = 0, log_mels: torch.Tensor | None = None, **changes: Any) -> GeneratorTraining:
    settings = Generator.model_validate(PARAMS.generator.model_dump() | changes)
    log_mels = torch.from_numpy(CLIPS.mel) if log_mels is None else log_mels
    labels = torch.from_numpy(CLIPS.class_id)[: len(log_mels)]
    return GeneratorTraining(settings, MelScaling.of(PARAMS.features, settings), log_mels, labels, 3, seed)


def weights(trained: GeneratorTraining) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in trained.unet.state_dict().values()])


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Ctrl-C as step ``step`` + 1 begins."""
    train_step = GeneratorTraining._train_step

    def interrupted(self: GeneratorTraining) -> float:
        if self.step == step:
            raise KeyboardInterrupt
        return train_step(self)

    monkeypatch.setattr(GeneratorTraining, "_train_step", interrupted)


def test_one_batch_is_learned() -> None:
    trained = training(
        log_mels=torch.from_numpy(CLIPS.mel[:4]),
        steps=150,
        batch_size=8,
        learning_rate=1e-2,
        warmup_steps=10,
        label_dropout=0.0,
        checkpoint_every=1000,
    )
    trained.run("test")
    first, last = trained.history[0][2], trained.history[-1][2]
    assert last < first / 2.5  # measured: a quarter
    tail = [loss for step, _, loss in trained.history if step in (140, 150)]  # the last tenth
    assert trained.summary()["final_loss"] == pytest.approx(sum(tail) / 2, abs=1e-6)


@pytest.mark.parametrize("stop", [5, 8, 17])
def test_an_interrupted_run_goes_on_to_the_bit(
    stop: int, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_run = training()
    whole_run.run("test")
    monkeypatch.setattr(scratch, "ROOT", tmp_path / "other")
    with monkeypatch.context() as patch:
        stop_at(patch, stop)
        with pytest.raises(KeyboardInterrupt):
            training().run("test")
    resumed = training()
    steps = []
    train_step = resumed._train_step
    monkeypatch.setattr(resumed, "_train_step", lambda: steps.append(resumed.step) or train_step())
    resumed.run("test")
    assert steps == list(range(stop // 5 * 5, 20))  # from the last checkpoint
    assert torch.equal(weights(resumed), weights(whole_run))
    assert resumed.history == whole_run.history
    assert [row[0] for row in resumed.history] == [10, 20]
    assert resumed.summary() == whole_run.summary()


def test_an_interrupted_checkpoint_leaves_the_last_one(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    save, saved = torch.save, []

    def broken(state: dict[str, Any], path: Path) -> None:
        if state["step"] == 10:
            path.write_bytes(b"half a checkpoi")
            raise KeyboardInterrupt
        saved.append(state["step"])
        save(state, path)

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(KeyboardInterrupt):
        training().run("test")
    assert saved == [5]
    resumed = training()
    resumed._resume()
    assert resumed.step == 5
    assert [path.name for path in root.rglob("*") if path.is_file()] == ["checkpoint.pt"]


def test_other_settings_or_clips_do_not_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, 8)
        with pytest.raises(KeyboardInterrupt):
            training().run("test")
    for other in (
        training(learning_rate=2e-3),
        training(steps=21),
        training(seed=1),
        training(log_mels=torch.from_numpy(CLIPS.mel) + 1),
    ):
        other._resume()
        assert other.step == 0
    same = training()
    same._resume()
    assert same.step == 5
    same.finish()
    same = training()
    same._resume()
    assert same.step == 0


def test_the_seed_decides_the_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    results = []
    for number, seed in enumerate((0, 0, 1)):
        monkeypatch.setattr(scratch, "ROOT", tmp_path / str(number))
        torch.manual_seed(number)  # the global generator has no say
        run = training(seed, steps=4)
        run.run("test")
        results.append(weights(run))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_the_averaged_weights_are_kept() -> None:
    """diffusers' average: the decay warms up as (1 + n) / (10 + n), so step n moves it by 1 - decay."""
    run = training(steps=6, checkpoint_every=100)
    average = weights(run).double()
    step = run._train_step

    def averaging() -> float:
        nonlocal average
        loss = step()
        count = run.step - 1
        decay = 0.0 if count == 0 else min(0.9, (1 + count) / (10 + count))
        average = decay * average + (1 - decay) * weights(run).double()
        return loss

    run._train_step = averaging  # type: ignore[method-assign]
    run.run("test")
    assert not run.unet.training
    torch.testing.assert_close(weights(run).double(), average, atol=1e-6, rtol=1e-5)


def test_learning_rates_and_losses_in_the_history(tmp_path: Path) -> None:
    run = training(steps=13, warmup_steps=4)
    losses = []
    step = run._train_step
    run._train_step = lambda: losses.append(step()) or losses[-1]  # type: ignore[method-assign]
    run.run("test")
    assert [row[0] for row in run.history] == [10, 13]
    assert run.history[0][2] == pytest.approx(sum(losses[:10]) / 10, rel=1e-12)
    assert run.history[1][2] == pytest.approx(sum(losses[10:]) / 3, rel=1e-12)
    assert run.history[0][1] == pytest.approx(1e-3 * 0.5 * (1 + math.cos(math.pi * 5 / 9)))
    run.write_history(tmp_path / "history.csv")
    with (tmp_path / "history.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["step", "learning_rate", "loss"]
    assert [(int(row[0]), float(row[2])) for row in rows[1:]] == [
        (10, pytest.approx(run.history[0][2], abs=1e-6)),
        (13, pytest.approx(run.history[1][2], abs=1e-6)),
    ]


def test_the_summary_counts(root: Path) -> None:
    run = training(steps=2)
    run.run("test")
    summary = run.summary()
    assert summary == {
        "parameters": len(weights(run)),
        "train_clips": 18,
        "steps": 2,
        "final_loss": pytest.approx(run.history[-1][2], abs=1e-6),
    }


def test_a_loss_that_is_no_number_is_told() -> None:
    log_mels = torch.from_numpy(CLIPS.mel).clone()
    log_mels[:] = math.nan
    with pytest.raises(StudyError) as raised:
        training(log_mels=log_mels).run("test")
    assert str(raised.value) == (
        "generator training: found a loss of nan at step 1, wanted a number: "
        "lower generator.learning_rate or set generator.precision to float32"
    )


def test_labels_are_dropped_to_the_null_class(monkeypatch: pytest.MonkeyPatch) -> None:
    for share, wanted in ((0.0, {0, 1, 2}), (1.0, {3})):
        run = training(label_dropout=share, steps=6, batch_size=16)
        seen: list[int] = []
        run.unet.register_forward_pre_hook(
            lambda _, args, kwargs, seen=seen: seen.extend(kwargs["class_labels"].tolist()), with_kwargs=True
        )
        run.run("test")
        assert len(seen) == 96
        assert set(seen) == wanted


def test_the_schedule_by_hand() -> None:
    assert [schedule_factor(step, 14, 4) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert schedule_factor(9, 14, 4) == pytest.approx(0.5)
    assert schedule_factor(13, 14, 4) == pytest.approx(0.5 * (1 + math.cos(0.9 * math.pi)))
    assert schedule_factor(14, 14, 4) == 0.0
    assert schedule_factor(0, 10, 0) == 1.0
    assert [schedule_factor(step, 2, 4) for step in range(2)] == [0.25, 0.5]  # a warm-up that never ends
