"""Curves: the training of the classifiers and of the generators, and what restyling does by strength."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from soundaug.reporting.evaluation import Study, curves
from soundaug.reporting.page.vega import (
    LEGEND,
    SHOWN,
    STEP_AXIS,
    Chart,
    Spec,
    arm_colour,
    fold_colour,
    layered,
    rounded,
    tip,
)
from soundaug.stylizer.report import KINDS, Stylized

GRAPHS = (  # of restyled music: name, title, axis, the columns with the kind of their line
    ("style", "The style that is heard", "style heard as asked (share)", {"style_accuracy": "as asked"}),
    (
        "chroma",
        "How much of the tune stays",
        "chroma similarity",
        {"chroma_similarity": "to the tune itself", "chroma_similarity_to_others": "to other tunes"},
    ),
)
LOG_AXIS = {"tickCount": 4, "format": ".2~f"}
DASHES = {"orient": "bottom", "symbolType": "stroke", "symbolSize": 400, "symbolStrokeColor": "var(--ink)"}
MAIN_ARM = "datum.arm == 'base' || datum.arm == 'aug'"


def curve_charts(study: Study) -> list[Chart]:
    """Test accuracy and training loss against the step, mean over folds and seeds."""
    columns = (
        ("test_accuracy", "Accuracy while training", "accuracy on the held-out fold (%)", 100),
        ("train_loss", "Training loss", "training loss", 1),
    )
    charts = []
    for column, title, axis, scale in columns:
        rows = []
        for arm in study.arms:
            steps, runs = curves(study, arm, column)
            for step, values in zip(steps, scale * runs.T, strict=True):
                known = values[np.isfinite(values)]
                if len(known):
                    found = {"value": known.mean(), "low": known.min(), "high": known.max()}
                    rows.append({"arm": arm, "step": round(float(step))} | rounded(found, 4))
        main = [row for row in rows if row["arm"] in ("base", "aug")]
        x = {"field": "step", "type": "quantitative", "axis": STEP_AXIS}
        y = {"field": "value", "type": "quantitative", "title": axis, "scale": {"zero": False}}
        colour = arm_colour(study.arms) | {"legend": LEGEND | {"columns": 3, "title": None}}
        tips = [tip("arm"), tip("step", form="d"), tip("value", "mean", ".3~f")]
        layers = [
            {
                "data": {"values": main},
                "transform": [SHOWN],
                "mark": {"type": "area", "opacity": 0.15},
                "encoding": {"x": x, "y": y | {"field": "low"}, "y2": {"field": "high"}, "color": colour},
            },
            {
                "data": {"values": rows},
                "transform": [SHOWN],
                "mark": {"type": "line", "point": {"size": 25}},
                "encoding": {
                    "x": x,
                    "y": y,
                    "color": colour,
                    "strokeWidth": {"condition": {"test": MAIN_ARM, "value": 2.5}, "value": 1.2},
                    "tooltip": tips,
                },
            },
        ]
        described = f"{title}: mean over folds and seeds of every arm; band: lowest to highest run of base and aug."
        charts.append(Chart(f"curves-{column}", title, described, layered(layers, study, "optimiser step", 260)))
    return charts


def generator_chart(study: Study, histories: Sequence[Mapping[str, Any]]) -> Chart:
    """Loss of the generators against the step, training and validation."""
    rows = [
        {"fold": row["fold"], "step": row["step"], "kind": kind, "loss": row[column]}
        for row in histories
        for column, kind in (("loss", "training"), ("validation_loss", "validation"))
        if row[column] is not None
    ]
    folds = sorted({row["fold"] for row in rows})
    encoding = {
        "x": {"field": "step", "type": "quantitative", "axis": STEP_AXIS},
        "y": {
            "field": "loss",
            "type": "quantitative",
            "title": "loss",
            "scale": {"type": "log", "nice": False},
            "axis": LOG_AXIS,
        },
        "color": fold_colour(folds, LEGEND),
        "tooltip": [tip("fold", form="d"), tip("kind"), tip("step", form="d"), tip("loss", form=".4f")],
    }
    dashes = {"field": "kind", "type": "nominal", "title": None, "legend": DASHES}
    layers: list[Spec] = [
        {"data": {"values": rows}, "mark": "line", "encoding": encoding | {"strokeDash": dashes}},
        {"data": {"values": rows}, "mark": {"type": "circle", "size": 30, "opacity": 1}, "encoding": encoding},
    ]
    described = "Training loss of the generators, and loss on recordings left out, against the optimiser step."
    return Chart("generator", "Training of the generators", described, layered(layers, study, "optimiser step", 260))


def stylize_charts(study: Study, stylized: Stylized) -> list[Chart]:
    """Style accuracy and chroma similarity of restyled music against the denoising strength."""
    x = {"field": "strength", "type": "quantitative", "scale": {"domain": [0, 1]}, "axis": {"tickCount": 5}}
    charts = []
    for name, title, axis, columns in GRAPHS:
        rows = [
            {"music": KINDS[row["kind"]], "kind": kind, "strength": row["strength"], "value": round(row[column], 3)}
            for column, kind in columns.items()
            for row in stylized.curve
            if row[column] is not None
        ]
        colour = {
            "field": "music",
            "type": "nominal",
            "title": None,
            "scale": {"domain": list(KINDS.values()), "range": ["var(--fold-0)", "var(--fold-1)"]},
            "legend": LEGEND,
        }
        tips = [tip("music"), tip("kind"), tip("strength", form=".2~f"), tip("value", form=".2f")]
        y = {"field": "value", "type": "quantitative", "title": axis, "scale": {"zero": True, "domainMax": 1}}
        encoding = {"x": x, "y": y, "color": colour, "tooltip": tips}
        dashes = {"field": "kind", "type": "nominal", "title": None, "legend": DASHES, "sort": list(columns.values())}
        layers: list[Spec] = [
            {"data": {"values": rows}, "mark": "line", "encoding": encoding | {"strokeDash": dashes}},
            {"data": {"values": rows}, "mark": {"type": "circle", "size": 40, "opacity": 1}, "encoding": encoding},
        ]
        told = "; ".join(f"{row['music']} {row['kind']} at {row['strength']:g}: {row['value']:.2f}" for row in rows)
        described = f"{title} in restyled music against the denoising strength. {told}."
        charts.append(Chart(f"music-{name}", title, described, layered(layers, study, "denoising strength", 240)))
    return charts
