"""The stage demonstrate on a small study: which sounds there are, and that each is what it is called."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_pipeline import run, tiny_params, workspace

from soundaug.interpolation import read_pairs
from soundaug.listening.sounds import Sound, read_sounds
from soundaug.params import Params
from soundaug.running.errors import StudyError
from soundaug.sound.audio import fit, read_mono, to_pcm16
from soundaug.sound.clip_archive import read_archived

CHANGES = {"folds": [1], "controls": [], "generate.per_class": 2, "generate.candidates": 1}
TO_GENERATE = ("train_helper", "train_generator", "generate", "invert", "featurize_generated")
CLASSES = range(10)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Params]]:
    folder = tmp_path_factory.mktemp("study")
    with workspace(folder, tiny_params(CHANGES)) as params:
        run("fetch")
        run("featurize")
        for stage in TO_GENERATE:
            run(stage, "--fold", 1)
        run("train_base", "--fold", 1, "--seed", 0)
        run("assess_generator", "--fold", 1, "--seed", 0)
        run("demonstrate")
        yield folder, params


@pytest.fixture(scope="module")
def sounds(study: tuple[Path, Params]) -> dict[tuple[str, int, str, float | None], Sound]:
    found = read_sounds(study[0] / "data/demonstration")
    return {(one.group, one.number, one.role, one.alpha): one for one in found}


def test_every_class_has_its_sounds(sounds: dict[tuple[str, int, str, float | None], Sound]) -> None:
    roles = {(role, None) for role in ("parent_a", "generated", "parent_b", "mel_only", "reconstructed")}
    roles |= {("mixture", alpha) for alpha in (0.0, 0.25, 0.5, 0.75, 1.0)}
    for number in CLASSES:
        assert {key[2:] for key in sounds if key[:2] == ("class", number)} == roles
    assert {key[1:3] for key in sounds if key[0] == "closest"} == {
        (rank, role) for rank in range(6) for role in ("generated", "real")
    }


def test_sounds_are_those_of_the_files(
    study: tuple[Path, Params], sounds: dict[tuple[str, int, str, float | None], Sound]
) -> None:
    data = study[0] / "data"
    pairs = read_pairs(data / "generated/fold1/pairs.csv")
    resynthesized = np.load(data / "generated/fold1/resynthesized.npy")
    for number in CLASSES:
        index = next(index for index, pair in enumerate(pairs) if pair.class_id == number)
        pair = pairs[index]
        (made,) = read_archived(data / "generated/fold1/clips.zip", [f"audio/fold1/{pair.name}"])
        np.testing.assert_array_equal(sounds["class", number, "generated", None].samples, made)
        original = fit(read_mono(data / f"raw/audio/fold{pair.fold_a}/{pair.parent_a}", 8000), 8000)
        found = sounds["class", number, "parent_a", None]
        np.testing.assert_array_equal(found.samples, to_pcm16(original))
        assert found.name == sounds["class", number, "reconstructed", None].name == pair.parent_a
        # the same clip's mel through the same reconstruction as the control resynthesis
        np.testing.assert_array_equal(sounds["class", number, "mel_only", None].samples, resynthesized[index])
        # generated with alpha 0.5 as well, so the middle of the row is the generated clip
        np.testing.assert_allclose(sounds["class", number, "mixture", 0.5].samples, made, atol=2)


def test_spectrograms_are_those_of_the_sounds(
    study: tuple[Path, Params], sounds: dict[tuple[str, int, str, float | None], Sound]
) -> None:
    with np.load(study[0] / "data/features/fold2.npz") as features:
        rows = {name: row for row, name in enumerate(features["name"].tolist())}
        found = sounds["class", 0, "parent_a", None]
        np.testing.assert_allclose(found.log_mel, features["mel"][rows[found.name]], atol=0.2)
    ends = [sounds["class", 3, "mixture", alpha].log_mel for alpha in (0.0, 1.0)]
    assert np.abs(ends[0] - ends[1]).mean() > 1


def test_the_closest_are_those_of_the_table(
    study: tuple[Path, Params], sounds: dict[tuple[str, int, str, float | None], Sound]
) -> None:
    with (study[0] / "data/generated/fold1/closest.csv").open(newline="") as file:
        first = min(csv.DictReader(file), key=lambda row: float(row["distance_db"]))
    pairs = read_pairs(study[0] / "data/generated/fold1/pairs.csv")
    assert sounds["closest", 0, "generated", None].name == pairs[int(first["generated"])].name


def test_a_second_run_writes_the_same(study: tuple[Path, Params]) -> None:
    folder = study[0] / "data/demonstration"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    run("demonstrate")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_other_methods_have_no_mixtures(study: tuple[Path, Params]) -> None:
    folder = study[0]
    text = (folder / "params.yaml").read_text()
    try:
        (folder / "params.yaml").write_text(text.replace("method: interpolation", "method: variation"))
        run("demonstrate")
        found = read_sounds(folder / "data/demonstration")
    finally:
        (folder / "params.yaml").write_text(text)
    assert {one.role for one in found if one.group == "class"} == {
        *("parent_a", "generated", "parent_b", "mel_only", "reconstructed")
    }


def test_a_sound_that_is_gone_is_named(study: tuple[Path, Params]) -> None:
    pair = read_pairs(study[0] / "data/generated/fold1/pairs.csv")[0]
    path = study[0] / f"data/raw/audio/fold{pair.fold_a}/{pair.parent_a}"
    content = path.read_bytes()
    path.unlink()
    try:
        with pytest.raises(StudyError, match=f"{pair.parent_a}: not there, wanted the audio of a clip"):
            run("demonstrate")
    finally:
        path.write_bytes(content)
