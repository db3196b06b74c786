"""reports/index.html: the sections, styles, programs, pictures and sounds in one file that fetches nothing."""

import base64
import hashlib
import re
from pathlib import Path

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from soundaug.reporting.page.sections import Results, sections
from soundaug.reporting.tables import interval_text, level_text
from soundaug.reporting.verdict import points, verdict


def render_page(results: Results) -> str:
    """The page as HTML. Nothing but its own two programs can run in it, and it can reach no network."""
    found = results.metrics["delta"]["accuracy"]
    parts = sections(results)
    charts = {chart.name: chart.spec | {"description": chart.description} for part in parts for chart in part.charts}
    environment = _environment()
    programs = [vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"), _source(environment, "static/page.js")]
    return environment.get_template("templates/page.html").render(
        title="Does audio made by a diffusion model improve a sound classifier?",
        difference=points(found["mean"]),
        interval=interval_text(found),
        level=level_text(results.params),
        verdict=verdict(results.metrics, results.params),
        corpus=results.metrics["corpus"],
        params=results.params,
        sections=parts,
        charts=charts,
        programs=programs,
        policy=_policy(programs),
        style=_source(environment, "static/page.css"),
        licences=_source(environment, "static/licences.txt"),
    )


def minus(text: str) -> str:
    """Numbers with a minus sign for the hyphen before them."""
    return re.sub(r"(?<![\w.)])-(?=\d)", "−", text)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["minus"] = minus
    return environment


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _policy(programs: list[str]) -> str:
    """The content security policy: scripts by their hash, pictures and sounds from the page itself, nothing else.

    Vega compiles the expressions of its charts, which needs 'unsafe-eval'.
    """
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii") for text in programs]
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    return (
        f"default-src 'none'; script-src {allowed} 'unsafe-eval'; style-src 'unsafe-inline'; img-src data:; "
        "media-src data:; base-uri 'none'; form-action 'none'"
    )
