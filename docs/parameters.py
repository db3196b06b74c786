"""docs/parameters.md, made of the schema of params.yaml: `python -m docs.parameters` writes it anew."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from soundaug.params import Params
from soundaug.running.outputs import whole

PAGE = Path(__file__).with_name("parameters.md")
QUICK = Path(__file__).parents[1] / "presets/quick.yaml"

HEAD = """# Parameters

Everything in `params.yaml`, made of the schema in `soundaug/params.py` by `python -m docs.parameters`. Each must be
there; an unknown name, a value out of range or of another type is told in one line and stops the stage. `quick` is the
value in `presets/quick.yaml`. For one run a value is changed by `dvc exp run -S name=value`.

DVC itself reads `folds`, `seeds`, `controls`, `data.root` and `generator.corpus` before any stage begins. Where one of
them is wrong or not there it may stop with no more than `'Value' object is not iterable`, `Could not find 'seeds[0]'`,
`No such file or directory` or `unexpected error`;
`python -m stages.fetch` then tells which, as a line of the kind `params.yaml: folds: found 3, wanted a valid list`.
"""

Schema = dict[str, Any]


def page() -> str:
    """The whole page as Markdown: a table a section, in the schema's order."""
    schema = Params.model_json_schema()
    values = yaml.safe_load(QUICK.read_text(encoding="utf-8"))
    parts = [HEAD.rstrip("\n")]
    for name, section in sections(schema, schema["$defs"]):
        parts.append(f"## {name}" if name else "## Outside of the sections")
        parts.append(_text(section) if name else "")
        rows = [
            (f"`{key}`", one.get("unit", ""), wanted(one), _code(_look_up(values, name, key)), _text(one))
            for key, one in section["properties"].items()
            if "$ref" not in one
        ]
        if rows:
            head = [("Name", "Unit", "Values", "`quick`", "Meaning"), ("---",) * 5]
            parts.append("\n".join(f"| {' | '.join(row)} |" for row in [*head, *rows]))
    return "\n\n".join(part for part in parts if part) + "\n"


def sections(section: Schema, definitions: Schema, name: str = "") -> Iterator[tuple[str, Schema]]:
    """Every section and its dotted name, the outermost ("") first."""
    yield name, section
    for key, one in section["properties"].items():
        if "$ref" in one:
            inner = definitions[one["$ref"].rpartition("/")[2]]
            yield from sections(inner, definitions, f"{name}.{key}" if name else key)


def wanted(schema: Schema) -> str:
    """What a value may be, in words: "integer from 1 to 8", "`a` or `b`", "list of 2: number"."""
    if "anyOf" in schema:
        return " or ".join(wanted(one) for one in schema["anyOf"])
    if "enum" in schema:
        *values, last = (f"`{value}`" for value in schema["enum"])
        return f"{', '.join(values)} or {last}"
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema["type"]
    if kind == "array":
        return f"list{_length(schema)}: {wanted(schema['items'])}"
    if kind in ("integer", "number"):
        return f"{kind}{_range(schema)}"
    return {"string": "text", "boolean": "`true` or `false`", "null": "`null`"}[kind]


def _range(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    ends = [(low, "from"), (above, "above"), (high, "to"), (below, "below")]
    found = " and ".join(f"{word} {end}" for end, word in ends if end is not None)
    return f" {found}" if found else ""


def _length(schema: Schema) -> str:
    low, high = schema.get("minItems"), schema.get("maxItems")
    if low is None and high is None:
        return ""
    if high is None:
        return f" of {low} or more"
    return f" of {low}" if low == high else f" of {low} to {high}"


def _text(schema: Schema) -> str:
    return " ".join(schema["description"].replace("``", "`").replace("|", "\\|").split())


def _look_up(values: Schema, section: str, key: str) -> Any:
    for name in filter(None, section.split(".")):
        values = values[name]
    return values[key]


def _code(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
    return f"`{text}`"


if __name__ == "__main__":
    with whole(PAGE) as partial:
        partial.write_text(page(), encoding="utf-8")
