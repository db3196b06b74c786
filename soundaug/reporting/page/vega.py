"""What the page's Vega-Lite charts share; a colour is a variable of the style sheet, "var(--name)"."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from soundaug.reporting.evaluation import Study

Spec = dict[str, Any]

FOLD_COLOURS = 8
TICKS = 8
LEGEND = {"orient": "bottom", "symbolType": "circle", "symbolOpacity": 1}
STEP_AXIS = {"format": "d", "tickCount": TICKS}
SHOWN = {"filter": "indexof(arms, datum.arm) >= 0"}
OF_FOLD = {"filter": "fold == 'all' || datum.fold == fold"}


@dataclass(frozen=True)
class Chart:
    """A chart: the name of its place in the page, its title, what it shows in a sentence, how it is drawn."""

    name: str
    title: str
    description: str
    spec: Spec


def layered(layers: Sequence[Spec], study: Study, x_title: str, height: int) -> Spec:
    """The specification of ``layers`` as wide as its place, ``height`` pixels high, that the page's filters reach."""
    for layer in layers:
        if "x" in layer["encoding"]:
            layer["encoding"]["x"] = layer["encoding"]["x"] | {"title": x_title}
    return {
        "width": "container",
        "height": height,
        "params": [{"name": "arms", "value": list(study.arms)}, {"name": "fold", "value": "all"}],
        "layer": list(layers),
    }


def on_rows(names: Sequence[str], x: str, y: str = "arm") -> Spec:
    """A row a name, ``x`` a column of numbers."""
    return {
        "y": {"field": y, "type": "nominal", "sort": list(names), "title": None},
        "x": {"field": x, "type": "quantitative", "scale": {"zero": False}, "axis": {"tickCount": TICKS}},
    }


def zero_rule() -> Spec:
    """A dashed line at zero."""
    return {
        "data": {"values": [{"zero": 0}]},
        "mark": {"type": "rule", "strokeDash": [4, 4], "color": "var(--muted)"},
        "encoding": {"x": {"field": "zero", "type": "quantitative"}},
    }


def arm_colour(arms: Sequence[str]) -> Spec:
    """The colour of an arm, the same in every chart."""
    return {
        "field": "arm",
        "type": "nominal",
        "scale": {"domain": list(arms), "range": [f"var(--arm-{arm})" for arm in arms]},
        "legend": None,
    }


def fold_colour(folds: Sequence[int], legend: Spec) -> Spec:
    """The colour of a held-out fold."""
    return {
        "field": "fold",
        "type": "nominal",
        "title": "held-out fold",
        "scale": {"domain": list(folds), "range": [f"var(--fold-{i % FOLD_COLOURS})" for i in range(len(folds))]},
        "legend": legend,
    }


def tip(field: str, title: str | None = None, form: str | None = None) -> Spec:
    """A line of a tooltip; ``form`` is how a number is written."""
    plain = field in ("arm", "class", "kind", "music", "actual", "predicted")
    shown = {"type": "nominal"} if plain else {"type": "quantitative", "format": form or ".1f"}
    return {"field": field, "title": title or field} | shown


def rounded(values: Mapping[str, Any], digits: int = 2) -> dict[str, float]:
    """The same numbers with few digits, for a small page."""
    return {name: round(float(value), digits) for name, value in values.items()}
