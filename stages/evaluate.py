"""evaluate: compare the arms; metrics, tables for plots, figures, the report and its page.

Reads data/runs, data/features, data/generated, data/models, data/demonstration, reports/near_duplicates.csv and
data/stylized, once data/music is there; writes metrics.json, environment.json, report.md, index.html, plots/ and
figures/ to reports/. Nothing where a leak is found.
"""

import argparse
from pathlib import Path

from soundaug.audit.checks import audit
from soundaug.audit.closeness import read_closeness
from soundaug.listening.examples import load_closest, load_examples
from soundaug.listening.sounds import read_sounds
from soundaug.params import load_params
from soundaug.reporting import evaluation, generator_report, plots, report
from soundaug.reporting.environment import environment, stage_usage
from soundaug.reporting.page.document import render_page
from soundaug.reporting.page.media import Encoded
from soundaug.reporting.page.sections import Results
from soundaug.running.errors import run_stage
from soundaug.running.outputs import whole, write_json, write_table
from soundaug.stylizer.report import curve_rows, load_stylized

DATA = Path("data")
REPORTS = Path("reports")


def main() -> None:
    """Read data/runs and what led to it, write reports/."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    params = load_params()
    found = audit(DATA, params)
    study = evaluation.load_study(DATA, params)
    near = read_closeness(REPORTS / "near_duplicates.csv", found.test_clips)
    metrics = evaluation.compute_metrics(study, params, DATA) | {"audit": found.metrics | near.metrics}
    if stylized := load_stylized(DATA / "stylized"):
        metrics["stylize"] = dict(stylized.summary)
    sounds = read_sounds(DATA / "demonstration")
    music = stylized.sounds if stylized else ()
    # The longest first, beside the figures.
    encoded = Encoded(
        [(one.samples, one.sample_rate) for one in music]
        + [(one.samples, params.features.sample_rate) for one in sounds]
    )
    examples = load_examples(DATA, params.folds[0], params.features, study.classes)
    figures = {
        "accuracy.png": plots.accuracy_figure(study, metrics, params),
        "differences.png": plots.difference_figure(study, metrics, params),
        "confusion.png": plots.confusion_figure(study),
        "per_class.png": plots.class_figure(study, metrics, params),
        "curves.png": plots.curves_figure(study),
    }
    if examples:
        figures["spectrograms.png"] = plots.spectrogram_figure(examples, params.features)
    if closest := load_closest(DATA, params.folds, params.features, study.classes):
        figures["closest.png"] = plots.closest_figure(closest, params.features)
    if histories := generator_report.history_rows(DATA, params):
        figures["generator.png"] = plots.generator_figure(histories)
    if stylized:
        figures["stylize.png"] = plots.stylize_figure(stylized)
    machine = environment() | {"stages": stage_usage(params)}
    page = render_page(
        Results(study, metrics, found, near, params, closest, histories, sounds, stylized, machine, encoded)
    )
    tables = evaluation.plot_tables(study, metrics)
    tables |= {"generator": histories} if histories else {}
    tables |= {"stylize": curve_rows(stylized)} if stylized else {}
    text = report.render(study, metrics, found, near, params, figures)

    write_json(REPORTS / "metrics.json", metrics)
    write_json(REPORTS / "environment.json", machine)
    with whole(REPORTS / "plots") as folder:
        folder.mkdir()
        for name, rows in tables.items():
            write_table(folder / f"{name}.csv", rows)
    with whole(REPORTS / "figures") as folder:
        folder.mkdir()
        for name, content in figures.items():
            (folder / name).write_bytes(content)
    with whole(REPORTS / "report.md") as partial:
        partial.write_text(text, encoding="utf-8")
    with whole(REPORTS / "index.html") as partial:
        partial.write_text(page, encoding="utf-8")
    report.print_summary(metrics, params)
    print(f"\nreport: {REPORTS / 'index.html'}, {REPORTS / 'report.md'}")


if __name__ == "__main__":
    run_stage(main)
