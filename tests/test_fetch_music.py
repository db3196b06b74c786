"""The stage `fetch_music` and its parameters."""

from pathlib import Path
from typing import Any

import pytest
from tiny_pipeline import hashes, run, tiny_params, workspace

from soundaug.music import PIECES, read_pieces
from soundaug.params import parse_params
from soundaug.running.errors import StudyError


def test_writes_the_pieces_and_bach_and_the_same_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with workspace(tmp_path, tiny_params()):
        run("fetch_music")
        told = capsys.readouterr().out
        first = hashes(tmp_path)
        run("fetch_music")
    assert told == "played 4 pieces in 2 styles, 0 minutes, 2 of them held out; Bach, 5 s\n"
    assert hashes(tmp_path) == first
    assert sorted(first) == [
        "data/music/bach.flac",
        "data/music/lo_fi_beats/held_out0000.flac",
        "data/music/lo_fi_beats/train0000.flac",
        "data/music/pieces.csv",
        "data/music/solo_piano/held_out0000.flac",
        "data/music/solo_piano/train0000.flac",
    ]
    assert [piece.split for piece in read_pieces(tmp_path / "data/music" / PIECES)] == ["train", "held_out"] * 2


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("styles", ["lo_fi_beats", "polka"], "music.styles.1: found 'polka', wanted 'electric_beats', "),
        (
            "styles",
            ["solo_piano", "solo_piano"],
            "music: styles is ['solo_piano', 'solo_piano'], wanted every value once",
        ),
        ("tempo", [120.0, 90.0], "music: tempo is [120.0, 90.0], wanted [lowest, highest]"),
        ("pieces", 0, "music.pieces: found 0, wanted greater than or equal to 1"),
        ("bach_bars", 36, "music.bach_bars: found 36, wanted less than or equal to 35"),
        ("sample_rate", 4000, "music.sample_rate: found 4000, wanted greater than or equal to 8000"),
    ],
)
def test_a_wrong_parameter_is_told_in_a_line(name: str, value: Any, line: str) -> None:
    with pytest.raises(StudyError) as error:
        parse_params(tiny_params({f"music.{name}": value}))
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)
