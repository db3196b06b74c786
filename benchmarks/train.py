"""Training of the base classifier from sound files, against a plain PyTorch loop that decodes each clip each epoch.

Run `dvc repro` first: the clips are those of the pipeline's data/raw, the first fold is held out. The study's time
holds the decoding of all clips once, although arms, folds and seeds share it. Network, recipe and steps are the same.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median, stdev
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.comparison import Comparison
from benchmarks.measure import flop, matmul_peak, product_dtype
from benchmarks.plain import ClipFiles, train_plainly
from soundaug.classification.batches import n_steps
from soundaug.classification.classifier import build_classifier
from soundaug.classification.training import train_classifier
from soundaug.folds.packed import ClipSet
from soundaug.params import Params, load_params
from soundaug.running.device import choose_device
from soundaug.running.errors import run_stage
from soundaug.running.outputs import write_csv
from soundaug.sound.audio import ClipProblem
from soundaug.sound.features import MelFrontEnd, mels_of_files
from soundaug.sources.corpus import TABLE, Clip, audio_path, class_names, random_split, read_clips
from soundaug.statistics.minimums import require_enough

RAW = Path("data/raw")
REPORTS = Path("reports/benchmarks")
PLAIN = "plain loop"


class Run(NamedTuple):
    """One training: seconds in all, of which features, and accuracy on the fold held out, 0..1."""

    seconds: float
    features: float
    accuracy: float


class Task(NamedTuple):
    """Clips to train on and to test on, with their files."""

    params: Params
    classes: list[str]
    train: list[Clip]
    test: list[Clip]

    @classmethod
    def load(cls, params: Params) -> "Task":
        """The base arm of the first fold; StudyError before `dvc repro`."""
        clips = read_clips(RAW / TABLE)
        if params.data.split == "random":
            clips = random_split(clips, params.data.n_folds, params.seed)
        require_enough(clips, params)
        sides = [[clip for clip in clips if (clip.fold == params.folds[0]) == held_out] for held_out in (False, True)]
        return cls(params, class_names(clips), *sides)

    def paths(self, clips: list[Clip]) -> list[Path]:
        """The files of ``clips``."""
        return [audio_path(clip, RAW, Path(self.params.data.root)) for clip in clips]

    def packed(self, clips: list[Clip]) -> ClipSet:
        """Their features, decoded now; a clip with a problem that data.skip names is left out."""

        def leave_out(index: int, problem: ClipProblem) -> None:
            if problem.kind not in self.params.data.skip:
                raise problem

        mels, kept = mels_of_files(self.paths(clips), MelFrontEnd(self.params.features), leave_out, "features")
        left = [clips[index] for index in kept]
        return ClipSet.pack(mels, [c.class_id for c in left], [c.fs_id for c in left], [c.name for c in left])

    def by_study(self, seed: int) -> Run:
        """As the stages featurize and train_base."""
        start = perf_counter()
        train, test = self.packed(self.train), self.packed(self.test)
        featured = perf_counter()
        trained = train_classifier(
            train,
            None,
            test,
            len(self.classes),
            self.params.features,
            self.params.training,
            self.params.classifier,
            seed,
            f"study, seed {seed}",
        )
        accuracy = float((trained.probabilities.argmax(axis=1) == test.class_id).mean())
        return Run(perf_counter() - start, featured - start, accuracy)

    def plainly(self, seed: int, processes: int, known: ClipSet, names: set[str]) -> Run:
        """By the plain loop; the normalisation of the clips ``known`` is given, as are those that can be read."""
        params = self.params
        mel = torch.from_numpy(known.mel)
        model = build_classifier(params.classifier, params.features, len(self.classes), mel, seed)
        train, test = ([clip for clip in clips if clip.name in names] for clips in (self.train, self.test))
        files, test_files = (
            ClipFiles(self.paths(clips), [clip.class_id for clip in clips], params.features) for clips in (train, test)
        )
        start = perf_counter()
        accuracy = train_plainly(model, files, test_files, params.training, seed, processes)
        return Run(perf_counter() - start, 0.0, accuracy)

    def at_peak(self) -> float:
        """Seconds that the products of one training take at the machine's peak, forward and twice as much back."""
        params, device = self.params, choose_device()
        shape = (params.training.batch_size, params.features.n_mels, params.features.n_frames)
        mel = torch.from_numpy(np.random.default_rng(0).normal(size=shape).astype(np.float32))
        model = build_classifier(params.classifier, params.features, len(self.classes), mel, 0).eval()
        with torch.no_grad():
            operations = 3 * flop(lambda: model(mel)) * n_steps(params.training, len(self.train))
        return operations / matmul_peak(product_dtype(device, params.training.precision), device)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each side, of which the median time counts")
    args = parser.parse_args()
    params = load_params()
    task = Task.load(params)
    known, test = task.packed(task.train), task.packed(task.test)
    names = {str(name) for name in [*known.name, *test.name]}
    cores = os.cpu_count() or 1
    sides: dict[str, Callable[[int], Run]] = {
        PLAIN: lambda seed: task.plainly(seed, 0, known, names),
        f"{PLAIN}, {cores} processes decode": lambda seed: task.plainly(seed, cores, known, names),
        "study": task.by_study,
    }
    runs: dict[str, list[Run]] = {name: [] for name in sides}
    for seed in range(args.seeds):
        for name, train in sides.items():
            runs[name].append(train(seed))
            print(f"{name}, seed {seed}: {runs[name][-1].seconds:.1f} s, {runs[name][-1].accuracy:.1%}", flush=True)
    seconds = {name: median(run.seconds for run in found) for name, found in runs.items()}
    rows = []
    for name, found in runs.items():
        accuracies = [run.accuracy for run in found]
        spread = stdev(accuracies) if len(accuracies) > 1 else ""
        features = median(run.features for run in found)
        rows.append((name, seconds[name], features, seconds[PLAIN] / seconds[name], fmean(accuracies), spread))
    columns = ["side", "seconds", "of_them_features", "ratio", "accuracy", "accuracy_deviation"]
    write_csv(REPORTS / f"train_{params.data.source}.csv", columns, rows)
    for name, taken, _, ratio, accuracy, spread in rows:
        shown = f" (deviation over seeds {spread:.1%})" if spread != "" else ""
        print(f"{name}: {taken:.1f} s, ratio {ratio:.1f}, accuracy {accuracy:.1%}{shown}")
    work = f"training a classifier, {n_steps(params.training, len(known))} steps"
    Comparison("train", work, PLAIN, seconds[PLAIN], seconds["study"], task.at_peak(), "matrix products").tell()


if __name__ == "__main__":
    run_stage(main)
