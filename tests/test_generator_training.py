"""The generator's training: it learns, resumes to the bit, watches without learning, stops at a loss that is none."""

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_clips, tiny_params

from soundaug.diffusion.codec import MelScaling
from soundaug.diffusion.learning_rate import schedule_factor
from soundaug.diffusion.model import Told, build_unet, diffusion_loss
from soundaug.diffusion.schedule import Schedule
from soundaug.folds.packed import ClipSet
from soundaug.generator.corpus import validation_recordings
from soundaug.generator.starting_point import StartingPoint
from soundaug.generator.training import Clips, GeneratorTraining
from soundaug.params import Generator
from soundaug.running import scratch
from soundaug.running.device import generator_of
from soundaug.running.errors import StudyError

PARAMS = tiny_params()


def clips_of(packed: ClipSet) -> Clips:
    return Clips(torch.from_numpy(packed.mel), Told(torch.from_numpy(packed.class_id)))


def head(clips: Clips, count: int) -> Clips:
    return Clips(clips.log_mels[:count], clips.told.rows(slice(count)))


CLIPS = clips_of(tiny_clips())
LABELS = torch.from_numpy(tiny_clips().class_id)
UNSEEN = clips_of(tiny_clips(fold=2, slices=1))  # 6 clips
NONE = head(CLIPS, 0)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(scratch, "ROOT", tmp_path / "scratch")
    return tmp_path / "scratch"


def start_of(settings: Generator, seed: int = 0, **values: Any) -> StartingPoint:
    codec = MelScaling.of(PARAMS.features, settings)
    unet = build_unet(settings, codec.image_shape, 3, seed)
    return StartingPoint(unet, Schedule.of(settings), codec, **{"figures": {}} | values)


def training(
    seed: int = 0, train: Clips = CLIPS, validation: Clips = UNSEEN, start: StartingPoint | None = None, **changes: Any
) -> GeneratorTraining:
    settings = Generator.model_validate(PARAMS.generator.model_dump() | changes)
    return GeneratorTraining(settings, start or start_of(settings, seed), train, validation, 3, seed)


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
        train=head(CLIPS, 4),
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
    tail = [loss for step, _, loss, _ in trained.history if step in (140, 150)]  # the last tenth
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
    assert None not in [row[3] for row in resumed.history]
    assert resumed.summary() == whole_run.summary()


def test_an_interrupted_checkpoint_leaves_the_last_one(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    save, saved = torch.save, []

    def broken(state: dict[str, Any], path: Path) -> None:
        if state["progress"]["step"] == 10:
            path.write_bytes(b"half a checkpoi")
            raise KeyboardInterrupt
        saved.append(state["progress"]["step"])
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
        training(train=Clips(CLIPS.log_mels + 1, CLIPS.told)),
        training(train=Clips(CLIPS.log_mels, Told(LABELS.flip(0)))),
        training(validation=Clips(UNSEEN.log_mels + 1, UNSEEN.told)),
        training(validation=NONE),
        training(start=start_of(PARAMS.generator, seed=1)),
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
    assert rows[0] == ["step", "learning_rate", "loss", "validation_loss"]
    assert [(int(row[0]), float(row[2]), float(row[3])) for row in rows[1:]] == [
        (10, pytest.approx(run.history[0][2], abs=1e-6), pytest.approx(run.history[0][3], abs=1e-6)),
        (13, pytest.approx(run.history[1][2], abs=1e-6), pytest.approx(run.history[1][3], abs=1e-6)),
    ]


def test_the_summary_counts() -> None:
    forgotten: list[int] = []
    start = start_of(PARAMS.generator, figures={"autoencoder_steps": 5}, finish=lambda: forgotten.append(1))
    run = training(start=start, steps=2)
    run.run("test")
    assert run.summary() == {
        "parameters": len(weights(run)),
        "train_clips": 18,
        "steps": 2,
        "final_loss": pytest.approx(run.history[-1][2], abs=1e-6),
        "validation_loss": pytest.approx(run.history[-1][3], abs=1e-6),
        "autoencoder_steps": 5,
    }
    assert not run.unet.training  # asking for it changes nothing
    assert forgotten == []
    run.finish()
    assert forgotten == [1]


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    run = training()
    monkeypatch.setattr(run, "images", run.images.clone())
    step = run._train_step

    def failing() -> float:
        if run.step == 7:
            run.images[:] = math.nan
        return step()

    monkeypatch.setattr(run, "_train_step", failing)
    with pytest.raises(StudyError) as raised:
        run.run("test")
    assert str(raised.value) == (
        "generator training: found a loss of nan at step 8, wanted a number: "
        "lower generator.learning_rate or set generator.precision to float32"
    )
    resumed = training()
    resumed._resume()
    assert resumed.step == 5
    assert all(parameter.isfinite().all() for parameter in resumed.unet.parameters())


# validation


def test_watching_changes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runs = []
    for number, validation in enumerate((NONE, UNSEEN, Clips(UNSEEN.log_mels - 10, UNSEEN.told))):
        monkeypatch.setattr(scratch, "ROOT", tmp_path / str(number))
        runs.append(training(validation=validation))
        runs[-1].run("test")
    blind, watched, other = runs
    assert torch.equal(weights(blind), weights(watched))
    assert torch.equal(weights(blind), weights(other))
    assert [row[:3] for row in blind.history] == [row[:3] for row in watched.history]
    assert [row[3] for row in blind.history] == [None, None]
    assert "validation_loss" not in blind.summary()
    assert watched.summary()["validation_loss"] != other.summary()["validation_loss"]


def test_the_validation_loss_by_hand() -> None:
    """Of the averaged weights, on at most a batch of clips, at evenly spread levels: the same at every look."""
    run = training(steps=5)
    run.run("test")  # ends with the averaged weights
    chosen = torch.randperm(6, generator=generator_of(0, 4))[:4]
    images = run.codec.to_image(UNSEEN.log_mels[chosen])
    noise = torch.randn(images.shape, generator=generator_of(0, 5))
    levels = torch.tensor([0, 33, 66, 99])
    with torch.no_grad():
        loss = diffusion_loss(run.unet, run.schedule, images, UNSEEN.told.rows(chosen), levels, noise, 5.0)
    assert run.history[-1][3] == pytest.approx(loss.item(), rel=1e-6)
    assert run.summary()["validation_loss"] == pytest.approx(loss.item(), abs=1e-6)


def test_the_loss_is_watched_at_checkpoints_and_at_the_end() -> None:
    run = training(steps=33, checkpoint_every=20)
    run.run("test")
    assert [(step, watched is not None) for step, _, _, watched in run.history] == [
        (10, False),
        (20, True),
        (30, False),
        (33, True),
    ]


def test_learning_lowers_the_validation_loss() -> None:
    run = training(steps=60, batch_size=6, learning_rate=1e-2, checkpoint_every=10)
    run.run("test")
    watched = [row[3] for row in run.history]
    assert watched[-1] < 0.7 * watched[0]


def test_whole_recordings_are_watched_rounded_down() -> None:
    # Class 0: 10 recordings of 3 slices, class 1: 9 of 1, class 2: 2 of 5.
    recordings = [(0, f"a{n}", 3) for n in range(10)] + [(1, f"b{n}", 1) for n in range(9)] + [(2, "c", 5), (2, "d", 5)]
    class_id = np.concatenate([[c] * slices for c, _, slices in recordings])
    fs_id = np.concatenate([[name] * slices for _, name, slices in recordings])
    for share, wanted in ((0.0, (0, 0, 0)), (0.1, (1, 0, 0)), (0.2, (2, 1, 0)), (0.25, (2, 2, 0)), (0.5, (5, 4, 1))):
        chosen = validation_recordings(class_id, fs_id, share, seed=0)
        assert chosen.dtype == bool
        assert not set(fs_id[chosen]) & set(fs_id[~chosen])  # whole recordings
        assert tuple(len(set(fs_id[chosen & (class_id == c)])) for c in range(3)) == wanted


def test_the_seed_decides_which_recordings_are_watched() -> None:
    class_id = np.repeat([0, 1], 20)
    fs_id = np.array([f"{c}-{n}" for c in range(2) for n in range(20)])
    draws = [tuple(fs_id[validation_recordings(class_id, fs_id, 0.2, seed)]) for seed in (0, 0, 1, 2)]
    assert draws[0] == draws[1]
    assert len(set(draws)) == 3
    numbers = [{name.split("-")[1] for name in draws[0] if name.startswith(c)} for c in "01"]
    assert numbers[0] != numbers[1]  # a draw of its own for every class
    # neither the clips' order nor another class has a say
    order = np.random.default_rng(0).permutation(40)
    shuffled = validation_recordings(class_id[order], fs_id[order], 0.2, 0)
    assert set(fs_id[order][shuffled]) == set(draws[0])
    alone = validation_recordings(class_id[20:], fs_id[20:], 0.2, 0)
    assert set(fs_id[20:][alone]) == {name for name in draws[0] if name.startswith("1")}


# windows


def test_a_narrow_network_learns_windows_of_the_clips() -> None:
    """0.2 s are 8 frames of 21, 4 columns of the 12 that 2 x 2 patches leave."""
    settings = PARAMS.generator.model_copy(update={"window_seconds": 0.2})
    codec = MelScaling.of(PARAMS.features, settings)
    unet = build_unet(settings, (4, 8, 4), 3, seed=0)
    # Every column of a clip has a value of its own, far from its noise.
    log_mels = torch.linspace(-80, 20, 21).expand(18, 16, 21).clone()
    start = StartingPoint(unet, Schedule.of(settings), codec, {})
    run = training(0, Clips(log_mels, CLIPS.told), Clips(log_mels[:3], CLIPS.told.rows(slice(3))), start)
    images = codec.to_image(log_mels[:1])[0]
    found = run._windows(torch.arange(18))
    assert found.shape == (18, 4, 8, 4)
    places = [next(c for c in range(9) if torch.equal(one, images[..., c : c + 4])) for one in found]
    assert len(set(places)) > 4
    assert torch.equal(run._validation.log_mels, images[..., 4:8].expand(3, -1, -1, -1))  # the middle, at every look
    run.run("test")
    assert run.step == 20
    assert math.isfinite(run.summary()["validation_loss"])


# classes


def test_without_classes_the_labels_have_no_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    results = []
    for number, labels in enumerate((LABELS, LABELS.flip(0))):
        monkeypatch.setattr(scratch, "ROOT", tmp_path / str(number))
        run = training(train=Clips(CLIPS.log_mels, Told(labels)), condition="none", steps=6)
        seen: list[Any] = []
        run.unet.register_forward_pre_hook(
            lambda _, args, kwargs, seen=seen: seen.append(kwargs["class_labels"]), with_kwargs=True
        )
        run.run("test")
        assert seen == [None] * 7  # and once for the validation
        results.append(weights(run))
    assert torch.equal(*results)
    assert not any("class" in name for name in run.unet.state_dict())
    assert run.summary()["validation_loss"] > 0


def test_the_same_bytes_on_one_thread_and_on_two() -> None:
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            run = training(steps=6, batch_size=16)
            run.run(f"{threads} threads")
            found.append((weights(run), run.history))
            run.finish()  # else the next one would go on from its checkpoint
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_labels_are_dropped_to_the_null_class(monkeypatch: pytest.MonkeyPatch) -> None:
    for share, wanted in ((0.0, {0, 1, 2}), (1.0, {3})):
        run = training(validation=NONE, label_dropout=share, steps=6, batch_size=16)
        seen: list[int] = []
        run.unet.register_forward_pre_hook(
            lambda _, args, kwargs, seen=seen: seen.extend(kwargs["class_labels"].tolist()), with_kwargs=True
        )
        run.run("test")
        assert len(seen) == 96
        assert set(seen) == wanted


def with_sounds(clips: Clips, size: int = 3) -> Clips:
    """Clips that are 20 dB louder or softer than they were, and a sound that says which."""
    louder = torch.arange(len(clips.log_mels)) % 2 * 2.0 - 1
    sounds = louder[:, None].expand(-1, size).contiguous()
    return Clips(clips.log_mels - 20 + 20 * louder[:, None, None], clips.told._replace(sounds=sounds))


def hearing(train: Clips, validation: Clips = NONE, **changes: Any) -> GeneratorTraining:
    settings = Generator.model_validate(PARAMS.generator.model_dump() | {"condition": "sound"} | changes)
    codec = MelScaling.of(PARAMS.features, settings, train.log_mels)
    unet = build_unet(settings, codec.image_shape, 3, 0, sound_size=3)
    start = StartingPoint(unet, Schedule.of(settings), codec, {})
    return GeneratorTraining(settings, start, train, validation, 3, 0)


@pytest.mark.parametrize(("share", "wanted"), [(0.0, [-1.0, 1.0]), (1.0, [0.0])])
def test_sounds_are_dropped_with_the_labels(share: float, wanted: list[float]) -> None:
    run = hearing(with_sounds(CLIPS), label_dropout=share, steps=6, batch_size=16)
    seen: list[tuple[int, float]] = []

    def note(_: Any, __: Any, kwargs: Any) -> None:
        assert kwargs["encoder_hidden_states"].shape == (4, 1, 3)  # a part of the batch
        seen.extend(
            zip(kwargs["class_labels"].tolist(), kwargs["encoder_hidden_states"][:, 0, 0].tolist(), strict=True)
        )

    run.unet.register_forward_pre_hook(note, with_kwargs=True)
    run.run("test")
    assert sorted({sound for _, sound in seen}) == wanted
    assert len(seen) == 96
    assert {label for label, _ in seen} == ({3} if share else {0, 1, 2})


def test_a_sound_is_learned() -> None:
    """Told how loud a clip is, the network does better than told the opposite."""
    data = with_sounds(CLIPS)
    assert data.told.sounds is not None
    recipe = {"steps": 150, "learning_rate": 1e-2, "batch_size": 16, "label_dropout": 0.0}
    losses = []
    for sign in (1, -1):
        watched = Clips(data.log_mels, data.told._replace(sounds=sign * data.told.sounds))
        losses.append(hearing(data, watched, **recipe))
        losses[-1].run("test")
    right, wrong = (run.summary()["validation_loss"] for run in losses)
    assert right < 0.7 * wrong


def test_the_schedule_by_hand() -> None:
    assert [schedule_factor(step, 14, 4) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert schedule_factor(9, 14, 4) == pytest.approx(0.5)
    assert schedule_factor(13, 14, 4) == pytest.approx(0.5 * (1 + math.cos(0.9 * math.pi)))
    assert schedule_factor(14, 14, 4) == 0.0
    assert schedule_factor(0, 10, 0) == 1.0
    assert [schedule_factor(step, 2, 4) for step in range(2)] == [0.25, 0.5]  # a warm-up that never ends
