"""The search for a recipe: rows checked, kept, tabled, and the choice for a test fold by cells without it.

Called by benchmarks/search.sh and benchmarks/tested.sh; docs/search.md says how to repeat it.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from benchmarks import cells
from benchmarks.cells import Cells, estimate
from benchmarks.plots import plot_clips, plot_gains, plot_recordings
from benchmarks.settings import (
    PRESET,
    asked_params,
    kept_settings,
    named_params,
    require_finished,
    require_same_settings,
    wanted_names,
)
from soundaug.audit.checks import audit
from soundaug.audit.closeness import refuse, write_pairs
from soundaug.audit.near_trained import look_for
from soundaug.audit.normalisation import check_normalisation
from soundaug.folds.packed import fold_by_name
from soundaug.params import Params, load_params, parse_params
from soundaug.reporting.environment import environment, stage_usage
from soundaug.reporting.evaluation import compute_metrics, load_study
from soundaug.running.errors import StudyError, run_stage
from soundaug.running.foreign import reading
from soundaug.running.outputs import read_json, whole, write_json, write_table

DATA = Path("data")
KEPT = Path("reports/search")
TESTED = KEPT / "tested"  # what was run once on a test fold
CLIPS = "clips"  # rows of the picture against the clips per class
REGIMES = "recordings"  # rows of the picture against the share of the recordings
SEEDS = [0, 1, 2, 3, 4]  # of what is run once on the test fold
Kind = Literal["alone", "on_top"]  # generated clips alone beside the real ones, or on top of a control's
NO_RESULT = ("leakage", "evaluate")  # sections of the params that change no prediction
ALWAYS = (  # columns of search.csv, beside all that any row sets
    "data.recordings_share",
    "generator.steps",
    "generate.method",
    "generate.per_class",
    "generate.alpha",
    "augmentation.on_top_of",
)
FILES = ("metrics.json", "settings.txt", "params.yaml", "cells.csv")  # of a finished row
JUDGED = (  # figures of the generated clips, means over the generators: docs/generator.md says what each is
    "label_agreement",
    "accuracy_score",
    "kid_test",
    "kid_train_test",
    "coverage",
    "copies",
    "copies_beyond_recordings",
)
# Of a run by itself. A row's intervals are of its cells (search.csv), those of test folds of all three (tested.csv).
OF_THE_RUN = {"ci_low", "ci_high", "p_value", "p_holm", "p_sign_flip", "p_sign_flip_smallest", "p_mcnemar"}


@dataclass(frozen=True)
class Row:
    """A finished row: settings as asked for, all params, every cell's clips and hits per recording, its metrics."""

    name: str
    settings: Sequence[str]
    params: Params
    cells: Cells
    metrics: Mapping[str, Any] = field(default_factory=dict)  # of its metrics.json, nested

    @property
    def kind(self) -> Kind:
        """Which of the two questions it answers."""
        return "alone" if self.params.augmentation.on_top_of is None else "on_top"

    @property
    def judged(self) -> Mapping[str, float]:
        """What its generated clips were judged to be, by JUDGED; rows kept before clips were judged have nothing."""
        found = self.metrics.get("generator", {})
        return {name: float(found[name]) for name in JUDGED if name in found}

    @property
    def cost(self) -> int:
        """Clips made of every class: the cheaper of two alike is the one with fewer."""
        return self.params.generate.per_class * self.params.generate.candidates


def check(lines: Iterable[str], wanted: Sequence[str]) -> list[str]:
    """The names of the rows to run, all where none is ``wanted``; a line is a name and its settings.

    StudyError for a name that is no row's, a parameter that is not in the schema or a value that it does not take, for
    folds or a way to hold them out that no choice can be made by, and for a row to run that is kept with other
    settings or params.
    """
    asked: dict[str, tuple[list[str], Params]] = {}
    folds = asked_params("search", []).folds
    for line in lines:
        name, params = named_params("search", "row", line)
        if params.data.held_out != "others":
            raise StudyError(f"search: row {name}: found data.held_out {params.data.held_out}, wanted others")
        if params.folds != folds:
            raise StudyError(f"search: row {name}: found folds {params.folds}, wanted {folds} as in {PRESET}")
        asked[name] = line.split()[1:], params
    names = wanted_names("search", "row", list(asked), wanted)
    for name in names:
        _check_kept(name, *asked[name])
    return names


def _check_kept(name: str, settings: Sequence[str], params: Params) -> None:
    folder = KEPT / name
    if not folder.exists():
        return
    require_finished(folder, FILES, "row")
    require_same_settings(folder, settings, "row")
    if _what_counts(load_params(folder / "params.yaml")) != _what_counts(params):
        raise StudyError(f"{folder}/params.yaml: found other params than row {name} has now, wanted it moved away")


def keep(name: str, settings: str) -> None:
    """Write what the last run came to into reports/search/``name``, as a whole.

    StudyError for a leak, as of the stage audit, which the search's runs leave out.
    """
    params = load_params()
    found = audit(DATA, params)
    check_normalisation(DATA, params)
    near = look_for(DATA, params)
    named = Path(".scratch/near_duplicates.csv")
    write_pairs(named, near)
    refuse(near, params, named)
    study = load_study(DATA, params)
    metrics = without_tests(compute_metrics(study, params, DATA)) | {"audit": found.metrics | near.metrics}
    metrics["test_train_ratio"] = sum(fold.test_train_ratio for fold in study.folds) / len(study.folds)
    with whole(KEPT / name) as folder:
        folder.mkdir(parents=True)
        write_json(folder / "metrics.json", metrics)
        write_json(folder / "environment.json", environment() | {"stages": stage_usage(params)})
        # Wherever the clips lie here, kept rows are the same.
        data = params.data.model_copy(update={"root": load_params(PRESET).data.root})
        (folder / "params.yaml").write_text(_dump(params.model_copy(update={"data": data})), encoding="utf-8")
        write_table(folder / "cells.csv", cells.cell_rows(study, fold_by_name(DATA / "features")))
        (folder / "settings.txt").write_text(settings, encoding="utf-8")


def _dump(params: Params) -> str:
    text: str = yaml.safe_dump(params.model_dump(mode="json"), sort_keys=False)
    return text


def without_tests(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Nested figures without intervals and p-values.

    With data.held_out others a recording is tested twice, and those of a run do not hold; elsewhere the run is one test
    fold of three.
    """
    return {
        key: without_tests(value) if isinstance(value, dict) else value
        for key, value in metrics.items()
        if key not in OF_THE_RUN
    }


def load_rows(folder: Path = KEPT) -> list[Row]:
    """Every row that is kept in ``folder``, by name; a test fold whose run has begun and not ended is left out.

    StudyError for a row that is there in part, for one whose cells are not those of its params, and for one of the
    search that is not the preset with its settings: rows made otherwise are not compared.
    """
    rows = []
    for row in sorted(folder.glob("[!.]*")):  # what an interrupted `keep` left begins with a dot
        if not row.is_dir() or row == TESTED:
            continue
        if folder == TESTED and [path.name for path in row.iterdir()] == ["params.yaml"]:
            continue
        require_finished(row, FILES, "row")
        settings = kept_settings(row)
        params = load_params(row / "params.yaml")
        if folder == KEPT and _what_counts(params) != _what_counts(asked_params(f"search: row {row.name}", settings)):
            raise StudyError(
                f"{row}/params.yaml: found other params than {PRESET} with settings.txt: run the row again"
            )
        found = cells.read_cells(row / "cells.csv")
        _check_cells(row / "cells.csv", found, params)
        rows.append(Row(row.name, settings, params, found, read_json(row / "metrics.json")))
        with reading(row / "metrics.json", "no metrics of a row", "what benchmarks/search.sh keeps"):
            _ = rows[-1].judged
    if not rows:
        script = "search.sh" if folder == KEPT else "tested.sh"
        raise StudyError(f"{folder}: found no finished row, wanted those of benchmarks/{script}")
    return rows


def _check_cells(path: Path, found: Cells, params: Params) -> None:
    for arm in sorted({cell["arm"] for cell in found} ^ set(params.arms)):
        what = "no line of" if arm in params.arms else "lines of"
        raise StudyError(f"{path}: found {what} the arm {arm}, wanted those of params.yaml: {' '.join(params.arms)}")
    others = params.data.held_out == "others"
    places = [(a, b) for a in params.folds for b in params.folds if (a != b) == others]
    wanted = {(a, b, seed) for a, b in places for seed in params.seeds}
    runs = {(int(cell["trained"]), int(cell["tested"]), int(cell["seed"])) for cell in found}
    for run in sorted(runs ^ wanted):
        what = "no run" if run in wanted else "a run"
        told = f"found {what} of trained, tested, seed {', '.join(map(str, run))}"
        raise StudyError(f"{path}: {told}, wanted those of the folds and seeds of params.yaml")


def _what_counts(params: Params) -> dict[str, Any]:
    return {key: value for key, value in params.model_dump(mode="json").items() if key not in NO_RESULT}


def validation_cells(row: Row, test: int, validation: Sequence[int]) -> list[Mapping[str, str]]:
    """The cells of ``row`` that train on one of the ``validation`` folds and test another; no clip of fold ``test``.

    StudyError where ``test`` is among the validation folds, or where there is no such cell.
    """
    if strange := sorted(set(validation) - set(row.params.folds)):
        raise StudyError(f"search: row {row.name}: found validation fold {strange[0]}, wanted of {row.params.folds}")
    if test in validation:
        raise StudyError(f"search: found {test} as test fold and among the validation folds {list(validation)}")
    if row.params.data.held_out != "others":
        raise StudyError(f"search: row {row.name}: found data.held_out {row.params.data.held_out}, wanted others")
    within = [cell for cell in row.cells if {int(cell["trained"]), int(cell["tested"])} <= set(validation)]
    if not within:
        raise StudyError(f"search: row {row.name}: found no cell within the validation folds {list(validation)}")
    return within


def choose(
    rows: Sequence[Row], test: int, validation: Sequence[int], recordings_share: float, kind: Kind = "alone"
) -> Row:
    """Of the rows with that share of the recordings, the one whose aug gains most over base in the validation cells.

    Among those whose generated clips stand ``alone``, or those where they come ``on_top`` of a control's: what a
    control gains by itself does not speak for the clips beside it. Means that are alike to a tenth of a point are a
    tie, and go to the row with fewer clips to make, then by name.
    """
    folds = sorted({int(cell[place]) for row in rows for cell in row.cells for place in ("trained", "tested")})
    if test not in folds:
        raise StudyError(f"search: found {test} as test fold, wanted one of the rows' folds: {folds}")
    among = [row for row in rows if row.params.data.recordings_share == recordings_share and row.kind == kind]
    if not among:
        found = f"found no row of kind {kind} with data.recordings_share {recordings_share}"
        raise StudyError(f"search: {found}, wanted one or more")

    def rank(row: Row) -> tuple[float, int, str]:
        gain = estimate(validation_cells(row, test, validation), "aug", "base", resamples=2)[0]
        return -round(100 * gain, 1), row.cost, row.name

    return min(among, key=rank)


def params_to_test(row: Row, test: int) -> Params:
    """The params of ``row`` to run once on the test fold: all other folds train, five seeds, the preset's controls."""
    values = row.params.model_dump(mode="json")
    withheld = ["pseudo_label"] if row.params.data.recordings_share < 1 else []
    values |= {"folds": [test], "seeds": SEEDS, "controls": [*load_params(PRESET).controls, *withheld]}
    values["data"] |= {"held_out": "fold"}
    return parse_params(values)


def write_choice(
    rows: Sequence[Row], test: int, validation: Sequence[int], recordings_share: float, kind: Kind = "alone"
) -> str:
    """Write the params to run on fold ``test`` to reports/search/, and say in a line which row they are of.

    StudyError where that fold was tested before with other params: it is tested once.
    """
    chosen = choose(rows, test, validation, recordings_share, kind)
    params = params_to_test(chosen, test)
    name = f"fold{test}_{100 * recordings_share:g}_{kind}"
    tested = TESTED / name / "params.yaml"
    if tested.exists() and load_params(tested) != params:
        found = f"found {chosen.name} chosen now, wanted the params that the fold was tested with"
        raise StudyError(f"search: {tested}: {found}: a test fold is tested once")
    path = KEPT / f"test_{name}.yaml"
    with whole(path) as partial:
        partial.write_text(_dump(params), encoding="utf-8")
    return f"fold {test}: {chosen.name} by folds {', '.join(map(str, validation))}, params in {path}"


def table(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A line a row: what any row sets, aug and base, differences in points with intervals, clips as judged (JUDGED).

    ``base_seed_sd`` and ``aug_seed_sd`` are points of standard deviation over seeds (``cells.seed_deviation``),
    ``gain_run_sd`` is the standard deviation of the gain among runs of one training fold (``cells.run_deviation``),
    ``without_<fold>`` the gain in the cells that the choice for that test fold looks at.
    """
    folds = sorted({int(cell["trained"]) for row in rows for cell in row.cells})
    keys = list(dict.fromkeys([*ALWAYS, *(setting.partition("=")[0] for row in rows for setting in row.settings)]))
    lines = []
    for row in rows:
        line: dict[str, Any] = {"row": row.name} | {key: _value(row, key) for key in keys}
        for arm in ("base", "aug"):
            line[arm] = f"{estimate(row.cells, arm, None)[0]:.4f}"
            line |= {f"{arm}_seed_sd": seed_sd(row.cells, arm)}
        line |= points("gain", estimate(row.cells, "aug", "base"))
        spread = cells.run_deviation(cells.blocks(row.cells, "aug", "base"))
        line["gain_run_sd"] = None if spread is None else f"{100 * spread:.2f}"
        means = {arm: estimate(row.cells, arm, None, resamples=2)[0] for arm in row.params.controls}
        best = max(means, key=lambda arm: means[arm], default=None)
        line["best_control"] = best
        line |= points("over_control", None if best is None else estimate(row.cells, "aug", best))
        for fold in folds:
            others = [other for other in folds if other != fold]
            gain = estimate(validation_cells(row, fold, others), "aug", "base", resamples=2)[0]
            line[f"without_{fold}"] = f"{100 * gain:.2f}"
        line |= judged_columns([row])
        lines.append(line)
    return lines


def seed_sd(found: Cells, arm: str) -> str | None:
    """Standard deviation over seeds of an arm's mean over cells, in points; empty with a single seed."""
    spread = cells.seed_deviation(cells.blocks(found, arm))
    return None if spread is None else f"{100 * spread:.2f}"


def judged_columns(rows: Sequence[Row]) -> dict[str, str | None]:
    """Means over ``rows`` of what their generated clips were judged to be; empty where one has no such figure."""
    columns: dict[str, str | None] = {}
    for name in JUDGED:
        found = [row.judged[name] for row in rows if name in row.judged]
        columns[name] = f"{sum(found) / len(found):.3f}" if found and len(found) == len(rows) else None
    return columns


def _value(row: Row, key: str) -> str:
    node: Any = row.params.model_dump(mode="json")
    for part in key.split("."):
        node = node[part]
    return str(node)


def points(name: str, found: tuple[float, float, float] | None) -> dict[str, str | None]:
    """Columns ``name``, ``name``_low, ``name``_high: mean and interval, in percent or points; empty without them."""
    ends = ("", "_low", "_high")
    return {f"{name}{end}": None if found is None else f"{100 * found[i]:.2f}" for i, end in enumerate(ends)}


def curve_points(rows: Sequence[Row]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the pictures show, in percent and points with intervals.

    By share of the recordings the accuracy of base and the gains of the other arms, by clips per class the gain of aug.
    """
    regimes, clips = [], []
    for row in rows:
        if row.name.startswith(REGIMES):
            for arm in row.params.arms:
                other = None if arm == "base" else "base"
                mean, low, high = (100 * value for value in estimate(row.cells, arm, other))
                share = 100 * row.params.data.recordings_share
                regimes.append({"arm": arm, "recordings": share, "mean": mean, "low": low, "high": high})
        if row.name.startswith(CLIPS):
            mean, low, high = (100 * value for value in estimate(row.cells, "aug", "base"))
            clips.append({"clips": row.params.generate.per_class, "mean": mean, "low": low, "high": high})
    return sorted(regimes, key=lambda point: point["recordings"]), sorted(clips, key=lambda point: point["clips"])


def compare(rows: Sequence[Row], name: str, other: str, arm: str) -> str:
    """An arm of a row less the same arm of another, mean over their cells in points with its interval, as a sentence.

    Recordings and runs of both are drawn together (``cells.draw``). StudyError for a row that is not kept, an arm that
    one of them has not, rows whose cells and seeds are not the same, and a row against itself.
    """
    if name == other:
        raise StudyError(f"search: found the row {name} twice, wanted two rows")
    kept = {row.name: row for row in rows}
    both: list[Mapping[str, str]] = []
    places = []
    for one in (name, other):
        if one not in kept:
            raise StudyError(f"search: found the row {one}, wanted one of: {' '.join(kept)}")
        found = [cell for cell in kept[one].cells if cell["arm"] == arm]
        if not found:
            raise StudyError(
                f"search: row {one}: found the arm {arm}, wanted one of: {' '.join(kept[one].params.arms)}"
            )
        places.append({tuple(cell[key] for key in ("trained", "tested", "seed", "fs_id", "clips")) for cell in found})
        both += [{**cell, "arm": one} for cell in found]
    if places[0] != places[1]:
        raise StudyError(f"search: rows {name}, {other}: found other folds, seeds or recordings, wanted the same")
    mean, low, high = (100 * value for value in estimate(both, name, other))
    return f"{arm} of {name} minus {arm} of {other}: {mean:+.2f} points ({low:+.2f} to {high:+.2f})"


def gain_points(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """What the picture of all rows shows: gains over base in points, by share of the recordings, the largest first.

    A row's ``kind`` is its own; a control stands there once a share, of the first row by name that has it, its ``kind``
    is "control". A row whose clips another row has too, beside other controls, stands there once as well.
    """
    found: dict[tuple[float, str], dict[str, Any]] = {}
    for row in rows:
        share = 100 * row.params.data.recordings_share
        recipe = row.params.model_copy(update={"controls": []}).model_dump_json()
        for arm in ("aug", *row.params.controls):
            what = share, recipe if arm == "aug" else arm
            if what not in found:
                name, kind = (row.name, row.kind) if arm == "aug" else (arm, "control")
                mean, low, high = (100 * value for value in estimate(row.cells, arm, "base"))
                found[what] = {"recordings": share, "name": name, "kind": kind, "mean": mean, "low": low, "high": high}
    return sorted(found.values(), key=lambda point: (point["recordings"], -point["mean"], point["name"]))


def write_report(rows: Sequence[Row]) -> None:
    """Write search.csv and the pictures that there are rows for; those without rows are taken away."""
    write_table(KEPT / "search.csv", table(rows))
    plot_gains(KEPT / "gains.png", gain_points(rows))
    regimes, clips = curve_points(rows)
    for name, plot, shown, least in (("recordings", plot_recordings, regimes, 1), ("clips", plot_clips, clips, 2)):
        picture = KEPT / f"{name}.png"
        if len(shown) >= least:
            plot(picture, shown)
        else:
            picture.unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="rows on stdin; prints those to run").add_argument("rows", nargs="*")
    commands.add_parser("keep", help="the last run's figures; its settings on stdin").add_argument("row")
    commands.add_parser("table", help="search.csv and the pictures of all rows kept")
    comparer = commands.add_parser("compare", help="an arm of a row less the same arm of another, with its interval")
    comparer.add_argument("row")
    comparer.add_argument("other")
    comparer.add_argument("--arm", default="aug")
    chooser = commands.add_parser("choose", help="write the params to run once on a test fold")
    chooser.add_argument("--test", type=int, required=True, help="the test fold")
    chooser.add_argument("--validation", type=int, nargs="+", help="folds to choose by; default: all others")
    chooser.add_argument("--recordings", type=float, default=100, help="among rows with this percent of them")
    chooser.add_argument(
        "--kind", choices=get_args(Kind), default="alone", help="clips alone, or on top of a control's"
    )
    args = parser.parse_args()
    if args.command == "check":
        print("\n".join(check(sys.stdin, args.rows)))
    elif args.command == "keep":
        keep(args.row, sys.stdin.read())
    elif args.command == "table":
        write_report(load_rows())
    elif args.command == "compare":
        print(compare(load_rows(), args.row, args.other, args.arm))
    else:
        rows = load_rows()
        folds = {int(cell[place]) for row in rows for cell in row.cells for place in ("trained", "tested")}
        validation = sorted(set(args.validation or folds - {args.test}))
        print(write_choice(rows, args.test, validation, args.recordings / 100, args.kind))


if __name__ == "__main__":
    run_stage(main)
