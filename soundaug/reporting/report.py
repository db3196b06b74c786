"""reports/report.md and the summary for the terminal: the verdict, the tables, the figures, how to repeat them."""

import html
import re
from collections.abc import Iterable, Mapping

import yaml
from rich.console import Console
from rich.text import Text

from soundaug.audit.checks import Audit
from soundaug.audit.closeness import Closeness
from soundaug.params import Params
from soundaug.reporting.evaluation import Metrics, Study
from soundaug.reporting.generator_report import faults
from soundaug.reporting.tables import (
    CLIPS,
    EQUAL_EPOCHS,
    EQUAL_STEPS,
    GENERATED,
    MACRO_F1,
    P_VALUES,
    PRIMARY,
    Table,
    arms_table,
    audit_text,
    classes_table,
    clips_table,
    closeness_table,
    closeness_text,
    corpus_text,
    delta_of,
    excluded_table,
    figures_table,
    goals_table,
    interval_text,
    macro_f1_table,
    over_table,
    statistics_lines,
    values_table,
)
from soundaug.reporting.verdict import p_text, points, verdict
from soundaug.stylizer.report import EXPLAINED, NOT_THERE, stylize_table

FIGURES = {  # file name: alt text
    "accuracy.png": "Accuracy per arm with its interval and the accuracy of every fold",
    "differences.png": "Difference to base of every fold and seed, per arm",
    "confusion.png": "Confusion matrices of base and aug and their difference",
    "per_class.png": "Accuracy of every class in base, aug and the best control",
    "curves.png": "Test accuracy and training loss against the optimiser step",
    "spectrograms.png": "Spectrograms of generated clips beside their parents and a real test clip",
    "closest.png": "Spectrograms of the generated clips nearest to a training clip, beside it",
    "stylize.png": "Style accuracy and chroma similarity of restyled music against the denoising strength",
    "generator.png": "Training and validation loss of the generators against the optimiser step",
}


def escape(text: str) -> str:
    """Text from outside as it reads: nothing in it acts as Markdown or HTML, nor ends a table's cell or line."""
    one_line = " ".join(text.split())
    return re.sub(r"([\\`*_\[\]()#!|~$:@])", r"\\\1", html.escape(one_line, quote=False))


def render(
    study: Study, metrics: Metrics, audit: Audit, near: Closeness, params: Params, figures: Iterable[str]
) -> str:
    """The report as Markdown; ``figures`` are the names of those that were drawn into figures/ beside it."""
    drawn = set(figures)

    def picture(name: str) -> str:
        return f"![{FIGURES[name]}](figures/{name})\n" if name in drawn else ""

    leaks, looked = audit_text(audit, params, escape)
    parts = [
        "# Does audio made by a diffusion model improve a sound classifier?",
        f"**{verdict(metrics, params)}**",
        picture("accuracy.png"),
        "## Arms",
        f"{PRIMARY} {EQUAL_STEPS if params.training.steps else EQUAL_EPOCHS}",
        _table(arms_table(study, metrics, params)),
        P_VALUES,
        *(["## Diffusion against each control", _table(over_table(metrics, params))] if params.controls else []),
        "## Classes alike",
        MACRO_F1,
        _table(macro_f1_table(metrics, params)),
        *_clips(metrics, params),
        picture("differences.png"),
        "## Every fold and seed",
        "Accuracy and, in brackets, macro-F1 in percent.",
        _table(values_table(study)),
        "## Classes",
        "Part of each class's test clips predicted right, in percent, over all folds and seeds.",
        _table(classes_table(study, metrics, params)),
        picture("per_class.png"),
        picture("confusion.png"),
        "## Training",
        picture("curves.png"),
        "## Generated clips",
        _generated(metrics, params),
        picture("spectrograms.png"),
        picture("closest.png"),
        picture("generator.png"),
        "## Music in other styles",
        _stylized(metrics),
        picture("stylize.png"),
        "## Statistics",
        "\n".join(f"- {line}" for line in statistics_lines(metrics, params)),
        "## Corpus",
        corpus_text(study, escape),
        *([_table(excluded_table(study))] if study.excluded else []),
        "## Leakage audit",
        f"**{leaks}** {looked}" if leaks else looked,
        closeness_text(near, params),
        *([_table(closeness_table(near))] if near.pairs else []),
        "## How to repeat",
        (
            "`dvc repro` with these parameters in params.yaml; packages and machine are in "
            "[environment.json](environment.json), all numbers in [metrics.json](metrics.json)."
        ),
        f"```yaml\n{yaml.safe_dump(params.model_dump(), sort_keys=False, allow_unicode=True)}```",
    ]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def summary(metrics: Metrics, params: Params) -> Text:
    """A table for the terminal: accuracy of every arm and its difference to base, with intervals; then the verdict.

    Where there is colour, differences whose interval leaves 0 out are green (above) or red (below).
    """
    rows = [("arm", "accuracy %", "interval", "minus base", "interval", "p")]
    for arm in params.arms:
        found, delta = metrics[arm]["accuracy"], delta_of(metrics, arm)
        interval = f"{100 * found['ci_low']:.1f} to {100 * found['ci_high']:.1f}"
        row = (arm, f"{100 * found['mean']:.1f}", interval)
        if delta is None:
            rows.append((*row, "", "", ""))
        else:
            rows.append((*row, points(delta["mean"]), interval_text(delta), p_text(delta.get("p_value"))))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    styles = ["bold", *(_style(delta_of(metrics, arm)) for arm in params.arms)]
    table = Text("\n").join(Text(line, style) for line, style in zip(lines, styles, strict=True))
    return table.append("\n\n").append(verdict(metrics, params), "bold")


def print_summary(metrics: Metrics, params: Params) -> None:
    """Print the `summary`, in colour on a terminal unless NO_COLOR is set; lines are as long as they are."""
    Console(highlight=False, soft_wrap=True).print(summary(metrics, params))


def _style(delta: Mapping[str, float] | None) -> str:
    if delta is None or delta["ci_low"] <= 0 <= delta["ci_high"]:
        return ""
    return "green" if delta["ci_low"] > 0 else "red"


def _table(table: Table) -> str:
    lines = [table.header, ["---"] * len(table.header), *([escape(cell) for cell in row] for row in table.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _stylized(metrics: Metrics) -> str:
    if "stylize" not in metrics:
        return f"No music was restyled. {NOT_THERE}"
    return f"{_table(stylize_table(metrics['stylize']))}\n\n{EXPLAINED}"


def _clips(metrics: Metrics, params: Params) -> list[str]:
    table = clips_table(metrics, params)
    return ["## What the extra clips are", CLIPS, _table(table)] if table.rows else []


def _generated(metrics: Metrics, params: Params) -> str:
    told = [f"**Error: {escape(fault)}**" for fault in faults(metrics, params)]
    if (goals := goals_table(metrics)).rows:
        told += [_table(goals), GENERATED.replace("_", "\\_")]
    figures = figures_table(metrics)
    if not figures.rows:
        return "Nothing was generated."
    return "\n\n".join([*told, "Averages over the held-out folds.", _table(figures)])
