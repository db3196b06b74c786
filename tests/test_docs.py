"""What README and docs name is there: files, headings, parameters, modules, commands' options."""

import importlib.util
import json
import re
import shlex
from typing import Any

import pytest
import yaml
from tiny_pipeline import ROOT

from soundaug.params import parse_params

PAGES = [ROOT / "README.md", ROOT / "data/source/README.md", *sorted((ROOT / "docs").glob("*.md"))]
QUICK: dict[str, Any] = yaml.safe_load((ROOT / "presets/quick.yaml").read_text(encoding="utf-8"))
METRICS: dict[str, Any] = json.loads((ROOT / "reports/metrics.json").read_text(encoding="utf-8"))


def every_page(pattern: str) -> list[tuple[str, str]]:
    """(page, what was found) of every match."""
    return [
        (path.relative_to(ROOT).as_posix(), found)
        for path in PAGES
        for found in re.findall(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)
    ]


def anchor(heading: str) -> str:
    """GitHub's anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def dotted(values: dict[str, Any], name: str) -> Any:
    for part in name.split("."):
        values = values[part]
    return values


@pytest.mark.parametrize(("page", "link"), every_page(r"\]\((?!https?://)([^)]+)\)"))
def test_links_lead_somewhere(page: str, link: str) -> None:
    name, _, heading = link.partition("#")
    target = (ROOT / page).parent / name if name else ROOT / page
    assert target.exists()
    if heading:
        headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
        assert heading in {anchor(text) for text in headings}


def test_every_page_is_linked_from_the_readme() -> None:
    linked = {link for page, link in every_page(r"\]\((docs/\w+\.md)\)") if page == "README.md"}
    assert linked == {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")}


@pytest.mark.parametrize(("page", "name"), sorted(set(every_page(rf"`((?:{'|'.join(QUICK)})\.\w[\w.]*\w)[:`=]"))))
def test_parameters_and_metrics_are_called_so(page: str, name: str) -> None:
    found = []
    for values in (QUICK, METRICS):
        try:
            found.append(dotted(values, name))
        except (KeyError, TypeError):
            continue
    assert found, f"{page}: no parameter and no metric"


@pytest.mark.parametrize(("page", "command"), every_page(r"^dvc exp run (.*)$"))
def test_variants_are_values_that_the_schema_takes(page: str, command: str) -> None:
    words = shlex.split(command.partition("&&")[0], comments=True)
    changes = [words[at + 1].partition("=") for at, word in enumerate(words) if word == "-S"]
    assert changes
    for name, _, text in changes:
        for one in [text] if text.startswith("[") else text.split(","):
            values = json.loads(json.dumps(QUICK))
            *sections, last = name.split(".")
            section = dotted(values, ".".join(sections)) if sections else values
            assert last in section
            section[last] = yaml.safe_load(one)
            parse_params(values)


@pytest.mark.parametrize(("page", "module"), sorted(set(every_page(r"python -m ([a-z_.]+[a-z_])\b"))))
def test_modules_are_there(page: str, module: str) -> None:
    assert module == "venv" or importlib.util.find_spec(module.replace("stages.NAME", "stages")) is not None


@pytest.mark.parametrize(
    ("page", "path"), sorted(set(every_page(r"`((?:soundaug|stages|benchmarks|presets)/[\w./]+)`")))
)
def test_files_that_are_named_are_there(page: str, path: str) -> None:
    assert (ROOT / path).exists()
