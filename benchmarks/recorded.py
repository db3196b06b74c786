"""The recorded gain of aug over base with an interval of today's `evaluate`: `python -m benchmarks.recorded FOLDER`.

A recorded run keeps the class that base and aug predicted for every test clip (plots/confusion_base.csv and
confusion_aug.csv: fold by fold, seed by seed, clips as in FOLDER's metadata/UrbanSound8K.csv). With the recordings of
that table they tell what `evaluate` would draw from them now, without a model being trained again.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from soundaug.params import Evaluate, load_params
from soundaug.running.errors import StudyError, run_stage
from soundaug.running.outputs import read_rows
from soundaug.sources.corpus import Clip, class_names, read_clips
from soundaug.statistics import stats
from soundaug.statistics.stats import FoldPredictions, Ints

RUN = Path("reports/recorded/real-folds")
ARMS = ("base", "aug")


def predictions(run: Path, folds: Sequence[int], seeds: Sequence[int], clips: Sequence[Clip]) -> list[FoldPredictions]:
    """What ``run`` recorded of base and aug, a fold each: class ids [seeds, clips of the fold].

    StudyError where a table has other clips than ``clips``, or an accuracy is not the one in plots/accuracy.csv.
    """
    tested = {fold: [clip for clip in clips if clip.fold == fold] for fold in folds}
    arms = {arm: _predicted(run, arm, tested, seeds, class_names(clips)) for arm in ARMS}
    return [
        FoldPredictions(
            fs_id=np.array([clip.fs_id for clip in tested[fold]]),
            class_id=np.array([clip.class_id for clip in tested[fold]]),
            predicted={arm: arms[arm][fold] for arm in ARMS},
        )
        for fold in folds
    ]


def _predicted(
    run: Path, arm: str, tested: Mapping[int, Sequence[Clip]], seeds: Sequence[int], classes: Sequence[str]
) -> dict[int, Ints]:
    """Class ids [seeds, clips] that an arm predicted on every fold, checked against clips and recorded accuracies."""
    path = run / f"plots/confusion_{arm}.csv"
    rows = read_rows(path, ("actual", "predicted"))
    wanted = len(seeds) * sum(map(len, tested.values()))
    if len(rows) != wanted:
        raise StudyError(f"{path}: found {len(rows)} rows, wanted {wanted}, one a seed and test clip of the folder")
    scores = read_rows(run / "plots/accuracy.csv", ("arm", "fold", "seed", "accuracy"))
    recorded = {(row["fold"], row["seed"]): float(row["accuracy"]) for row in scores if row["arm"] == arm}
    found: dict[int, list[list[int]]] = {fold: [] for fold in tested}
    start = 0
    for fold, clips in tested.items():
        for seed in seeds:
            of_run = rows[start : start + len(clips)]
            start += len(clips)
            if [row["actual"] for row in of_run] != [clip.class_name for clip in clips]:
                raise StudyError(f"{path}: found other clips of fold {fold}, seed {seed}, wanted the folder's")
            accuracy = sum(row["actual"] == row["predicted"] for row in of_run) / len(of_run)
            score = recorded.get((str(fold), str(seed)))
            if score is None or abs(accuracy - score) > 1e-6:
                wrong = f"accuracy {accuracy:.6f} of fold {fold}, seed {seed}"
                raise StudyError(f"{path}: found {wrong}, wanted {score or 'none'}, as in plots/accuracy.csv")
            found[fold].append([classes.index(row["predicted"]) for row in of_run])
    return {fold: np.array(predicted) for fold, predicted in found.items()}


def gain(folds: Sequence[FoldPredictions], n_classes: int, settings: Evaluate) -> tuple[float, float, float]:
    """Aug minus base, mean fold accuracy in 0..1, and both ends of its interval."""
    rng = np.random.default_rng(settings.seed)
    draws = stats.cluster_bootstrap(folds, n_classes, settings.bootstrap, rng)
    score = {
        arm: np.mean([stats.accuracy(fold.class_id, fold.predicted[arm]).mean() for fold in folds]) for arm in ARMS
    }
    interval = stats.percentile_interval(draws["aug"].accuracy - draws["base"].accuracy, settings.confidence)
    return float(score["aug"] - score["base"]), *interval


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the data of the run, in UrbanSound8K's layout")
    parser.add_argument("--run", type=Path, default=RUN, help="the folder of the recorded run")
    arguments = parser.parse_args()
    params = load_params(arguments.run / "params.yaml")
    clips = read_clips(arguments.folder / "metadata/UrbanSound8K.csv")
    folds = predictions(arguments.run, params.folds, params.seeds, clips)
    mean, low, high = (100 * value for value in gain(folds, len(class_names(clips)), params.evaluate))
    print(f"aug minus base {mean:+.1f} points ({low:+.1f} to {high:+.1f})")


if __name__ == "__main__":
    run_stage(main)
