"""The grid: checked before it runs, kept row by row, and no choice for a test fold looks at it."""

import io
import itertools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from fake_study import fake_params, fake_study, read_csv, write_normalisation

from benchmarks import search
from benchmarks import tested as tested_folds
from benchmarks.cells import COLUMNS, cell_rows, draw, estimate, read_cells, run_deviation, seed_deviation
from benchmarks.search import Row, check, choose, params_to_test, table, validation_cells
from benchmarks.settings import asked_params
from soundaug.folds.packed import ClipSet, fold_by_name
from soundaug.params import load_params, parse_params
from soundaug.reporting.evaluation import load_study
from soundaug.running.errors import StudyError
from soundaug.running.outputs import write_table

ROOT = Path(__file__).parents[1]
FOLDS = (1, 2, 10)
WITH_CONTROLS = "assess_generator assess_controls train_aug train_control"
PRESET = yaml.safe_load((ROOT / "presets/subset.yaml").read_text(encoding="utf-8"))
AUGMENTATION, TRAINING = PRESET["augmentation"], PRESET["training"]


def row(name: str, gains: dict[tuple[int, int], int], per_class: int = 100, share: float = 1.0, **more: Any) -> Row:
    """A row of one seed without controls (`cells_of`)."""
    values = yaml.safe_load((ROOT / "presets/subset.yaml").read_text(encoding="utf-8"))
    values |= {"controls": [], "seeds": [0]} | more
    values["data"] |= {"held_out": "others", "recordings_share": share}
    values["generate"] |= {"per_class": per_class}
    settings = ["data.held_out=others", "controls=[]", "seeds=[0]", f"data.recordings_share={share}"]
    params = parse_params(values)
    cells = cells_of(["base", "aug"], params.seeds, gains)
    return Row(name, [*settings, f"generate.per_class={per_class}"], params, cells)


def cells_of(arms: list[str], seeds: list[int], gains: dict[tuple[int, int], int]) -> list[dict[str, str]]:
    """10 recordings x 10 clips a cell, arm and seed, of which 50 are right, of aug's as many more as ``gains`` says."""
    cells = []
    for (trained, tested), gain in gains.items():
        for arm in arms:
            right = 50 + gain * (arm == "aug")
            for seed, number in itertools.product(seeds, range(10)):
                hits = right // 10 + (number < right % 10)
                key = (arm, str(trained), str(tested), str(seed), f"{tested}r{number}", "10", str(hits))
                cells.append(dict(zip(COLUMNS, key, strict=True)))
    return cells


def everywhere(gain: int, **cells: int) -> dict[tuple[int, int], int]:
    """A gain in every cell, but for those named as ``c1_2``: trained on 1, tested on 2."""
    found = {(a, b): gain for a in FOLDS for b in FOLDS if a != b}
    return found | {
        (int(a), int(b)): value for a, b in (name[1:].split("_") for name in cells) for value in [cells[f"c{a}_{b}"]]
    }


# rows are checked before any runs


def test_the_rows_that_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    turned = "data.held_out=others"
    lines = [f"one {turned} generate.per_class=25 generate.alpha=[0.2,0.8]", f"two {turned}", f"three {turned}"]
    assert check(lines, []) == ["one", "two", "three"]
    assert check(lines, ["three", "one"]) == ["one", "three"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("odd generate.per_clas=25", "row odd: generate.per_clas: unknown parameter, wanted one of presets/subset"),
        ("odd generat.per_class=25", "row odd: generat.per_class: unknown parameter"),
        ("odd seed.per_class=25", "row odd: seed.per_class: unknown parameter"),
        ("odd generate.per_class=-1", "row odd: generate.per_class: found -1, wanted greater than or equal to 0"),
        ("odd augmentation.share=1.5", "row odd: augmentation.share: found 1.5, wanted less than 1"),
        ("odd generate.alpha=[1", "row odd: generate.alpha: found '[1', wanted a YAML value without spaces"),
        ("odd data.root=/tmp", "row odd: data.root: found it among the settings, wanted it as FOLDER"),
        ("odd generate.per_class=25", "row odd: found data.held_out fold, wanted others"),
        ("odd data.held_out=others folds=[1,2,7]", "row odd: found folds [1, 2, 7], wanted [1, 2, 10] as in presets/"),
    ],
)
def test_a_row_that_cannot_run(line: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(StudyError) as raised:
        check(["fine data.held_out=others generate.per_class=25", line], [])
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def fake_commands(folder: Path, dvc: str) -> dict[str, str]:
    """A folder with a `dvc` of this shell text before the real one, which logs what it is called with."""
    (folder / "dvc").write_text(f'#!/bin/sh\necho "$*" >>{folder}/log\n{dvc}\n', encoding="utf-8")
    (folder / "dvc").chmod(0o755)
    (folder / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    (folder / "python").chmod(0o755)
    return os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def preset_and_folder(here: Path) -> None:
    """The preset, and a folder that looks like the one the scripts are given."""
    (here / "presets").mkdir(exist_ok=True)
    (here / "presets/subset.yaml").write_bytes((ROOT / "presets/subset.yaml").read_bytes())
    for fold in FOLDS:
        (here / f"corpus/audio/fold{fold}").mkdir(parents=True, exist_ok=True)
    (here / "corpus/metadata").mkdir(exist_ok=True)
    (here / "corpus/metadata/UrbanSound8K.csv").touch()


def script(
    tmp_path: Path, environment: dict[str, str], *rows: str, name: str = "search.sh"
) -> subprocess.CompletedProcess[str]:
    preset_and_folder(tmp_path)
    command = ["sh", str(ROOT / "benchmarks" / name), "corpus", *rows]
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)


def test_an_unknown_param_stops_the_script_before_anything_runs(tmp_path: Path) -> None:
    environment = fake_commands(tmp_path, "exit 1") | {"SEARCH_SETTINGS": "generate.steeps=2"}
    done = script(tmp_path, environment, "clips25")
    assert done.returncode == 1
    assert done.stderr == (
        "error: search: row clips100: generate.steeps: unknown parameter, wanted one of presets/subset.yaml's\n"
    )
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("name", ["search.sh", "tested.sh"])
def test_a_folder_without_the_three_folds_is_told_before_anything_is_written(tmp_path: Path, name: str) -> None:
    environment = fake_commands(tmp_path, "exit 1")
    preset_and_folder(tmp_path)
    wanted = ["10", "alone"] if name == "tested.sh" else []
    command = ["sh", str(ROOT / "benchmarks" / name), "corpus", *wanted]
    for odd in ("my corpus", "us,8k", "a=b", "(a)", "it's"):
        (tmp_path / odd).symlink_to(tmp_path / "corpus")
        done = subprocess.run([*command[:2], odd, *wanted], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: {tmp_path}/{odd}: found other characters than letters, digits and _ . ")
        assert done.stderr.count("\n") == 1
    done = subprocess.run([*command, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (
        1,
        "error: found the option --help, wanted names (docs/search.md, docs/ladder.md)\n",
    )
    done = subprocess.run(command, cwd=tmp_path / "corpus", capture_output=True, text=True)
    message = f"error: {tmp_path}/corpus: found no presets/subset.yaml, wanted to be started in the project's folder\n"
    assert (done.returncode, done.stderr) == (1, message)
    (tmp_path / "corpus/audio/fold10").rmdir()
    for message in (
        "error: corpus: found no audio/fold10, wanted folds 1, 2 and 10\n",
        "error: corpus: found no metadata/UrbanSound8K.csv, wanted a folder in UrbanSound8K's layout\n",
    ):
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (1, message)
        (tmp_path / "corpus/metadata/UrbanSound8K.csv").unlink(missing_ok=True)
    assert not (tmp_path / "params.yaml").exists()
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(
    ("settings", "targets"),
    [
        ("", "assess_generator train_aug"),
        ("controls=[mixup]", WITH_CONTROLS),
        ("controls=[mixup] controls=[]", "assess_generator train_aug"),
    ],
)
def test_controls_run_where_the_last_word_asks_for_them(tmp_path: Path, settings: str, targets: str) -> None:
    environment = fake_commands(tmp_path, 'case "$*" in *remove*) ;; *) exit 130 ;; esac')
    script(tmp_path, environment | {"SEARCH_SETTINGS": settings}, "clips25")
    last = settings.split()[-1] if settings else "generate.per_class=25"
    assert (tmp_path / "log").read_text().splitlines()[1].endswith(f" {last} {targets}")


def test_an_interrupted_script_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """clips100 is kept: one run, of clips25, which fails. Then clips25 is there with other settings or params, or a
    part of it, and stays: nothing runs, although share50 comes before it.
    """
    environment = fake_commands(tmp_path, 'case "$*" in *remove*) ;; *) exit 130 ;; esac')
    common = ["data.held_out=others", "seeds=[0,1,2]", "controls=[]"]
    monkeypatch.chdir(tmp_path)
    preset_and_folder(tmp_path)

    def finished(name: str, settings: list[str]) -> Path:
        folder = tmp_path / "reports/search" / name
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text("{}")
        (folder / "cells.csv").write_text("")
        (folder / "settings.txt").write_text("\n".join(settings) + "\n")
        values = asked_params("search", settings).model_dump(mode="json")
        (folder / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
        return folder

    finished("clips100", common)
    done = script(tmp_path, environment, "clips100", "clips25")
    assert "row clips100: finished before" in done.stdout
    calls = (tmp_path / "log").read_text().splitlines()
    assert calls[0] == "exp remove search-clips25"
    assert calls[1] == (
        f"exp run --name search-clips25 -S data.root={tmp_path}/corpus -S data.held_out=others -S seeds=[0,1,2] "
        "-S controls=[] -S generate.per_class=25 assess_generator train_aug"
    )
    assert len(calls) == 2
    assert done.returncode == 130
    folder = finished("clips25", [*common, "generate.per_class=7"])
    for message in (
        "reports/search/clips25: found other settings than row clips25 has now, wanted it moved away",
        "reports/search/clips25/params.yaml: found other params than row clips25 has now, wanted it moved away",
        "reports/search/clips25: found no params.yaml, wanted a finished row, or nothing",
    ):
        done = script(tmp_path, environment, "share50", "clips25")
        assert (done.returncode, done.stderr) == (1, f"error: {message}\n")
        if message.startswith("reports/search/clips25/params.yaml"):
            (folder / "params.yaml").unlink()
        (folder / "settings.txt").write_text("\n".join([*common, "generate.per_class=25"]) + "\n")
    assert len((tmp_path / "log").read_text().splitlines()) == 2
    assert (tmp_path / "reports/search/clips25/metrics.json").read_text() == "{}"


def test_rows_are_queued_and_nothing_is_kept(tmp_path: Path) -> None:
    environment = fake_commands(tmp_path, "exit 0") | {"SEARCH_QUEUE": "1"}
    done = script(tmp_path, environment, "clips25", "recordings100")
    assert (done.returncode, done.stderr) == (0, "")
    calls = (tmp_path / "log").read_text().splitlines()
    assert [call.split(" -S ")[0] for call in calls] == [
        "queue status",
        "exp remove search-recordings100",
        "exp run --queue --name search-recordings100",
        "exp remove search-clips25",
        "exp run --queue --name search-clips25",
    ]
    assert calls[2].endswith(f" -S controls=[waveform,mixup,slerp] {WITH_CONTROLS}")
    assert not (tmp_path / "reports").exists()


def test_what_is_queued_already_is_left_alone_but_for_what_failed(tmp_path: Path) -> None:
    shown = """[ "$2" != status ] || cat <<'END'
Task     Name                  Created    Status
1        search-clips25        01:00 AM   Running
2        search-clips50        01:00 AM   Failed
3        search-recordings100  01:00 AM   Success
4        search-alpha50        01:00 AM   Queued
END"""
    environment = fake_commands(tmp_path, shown) | {"SEARCH_QUEUE": "1"}
    done = script(tmp_path, environment, "clips25", "clips50", "recordings100", "alpha50", "clips100")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == [
        f"row {one}: queued before" for one in ("alpha50", "clips25", "recordings100")
    ]
    calls = (tmp_path / "log").read_text().splitlines()
    assert [call.split()[-1] for call in calls if "remove" in call] == ["search-clips100", "search-clips50"]


# estimates


def test_runs_are_drawn_once_for_all_folds_that_they_are_tested_on() -> None:
    """Recordings are all alike, so that runs alone vary: by the unbiased variance of their mean, on one fold or two."""
    effects = np.array([0.0, 0.1, 0.5])
    hits = np.tile(effects[:, None], (1, 8))
    for tested in ([2], [2, 10]):
        draws = draw({(1, fold): (np.ones(8), hits) for fold in tested}, 20_000, np.random.default_rng(0))
        assert draws.mean() == pytest.approx(effects.mean(), abs=0.005)
        assert draws.var() == pytest.approx(effects.var(ddof=1) / 3, rel=0.03)
        spread = run_deviation({(1, fold): (np.ones(8), hits) for fold in tested})
        assert spread == pytest.approx(effects.std(ddof=1))
    apart = {(1, 2): (np.ones(8), hits), (2, 1): (np.ones(8), hits)}  # runs of their own, so they average out
    assert draw(apart, 20_000, np.random.default_rng(0)).var() == pytest.approx(effects.var(ddof=1) / 6, rel=0.03)
    alone = draw({(1, 2): (np.ones(8), hits[:1])}, 50, np.random.default_rng(0))
    assert np.ptp(alone) == 0.0  # a single run is held fixed


def test_recordings_are_drawn_once_for_all_cells_that_test_them() -> None:
    """One run each, so that recordings alone vary: by the unbiased variance of their mean, two cells that test the same
    ones as one does, not half.
    """
    hits = np.random.default_rng(1).integers(0, 2, (1, 8)).astype(float)
    cell = np.ones(8), hits

    def spread(*places: tuple[int, int]) -> float:
        return float(draw(dict.fromkeys(places, cell), 20_000, np.random.default_rng(0)).var())

    assert spread((1, 10)) == pytest.approx(hits.var(ddof=1) / 8, rel=0.03)
    assert spread((1, 10), (2, 10)) == pytest.approx(spread((1, 10)), rel=0.03)
    assert spread((1, 10), (10, 1)) == pytest.approx(spread((1, 10)) / 2, rel=0.03)


def test_an_estimate_by_hand() -> None:
    one = row("one", everywhere(0, c1_2=6, c2_1=12))
    mean, low, high = estimate(one.cells, "aug", "base")
    assert mean == pytest.approx((0.06 + 0.12) / 6)
    assert low <= mean <= high
    assert estimate(one.cells, "base", None)[0] == pytest.approx(0.5)
    assert estimate(row("same", everywhere(10)).cells, "aug", "base") == pytest.approx((0.1, 0.1, 0.1))


def test_the_interval_is_that_of_recordings_drawn() -> None:
    """10 recordings of which 5 gain 2 of 10 clips: mean 0.1, standard error 0.1 / sqrt(9)."""
    one = row("one", {(1, 2): 0})
    for cell in one.cells:
        if cell["arm"] == "aug" and int(cell["fs_id"][-1]) < 5:
            cell["right"] = str(int(cell["right"]) + 2)  # type: ignore[index]
    mean, low, high = estimate(one.cells, "aug", "base", resamples=20000)
    assert mean == pytest.approx(0.1)
    assert (high - low) / (2 * 1.96) == pytest.approx(0.1 / np.sqrt(9), rel=0.1)


# the choice


def test_the_best_gain_is_chosen_without_the_test_fold() -> None:
    """b gains most, but on and by fold 10 alone; without it a does."""
    a, b = row("a", everywhere(3)), row("b", everywhere(2, c1_10=40, c2_10=40, c10_1=40, c10_2=40))
    assert choose([a, b], 10, [1, 2], 1.0).name == "a"
    assert choose([a, b], 1, [2, 10], 1.0).name == "b"
    cells = validation_cells(b, 10, [1, 2])
    assert {(cell["trained"], cell["tested"]) for cell in cells} == {("1", "2"), ("2", "1")}


def test_a_tie_goes_to_the_cheaper() -> None:
    dear, cheap, name = row("a", everywhere(3), 400), row("c", everywhere(3), 50), row("b", everywhere(3), 50)
    assert choose([dear, cheap], 10, [1, 2], 1.0).name == "c"
    assert choose([dear, cheap, name], 10, [1, 2], 1.0).name == "b"
    assert choose([row("a", everywhere(4), 400), cheap], 10, [1, 2], 1.0).name == "a"


def test_only_rows_of_the_same_regime_compete() -> None:
    scarce = row("scarce", everywhere(20), share=0.1)
    assert choose([row("whole", everywhere(1)), scarce], 10, [1, 2], 1.0).name == "whole"
    assert choose([row("whole", everywhere(1)), scarce], 10, [1, 2], 0.1).name == "scarce"
    with pytest.raises(StudyError, match=r"found no row of kind alone with data\.recordings_share 0\.5"):
        choose([scarce], 10, [1, 2], 0.5)
    with pytest.raises(StudyError, match=r"found 7 as test fold, wanted one of the rows' folds: \[1, 2, 10\]"):
        choose([scarce], 7, [1, 2], 0.1)


def test_what_a_control_gains_does_not_speak_for_the_clips_on_top_of_it() -> None:
    on_top = row("on_top", everywhere(9), augmentation={**AUGMENTATION, "on_top_of": "waveform"})
    rows = [row("alone", everywhere(1)), on_top]
    assert [choose(rows, 10, [1, 2], 1.0, kind).name for kind in ("alone", "on_top")] == ["alone", "on_top"]


def test_rows_that_are_not_the_preset_with_their_settings_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset_and_folder(tmp_path)
    monkeypatch.chdir(tmp_path)
    made = row("a", everywhere(1), evaluate={"bootstrap": 100, "confidence": 0.9, "seed": 3})
    put(tmp_path / "reports/search/a", made)  # what changes no prediction may differ
    assert [one.name for one in search.load_rows()] == ["a"]
    put(tmp_path / "reports/search/b", row("b", everywhere(1), training={**TRAINING, "steps": 50}))
    with pytest.raises(StudyError, match=r"search/b/params\.yaml: found other params than presets/subset\.yaml"):
        search.load_rows()


def test_a_validation_fold_that_is_the_test_fold_is_refused() -> None:
    with pytest.raises(StudyError) as raised:
        choose([row("a", everywhere(3))], 10, [2, 10], 1.0)
    assert str(raised.value) == "search: found 10 as test fold and among the validation folds [2, 10]"
    with pytest.raises(StudyError, match=r"row a: found no cell within the validation folds \[2\]"):
        choose([row("a", everywhere(3))], 10, [2], 1.0)
    with pytest.raises(StudyError, match=r"row a: found validation fold 3, wanted of \[1, 2, 10\]"):
        choose([row("a", everywhere(3))], 10, [1, 3], 1.0)


def test_what_is_run_once_on_the_test_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    params = params_to_test(row("a", everywhere(3), per_class=25), 10)
    assert (params.folds, params.seeds, params.data.held_out) == ([10], [0, 1, 2, 3, 4], "fold")
    assert params.generate.per_class == 25
    assert params.controls == ["duplicate", "waveform", "specaugment", "mixup", "slerp", "resynthesis"]


# what is run once on the test folds


def put(folder: Path, made: Row) -> None:
    """``made`` as benchmarks/search.sh keeps it."""
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text(search._dump(made.params))
    (folder / "settings.txt").write_text("\n".join(made.settings) + "\n")
    (folder / "metrics.json").write_text(json.dumps({"test_train_ratio": 0.5} | dict(made.metrics)))
    write_table(folder / "cells.csv", made.cells)


def held_out(gain: int, fold: int, share: float = 1.0, **more: Any) -> Row:
    """What a fold that is held out came to, with all arms' cells like base's but for aug's."""
    made = row(f"fold{fold}_{100 * share:g}_alone", {(fold, fold): gain}, share=share, folds=[fold], **more)
    data = made.params.data.model_copy(update={"held_out": "fold"})
    params = made.params.model_copy(update={"data": data})
    cells = cells_of(params.arms, params.seeds, {(fold, fold): gain})
    metrics = {"generator": {"label_agreement": 0.5 + gain / 100, "clips": 1000.0}}
    return Row(made.name, made.settings, params, cells, metrics)


def test_a_fold_is_tested_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script runs what is chosen, goes on after an interruption, and refuses another choice afterwards."""
    environment = fake_commands(tmp_path, 'case "$*" in *fold10*) exit 130 ;; esac')
    for name, gain in (("first", 3), ("second", 2)):
        put(tmp_path / "reports/search" / name, row(name, everywhere(gain), 25 if name == "first" else 50))
    monkeypatch.chdir(tmp_path)
    preset_and_folder(tmp_path)
    chosen = params_to_test(search.load_rows()[0], 1)
    put(
        tmp_path / "reports/search/tested/fold1_100_alone",
        Row("fold1_100_alone", ["generate.per_class=25"], chosen, cells_of(chosen.arms, chosen.seeds, {(1, 1): 3})),
    )
    done = script(tmp_path, environment, "100", "alone", "1", "10", name="tested.sh")
    assert "fold1_100_alone: finished before" in done.stdout
    assert done.stdout.startswith("fold 1: first by folds 2, 10, params in reports/search/test_fold1_100_alone.yaml\n")
    calls = (tmp_path / "log").read_text().splitlines()
    assert calls == [
        "exp remove tested-fold10_100_alone",
        f"exp run --name tested-fold10_100_alone -S data.root={tmp_path}/corpus {WITH_CONTROLS}",
    ]
    assert done.returncode == 130
    assert len(search.load_rows(search.TESTED)) == 1  # fold 10 has begun and is not there yet
    assert load_params(tmp_path / "params.yaml") == params_to_test(search.load_rows()[0], 10)
    put(tmp_path / "reports/search/third", row("third", everywhere(4), 75))
    for fold in ("1", "10"):  # the one that was tested, and the one whose test was begun
        done = script(tmp_path, environment, "100", "alone", fold, name="tested.sh")
        assert (done.returncode, done.stderr) == (
            1,
            f"error: search: reports/search/tested/fold{fold}_100_alone/params.yaml: found third chosen now, wanted "
            "the params that the fold was tested with: a test fold is tested once\n",
        )
    assert len((tmp_path / "log").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["100", "alone", "1", "7"], "search: found 7 as test fold, wanted one of the rows' folds: [1, 2, 10]"),
        (["100", "alone", "1", "x"], "tested: FOLD: found x, wanted the number of a fold"),
        (["100", "besides"], "tested: KIND: found besides, wanted alone or on_top"),
        (["all", "alone"], "tested: PERCENT: found all, wanted a number, 100 for all recordings"),
        (["1.2.3", "alone"], "tested: PERCENT: found 1.2.3, wanted a number, 100 for all recordings"),
        ([".", "alone"], "tested: PERCENT: found ., wanted a number, 100 for all recordings"),
    ],
)
def test_what_is_asked_of_the_test_folds_is_checked_before_any_is_run(
    tmp_path: Path, words: list[str], message: str
) -> None:
    environment = fake_commands(tmp_path, "exit 0")
    put(tmp_path / "reports/search/first", row("first", everywhere(3)))
    done = script(tmp_path, environment, *words, name="tested.sh")
    assert (done.returncode, done.stderr) == (1, f"error: {message}\n")
    assert not (tmp_path / "log").exists()


def test_a_percent_may_have_decimals(tmp_path: Path) -> None:
    environment = fake_commands(tmp_path, "exit 130")
    put(tmp_path / "reports/search/first", row("first", everywhere(3), share=0.1))
    script(tmp_path, environment, "10.0", "alone", "2", name="tested.sh")
    assert (tmp_path / "log").read_text().splitlines()[1].startswith("exp run --name tested-fold2_10_alone ")


def test_the_table_of_what_was_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for fold, gain in ((2, 4), (10, 8)):  # fold10 comes before fold2 by name
        put(tmp_path / f"reports/search/tested/fold{fold}_10_alone", held_out(gain, fold, 0.1, controls=["mixup"]))
        put(tmp_path / f"reports/search/tested/fold{fold}_100_alone", held_out(-gain, fold, controls=["slerp"]))
    monkeypatch.setattr(sys, "argv", ["tested"])
    tested_folds.main()
    lines = read_csv(tmp_path / "reports/search/tested/tested.csv")
    assert [(line["recordings"], line["arm"], line["accuracy"], line["gain"], line["aug_over"]) for line in lines] == [
        ("10", "base", "50.00", "", "6.00"),
        ("10", "aug", "56.00", "6.00", ""),
        ("10", "mixup", "50.00", "0.00", "6.00"),
        ("100", "base", "50.00", "", "-6.00"),
        ("100", "aug", "44.00", "-6.00", ""),
        ("100", "slerp", "50.00", "0.00", "-6.00"),
    ]
    assert (lines[1]["folds"], lines[1]["seeds"]) == ("2 10", "1")
    runs = [
        (line["arm"], line["fold"], line["seed"], line["accuracy"], line["gain"])
        for line in read_csv(tmp_path / "reports/search/tested/runs.csv")
        if (line["recordings"], line["kind"]) == ("10", "alone")
    ]
    assert runs[:3] == [
        ("base", "2", "0", "50.00", ""),
        ("base", "10", "0", "50.00", ""),
        ("aug", "2", "0", "54.00", "4.00"),
    ]
    assert len(runs) == 6
    assert float(lines[1]["gain_low"]) <= 6 <= float(lines[1]["gain_high"])
    # Aug's clips: the mean of 0.54 and 0.58.
    assert [line["label_agreement"] for line in lines[:3]] == ["", "0.560", ""]
    assert lines[1]["accuracy_score"] == ""  # which these runs do not have
    assert (lines[1]["kind"], lines[1]["gain_p_sign_flip"]) == ("alone", "0.5")  # two folds
    assert float(lines[1]["gain_p"]) == pytest.approx(
        0.28, abs=0.001
    )  # t = 6 / sqrt((1/2 + 1/2) 8), 1 - 2 / pi atan(t)
    assert (lines[2]["gain_p"], lines[2]["aug_over_p"], lines[2]["aug_over_p_holm"]) == ("1", "0.28", "0.28")
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("10 % of the recordings, generated clips alone: aug minus base 6.00 points (")
    assert told[0].endswith("corrected t-test p = 0.28; 2 folds cannot reach p < 0.5 by sign flips")
    assert (tmp_path / "reports/search/tested/tested.png").read_bytes().startswith(b"\x89PNG")


def test_folds_that_cannot_be_averaged() -> None:
    with pytest.raises(StudyError) as raised:
        tested_folds.regimes([held_out(1, 1), held_out(1, 2, seeds=[1])])
    assert str(raised.value) == "tested: fold2_100_alone: found seeds [1], wanted those of fold1_100_alone: [0]"
    with pytest.raises(StudyError) as raised:
        tested_folds.regimes([held_out(1, 1), replace(held_out(2, 1), name="again")])
    assert str(raised.value) == "tested: again: found fold 1 as in fold1_100_alone, wanted it once"


# files


def test_a_study_as_cells(tmp_path: Path) -> None:
    params = fake_params()
    fake_study(tmp_path, params)
    rows = cell_rows(load_study(tmp_path, params), fold_by_name(tmp_path / "features"))
    assert len(rows) == 4 * 3 * 2 * 6  # arms, folds, seeds, recordings
    base = [one for one in rows if (one["arm"], one["trained"], one["seed"]) == ("base", 2, 1)]
    assert {one["tested"] for one in base} == {2}
    assert [one["clips"] for one in base] == [2] * 6
    assert [one["right"] for one in base] == [0, 0, 1, 2, 2, 2]  # the first five are wrong


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("right", "11", r"cells.csv line 2: found 11 right of 10 clips, wanted a part of them"),
        ("right", "-1", r"cells.csv line 2: found -1 right of 10 clips, wanted a part of them"),
        ("clips", "0", r"cells.csv line 2: found 5 right of 0 clips, wanted a part of them"),
        ("trained", "x", r"cells.csv line 2: found trained, tested, seed x, 2, 0, wanted numbers"),
        ("seed", "", r"cells.csv line 2: found trained, tested, seed 1, 2, , wanted numbers"),
        ("fs_id", "2r1", r"cells.csv line 3: found base, 1, 2, 0, 2r1 once more"),
        ("seed", "7", r"cells.csv: found trained, tested, seed 1, 2, 7 of base and not of aug, wanted the same runs"),
        ("fs_id", "other", r"cells.csv: fold 2: found other clips for .*, wanted the same for every run"),
    ],
)
def test_cells_that_cannot_be(tmp_path: Path, column: str, value: str, message: str) -> None:
    found = [dict(cell) for cell in row("a", everywhere(1)).cells]
    write_table(tmp_path / "cells.csv", found)
    assert read_cells(tmp_path / "cells.csv") == found
    found[0][column] = value
    write_table(tmp_path / "cells.csv", found)
    with pytest.raises(StudyError, match=message):
        read_cells(tmp_path / "cells.csv")


def test_cells_that_are_not_there(tmp_path: Path) -> None:
    found = row("a", everywhere(1)).cells
    write_table(tmp_path / "cells.csv", [cell for cell in found if (cell["arm"], cell["trained"]) != ("aug", "1")])
    with pytest.raises(StudyError, match="found trained, tested, seed 1, 10, 0 of base and not of aug, wanted the"):
        read_cells(tmp_path / "cells.csv")
    (tmp_path / "cells.csv").write_text(",".join(COLUMNS) + "\n")
    with pytest.raises(StudyError, match=r"cells\.csv: found no rows, wanted one a recording and run"):
        read_cells(tmp_path / "cells.csv")


@pytest.mark.parametrize(
    ("lose", "message"),
    [
        ({"arm": "waveform"}, "found no line of the arm waveform, wanted those of params.yaml: base aug waveform"),
        ({"seed": "1"}, "found no run of trained, tested, seed 1, 2, 1, wanted those of the folds and seeds"),
        ({"trained": "10"}, "found no run of trained, tested, seed 10, 1, 0, wanted those of the folds and seeds"),
        ({"arm": "mixup"}, "found lines of the arm mixup, wanted those of params.yaml: base aug waveform"),
    ],
)
def test_a_row_whose_cells_are_not_those_of_its_params_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lose: dict[str, str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    preset_and_folder(tmp_path)
    made = row("a", everywhere(1), seeds=[0, 1], controls=["waveform"])
    settings = [*made.settings, "seeds=[0,1]", "controls=[waveform]"]
    cells = cells_of(["base", "aug", "waveform", "mixup"], [0, 1], everywhere(1))
    whole = [cell for cell in cells if cell["arm"] != "mixup"]
    put(tmp_path / "reports/search/a", replace(made, settings=settings, cells=whole))
    assert len(search.load_rows()) == 1
    ((key, value),) = lose.items()
    left = cells if value == "mixup" else [cell for cell in whole if cell[key] != value]
    write_table(tmp_path / "reports/search/a/cells.csv", left)
    with pytest.raises(StudyError) as raised:
        search.load_rows()
    assert message in str(raised.value)


@pytest.mark.parametrize("metrics", ['{"generator": null}', '{"generator": {"label_agreement": "high"}}'])
def test_metrics_that_are_none_of_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metrics: str) -> None:
    monkeypatch.chdir(tmp_path)
    preset_and_folder(tmp_path)
    put(tmp_path / "reports/search/a", row("a", everywhere(1)))
    (tmp_path / "reports/search/a/metrics.json").write_text(metrics)
    with pytest.raises(StudyError, match=r"a/metrics\.json: found no metrics of a row \(.*\), wanted what"):
        search.load_rows()
    (tmp_path / "reports/search/a/settings.txt").write_bytes(b"\xff")
    with pytest.raises(StudyError, match=r"a/settings\.txt: found no text \(.*\), wanted a setting a line"):
        search.load_rows()


def test_rows_are_kept_tabled_and_chosen_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    preset_and_folder(tmp_path)
    params = fake_params()
    fake_study(tmp_path / "data", params)
    for fold in params.folds:
        made = tmp_path / f"data/generated/fold{fold}"
        (made / "features.npz").write_bytes((made / "mels.npz").read_bytes())
        (made / "quality.json").write_text('{"label_agreement": 0.9}')
    values = params.model_dump(mode="json")
    values["data"]["root"] = "elsewhere"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    monkeypatch.setattr(sys, "stdin", io.StringIO("generate.per_class=2\n"))
    monkeypatch.setattr(sys, "argv", ["search", "keep", "clips2"])
    search.main()
    kept = tmp_path / "reports/search/clips2"
    files = ["cells.csv", "environment.json", "metrics.json", "params.yaml", "settings.txt"]
    assert sorted(path.name for path in kept.iterdir()) == files
    assert "packages" in json.loads((kept / "environment.json").read_text())
    assert load_params(kept / "params.yaml") == params
    assert len(read_csv(kept / "cells.csv")) == 144
    metrics = json.loads((kept / "metrics.json").read_text())
    assert metrics["generator"]["label_agreement"] == 0.9
    assert set(metrics["delta"]["accuracy"]) == {"mean"}  # intervals and tests are of more than a run
    for name, gain, clips in (("clips25", 1, 25), ("clips50", 1, 50), ("recordings50", 5, 25)):
        made = row(name, everywhere(gain), clips, share=0.5 if name == "recordings50" else 1.0)
        put(tmp_path / "reports/search" / name, made)
    monkeypatch.setattr(sys, "argv", ["search", "table"])
    (kept / "cells.csv").unlink()
    with pytest.raises(StudyError, match=r"reports/search/clips2: found no cells\.csv, wanted a finished row"):
        search.main()
    kept.rename(kept.with_name(".clips2.partial"))  # as an interrupted script leaves it: no row
    search.main()
    lines = read_csv(tmp_path / "reports/search/search.csv")
    assert [(line["row"], line["data.recordings_share"], line["gain"]) for line in lines] == [
        ("clips25", "1.0", "1.00"),
        ("clips50", "1.0", "1.00"),
        ("recordings50", "0.5", "5.00"),
    ]
    assert [lines[0][f"without_{fold}"] for fold in FOLDS] == ["1.00"] * 3
    for name in ("gains.png", "recordings.png", "clips.png"):
        assert (tmp_path / "reports/search" / name).read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(sys, "argv", ["search", "choose", "--test", "10"])
    search.main()
    assert load_params(tmp_path / "reports/search/test_fold10_100_alone.yaml").generate.per_class == 25
    for name in ("clips50", "recordings50"):
        shutil.rmtree(tmp_path / "reports/search" / name)
    search.write_report(search.load_rows())  # pictures that no row is left for go
    assert sorted(path.name for path in (tmp_path / "reports/search").glob("*.png")) == ["gains.png"]


def test_a_leak_is_refused_and_nothing_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clip of fold 1 comes again, quieter, in fold 2, first beside normalisations that know nothing of it."""
    monkeypatch.chdir(tmp_path)
    params = fake_params(leakage={"similarity": 0.9, "max_share": 0.05})
    fake_study(tmp_path / "data", params)
    for fold in params.folds:
        made = tmp_path / f"data/generated/fold{fold}"
        (made / "features.npz").write_bytes((made / "mels.npz").read_bytes())
    one, other = (ClipSet.load(tmp_path / f"data/features/fold{fold}.npz") for fold in (1, 2))
    other.mel[0] = one.mel[4] - 6.0
    other.save(tmp_path / "data/features/fold2.npz")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json")))
    with pytest.raises(StudyError, match="leak, held-out fold 1: the normalisation of the classifier of base, seed 0"):
        search.keep("clips2", "generate.per_class=2\n")
    write_normalisation(tmp_path / "data", params)
    with pytest.raises(StudyError, match=r"leak: 5\.56% of the test clips are nearly the same as a clip trained on"):
        search.keep("clips2", "generate.per_class=2\n")
    assert not (tmp_path / "reports").exists()


def test_the_picture_of_all_rows_shows_a_control_once_beside_rows_of_its_share() -> None:
    shared = row("recordings100", everywhere(1), controls=["waveform"])
    control = [cell | {"arm": "waveform"} for cell in shared.cells if cell["arm"] == "aug"]
    shared = replace(shared, cells=[*shared.cells, *control])
    on_top = row(
        "on_waveform", everywhere(3), augmentation=AUGMENTATION | {"on_top_of": "waveform"}, controls=["waveform"]
    )
    on_top = replace(on_top, cells=[*on_top.cells, *control])
    same = row("same", everywhere(1))  # without the control
    points = search.gain_points([shared, on_top, row("recordings10", everywhere(-2), share=0.1), same])
    assert [(point["recordings"], point["name"], point["kind"]) for point in points] == [
        (10, "recordings10", "alone"),
        (100, "on_waveform", "on_top"),
        (100, "recordings100", "alone"),
        (100, "waveform", "control"),
    ]
    assert [round(point["mean"], 6) for point in points] == [-2, 3, 1, 1]


def test_an_arm_of_two_rows_is_compared() -> None:
    few, many = row("recordings10", everywhere(0), share=0.1), row("recordings100", everywhere(0))
    right = {"base": "9", "aug": "0"}  # of 10 clips of each recording, in place of 5
    many = replace(many, cells=[{**cell, "right": right[cell["arm"]]} for cell in many.cells])
    assert search.compare([few, many], "recordings100", "recordings10", "base") == (
        "base of recordings100 minus base of recordings10: +40.00 points (+40.00 to +40.00)"
    )
    assert "aug of recordings10 minus aug of recordings100: +50.00 " in search.compare(
        [few, many], few.name, many.name, "aug"
    )


@pytest.mark.parametrize(
    ("other", "arm", "message"),
    [
        ("c", "aug", "found the row c, wanted one of: a b"),
        ("b", "mixup", "row a: found the arm mixup, wanted one of: base aug"),
        ("b", "aug", "rows a, b: found other folds, seeds or recordings, wanted the same"),
        ("a", "aug", "found the row a twice, wanted two rows"),
    ],
)
def test_rows_that_cannot_be_compared(other: str, arm: str, message: str) -> None:
    rows = [row("a", everywhere(0)), row("b", {(1, 2): 0})]
    with pytest.raises(StudyError, match=message):
        search.compare(rows, "a", other, arm)


def test_the_spread_over_seeds_by_hand() -> None:
    runs = np.array([[6.0, 2.0], [4.0, 0.0]])  # two seeds, 10 clips: 0.8 and 0.4 right
    assert seed_deviation({(1, 2): (np.array([5.0, 5.0]), runs)}) == pytest.approx(0.4 / np.sqrt(2))
    assert seed_deviation({(1, 2): (np.array([5.0, 5.0]), runs[:1])}) is None
    # The other cell takes back what the first gives: no spread is left of the mean.
    assert seed_deviation({(1, 2): (np.array([5.0, 5.0]), runs), (2, 1): (np.array([5.0, 5.0]), runs[::-1])}) == 0


def test_the_columns_tell_every_setting() -> None:
    lines = table([row("a", everywhere(1), 25), row("b", everywhere(2), 50)])
    settings = list(lines[0])[1 : list(lines[0]).index("base")]
    assert settings == [*search.ALWAYS, "data.held_out", "controls", "seeds"]
    assert [line["generate.per_class"] for line in lines] == ["25", "50"]
    assert [line["gain"] for line in lines] == ["1.00", "2.00"]
    assert list(lines[0])[-len(search.JUDGED) :] == list(search.JUDGED)
