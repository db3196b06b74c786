"""docs/parameters.md is made of the schema, and says of every parameter what it may be and what it means."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import Field, TypeAdapter

from docs.parameters import PAGE, page, wanted

ROOT = Path(__file__).parents[1]


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m docs.parameters writes it anew"


def tables() -> dict[str, dict[str, list[str]]]:
    """The cells of every row by section and name, read back from the page."""
    found: dict[str, dict[str, list[str]]] = {}
    for part in re.split(r"^## ", page(), flags=re.MULTILINE)[1:]:
        section = part.split("\n")[0].removeprefix("Outside of the sections")
        rows = [re.split(r" (?<!\\)\| ", line.strip("| ")) for line in part.splitlines() if line.startswith("| `")]
        found[section] = {row[0].strip("`"): row[1:] for row in rows}
    return found


def test_every_parameter_with_its_value_in_the_quick_preset_and_a_meaning() -> None:
    def compare(values: dict[str, Any], section: str) -> None:
        for name, value in values.items():
            if isinstance(value, dict):
                compare(value, f"{section}.{name}".strip("."))
                continue
            row = tables()[section].pop(name)
            assert yaml.safe_load(row[2].strip("`")) == value, name
            assert len(row[3].split()) > 1, name

    compare(yaml.safe_load((ROOT / "presets/quick.yaml").read_text(encoding="utf-8")), "")


def test_units_follow_the_names() -> None:
    units = {name: row[0] for rows in tables().values() for name, row in rows.items()}
    for ending, unit in {"_hz": "Hz", "_db": "dB", "_seconds": "s", "_semitones": "semitones", "_rate": None}.items():
        for name in units:
            if name.endswith(ending) and name != "learning_rate":
                assert units[name] == (unit or "Hz"), name
    assert units["hop_length"] == "samples"
    assert units["tempo"] == "beats/min"


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "integer"),
        (Annotated[int, Field(ge=1, le=8)], "integer from 1 to 8"),
        (Annotated[float, Field(gt=0.0, le=60.0)], "number above 0.0 and to 60.0"),
        (Annotated[float, Field(ge=0.0, lt=1.0)] | None, "number from 0.0 and below 1.0 or `null`"),
        (Literal["a", "b", "c"], "`a`, `b` or `c`"),
        (Literal["a"], "`a`"),
        (Annotated[list[float], Field(min_length=2, max_length=2)], "list of 2: number"),
        (Annotated[list[Literal["a", "b"]], Field(min_length=1)], "list of 1 or more: `a` or `b`"),
        (bool, "`true` or `false`"),
        (str | None, "text or `null`"),
    ],
)
def test_what_a_value_may_be(annotation: Any, words: str) -> None:
    assert wanted(TypeAdapter(annotation).json_schema()) == words
