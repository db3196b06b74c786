"""Confusion matrices of base and aug, and their difference."""

import math
from collections.abc import Sequence

import numpy as np

from soundaug.reporting.evaluation import Study
from soundaug.reporting.page.vega import Chart, Spec, tip

MOST_ANNOTATED = 12  # classes up to which a confusion matrix shows its numbers, and three stand side by side


def confusion_charts(study: Study) -> list[Chart]:
    """Confusion of base and of aug in percent of the actual class, and aug minus base."""
    shares = {arm: _row_percent(study.confusion(arm)) for arm in ("base", "aug")}
    change = shares["aug"] - shares["base"]
    most = max(1.0, float(np.nanmax(np.abs(change))))
    return [
        _confusion("base", "base", shares["base"], study.classes, None),
        _confusion("aug", "aug", shares["aug"], study.classes, None),
        _confusion("difference", "aug minus base", change, study.classes, most),
    ]


def _confusion(name: str, title: str, values: np.ndarray, classes: Sequence[str], most: float | None) -> Chart:
    """A matrix [actual, predicted] in percent; ``most`` is the end of both sides of the scale of a difference."""
    rows = [
        {"actual": actual, "predicted": predicted, "share": round(float(values[i, j]), 1)}
        for i, actual in enumerate(classes)
        for j, predicted in enumerate(classes)
        if math.isfinite(values[i, j])
    ]
    signed, few = most is not None, len(classes) <= MOST_ANNOTATED
    colours = [f"var(--{'change' if signed else 'share'}-{i})" for i in range(5)]
    domain = [-most, -most / 2, 0, most / 2, most] if most is not None else [0, 25, 50, 75, 100]
    dark = f"abs(datum.share) > {0.6 * most}" if most is not None else "datum.share > 55"
    axis = {"field": "predicted", "type": "nominal", "sort": list(classes), "title": "predicted"}
    encoding = {
        "x": axis | {"axis": {"labelAngle": -60, "labelLimit": 110} if few else {"labelAngle": -90, "labelLimit": 200}},
        "y": {"field": "actual", "type": "nominal", "sort": list(classes), "title": None},
    }
    layers: list[Spec] = [
        {
            "mark": {"type": "rect", "stroke": "var(--surface)", "strokeWidth": 1},
            "encoding": {
                "color": {
                    "field": "share",
                    "type": "quantitative",
                    "scale": {"domain": domain, "range": colours, "interpolate": "rgb"},
                    "legend": None,
                },
                "tooltip": [tip("actual"), tip("predicted"), tip("share", "points" if signed else "%", "+.1f")],
            },
        }
    ]
    if few:
        layers.append(
            {
                "transform": [{"filter": "abs(datum.share) >= 0.5"}],
                "mark": {"type": "text", "fontSize": 9.5},
                "encoding": {
                    "text": {"field": "share", "type": "quantitative", "format": "+.0f" if signed else ".0f"},
                    "color": {
                        "condition": {"test": dark, "value": "var(--on-share)"},
                        "value": "var(--ink)",
                    },
                },
            }
        )
    what = "percentage points, aug minus base" if signed else f"percent of the actual class, {title}"
    described = f"Confusion matrix in {what}: actual classes in rows, predicted ones in columns."
    spec: Spec = {"width": "container", "height": (25 if few else 18) * len(classes)}
    spec |= {"data": {"values": rows}, "encoding": encoding, "layer": layers}
    return Chart(f"confusion-{name}", title, described, spec)


def _row_percent(table: np.ndarray) -> np.ndarray:
    total = table.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(100 * table, total, out=np.full(table.shape, np.nan), where=total > 0))
