"""Outputs are whole or not there."""

import csv
import json
from pathlib import Path

import pytest

from soundaug.running.errors import StudyError
from soundaug.running.outputs import read_rows, whole, write_csv, write_json, write_table


def test_a_file_takes_its_place_when_all_went_well(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with whole(path) as partial:
        partial.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_as_it_was(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail() -> None:
        with whole(path) as partial:
            partial.write_text("half of the n")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_an_error_leaves_the_old_folder_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old.txt").write_text("old")

    def fail() -> None:
        with whole(path) as partial:
            partial.mkdir()
            (partial / "new.txt").write_text("new")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        fail()
    assert {entry.relative_to(tmp_path).as_posix() for entry in tmp_path.rglob("*")} == {"folder", "folder/old.txt"}
    assert (path / "old.txt").read_text() == "old"


def test_a_folder_replaces_the_old_one_with_all_that_was_in_it(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old.txt").write_text("old")
    with whole(path) as partial:
        partial.mkdir()
        (partial / "new.txt").write_text("new")
    assert {entry.relative_to(tmp_path).as_posix() for entry in tmp_path.rglob("*")} == {"folder", "folder/new.txt"}


def test_leftovers_of_a_killed_run_are_no_part_of_the_next(tmp_path: Path) -> None:
    leftover = tmp_path / ".folder.partial"
    leftover.mkdir()
    (leftover / "half.txt").write_text("half")
    with whole(tmp_path / "folder") as partial:
        assert partial == leftover
        partial.mkdir()
        (partial / "new.txt").write_text("new")
    assert {entry.relative_to(tmp_path).as_posix() for entry in tmp_path.rglob("*")} == {"folder", "folder/new.txt"}


def test_a_link_is_replaced_and_what_it_points_to_is_kept(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("kept")
    (tmp_path / ".file.txt.partial").symlink_to(tmp_path / "kept.txt")
    with whole(tmp_path / "file.txt") as partial:
        partial.write_text("new")
    assert (tmp_path / "kept.txt").read_text() == "kept"
    assert (tmp_path / "file.txt").read_text() == "new"


def test_json_keeps_the_order_and_refuses_what_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / "values.json"
    write_json(path, {"b": 0.1, "a": ["дождь", None]})
    assert path.read_text(encoding="utf-8") == '{\n  "b": 0.1,\n  "a": [\n    "дождь",\n    null\n  ]\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"b": float("nan")})
    assert json.loads(path.read_text(encoding="utf-8"))["b"] == 0.1


def test_a_table_with_text_that_needs_quotes(tmp_path: Path) -> None:
    rows = [["a,b", 1], ['say "x"', 2], ["line\nbreak", 3], ["雨", 4]]
    write_csv(tmp_path / "table.csv", ["name", "value"], rows)
    assert (tmp_path / "table.csv").read_bytes().startswith(b'name,value\n"a,b",1\n"say ""x""",2\n')
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["name", "value"], *([name, str(value)] for name, value in rows)]


def test_rows_of_columns_and_back(tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv", [{"a": 1, "b": None}, {"a": "x", "b": 0.5}])
    assert read_rows(tmp_path / "table.csv", ["b"]) == [{"a": "1", "b": ""}, {"a": "x", "b": "0.5"}]
    with pytest.raises(StudyError, match=r"table\.csv: found columns a, b, wanted also c"):
        read_rows(tmp_path / "table.csv", ["a", "c"])
    (tmp_path / "table.csv").write_text("a,b\n1\n")
    with pytest.raises(StudyError, match=r"table\.csv line 2: found a row cut short"):
        read_rows(tmp_path / "table.csv", ["a"])
    with pytest.raises(StudyError, match=r"none\.csv: not there"):
        read_rows(tmp_path / "none.csv", [])
