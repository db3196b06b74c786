"""The ladder's table and picture: how many of the published points each flaw of its protocol explains.

Reads reports/ladder/<experiment>/metrics.json and params.yaml, which benchmarks/ladder.sh keeps; writes ladder.csv and
ladder.png beside them.
"""

import argparse
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.plots import plot_ladder
from benchmarks.settings import named_params, require_finished, require_same_settings, wanted_names
from soundaug.params import Classifier, Params, load_params
from soundaug.running.errors import StudyError, run_stage
from soundaug.running.foreign import reading
from soundaug.running.outputs import read_json, write_table

LADDER = Path("reports/ladder")
PUBLISHED = Path("presets/published.yaml")
COLUMNS = ["rung", "change", "epoch", "base", "aug", "delta", "delta_low", "delta_high"]
COLUMNS += ["best_epoch_delta", "best_epoch_delta_low", "best_epoch_delta_high"]
COLUMNS += ["explained", "explained_low", "explained_high"]
COLUMNS += ["label_agreement", "accuracy_score"]
COLUMNS += ["network", "clips", "folds", "seeds", "generated_per_class", "generator_steps"]
NO_FIGURE = ("data.root", "leakage.")  # the folder's place, and what the audit bears
PUBLISHED_BASE, PUBLISHED_AUG = 57.73, 62.77  # % (Y. Sharma, Studying Diffusion Model for Audio, 2023)


@dataclass(frozen=True)
class Rung:
    """A step from the published protocol to the rigorous one."""

    name: str
    change: str  # against the rung before
    experiment: str  # whose metrics it is read from
    best_epoch: bool  # the epoch is picked on the test clips
    params: tuple[str, ...]  # all that the experiment may change of that of the rung before


RUNGS = (
    Rung("published", "published protocol, stand-in", "published", True, ()),
    Rung("official", "random split -> official folds", "official", True, ("data.split", "folds")),
    Rung("last_epoch", "best epoch on test -> last epoch", "official", False, ()),
    Rung("log", "linear -> log mels", "log", False, ("features.scale",)),
    Rung("equal_steps", "equal epochs -> equal steps", "equal_steps", False, ("training.steps", "training.epochs")),
    Rung(
        "own_generator",
        "generator of music -> of the training folds",
        "own_generator",
        False,
        ("generator.corpus", "generator.condition"),
    ),
    Rung("matched", "mel decoded at twice its hop -> at its hop", "matched", False, ("invert.stretch",)),
    Rung("level", "level lost -> level kept", "level", False, ("invert.level_db",)),
    Rung("whole_clip", "first second -> whole clip", "whole_clip", False, ("features.clip_seconds",)),
    Rung(
        "study",
        "the study's front end, sampling, classifier, 100 clips a class",
        "study",
        False,
        ("features", "generate", "invert", "classifier", "training"),
    ),
)


class Estimate(NamedTuple):
    """Percentage points and the ends of their interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, found: Mapping[str, float]) -> "Estimate":
        """A difference in metrics.json."""
        return cls(*(100 * found[key] for key in ("mean", "ci_low", "ci_high")))

    def cells(self, name: str) -> dict[str, float]:
        """Three columns of the table."""
        values = zip((name, f"{name}_low", f"{name}_high"), self, strict=True)
        return {column: round(value, 3) + 0.0 for column, value in values}

    def __sub__(self, other: "Estimate") -> "Estimate":
        """Their difference; the interval of two independent estimates by MOVER (Zou & Donner 2008, equation 3)."""
        mean = self.mean - other.mean
        low = mean - math.hypot(self.mean - self.low, other.high - other.mean)
        high = mean + math.hypot(self.high - self.mean, other.mean - other.low)
        return Estimate(mean, low, high)


class Finished(NamedTuple):
    """What is kept of an experiment."""

    metrics: Mapping[str, Any]
    params: Params


def finished(folder: Path, rungs: Sequence[Rung] = RUNGS) -> dict[str, Finished]:
    """The experiments that are kept in ``folder``, by name; StudyError where one differs in more than its change."""
    found: dict[str, Finished] = {}
    for name in dict.fromkeys(rung.experiment for rung in rungs):
        if (folder / name / "metrics.json").is_file():
            path = folder / name / "metrics.json"
            metrics = read_json(path)
            with reading(path, "no metrics of a study", "what evaluate writes"):
                shown = [metrics["corpus"]["clips"], *(metrics[arm]["accuracy"]["mean"] for arm in ("base", "aug"))]
                shown += [metrics[arm]["best_epoch_on_test"]["accuracy"] for arm in ("base", "aug")]
                shown += [value for rung in rungs for value in gain_of(rung, metrics)]
                if not all(map(math.isfinite, shown)):
                    raise ValueError("a figure that is not finite")
            found[name] = Finished(metrics, load_params(folder / name / "params.yaml"))
    before: Rung | None = None
    changes: tuple[str, ...] = ()  # of all rungs after that one
    for rung in rungs:
        changes += rung.params
        if rung.experiment not in found:
            continue
        if before is not None:
            others = changed(found[before.experiment].params, found[rung.experiment].params)
            others = [name for name in others if not any(f"{name}.".startswith(f"{one}.") for one in changes)]
            if others:
                raise StudyError(
                    f"{folder / rung.experiment / 'params.yaml'}: found {', '.join(others)} other than of the rung "
                    f"{before.name}, wanted a change of {', '.join(changes)} alone (run both rungs again)"
                )
        before, changes = rung, ()
    return found


def changed(before: Params, after: Params) -> list[str]:
    """The dotted names of the parameters that differ, but for what changes no figure."""
    one, other = flat(before.model_dump()), flat(after.model_dump())
    return [name for name in one if one[name] != other[name] and not name.startswith(NO_FIGURE)]


def flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested values by their dotted names."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return found


def network(settings: Classifier, published: Classifier) -> str:
    """What a classifier is called in the table."""
    if settings == published:
        return "published"
    sizes = f"{'-'.join(map(str, settings.channels))}, {settings.kernel}x{settings.kernel}, pooled by {settings.pool}"
    return f"stand-in: {sizes}{', batch norm' if settings.batch_norm else ''}"


def gain_of(rung: Rung, metrics: Mapping[str, Any]) -> Estimate:
    """Aug minus base in percentage points, at the epoch that the rung reads."""
    delta = metrics["delta"]
    return Estimate.of((delta["best_epoch_on_test"] if rung.best_epoch else delta)["accuracy"])


def together(found: Mapping[str, Finished], rungs: Sequence[Rung] = RUNGS) -> Estimate | None:
    """Points that the changes after the first rung explain together: its gain less the last's; None without either."""
    first, last = rungs[0], rungs[-1]
    if first.experiment not in found or last.experiment not in found:
        return None
    return gain_of(first, found[first.experiment].metrics) - gain_of(last, found[last.experiment].metrics)


def rows(found: Mapping[str, Finished], published: Classifier, rungs: Sequence[Rung] = RUNGS) -> list[dict[str, Any]]:
    """The published figure and every rung that is finished: accuracies in percent, differences in points.

    ``label_agreement`` is the share of the generated clips that a classifier of the training folds takes for their own
    class, ``accuracy_score`` the share of the test clips that a classifier of the generated clips alone has right (one
    seed, last epoch); both hear the rung's own features. ``explained`` is what the gain of the rung before is more than
    that of this one, left out where that rung is not finished: over a whole ladder these sum up, with the last gain, to
    the published one.
    """
    gain = Estimate(*(3 * [PUBLISHED_AUG - PUBLISHED_BASE]))
    table: list[dict[str, Any]] = [{"rung": "as_published", "change": "as published", "epoch": "best on test"}]
    table[0] |= {"base": PUBLISHED_BASE, "aug": PUBLISHED_AUG, "delta": round(gain.mean, 2), "network": "published"}
    table[0] |= {"clips": 8732, "folds": 1, "seeds": 1, "generated_per_class": 100}
    before: Estimate | None = gain
    for rung in rungs:
        if rung.experiment not in found:
            before = None
            continue
        metrics, params = found[rung.experiment]
        best = Estimate.of(metrics["delta"]["best_epoch_on_test"]["accuracy"])
        gain = gain_of(rung, metrics)
        row: dict[str, Any] = {"rung": rung.name, "change": rung.change}
        row["epoch"] = "best on test" if rung.best_epoch else "last"
        for arm in ("base", "aug"):
            accuracy = metrics[arm]["best_epoch_on_test"] if rung.best_epoch else metrics[arm]["accuracy"]
            row[arm] = round(100 * accuracy["accuracy" if rung.best_epoch else "mean"], 2)
        row |= gain.cells("delta") | best.cells("best_epoch_delta")
        row |= (before - gain).cells("explained") if before is not None else {}
        row |= {
            **{name: metrics.get("generator", {}).get(name) for name in ("label_agreement", "accuracy_score")},
            "network": network(params.classifier, published),
            "clips": metrics["corpus"]["clips"],
            "folds": len(params.folds),
            "seeds": len(params.seeds),
            "generated_per_class": params.generate.per_class,
            "generator_steps": params.generator.steps,
        }
        table.append(row)
        before = gain
    return [{column: row.get(column) for column in COLUMNS} for row in table]


def check(lines: Iterable[str], wanted: Sequence[str]) -> list[str]:
    """The names of the rungs to run, all where none is ``wanted``; a line is a name and its settings.

    StudyError for a name that is no rung's, a parameter that is not in the schema or a value that it does not take, and
    for a rung to run that is kept with other settings or params, as by another preset.
    """
    asked: dict[str, tuple[list[str], Params]] = {}
    for line in lines:
        name, params = named_params("ladder", "rung", line)
        asked[name] = line.split()[1:], params
    names = wanted_names("ladder", "rung", list(asked), wanted)
    for name in names:
        _check_kept(LADDER / name, *asked[name])
    return names


def _check_kept(folder: Path, settings: Sequence[str], params: Params) -> None:
    if not folder.exists():
        return
    require_finished(folder, ("metrics.json", "settings.txt", "params.yaml"), "rung")
    require_same_settings(folder, settings, "rung")
    path = folder / "params.yaml"
    if others := changed(load_params(path), params):
        raise StudyError(f"{path}: found {', '.join(others)} other than the rung has now, wanted it moved away")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("check", help="rungs on stdin; prints those to run").add_argument("rungs", nargs="*")
    args = parser.parse_args()
    if args.command == "check":
        print("\n".join(check(sys.stdin, args.rungs)))
        return
    found = finished(LADDER)
    if not found:
        raise StudyError(f"{LADDER}: found no finished rung, wanted one or more (sh benchmarks/ladder.sh FOLDER)")
    table = rows(found, load_params(PUBLISHED).classifier)
    write_table(LADDER / "ladder.csv", table)
    plot_ladder(LADDER / "ladder.png", table)
    for row in table:
        gain, explained = row["delta"], row["explained"]
        print(f"{row['change']:60} {gain:+6.2f} points" + ("" if explained is None else f", explains {explained:+.2f}"))
    explained = together(found)
    if explained is not None:
        mean, low, high = explained
        print(f"from {RUNGS[0].name} to {RUNGS[-1].name} together: {mean:+.2f} points ({low:+.2f} to {high:+.2f})")


if __name__ == "__main__":
    run_stage(main)
