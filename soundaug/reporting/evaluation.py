"""From the runs of every arm to the figures of reports/metrics.json, and the tables for plots."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from soundaug.audit.checks import Clip, load_clips
from soundaug.folds.packed import class_list, folds_of
from soundaug.folds.partition import Partition
from soundaug.params import Params
from soundaug.running.errors import StudyError
from soundaug.running.outputs import read_json, read_rows
from soundaug.statistics import stats
from soundaug.statistics.proof import smallest_sign_flip_p
from soundaug.statistics.stats import Draws, Floats, FoldPredictions, Ints, Strings

Metrics = dict[str, Any]  # nested, the leaves are numbers
Row = dict[str, Any]

METRICS_SCHEMA = 1  # of reports/metrics.json; docs/metrics.md says what it stands for and when it grows
HISTORY_COLUMNS = ("step", "train_loss", "test_accuracy")


@dataclass(frozen=True)
class FoldRuns(FoldPredictions):
    """All runs on one held-out fold: predictions, and per arm a history (column to values) for every seed.

    ``at_best_epoch`` are predictions at each run's best epoch, which was picked on these clips.
    """

    fold: int
    clips: Strings
    at_best_epoch: Mapping[str, Ints]
    histories: Mapping[str, Sequence[Mapping[str, Floats]]]
    test_train_ratio: float  # test clips per real training clip


@dataclass(frozen=True)
class Study:
    """Everything that was run: arms (base first), classes by id, seeds, folds, excluded clips (name, reason)."""

    arms: Sequence[str]
    classes: Sequence[str]
    seeds: Sequence[int]
    folds: Sequence[FoldRuns]
    corpus: Sequence[Clip]
    excluded: Sequence[tuple[str, str]]

    def accuracy(self, arm: str) -> Floats:
        """Accuracy at the last epoch, [folds, seeds], 0..1."""
        return np.array([stats.accuracy(fold.class_id, fold.predicted[arm]) for fold in self.folds])

    def macro_f1(self, arm: str) -> Floats:
        """Macro-F1 at the last epoch, [folds, seeds], 0..1."""
        return np.array([stats.macro_f1(f.class_id, f.predicted[arm], len(self.classes)) for f in self.folds])

    def best_epoch_on_test(self, arm: str) -> Floats:
        """Test accuracy at each run's best epoch, [folds, seeds]: chosen on the test fold, hence too high."""
        return np.array([stats.accuracy(fold.class_id, fold.at_best_epoch[arm]) for fold in self.folds])

    def class_accuracy(self, arm: str) -> Floats:
        """Part of each class's test clips (all folds and seeds) predicted right, [classes]; nan: no clip of it."""
        table = self.confusion(arm)
        actual = table.sum(axis=1)
        shares = np.full(len(actual), np.nan)
        np.divide(np.diag(table), actual, out=shares, where=actual > 0)
        return shares

    def confusion(self, arm: str) -> Floats:
        """Counts of clips over all folds and seeds, [actual class, predicted class]."""
        n = len(self.classes)
        cells = [np.bincount((fold.class_id * n + fold.predicted[arm]).ravel(), minlength=n * n) for fold in self.folds]
        return np.asarray(np.sum(cells, axis=0).reshape(n, n), dtype=np.float64)


def load_study(data: Path, params: Params) -> Study:
    """Read every arm's runs under ``data``/runs, checked against each other and against the features.

    Raises StudyError that names the file: a missing run, clips that differ between arms, a class that is not there.
    """
    classes = class_list(data / "features")
    corpus = load_clips(data / "features")
    excluded_path = data / "features" / "excluded.csv"
    excluded = read_rows(excluded_path, ("name", "reason")) if excluded_path.is_file() else []
    return Study(
        arms=params.arms,
        classes=classes,
        seeds=params.seeds,
        folds=[_load_fold(data, params, fold, corpus, len(classes)) for fold in params.folds],
        corpus=corpus,
        excluded=[(row["name"], row["reason"]) for row in excluded],
    )


def compute_metrics(study: Study, params: Params, data: Path) -> Metrics:
    """The nested numbers of reports/metrics.json; accuracies and F1 in 0..1, what is undefined is left out."""
    settings = params.evaluate
    draws = stats.cluster_bootstrap(
        study.folds, len(study.classes), settings.bootstrap, np.random.default_rng(settings.seed)
    )
    metrics: Metrics = {"schema": METRICS_SCHEMA}
    for arm in study.arms:
        accuracy, f1 = study.accuracy(arm), study.macro_f1(arm)
        metrics[arm] = {
            "accuracy": _estimate(float(accuracy.mean()), draws[arm].accuracy, settings.confidence),
            "macro_f1": _estimate(float(f1.mean()), draws[arm].macro_f1, settings.confidence),
            "best_epoch_on_test": {"accuracy": _rounded(float(study.best_epoch_on_test(arm).mean()))},
        }
        if len(study.seeds) > 1:
            metrics[arm]["seed_std"] = _rounded(float(accuracy.mean(axis=0).std(ddof=1)))
    metrics["delta"] = {
        "accuracy": _compare(study, "aug", "base", draws, params),
        "macro_f1": _macro_f1_difference(study, "aug", "base", draws, params),
        "changed_predictions": _rounded(
            float(np.mean([(fold.predicted["aug"] != fold.predicted["base"]).mean() for fold in study.folds]))
        ),
    }
    metrics["delta"]["best_epoch_on_test"] = {"accuracy": _best_epoch_difference(study, params)}
    metrics["delta"]["accuracy"]["p_sign_flip_smallest"] = _significant(smallest_sign_flip_p(len(study.folds)))
    metrics["delta"]["accuracy"]["p_mcnemar"] = _significant(stats.mcnemar_test(study.folds, "aug", "base"))
    families: dict[str, dict[str, Metrics]] = {
        "delta": {arm: _compare(study, arm, "base", draws, params) for arm in params.controls},
        "over": {arm: _compare(study, "aug", arm, draws, params) for arm in params.controls},
    }
    for family in families.values():
        adjusted = stats.holm({arm: found["p_value"] for arm, found in family.items() if "p_value" in found})
        for arm, p in adjusted.items():
            family[arm]["p_holm"] = _significant(p)
    for arm in params.controls:
        metrics[arm]["delta"] = {
            "accuracy": families["delta"][arm],
            "macro_f1": _macro_f1_difference(study, arm, "base", draws, params),
        }
        if clips := _of_controls(data, params, arm):
            metrics[arm]["clips"] = clips
    if params.controls:
        metrics["over"] = {
            arm: {
                "accuracy": families["over"][arm],
                "macro_f1": _macro_f1_difference(study, "aug", arm, draws, params),
            }
            for arm in params.controls
        }
    metrics["corpus"] = {
        "clips": len(study.corpus),
        "recordings": len({clip.fs_id for clip in study.corpus}),
        "classes": len(study.classes),
        "excluded": len(study.excluded),
        "test_clips": len({clip for fold in study.folds for clip in fold.clips.tolist()}),
        "largest_class": _rounded(float(study.confusion("base").sum(axis=1).max() / study.confusion("base").sum())),
        "test_recordings": len({fs_id for fold in study.folds for fs_id in fold.fs_id.tolist()}),
    }
    for name, found in {"generator": _generator(data, params), "inversion": _inversion(data, params)}.items():
        if found:
            metrics[name] = found
    return metrics


def plot_tables(study: Study, metrics: Metrics) -> dict[str, list[Row]]:
    """The tables of reports/plots by name."""
    return {
        "accuracy": accuracy_table(study),
        "summary": summary_table(study, metrics),
        "confusion_base": confusion_table(study, "base"),
        "confusion_aug": confusion_table(study, "aug"),
        "per_class": class_table(study),
        "curves": curves_table(study),
    }


def accuracy_table(study: Study) -> list[Row]:
    """Every fold x seed value of every arm."""
    rows = []
    for arm in study.arms:
        accuracy, f1 = study.accuracy(arm), study.macro_f1(arm)
        for i, fold in enumerate(study.folds):
            for j, seed in enumerate(study.seeds):
                values = {"accuracy": _rounded(accuracy[i, j]), "macro_f1": _rounded(f1[i, j])}
                rows.append({"arm": arm, "fold": fold.fold, "seed": seed, **values})
    return rows


def summary_table(study: Study, metrics: Metrics) -> list[Row]:
    """One row an arm: accuracy with interval, difference to base with interval and p, macro-F1."""
    rows = []
    for arm in study.arms:
        accuracy = metrics[arm]["accuracy"]
        delta = (metrics if arm == "aug" else metrics[arm]).get("delta", {}).get("accuracy", {})
        row: Row = {"arm": arm, "accuracy": accuracy["mean"]}
        row |= {"accuracy_low": accuracy["ci_low"], "accuracy_high": accuracy["ci_high"]}
        row |= {"delta": delta.get("mean"), "delta_low": delta.get("ci_low"), "delta_high": delta.get("ci_high")}
        row |= {"p_value": delta.get("p_value"), "p_holm": delta.get("p_holm"), "p_sign_flip": delta.get("p_sign_flip")}
        rows.append(row | {"macro_f1": metrics[arm]["macro_f1"]["mean"]})
    return rows


def confusion_table(study: Study, arm: str) -> list[Row]:
    """Actual and predicted class of every test clip, for every seed."""
    return [
        {"actual": study.classes[actual], "predicted": study.classes[predicted]}
        for fold in study.folds
        for row in fold.predicted[arm]
        for actual, predicted in zip(fold.class_id, row, strict=True)
    ]


def class_table(study: Study) -> list[Row]:
    """Accuracy of every class in every arm, over all folds and seeds; a class without test clips is left out."""
    return [
        {"class": name, "arm": arm, "accuracy": _rounded(value)}
        for arm in study.arms
        for name, value in zip(study.classes, study.class_accuracy(arm), strict=True)
        if math.isfinite(value)
    ]


def curves(study: Study, arm: str, column: str) -> tuple[Floats, Floats]:
    """Training curves of an arm on one axis: steps [P] and ``column`` of every run [folds x seeds, P].

    Runs of different length (epochs over folds of different size) are read at the same parts of their training.
    """
    runs = [history for fold in study.folds for history in fold.histories[arm]]
    longest = max(runs, key=lambda history: len(history["step"]))
    if all(np.array_equal(history["step"], longest["step"]) for history in runs):
        return longest["step"], np.stack([history[column] for history in runs])
    progress = longest["step"] / longest["step"][-1]
    steps = progress * np.mean([history["step"][-1] for history in runs])
    values = [np.interp(progress, history["step"] / history["step"][-1], history[column]) for history in runs]
    return steps, np.stack(values)


def curves_table(study: Study) -> list[Row]:
    """Test accuracy and training loss against the step, mean over folds and seeds, per arm."""
    rows = []
    for arm in study.arms:
        steps, accuracy = curves(study, arm, "test_accuracy")
        _, loss = curves(study, arm, "train_loss")
        for step, *values in zip(steps, accuracy.mean(axis=0), loss.mean(axis=0), strict=True):
            shown = [_rounded(value) if math.isfinite(value) else None for value in values]
            rows.append({"step": round(float(step)), "arm": arm, "test_accuracy": shown[0], "train_loss": shown[1]})
    return rows


def _load_fold(data: Path, params: Params, fold: int, corpus: Sequence[Clip], n_classes: int) -> FoldRuns:
    held_out = Partition.load(data / "features").tested(fold, folds_of(data / "features"))
    tested = [clip for clip in corpus if clip.fold in held_out]
    predicted: dict[str, Ints] = {}
    at_best: dict[str, Ints] = {}
    histories: dict[str, list[Mapping[str, Floats]]] = {}
    ratios = []
    for arm in params.arms:
        rows, best_rows, histories[arm] = [], [], []
        for seed in params.seeds:
            run = data / "runs" / arm / f"fold{fold}" / f"seed{seed}"
            last, best = _read_predictions(run / "predictions.csv", tested, n_classes)
            rows.append(last)
            best_rows.append(best)
            history = _read_history(run / "history.csv")
            right = np.mean(rows[-1] == [clip.class_id for clip in tested])
            if not abs(history["test_accuracy"][-1] - right) <= 1e-4:  # an empty one is NaN
                raise StudyError(
                    f"{run / 'history.csv'}: found a last test_accuracy of {history['test_accuracy'][-1]:.6f}, "
                    f"wanted {right:.6f}, that of predictions.csv"
                )
            histories[arm].append(history)
            n_train = _count_of(run / "summary.json", "n_train")
            if arm == "base":
                ratios.append(len(tested) / n_train)
        predicted[arm], at_best[arm] = np.stack(rows), np.stack(best_rows)
    return FoldRuns(
        fs_id=np.array([clip.fs_id for clip in tested]),
        class_id=np.array([clip.class_id for clip in tested], dtype=np.int64),
        predicted=predicted,
        fold=fold,
        clips=np.array([clip.name for clip in tested]),
        at_best_epoch=at_best,
        histories=histories,
        test_train_ratio=float(np.mean(ratios)),
    )


def _read_predictions(path: Path, tested: Sequence[Clip], n_classes: int) -> tuple[Ints, Ints]:
    """Predicted class [N] of the fold's clips at the last and at the best epoch.

    They must be the features' clips in the same order.
    """
    guesses = ("predicted", "predicted_at_best_epoch")
    rows = read_rows(path, ("clip", "fs_id", "class_id", *guesses))
    if len(rows) != len(tested) or not rows:
        raise StudyError(f"{path}: found {len(rows)} clips, wanted the {len(tested)} of the feature file")
    for number, (row, clip) in enumerate(zip(rows, tested, strict=True), start=2):
        found, wanted = (row["clip"], row["fs_id"], row["class_id"]), (clip.name, clip.fs_id, str(clip.class_id))
        if found != wanted:
            raise StudyError(
                f"{path} line {number}: found clip, fs_id, class_id {', '.join(found)}, "
                f"wanted {', '.join(wanted)} as in the feature file"
            )
        for guess in guesses:
            if re.fullmatch("[0-9]{1,9}", row[guess]) is None or int(row[guess]) >= n_classes:
                raise StudyError(f"{path} line {number}: found {guess} {row[guess]!r}, wanted 0 to {n_classes - 1}")
    last, best = (np.array([int(row[guess]) for row in rows], dtype=np.int64) for guess in guesses)
    return last, best


def _read_history(path: Path) -> dict[str, Floats]:
    rows = read_rows(path, HISTORY_COLUMNS)
    if not rows:
        raise StudyError(f"{path}: found no rows, wanted one an evaluation")
    try:
        return {column: np.array([float(row[column] or "nan") for row in rows]) for column in HISTORY_COLUMNS}
    except ValueError as error:
        raise StudyError(f"{path}: found text ({error}), wanted numbers") from None


def _count_of(path: Path, key: str) -> int:
    summary = read_json(path)
    value = summary.get(key) if isinstance(summary, dict) else None
    if not isinstance(value, int) or value < 1:
        raise StudyError(f"{path}: found {key} {value!r}, wanted a number of clips")
    return value


def _compare(study: Study, arm: str, other: str, draws: Mapping[str, Draws], params: Params) -> Metrics:
    """Arm minus other: mean, interval, p of the corrected t-test (left out where undefined) and of the sign flips."""
    differences = stats.fold_differences(study.accuracy(arm), study.accuracy(other))
    found = _estimate(
        float(differences.mean()), draws[arm].accuracy - draws[other].accuracy, params.evaluate.confidence
    )
    p = stats.corrected_t_test(differences, float(np.mean([fold.test_train_ratio for fold in study.folds])))
    if p is not None:
        found["p_value"] = _significant(p)
    rng = np.random.default_rng(params.evaluate.seed)
    return found | {"p_sign_flip": _significant(stats.sign_flip_test(differences, rng))}


def _macro_f1_difference(study: Study, arm: str, other: str, draws: Mapping[str, Draws], params: Params) -> Metrics:
    """Arm minus other: mean and interval."""
    mean = float((study.macro_f1(arm) - study.macro_f1(other)).mean())
    return _estimate(mean, draws[arm].macro_f1 - draws[other].macro_f1, params.evaluate.confidence)


def _best_epoch_difference(study: Study, params: Params) -> Metrics:
    """Aug minus base at the epochs that suited the test clips best, with its interval, to compare with published."""
    settings = params.evaluate
    folds = [
        FoldPredictions(fold.fs_id, fold.class_id, {arm: fold.at_best_epoch[arm] for arm in ("base", "aug")})
        for fold in study.folds
    ]
    rng = np.random.default_rng(settings.seed)
    draws = stats.cluster_bootstrap(folds, len(study.classes), settings.bootstrap, rng)
    mean = float((study.best_epoch_on_test("aug") - study.best_epoch_on_test("base")).mean())
    return _estimate(mean, draws["aug"].accuracy - draws["base"].accuracy, settings.confidence)


def _estimate(mean: float, draws: Floats, confidence: float) -> Metrics:
    low, high = stats.percentile_interval(draws, confidence)
    return {"mean": _rounded(mean), "ci_low": _rounded(low), "ci_high": _rounded(high)}


def _rounded(value: float) -> float:
    return round(float(value), 6) + 0.0  # + 0.0: no negative zero


def _significant(p: float) -> float:
    return float(f"{p:.6g}")


def _scalars(paths: Sequence[Path]) -> Metrics:
    """Every finite number at the top of these JSON objects, averaged over the files that are there."""
    return _means([read_json(path) for path in paths if path.is_file()])


def _means(contents: Sequence[Any]) -> Metrics:
    """Every finite number at the top of these objects, averaged over those that have it."""
    values: dict[str, list[float]] = {}
    for content in contents:
        for key, value in content.items() if isinstance(content, dict) else ():
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                values.setdefault(key, []).append(float(value))
    return {key: _rounded(float(np.mean(found))) for key, found in sorted(values.items())}


def _generator(data: Path, params: Params) -> Metrics:
    found = _scalars([data / "models" / "generator" / f"fold{fold}" / "summary.json" for fold in params.folds])
    for name in ("summary.json", "quality.json"):
        found |= _scalars([data / "generated" / f"fold{fold}" / name for fold in params.folds])
    if "final_loss" in found:
        found["loss"] = found.pop("final_loss")
    pairs = [data / "generated" / f"fold{fold}" / "pairs.csv" for fold in params.folds]
    if all(path.is_file() for path in pairs):
        found["clips"] = _rounded(float(np.mean([len(read_rows(path, ("name",))) for path in pairs])))
    return found


def _of_controls(data: Path, params: Params, control: str) -> Metrics:
    """What `assess_controls` says of the control's clips, means over the folds."""
    paths = [data / "generated" / f"fold{fold}" / "controls.json" for fold in params.folds]
    contents = [read_json(path) for path in paths if path.is_file()]
    return _means([content.get(control) for content in contents if isinstance(content, dict)])


def _inversion(data: Path, params: Params) -> Metrics:
    return _scalars([data / "generated" / f"fold{fold}" / "inversion.json" for fold in params.folds])
