"""Slerp against its closed form, mixtures of several, which clips are paired, and the table of pairs."""

import csv
import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_params

from soundaug.interpolation import Pair, Parent, draw_pairs, mix, read_pairs, renormalized, slerp, write_pairs
from soundaug.params import Generate
from soundaug.running.errors import StudyError

# slerp


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_slerp_is_shoemakes_formula() -> None:
    a, b = random(5, 2, 3, 4), random(5, 2, 3, 4, seed=1)
    alpha = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])
    mixed = slerp(a, b, alpha)
    assert mixed.dtype == torch.float32
    for index in range(5):
        one, other = a[index].numpy().astype(np.float64).ravel(), b[index].numpy().astype(np.float64).ravel()
        omega = np.arccos(one @ other / np.linalg.norm(one) / np.linalg.norm(other))  # an angle a clip
        weights = np.sin([(1 - alpha[index].item()) * omega, alpha[index].item() * omega]) / np.sin(omega)
        np.testing.assert_allclose(mixed[index].numpy().ravel(), weights @ [one, other], atol=1e-6)


def test_slerps_ends_are_the_parents() -> None:
    a, b = random(3, 4, 8), random(3, 4, 8, seed=1)
    assert torch.equal(slerp(a, b, torch.zeros(3)), a)
    assert torch.equal(slerp(a, b, torch.ones(3)), b)


def test_slerp_keeps_the_norm_of_orthogonal_vectors() -> None:
    a, b = torch.zeros(1, 4), torch.zeros(1, 4)
    a[0, 0], b[0, 1] = 3.0, 3.0
    for alpha in (0.0, 0.2, 0.5, 1.0):
        mixed = slerp(a, b, torch.tensor([alpha]))
        assert float(mixed.norm()) == pytest.approx(3.0, abs=1e-6)
        angle = math.atan2(float(mixed[0, 1]), float(mixed[0, 0]))
        assert angle == pytest.approx(alpha * math.pi / 2, abs=1e-6)


def test_slerp_of_vectors_without_an_angle_is_linear() -> None:
    a = torch.tensor([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [0.0, 0.0], [0.0, 0.0], [1.0, 2.0]])
    b = torch.tensor([[1.0, 2.0], [3.0, 6.0], [-1.0, -2.0], [1.0, 2.0], [0.0, 0.0], [0.0, 0.0]])
    mixed = slerp(a[:3], b[:3], torch.full((3,), 0.25))
    torch.testing.assert_close(mixed, 0.75 * a[:3] + 0.25 * b[:3])
    assert torch.isfinite(slerp(a, b, torch.full((6,), 0.25))).all()
    assert slerp(a[4:5], b[4:5], torch.tensor([0.5])).tolist() == [[0.0, 0.0]]


def test_slerp_of_parallel_vectors_whose_cosine_is_rounded_beyond_one() -> None:
    a = random(2000, 3)
    scale = 3 * random(2000, 1, seed=1).abs() + 0.1
    for sign in (1.0, -1.0):
        b = sign * scale * a
        mixed = slerp(a, b, torch.full((2000,), 0.25))
        torch.testing.assert_close(mixed, 0.75 * a + 0.25 * b, rtol=1e-3, atol=1e-4)


def test_slerp_of_short_vectors_is_that_of_long_ones() -> None:
    a, b, alpha = random(3, 4, 8), random(3, 4, 8, seed=1), torch.tensor([0.2, 0.5, 0.8])
    torch.testing.assert_close(slerp(1e-4 * a, 1e-4 * b, alpha), 1e-4 * slerp(a, b, alpha), rtol=1e-4, atol=1e-9)
    several = [1e-4 * a, 1e-4 * b, 1e-4 * random(3, 4, 8, seed=2)]
    wanted = 1e-4 * mix([1e4 * one for one in several], alpha)
    torch.testing.assert_close(mix(several, alpha), wanted, rtol=1e-4, atol=1e-9)


def test_slerp_is_continuous_where_it_turns_linear() -> None:
    a = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    for angle in (0.9e-4, 1.1e-4, math.pi - 1.1e-3):
        b = torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=torch.float64)
        mixed = slerp(a, b, torch.tensor([0.5], dtype=torch.float64))
        assert float(mixed.norm()) == pytest.approx(1.0, abs=1e-6)


# mix


def test_a_mixture_of_two_is_slerp() -> None:
    a, b, alpha = random(3, 4, 8), random(3, 4, 8, seed=1), torch.tensor([0.0, 0.3, 1.0])
    assert torch.equal(mix([a, b], alpha), slerp(a, b, alpha))


def test_a_mixtures_ends() -> None:
    """Alpha 0 is the first parent; alpha 1 shares everything between the others."""
    a, b, c, d = (random(2, 4, 8, seed=seed) for seed in range(4))
    assert torch.equal(mix([a, b, c, d], torch.zeros(2)), a)
    torch.testing.assert_close(mix([a, b, b, b], torch.ones(2)), b)
    others = mix([a, b, c, d], torch.ones(2))
    torch.testing.assert_close(mix([-a, d, b, c], torch.ones(2)), others)  # the first has no say, order neither
    lengths = [noise.flatten(1).norm(dim=1) for noise in (b, c, d)]
    torch.testing.assert_close(others.flatten(1).norm(dim=1), sum(lengths) / 3)


def test_a_mixture_of_three_by_hand() -> None:
    """Orthogonal noises of one length: alpha of the right angle from the first to half way between the others."""
    a, b, c = torch.eye(3)[:, None] * 2
    for alpha in (0.25, 0.5, 2 / 3):
        angle = alpha * math.pi / 2
        wanted = [2 * math.cos(angle), 2 * math.sin(angle) * math.sqrt(1 / 2), 2 * math.sin(angle) * math.sqrt(1 / 2)]
        torch.testing.assert_close(mix([a, b, c], torch.tensor([alpha])), torch.tensor([wanted]))


def test_a_mixture_with_opposites_is_finite() -> None:
    a, b = random(2, 4, 8), random(2, 4, 8, seed=1)
    torch.testing.assert_close(mix([a, b, -b], torch.full((2,), 0.25)), math.cos(math.pi / 8) * a)


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_a_mixture_of_noises_is_noise(count: int) -> None:
    """Independent normal draws keep their deviation; the others' parts are equal; each clip has its own alpha."""
    noises = [random(6, 1, 64, 64, seed=seed) for seed in range(count)]
    alpha = torch.tensor([0.0, 0.1, 0.5, 0.7, 0.9, 1.0])
    mixed = mix(noises, alpha)
    assert mixed.dtype == torch.float32
    np.testing.assert_allclose(mixed.std(dim=(1, 2, 3)).numpy(), 1, atol=0.05)
    for index in range(6):
        alone = mix([noise[index : index + 1] for noise in noises], alpha[index : index + 1])
        assert torch.equal(alone[0], mixed[index])
        share = float(alpha[index]) * math.pi / 2
        for place, noise in enumerate(noises):
            wanted = math.cos(share) if place == 0 else math.sin(share) / math.sqrt(count - 1)
            assert float((mixed[index] * noise[index]).mean()) == pytest.approx(wanted, abs=0.08)


# pairs

CLASSES = ("dog_bark", "siren")


def draw(changes: dict[str, Any] | None = None, seed: int = 0, held_out: int = 3, **corpus: Any) -> list[Pair]:
    """Pairs of a corpus of 2 classes x 4 recordings (2 a fold) x 3 clips."""
    rows = [
        (f"{c}{r}-{part}.wav", c, f"{c}{r}", 1 + r // 2)
        for c in range(len(CLASSES))
        for r in range(4)
        for part in "abc"
    ]
    rows = corpus.get("rows", rows)
    names, class_ids, fs_ids, folds = zip(*rows, strict=True)
    settings = Generate.model_validate(tiny_params().generate.model_dump() | {"per_class": 30} | (changes or {}))
    return draw_pairs(names, np.array(class_ids), fs_ids, folds, CLASSES, settings, seed, held_out)


def test_parents_are_of_one_class_and_two_recordings() -> None:
    pairs = draw()
    assert Counter(pair.class_name for pair in pairs) == {"dog_bark": 30, "siren": 30}
    for pair in pairs:
        assert pair.fs_id_a != pair.fs_id_b
        for name, fs_id, fold in (
            (pair.parent_a, pair.fs_id_a, pair.fold_a),
            (pair.parent_b, pair.fs_id_b, pair.fold_b),
        ):
            assert name.startswith(f"{fs_id}-")
            assert fs_id.startswith(str(pair.class_id))
            assert fold == 1 + int(fs_id[1]) // 2
        assert CLASSES[pair.class_id] == pair.class_name
    assert len({pair.name for pair in pairs}) == 60
    assert len({pair.seed for pair in pairs}) == 60
    assert {pair.fs_id_b for pair in pairs} == {f"{c}{r}" for c in range(2) for r in range(4)}


def test_first_parents_repeat_only_when_all_were_used() -> None:
    firsts = [pair.parent_a for pair in draw() if pair.class_id == 0]
    assert len(set(firsts[:12])) == len(set(firsts[12:24])) == 12
    assert len(set(firsts[24:])) == 6
    assert firsts[:12] != firsts[12:24]


def test_the_draws_are_fixed_by_seed_and_fold() -> None:
    assert draw() == draw()
    assert draw() != draw(seed=1)
    assert draw() != draw(held_out=2)


@pytest.mark.parametrize("fs_id", ["siren/deep/recording.wav", "../../../elsewhere"])
def test_a_clips_name_is_a_bare_file_name(fs_id: str) -> None:
    """One folder a class without data.group_pattern: the recording's id is the path of its file."""
    rows = [(f"0{r}.wav", 0, f"{fs_id}{r}", 1) for r in range(3)] + [(f"1{r}.wav", 1, f"1{r}", 1) for r in range(3)]
    assert all("/" not in pair.name for pair in draw(rows=rows))


def test_a_class_is_drawn_whatever_the_other_classes_are() -> None:
    rows = [("x.wav", 0, "x", 1), ("y.wav", 0, "y", 2)]
    rows += [(f"1{r}-{part}.wav", 1, f"1{r}", 1 + r // 2) for r in range(4) for part in "abc"]
    other = [pair for pair in draw(rows=rows) if pair.class_id == 1]
    assert other == [pair for pair in draw() if pair.class_id == 1]


def test_fewer_pairs_are_the_first_of_more() -> None:
    many = [pair for pair in draw({"per_class": 12}) if pair.class_id == 0]
    few = [pair for pair in draw({"per_class": 5}) if pair.class_id == 0]
    assert [pair.parent_a for pair in few] == [pair.parent_a for pair in many[:5]]


def test_alpha_is_fixed_or_drawn() -> None:
    assert {pair.alpha for pair in draw({"alpha": [0.3]})} == {0.3}
    drawn = [pair.alpha for pair in draw({"alpha": [0.2, 0.8], "per_class": 500})]
    assert 0.2 <= min(drawn) < 0.21
    assert 0.79 < max(drawn) <= 0.8
    assert np.mean(drawn) == pytest.approx(0.5, abs=4 * 0.6 / math.sqrt(12 * len(drawn)))
    assert len(set(drawn)) > 990


def test_strength_is_fixed_or_drawn() -> None:
    assert {pair.strength for pair in draw({"strength": [0.3]})} == {0.3}
    pairs = draw({"strength": [0.4, 0.6], "alpha": [0.0, 1.0], "per_class": 500})
    drawn = [pair.strength for pair in pairs]
    assert 0.4 <= min(drawn) < 0.401
    assert 0.599 < max(drawn) <= 0.6
    assert np.mean(drawn) == pytest.approx(0.5, abs=4 * 0.2 / math.sqrt(12 * len(drawn)))
    assert abs(np.corrcoef(drawn, [pair.alpha for pair in pairs])[0, 1]) < 4 / math.sqrt(len(drawn))


def test_two_parents_have_no_others() -> None:
    for pair in draw():
        assert pair.others == ()
        assert pair.parents == [
            Parent(pair.parent_a, pair.fs_id_a, pair.fold_a),
            Parent(pair.parent_b, pair.fs_id_b, pair.fold_b),
        ]


@pytest.mark.parametrize("parents", [3, 8])
def test_further_parents_are_of_the_class_and_of_other_recordings_than_the_first(parents: int) -> None:
    pairs = draw({"parents": parents})
    for pair in pairs:
        assert len(pair.others) == parents - 2
        assert pair.parents == [*pair.parents[:2], *pair.others]
        for name, fs_id, fold in pair.others:
            assert name.startswith(f"{fs_id}-")
            assert fs_id.startswith(str(pair.class_id))
            assert fs_id != pair.fs_id_a
            assert fold == 1 + int(fs_id[1]) // 2
    used = Counter(other.name for pair in pairs for other in pair.others)
    assert len(used) > 20  # of 24


def test_further_parents_are_as_different_as_the_class_allows() -> None:
    """Of nine clips of other recordings than the first's: eight besides the second are all taken once."""
    for pair in draw({"parents": 8}):
        assert len({parent.name for parent in pair.parents}) == 8
    rows = [(f"{c}{part}.wav", c, f"{c}{part}", 1) for c in range(2) for part in "abc"]  # two besides the first
    for pair in draw({"parents": 3}, rows=rows):
        assert len({parent.name for parent in pair.parents}) == 3
    for pair in draw({"parents": 4}, rows=rows):  # one besides the first two: it comes twice
        assert [parent.name for parent in pair.others] == [pair.others[0].name] * 2
        assert pair.others[0].name not in (pair.parent_a, pair.parent_b)


def test_the_seed_decides_strengths_and_further_parents() -> None:
    changes = {"strength": [0.1, 0.9], "parents": 5, "method": "variation", "sampler": "heun"}
    assert draw(changes) == draw(changes)
    other = draw(changes, seed=1)
    assert [pair.strength for pair in other] != [pair.strength for pair in draw(changes)]
    assert draw(changes)[0].strength == round(draw(changes)[0].strength, 6)


def test_a_single_recordings_further_parents_are_its_other_clips() -> None:
    pairs = draw({"single_recording": "within", "parents": 4}, rows=ONE_RECORDING)
    dogs = [pair for pair in pairs if pair.class_id == 0]
    assert all(other.name != pair.parent_a for pair in dogs for other in pair.others)
    assert {other.fs_id for pair in dogs for other in pair.others} == {"r"}


def test_strength_and_further_parents_change_no_other_draw() -> None:
    """What was drawn before there were any is drawn still."""
    plain = draw({"alpha": [0.2, 0.8]})
    more = draw({"alpha": [0.2, 0.8], "strength": [0.1, 0.9], "parents": 5, "method": "variation", "sampler": "heun"})
    assert [replace(pair, strength=0.5, others=()) for pair in more] == plain
    drawn = [(pair.name, pair.parent_a, pair.parent_b, pair.alpha, pair.seed) for pair in plain]
    assert drawn[0] == ("03-0-00-0.flac", "03-a.wav", "00-b.wav", 0.484183, 1077446213)
    assert drawn[1] == ("00-0-02-1.flac", "00-c.wav", "02-a.wav", 0.475026, 574476094)
    assert drawn[31] == ("13-1-11-1.flac", "13-c.wav", "11-b.wav", 0.476194, 763322935)
    assert drawn[59] == ("10-1-13-29.flac", "10-c.wav", "13-c.wav", 0.306541, 1777650256)
    assert sum(pair.seed for pair in plain) == 63021012515
    assert sum(pair.alpha for pair in plain) == pytest.approx(29.360594, abs=1e-6)


def test_two_clips_of_one_recording_are_a_pair_within_it() -> None:
    rows = [("a b/1.wav", 0, "a b/x", 1), ("a b/2.wav", 0, "a b/x", 1), ("s.wav", 1, "s", 1), ("t.wav", 1, "t", 2)]
    pairs = draw({"single_recording": "within", "per_class": 4}, rows=rows)
    for pair in pairs[:4]:
        assert {pair.parent_a, pair.parent_b} == {"a b/1.wav", "a b/2.wav"}
    assert pairs[0].name == "a_b_x-0-a_b_x-0.flac"  # no slashes, no spaces
    (long,) = {
        len(pair.name)
        for pair in draw(
            {"per_class": 1}, rows=[(f"{part}.wav", c, f"{part}{c}" * 40, 1) for c in range(2) for part in "ab"]
        )
    }
    assert long == 60 + len("-0-") + 60 + len("-0.flac")


def test_no_pairs_where_none_are_wanted() -> None:
    assert draw({"per_class": 0}) == []
    assert draw({"per_class": 0}, rows=[("x.wav", 0, "x", 1)]) == []


ONE_RECORDING = [(f"0-{part}.wav", 0, "r", 1) for part in "abc"] + [
    ("s.wav", 1, "s", 1),
    ("t.wav", 1, "t", 2),
]


@pytest.mark.parametrize(
    ("rows", "within", "line"),
    [
        (
            ONE_RECORDING,
            "error",
            "class dog_bark, fold 3 held out: found one training recording, wanted two or more to pair "
            "(or generate.single_recording: within, to pair clips of the same recording)",
        ),
        (
            ONE_RECORDING[2:],
            "within",
            "class dog_bark, fold 3 held out: found one training clip, wanted two or more to pair",
        ),
        (
            ONE_RECORDING[3:],
            "within",
            "class dog_bark, fold 3 held out: found no training clips, wanted at least two of different recordings",
        ),
    ],
)
def test_a_class_that_cannot_be_paired(rows: list[Any], within: str, line: str) -> None:
    with pytest.raises(StudyError) as raised:
        draw({"single_recording": within}, rows=rows)
    assert str(raised.value) == line


def test_a_single_recordings_clips_are_paired_where_allowed() -> None:
    pairs = [pair for pair in draw({"single_recording": "within"}, rows=ONE_RECORDING) if pair.class_id == 0]
    assert len(pairs) == 30
    assert all(pair.parent_a != pair.parent_b for pair in pairs)
    assert {(pair.fs_id_a, pair.fs_id_b) for pair in pairs} == {("r", "r")}
    others = [pair for pair in draw({"single_recording": "within"}, rows=ONE_RECORDING) if pair.class_id == 1]
    assert {pair.fs_id_a != pair.fs_id_b for pair in others} == {True}


# pairs.csv


def test_the_table_comes_back_as_it_was(tmp_path: Path) -> None:
    pairs = draw({"alpha": [0.2, 0.8], "strength": [0.1, 0.9], "parents": 4})
    names = ["dog, barking", 'a "siren"', "雨の音", "дождь", " spaced ", "line\nbreak"]
    pairs = [replace(pair, class_name=names[i % 6], fs_id_a=names[-i % 6]) for i, pair in enumerate(pairs)]
    pairs = [replace(pair, others=(Parent(names[i % 6], "7", 3), *pair.others[1:])) for i, pair in enumerate(pairs)]
    write_pairs(tmp_path / "pairs.csv", pairs)
    assert read_pairs(tmp_path / "pairs.csv") == pairs
    with (tmp_path / "pairs.csv").open(newline="", encoding="utf-8") as file:
        header = next(csv.reader(file))
    assert header == [
        "name",
        "class_id",
        "class",
        "parent_a",
        "parent_b",
        "fs_id_a",
        "fs_id_b",
        "fold_a",
        "fold_b",
        "alpha",
        "seed",
        "strength",
        "others",
    ]


def test_the_column_of_further_parents_is_json(tmp_path: Path) -> None:
    pairs = draw({"parents": 4})
    write_pairs(tmp_path / "pairs.csv", [*pairs, *draw()])
    with (tmp_path / "pairs.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row, pair in zip(rows[:60], pairs, strict=True):
        assert json.loads(row["others"]) == [[other.name, other.fs_id, other.fold] for other in pair.others]
        assert float(row["strength"]) == pair.strength
    assert {row["others"] for row in rows[60:]} == {"[]"}


def test_an_empty_table_is_no_pairs(tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs.csv", [])
    assert read_pairs(tmp_path / "pairs.csv") == []


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda content: b"", "found other columns, wanted name, class_id, class, "),
        (lambda content: content.replace(b"alpha", b"beta"), "found other columns, wanted name, class_id, class, "),
        (lambda content: content + b"half a row\n", "zip()"),
        (lambda content: content.replace(b",0.5,", b",half,"), "could not convert string to float: 'half'"),
        (lambda content: content.replace(b",0.5,", b",\xff,"), "'utf-8' codec can't decode byte"),
        (lambda content: content[: len(content) * 2 // 3].rsplit(b",", 2)[0], "zip()"),
        (lambda content: content.replace(b",0.5,[]", b",much,[]"), "could not convert string to float: 'much'"),
        (lambda content: content.replace(b",[]", b",nobody"), "Expecting value: line 1 column 1 (char 0)"),
        *(
            (lambda content, found=found: content.replace(b",[]", b"," + found), "found others '")
            for found in (b"{}", b"1", b"null", b"[1]", b'"[[""a"", ""b""]]"', b'"[[""a"", ""b"", [1]]]"')
        ),
        (lambda content: content + b'"' + b"x" * 200_000, ""),
    ],
)
def test_a_damaged_table_is_told(tmp_path: Path, damage: Any, line: str) -> None:
    path = tmp_path / "pairs.csv"
    write_pairs(path, draw())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StudyError) as raised:
        read_pairs(path)
    assert str(raised.value).startswith(f"{path}: {line}")


def test_a_missing_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(StudyError) as raised:
        read_pairs(tmp_path / "pairs.csv")
    assert str(raised.value) == f"{tmp_path / 'pairs.csv'}: not there, wanted the table that generate writes"


def test_noise_that_is_too_long_is_shortened_and_no_other() -> None:
    noises = torch.randn((3, 2, 4, 4), generator=torch.Generator().manual_seed(0))
    noises /= noises.flatten(1).norm(dim=1).view(3, 1, 1, 1) / 32**0.5  # mean square 1
    found = renormalized(noises * torch.tensor([0.5, 1.0, 1.7]).view(3, 1, 1, 1))
    torch.testing.assert_close(found, noises * torch.tensor([0.5, 1.0, 1.0]).view(3, 1, 1, 1))
    assert torch.equal(renormalized(torch.zeros(1, 2)), torch.zeros(1, 2))
