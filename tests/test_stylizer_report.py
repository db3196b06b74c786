"""What the report reads of a stylizer's sounds, and says."""

from pathlib import Path

import numpy as np
import pytest
from fake_stylized import PROMPTS, write_stylized

from soundaug.reporting.plots import stylize_figure
from soundaug.running.errors import StudyError
from soundaug.stylizer.assessment import BACH, ORIGINAL, TEXT
from soundaug.stylizer.report import curve_rows, load_stylized, stylize_table


def test_figures_curve_and_sounds(tmp_path: Path) -> None:
    write_stylized(tmp_path / "stylized")
    found = load_stylized(tmp_path / "stylized")
    assert found is not None
    assert found.summary["chroma_similarity"] == pytest.approx(0.6)
    assert "bach_style_accuracy" in found.summary
    assert [(row["kind"], row["strength"]) for row in found.curve][::3] == [("piece", 0.25), ("bach", 0.25)]
    assert [(one.prompt, one.strength) for one in found.of(BACH)][:3] == [
        (PROMPTS[0], 0.25),
        (PROMPTS[1], 0.25),
        (PROMPTS[0], 0.5),
    ]
    assert [one.prompt for one in found.of(TEXT)] == ["chiptune 0", "church_organ 0"]  # the first of every style
    (original,) = found.of(ORIGINAL)
    assert (original.prompt, original.strength, original.heard) == ("", None, "solo_piano")
    assert original.samples.shape == (4000,)
    assert original.samples.dtype == np.int16
    # Low bands first; black is the loudest, white nothing; (1 - 128 / 255)^4 is -24.2 dB.
    assert original.log_mel.shape == (16, 40)
    assert original.log_mel[[-1, -2, 0], 0] == pytest.approx([0, -24.22, -80], abs=0.01)


def test_the_plots_table_has_a_line_a_measure_and_kind(tmp_path: Path) -> None:
    write_stylized(tmp_path / "stylized")
    found = load_stylized(tmp_path / "stylized")
    assert found is not None
    rows = curve_rows(found)
    assert len(rows) == 3 * 6
    assert {"line": "held-out pieces: style accuracy", "strength": 0.25, "value": 0.0} in rows
    assert {"line": "Bach: chroma similarity to the tune", "strength": 0.25, "value": 0.9} in rows
    figure = stylize_figure(found)
    assert figure.startswith(b"\x89PNG")
    assert figure == stylize_figure(found)


def test_the_table_names_what_was_measured(tmp_path: Path) -> None:
    write_stylized(tmp_path / "stylized")
    found = load_stylized(tmp_path / "stylized")
    assert found is not None
    rows = stylize_table(found.summary).rows
    assert rows[0] == ["style heard as asked, 4 sounds from text", "50.0 %", "wanted: 80 % or more"]
    values = {row[0]: row[1] for row in rows}
    assert values["chroma similarity to the tune, 1 held-out pieces restyled at strength 0.5"] == "0.60"
    assert values["style heard, the training pieces themselves"] == "96.9 %"
    assert not [name for name in values if "autoencoder" in name or "not restyled" in name]  # not measured


def test_nothing_there_and_something_else(tmp_path: Path) -> None:
    assert load_stylized(tmp_path / "stylized") is None
    write_stylized(tmp_path / "stylized")
    (tmp_path / "stylized/original/bach.png").write_bytes(b"no image")
    with pytest.raises(StudyError, match=r"bach\.flac: found no sound with its image .* wanted what stylize writes"):
        load_stylized(tmp_path / "stylized")
    (tmp_path / "stylized/curve.csv").write_text("strength\n0.5\n")
    with pytest.raises(StudyError, match=r"curve\.csv: found columns strength, wanted also kind"):
        load_stylized(tmp_path / "stylized")
