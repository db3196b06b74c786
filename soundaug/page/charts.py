"""The page's charts as Vega-Lite specifications; a colour is a variable of the style sheet, "var(--name)"."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from soundaug.evaluation import Metrics, Study, accuracy_table, best_control, curves, summary_table
from soundaug.params import Params
from soundaug.tables import delta_of

Spec = dict[str, Any]

ROW = 36  # pixels of a row of arms or classes
MOST_ANNOTATED = 12  # classes up to which a confusion matrix shows its numbers
FOLD_COLOURS = 8
SHOWN = {"filter": "indexof(arms, datum.arm) >= 0"}
TICKS = 8
LEGEND = {"orient": "bottom", "symbolType": "circle", "symbolOpacity": 1}
DASHES = {"orient": "bottom", "symbolType": "stroke", "symbolSize": 400, "symbolStrokeColor": "var(--ink)"}
STEP_AXIS = {"format": "d", "tickCount": TICKS}
LOG_AXIS = {"tickCount": 4, "format": ".2~f"}
ESTIMATE = ("mean", "ci_low", "ci_high")
MAIN_ARM = "datum.arm == 'base' || datum.arm == 'aug'"
OF_FOLD = {"filter": "fold == 'all' || datum.fold == fold"}


@dataclass(frozen=True)
class Chart:
    """A chart: the name of its place in the page, its title, what it shows in a sentence, how it is drawn."""

    name: str
    title: str
    description: str
    spec: Spec


def accuracy_chart(study: Study, metrics: Metrics, params: Params) -> Chart:
    """Accuracy of every arm: mean with its interval, and the folds behind it."""
    means = [
        {"arm": row["arm"]} | {key: 100 * row[key] for key in ("accuracy", "accuracy_low", "accuracy_high")}
        for row in summary_table(study, metrics)
    ]
    folds = [
        {"arm": arm, "fold": fold.fold, "accuracy": round(100 * float(value), 2)}
        for arm in study.arms
        for fold, value in zip(study.folds, study.accuracy(arm).mean(axis=1), strict=True)
    ]
    shown = [_tip("arm"), _tip("accuracy", "mean, %")]
    shown += [_tip("accuracy_low", "interval from"), _tip("accuracy_high", "to")]
    colour = _arm_colour(study.arms)
    layers: list[Spec] = [
        {
            "data": {"values": [row for row in means if row["arm"] == "base"]},
            "mark": {"type": "rule", "strokeDash": [4, 4], "color": "var(--muted)"},
            "encoding": {"x": {"field": "accuracy", "type": "quantitative"}},
        },
        {
            "data": {"values": folds},
            "transform": [SHOWN, OF_FOLD],
            "mark": {"type": "circle", "opacity": 0.45, "size": 70},
            "encoding": _on_rows(study.arms, "accuracy")
            | {"color": colour, "tooltip": [_tip("arm"), _tip("fold", form="d"), _tip("accuracy", "accuracy, %")]},
        },
        {
            "data": {"values": means},
            "transform": [SHOWN],
            "mark": {"type": "rule", "strokeWidth": 3},
            "encoding": _on_rows(study.arms, "accuracy_low") | {"x2": {"field": "accuracy_high"}, "color": colour},
        },
        {
            "data": {"values": means},
            "transform": [SHOWN],
            "mark": {"type": "point", "shape": "diamond", "filled": True, "size": 170, "opacity": 1}
            | {"stroke": "var(--surface)", "strokeWidth": 1.5},
            "encoding": _on_rows(study.arms, "accuracy") | {"color": colour, "tooltip": shown},
        },
    ]
    level = f"{100 * params.evaluate.confidence:g} %"
    told = "; ".join(f"{row['arm']} {row['accuracy']:.1f} %" for row in means)
    return Chart(
        "accuracy",
        "Accuracy of every arm",
        f"Mean accuracy of every arm with its {level} interval, and the accuracy on every fold: {told}.",
        _spec(layers, study, "accuracy on the held-out folds (%)", ROW * len(study.arms)),
    )


def difference_chart(study: Study, metrics: Metrics, params: Params) -> Chart:
    """Accuracy minus base of every fold and seed, with the mean and its interval."""
    arms = [arm for arm in study.arms if arm != "base"]
    base = {(row["fold"], row["seed"]): row["accuracy"] for row in accuracy_table(study) if row["arm"] == "base"}
    runs = [
        {"arm": row["arm"], "fold": row["fold"], "seed": row["seed"]}
        | {"points": round(100 * (row["accuracy"] - base[row["fold"], row["seed"]]), 2)}
        for row in accuracy_table(study)
        if row["arm"] != "base"
    ]
    means = []
    for arm in arms:
        found = delta_of(metrics, arm) or {}
        means.append({"arm": arm} | {key: round(100 * value, 2) for key, value in found.items() if key in ESTIMATE})
    folds = [fold.fold for fold in study.folds]
    colour = {
        "field": "fold",
        "type": "nominal",
        "title": "held-out fold",
        "scale": {"domain": folds, "range": [f"var(--fold-{i % FOLD_COLOURS})" for i in range(len(folds))]},
        "legend": LEGEND | {"orient": "top"},
    }
    rows = _on_rows(arms, "points")
    layers = [
        _zero(),
        {
            "data": {"values": runs},
            "transform": [SHOWN, OF_FOLD],
            "mark": {"type": "circle", "opacity": 0.85, "size": 70},
            "encoding": rows
            | {
                "yOffset": {"field": "fold", "type": "nominal", "scale": {"domain": folds, "paddingOuter": 1}},
                "color": colour,
                "tooltip": [_tip("arm"), _tip("fold", form="d"), _tip("seed", form="d"), _tip("points", form="+.2f")],
            },
        },
        {
            "data": {"values": means},
            "transform": [SHOWN],
            "mark": {"type": "rule", "strokeWidth": 2.5, "color": "var(--ink)"},
            "encoding": _on_rows(arms, "ci_low") | {"x2": {"field": "ci_high"}},
        },
        {
            "data": {"values": means},
            "transform": [SHOWN],
            "mark": {"type": "point", "shape": "diamond", "filled": True, "size": 150, "opacity": 1}
            | {"fill": "var(--surface)", "stroke": "var(--ink)", "strokeWidth": 2},
            "encoding": _on_rows(arms, "mean")
            | {
                "tooltip": [
                    _tip("arm"),
                    _tip("mean", "mean, points", "+.2f"),
                    _tip("ci_low", "interval from", "+.2f"),
                    _tip("ci_high", "to", "+.2f"),
                ]
            },
        },
    ]
    return Chart(
        "differences",
        "Difference to base",
        "Accuracy minus that of base on the same fold and seed, in percentage points: every run, the mean of each arm "
        f"and its {100 * params.evaluate.confidence:g} % interval.",
        _spec(layers, study, "accuracy minus base (percentage points)", (ROW + 8) * len(arms)),
    )


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


def class_chart(study: Study, metrics: Metrics, params: Params) -> Chart:
    """Gain of every class: aug and the best control minus base."""
    best = best_control(metrics, params)
    base = study.class_accuracy("base")
    rows: list[dict[str, Any]] = []
    for arm in ["aug", *([best] if best else [])]:
        for name, value, before in zip(study.classes, study.class_accuracy(arm), base, strict=True):
            if math.isfinite(value):
                gain, accuracies = 100 * float(value - before), {"accuracy": 100 * value, "base": 100 * before}
                rows.append({"class": name, "arm": arm, "gain": round(gain, 2)} | _rounded(accuracies))
    gains = {str(row["class"]): float(row["gain"]) for row in rows if row["arm"] == "aug"}
    order = sorted(gains, key=lambda name: -gains[name])
    tips = [_tip("class"), _tip("arm"), _tip("gain", "gain, points", "+.1f")]
    tips += [_tip("base", "base, %"), _tip("accuracy", "accuracy, %")]
    encoding = _on_rows(order, "gain", "class") | {"color": _arm_colour(study.arms), "tooltip": tips}
    layers = [
        {
            "data": {"values": [row for row in rows if row["arm"] == "aug"]},
            "mark": {"type": "bar", "height": {"band": 0.6}, "cornerRadiusEnd": 2},
            "encoding": encoding,
        },
        {
            "data": {"values": [row for row in rows if row["arm"] != "aug"]},
            "mark": {"type": "tick", "thickness": 3, "height": {"band": 0.8}},
            "encoding": encoding,
        },
        _zero(),
    ]
    control = f", and of the best control, {best}," if best else ""
    return Chart(
        "classes",
        "Gain of every class",
        f"Accuracy of aug{control} minus base for every class, in percentage points.",
        _spec(layers, study, "accuracy minus base (percentage points)", 26 * len(order)),
    )


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
                    rows.append({"arm": arm, "step": round(float(step))} | _rounded(found, 4))
        main = [row for row in rows if row["arm"] in ("base", "aug")]
        x = {
            "field": "step",
            "type": "quantitative",
            "title": "optimiser step",
            "axis": {"format": "d", "tickCount": TICKS},
        }
        y = {"field": "value", "type": "quantitative", "title": axis, "scale": {"zero": False}}
        colour = _arm_colour(study.arms) | {"legend": LEGEND | {"columns": 3, "title": None}}
        tips = [_tip("arm"), _tip("step", form="d"), _tip("value", "mean", ".3~f")]
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
        charts.append(Chart(f"curves-{column}", title, described, _spec(layers, study, "optimiser step", 260)))
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
        "color": {
            "field": "fold",
            "type": "nominal",
            "title": "held-out fold",
            "scale": {"domain": folds, "range": [f"var(--fold-{i % FOLD_COLOURS})" for i in range(len(folds))]},
            "legend": LEGEND,
        },
        "tooltip": [_tip("fold", form="d"), _tip("kind"), _tip("step", form="d"), _tip("loss", form=".4f")],
    }
    dashes = {"field": "kind", "type": "nominal", "title": None, "legend": DASHES}
    layers = [
        {"data": {"values": rows}, "mark": "line", "encoding": encoding | {"strokeDash": dashes}},
        {"data": {"values": rows}, "mark": {"type": "circle", "size": 30, "opacity": 1}, "encoding": encoding},
    ]
    described = "Training loss of the generators, and loss on recordings left out, against the optimiser step."
    return Chart("generator", "Training of the generators", described, _spec(layers, study, "optimiser step", 260))


def _spec(layers: Sequence[Spec], study: Study, x_title: str, height: int) -> Spec:
    for layer in layers:
        if "x" in layer["encoding"]:
            layer["encoding"]["x"] = layer["encoding"]["x"] | {"title": x_title}
    return {
        "width": "container",
        "height": height,
        "params": [{"name": "arms", "value": list(study.arms)}, {"name": "fold", "value": "all"}],
        "layer": list(layers),
    }


def _on_rows(names: Sequence[str], x: str, y: str = "arm") -> Spec:
    """A row a name, ``x`` a column of numbers."""
    return {
        "y": {"field": y, "type": "nominal", "sort": list(names), "title": None, "axis": {"labelLimit": 130}},
        "x": {"field": x, "type": "quantitative", "scale": {"zero": False}, "axis": {"tickCount": TICKS}},
    }


def _zero() -> Spec:
    return {
        "data": {"values": [{"zero": 0}]},
        "mark": {"type": "rule", "strokeDash": [4, 4], "color": "var(--muted)"},
        "encoding": {"x": {"field": "zero", "type": "quantitative"}},
    }


def _arm_colour(arms: Sequence[str]) -> Spec:
    return {
        "field": "arm",
        "type": "nominal",
        "scale": {"domain": list(arms), "range": [f"var(--arm-{arm})" for arm in arms]},
        "legend": None,
    }


def _tip(field: str, title: str | None = None, form: str | None = None) -> Spec:
    plain = field in ("arm", "class", "kind", "actual", "predicted")
    shown = {"type": "nominal"} if plain else {"type": "quantitative", "format": form or ".1f"}
    return {"field": field, "title": title or field} | shown


def _confusion(name: str, title: str, values: np.ndarray, classes: Sequence[str], most: float | None) -> Chart:
    """A matrix [actual, predicted] in percent; ``most`` is the end of both sides of the scale of a difference."""
    rows = [
        {"actual": actual, "predicted": predicted, "share": round(float(values[i, j]), 1)}
        for i, actual in enumerate(classes)
        for j, predicted in enumerate(classes)
        if math.isfinite(values[i, j])
    ]
    signed = most is not None
    colours = [f"var(--{'change' if signed else 'share'}-{i})" for i in range(5)]
    domain = [-most, -most / 2, 0, most / 2, most] if most is not None else [0, 25, 50, 75, 100]
    dark = f"abs(datum.share) > {0.6 * most}" if most is not None else "datum.share > 55"
    axis = {"field": "predicted", "type": "nominal", "sort": list(classes), "title": "predicted"}
    encoding = {
        "x": axis | {"axis": {"labelAngle": -60, "labelLimit": 110}},
        "y": {"field": "actual", "type": "nominal", "sort": list(classes), "title": None, "axis": {"labelLimit": 110}},
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
                "tooltip": [_tip("actual"), _tip("predicted"), _tip("share", "points" if signed else "%", "+.1f")],
            },
        }
    ]
    if len(classes) <= MOST_ANNOTATED:
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
    spec: Spec = {"width": "container", "height": 25 * len(classes)}
    spec |= {"data": {"values": rows}, "encoding": encoding, "layer": layers}
    return Chart(f"confusion-{name}", title, described, spec)


def _row_percent(table: np.ndarray) -> np.ndarray:
    total = table.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(100 * table, total, out=np.full(table.shape, np.nan), where=total > 0))


def _rounded(values: Mapping[str, Any], digits: int = 2) -> dict[str, float]:
    return {name: round(float(value), digits) for name, value in values.items()}
