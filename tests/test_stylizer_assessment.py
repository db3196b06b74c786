"""Figures of what a stylizer made, from tables whose figures can be counted."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from soundaug.stylizer.assessment import (
    BACH,
    ORIGINAL,
    PIECE,
    TEXT,
    Row,
    accuracy,
    curve_of,
    summary_of,
    write_figures,
)

ORGAN = Row(TEXT, "a.flac", "organ", "church_organ", "church_organ", 0)
RESTYLED = replace(
    ORGAN, kind=PIECE, source="tune", strength=0.5, chroma_similarity=0.4, chroma_similarity_to_others=0.1
)
ROWS = [
    ORGAN,
    replace(ORGAN, heard="chiptune"),
    Row(ORIGINAL, "b.flac", None, None, "chiptune", source="bach"),
    replace(RESTYLED, kind=BACH, style=None, chroma_similarity=0.9),
    RESTYLED,
    replace(RESTYLED, heard="chiptune", chroma_similarity=0.6, chroma_similarity_to_others=None),
    replace(RESTYLED, strength=1.0, chroma_similarity=0.0),
]


def test_accuracy_counts_what_was_asked_for_a_style() -> None:
    assert accuracy([*ROWS[:2], replace(ORGAN, style=None)]) == 0.5
    assert accuracy([replace(ORGAN, style=None)]) is None


def test_the_curve_has_a_row_a_kind_and_strength() -> None:
    assert curve_of(ROWS) == [
        {
            "kind": PIECE,
            "strength": 0.5,
            "style_accuracy": 0.5,
            "chroma_similarity": 0.5,
            "chroma_similarity_to_others": 0.1,
            "sounds": 2,
        },
        {
            "kind": PIECE,
            "strength": 1.0,
            "style_accuracy": 1.0,
            "chroma_similarity": 0.0,
            "chroma_similarity_to_others": 0.1,
            "sounds": 1,
        },
        {
            "kind": BACH,
            "strength": 0.5,
            "style_accuracy": None,
            "chroma_similarity": 0.9,
            "chroma_similarity_to_others": 0.1,
            "sounds": 1,
        },
    ]


def test_the_summary_is_of_one_strength() -> None:
    found = summary_of(ROWS, 0.5)
    assert found == {
        "style_accuracy": 0.5,
        "text_sounds": 2,
        "strength": 0.5,
        "restyled_sounds": 2,
        "restyled_style_accuracy": 0.5,
        "chroma_similarity": 0.5,
        "chroma_similarity_to_others": 0.1,
        "bach_style_accuracy": None,
        "bach_chroma_similarity": 0.9,
        "bach_chroma_similarity_to_others": 0.1,
    }
    assert summary_of(ROWS, 1.0)["chroma_similarity"] == 0


def test_written_files(tmp_path: Path) -> None:
    write_figures(tmp_path, ROWS, {"style_accuracy": 0.5})
    with (tmp_path / "sounds.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["strength"] for row in rows] == ["", "", "", "0.5", "0.5", "0.5", "1.0"]
    assert (rows[2]["prompt"], rows[2]["heard"], rows[4]["source"]) == ("", "chiptune", "tune")
    with (tmp_path / "curve.csv").open() as file:
        assert [float(row["chroma_similarity"]) for row in csv.DictReader(file)] == pytest.approx([0.5, 0.0, 0.9])
    assert json.loads((tmp_path / "summary.json").read_text()) == {"style_accuracy": 0.5}
