"""Charts with a row an arm or a class: accuracy, differences to base, gain of every class."""

import math
from typing import Any

from soundaug.params import Params
from soundaug.reporting.evaluation import Metrics, Study, accuracy_table, summary_table
from soundaug.reporting.page.vega import (
    LEGEND,
    OF_FOLD,
    SHOWN,
    Chart,
    Spec,
    arm_colour,
    fold_colour,
    layered,
    on_rows,
    rounded,
    tip,
    zero_rule,
)
from soundaug.reporting.tables import delta_of
from soundaug.reporting.verdict import best_control

ROW = 36  # pixels of a row of arms or classes
ESTIMATE = ("mean", "ci_low", "ci_high")


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
    shown = [tip("arm"), tip("accuracy", "mean, %")]
    shown += [tip("accuracy_low", "interval from"), tip("accuracy_high", "to")]
    colour = arm_colour(study.arms)
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
            "encoding": on_rows(study.arms, "accuracy")
            | {"color": colour, "tooltip": [tip("arm"), tip("fold", form="d"), tip("accuracy", "accuracy, %")]},
        },
        {
            "data": {"values": means},
            "transform": [SHOWN],
            "mark": {"type": "rule", "strokeWidth": 3},
            "encoding": on_rows(study.arms, "accuracy_low") | {"x2": {"field": "accuracy_high"}, "color": colour},
        },
        {
            "data": {"values": means},
            "transform": [SHOWN],
            "mark": {"type": "point", "shape": "diamond", "filled": True, "size": 170, "opacity": 1}
            | {"stroke": "var(--surface)", "strokeWidth": 1.5},
            "encoding": on_rows(study.arms, "accuracy") | {"color": colour, "tooltip": shown},
        },
    ]
    level = f"{100 * params.evaluate.confidence:g} %"
    told = "; ".join(f"{row['arm']} {row['accuracy']:.1f} %" for row in means)
    return Chart(
        "accuracy",
        "Accuracy of every arm",
        f"Mean accuracy of every arm with its {level} interval, and the accuracy on every fold: {told}.",
        layered(layers, study, "accuracy on the held-out folds (%)", ROW * len(study.arms)),
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
    colour = fold_colour(folds, LEGEND | {"orient": "top"})
    rows = on_rows(arms, "points")
    layers = [
        zero_rule(),
        {
            "data": {"values": runs},
            "transform": [SHOWN, OF_FOLD],
            "mark": {"type": "circle", "opacity": 0.85, "size": 70},
            "encoding": rows
            | {
                "yOffset": {"field": "fold", "type": "nominal", "scale": {"domain": folds, "paddingOuter": 1}},
                "color": colour,
                "tooltip": [tip("arm"), tip("fold", form="d"), tip("seed", form="d"), tip("points", form="+.2f")],
            },
        },
        {
            "data": {"values": means},
            "transform": [SHOWN],
            "mark": {"type": "rule", "strokeWidth": 2.5, "color": "var(--ink)"},
            "encoding": on_rows(arms, "ci_low") | {"x2": {"field": "ci_high"}},
        },
        {
            "data": {"values": means},
            "transform": [SHOWN],
            "mark": {"type": "point", "shape": "diamond", "filled": True, "size": 150, "opacity": 1}
            | {"fill": "var(--surface)", "stroke": "var(--ink)", "strokeWidth": 2},
            "encoding": on_rows(arms, "mean")
            | {
                "tooltip": [
                    tip("arm"),
                    tip("mean", "mean, points", "+.2f"),
                    tip("ci_low", "interval from", "+.2f"),
                    tip("ci_high", "to", "+.2f"),
                ]
            },
        },
    ]
    return Chart(
        "differences",
        "Difference to base",
        "Accuracy minus that of base on the same fold and seed, in percentage points: every run, the mean of each arm "
        f"and its {100 * params.evaluate.confidence:g} % interval.",
        layered(layers, study, "accuracy minus base (percentage points)", (ROW + 8) * len(arms)),
    )


def class_chart(study: Study, metrics: Metrics, params: Params) -> Chart:
    """Gain of every class: aug and the best control minus base."""
    best = best_control(metrics, params)
    base = study.class_accuracy("base")
    rows: list[dict[str, Any]] = []
    for arm in ["aug", *([best] if best else [])]:
        for name, value, before in zip(study.classes, study.class_accuracy(arm), base, strict=True):
            if math.isfinite(value):
                gain, accuracies = 100 * float(value - before), {"accuracy": 100 * value, "base": 100 * before}
                rows.append({"class": name, "arm": arm, "gain": round(gain, 2)} | rounded(accuracies))
    gains = {str(row["class"]): float(row["gain"]) for row in rows if row["arm"] == "aug"}
    order = sorted(gains, key=lambda name: -gains[name])
    tips = [tip("class"), tip("arm"), tip("gain", "gain, points", "+.1f")]
    tips += [tip("base", "base, %"), tip("accuracy", "accuracy, %")]
    encoding = on_rows(order, "gain", "class") | {"color": arm_colour(study.arms), "tooltip": tips}
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
        zero_rule(),
    ]
    control = f", and of the best control, {best}," if best else ""
    return Chart(
        "classes",
        "Gain of every class",
        f"Accuracy of aug{control} minus base for every class, in percentage points.",
        layered(layers, study, "accuracy minus base (percentage points)", 26 * len(order)),
    )
