"""Leakage audit on the artefacts: nothing of a held-out fold may have reached what was trained for it."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from soundaug.folds.packed import fold_file, folds_of
from soundaug.folds.partition import Partition
from soundaug.folds.provenance import TRAIN_CLIPS
from soundaug.params import Params
from soundaug.running.errors import StudyError
from soundaug.running.foreign import reading
from soundaug.running.outputs import read_rows

GENERATOR = "generator"
PAIR_COLUMNS = ("name", "class_id", "parent_a", "parent_b", "fs_id_a", "fs_id_b", "fold_a", "fold_b", "others")


@dataclass(frozen=True)
class Clip:
    """A featurised clip: slice file name, source recording, class and fold."""

    name: str
    fs_id: str
    class_id: int
    fold: int


@dataclass(frozen=True)
class Finding:
    """One leak. ``inherent`` ones follow from a random split by clip and are reported, not refused."""

    fold: int
    message: str
    inherent: bool = False


@dataclass(frozen=True)
class Audit:
    """What was looked at and what was found; ``shared`` recordings are on both sides, summed over held-out folds."""

    folds: int
    test_clips: int
    shared_recordings: int
    pairs: int
    generator_clips: int
    models: int  # whose training clips were looked at
    findings: Sequence[Finding] = field(default_factory=tuple)

    @property
    def metrics(self) -> dict[str, int]:
        """The counts that go into metrics.json under ``audit``."""
        return {
            "folds": self.folds,
            "test_clips": self.test_clips,
            "shared_recordings": self.shared_recordings,
            "pairs": self.pairs,
            "generator_clips": self.generator_clips,
            "models": self.models,
            "findings": len(self.findings),
        }


def load_clips(features: Path) -> list[Clip]:
    """Every clip of data/features/fold<k>.npz in the files' order; raises StudyError where there is none."""
    clips: list[Clip] = []
    for fold in folds_of(features):
        path = fold_file(features, fold)
        with (
            reading(path, "no packed features", "what featurize writes"),
            np.load(path, allow_pickle=False) as arrays,  # the mels are not read
        ):
            columns = [arrays[name].tolist() for name in ("name", "fs_id", "class_id")]
            clips += [
                Clip(name, str(fs_id), int(class_id), fold) for name, fs_id, class_id in zip(*columns, strict=True)
            ]
    if not clips:
        raise StudyError(f"{features}: found no fold<k>.npz, wanted one a fold (dvc repro makes them)")
    return clips


def audit(data: Path, params: Params) -> Audit:
    """Look for leaks under ``data`` (features/, generated/, models/, runs/), for every held-out fold.

    Every model names the clips it was fitted on, weights, normalisation and embeddings: none may be of the test fold.

    Raises StudyError naming the first leak. With ``data.split: random`` recordings on both sides are the split's own
    doing: those are counted in the result instead, anything beyond them is still an error.
    """
    clips = load_clips(data / "features")
    by_name = {clip.name: clip for clip in clips}
    findings = [
        Finding(by_name[name].fold, f"clip {name} is {count} times among the features, wanted once")
        for name, count in Counter(clip.name for clip in clips).items()
        if count > 1
    ]
    folds, partition = folds_of(data / "features"), Partition.load(data / "features")
    unlabelled = {clip.name for clip in clips if (clip.fold, clip.class_id, clip.fs_id) in partition.withheld}
    shared = pairs = generator_clips = test_clips = models = 0
    for fold in params.folds:
        held_out = set(partition.tested(fold, folds))
        tested = {clip.fs_id for clip in clips if clip.fold in held_out}
        if not tested:
            raise StudyError(f"params.yaml: folds: found {fold}, wanted one of {sorted({clip.fold for clip in clips})}")
        test_clips += sum(clip.fold in held_out for clip in clips)
        both = sorted(tested & {clip.fs_id for clip in clips if clip.fold not in held_out})
        shared += len(both)
        findings += [Finding(fold, f"recording {fs_id} is in it and in a training fold", True) for fs_id in both]
        path = data / "generated" / f"fold{fold}" / "pairs.csv"
        if path.is_file() or params.generate.per_class > 0:
            rows = read_rows(path, PAIR_COLUMNS)
            pairs += len(rows)
            parents = [_parents(row, path) for row in rows]
            findings += _pair_findings(rows, parents, fold, held_out, tested, by_name, params)
            findings += [
                Finding(fold, f"parent {parent[0]} of {row['name']} is withheld, its label may not be used")
                for row, of_row in zip(rows, parents, strict=True)
                for parent in of_row
                if parent[0] in unlabelled
            ]
        for what, path in _fitted(data, fold, params):
            rows = read_rows(path, ("name", "fs_id", "fold") if what == GENERATOR else ("name", "fs_id"))
            models += 1
            generator_clips += len(rows) if what == GENERATOR else 0
            findings += _training_findings(what, rows, fold, held_out, tested, by_name)
            if not (what == GENERATOR and params.generator.unlabelled):
                findings += [
                    Finding(fold, f"the {what} was trained on {row['name']}, which is withheld")
                    for row in rows
                    if row["name"] in unlabelled
                ]
    result = Audit(
        folds=len(params.folds),
        test_clips=test_clips,
        shared_recordings=shared,
        pairs=pairs,
        generator_clips=generator_clips,
        models=models,
        findings=tuple(findings),
    )
    for finding in findings:
        if not (finding.inherent and params.data.split == "random"):
            raise StudyError(f"leak, held-out fold {finding.fold}: {finding.message}")
    return result


def _parents(row: dict[str, str], path: Path) -> list[tuple[str, str, str]]:
    """Name, recording and fold of every parent that a row of pairs.csv names: two, and as many as ``others`` holds."""
    try:
        others = [(str(name), str(fs_id), str(fold)) for name, fs_id, fold in json.loads(row["others"])]
    except (ValueError, TypeError, RecursionError):
        raise StudyError(
            f"{path}: {row['name']}: found others {row['others']!r}, wanted a JSON list of [name, fs_id, fold]"
        ) from None
    return [(row[f"parent_{side}"], row[f"fs_id_{side}"], row[f"fold_{side}"]) for side in "ab"] + others


def _pair_findings(
    rows: list[dict[str, str]],
    parents: list[list[tuple[str, str, str]]],
    fold: int,
    held_out: set[int],
    tested: set[str],
    by_name: dict[str, Clip],
    params: Params,
) -> list[Finding]:
    findings = []
    for row, (first, *more) in zip(rows, parents, strict=True):
        generated = row["name"]
        for name, fs_id, noted_fold in (first, *more):
            parent = by_name.get(name)
            if parent is None:
                findings.append(Finding(fold, f"parent {name} of {generated} is not among the features"))
                continue
            if (fs_id, noted_fold) != (parent.fs_id, str(parent.fold)):
                findings.append(
                    Finding(
                        fold,
                        f"parent {name} of {generated} is noted as recording {fs_id}, fold {noted_fold}, "
                        f"wanted recording {parent.fs_id}, fold {parent.fold}",
                    )
                )
            if parent.fold in held_out:
                findings.append(Finding(fold, f"parent {name} of {generated} is one of its test clips"))
            elif parent.fs_id in tested:
                findings.append(Finding(fold, f"parent {name} of {generated} is of a tested recording", True))
            if str(parent.class_id) != row["class_id"]:
                findings.append(
                    Finding(
                        fold,
                        f"parent {name} of {generated} is of class {parent.class_id}, wanted {row['class_id']}",
                    )
                )
        if params.generate.single_recording == "error":
            findings += [
                Finding(fold, f"parents {first[0]} and {name} of {generated} are of recording {fs_id}")
                for name, fs_id, _ in more
                if fs_id == first[1]
            ]
    return findings


def _fitted(data: Path, fold: int, params: Params) -> Iterator[tuple[str, Path]]:
    """What was trained for a held-out fold, and the table of the clips it was fitted on."""
    needed = {
        GENERATOR: params.generate.per_class > 0,
        "selector": params.generate.candidates > 1,
        "encoder": params.generator.condition == "sound",
    }
    for model, wanted in needed.items():
        path = data / "models" / model / f"fold{fold}" / TRAIN_CLIPS
        if wanted or path.is_file():
            yield model, path
    for arm in params.arms:
        for seed in params.seeds:
            path = data / "runs" / arm / f"fold{fold}" / f"seed{seed}" / TRAIN_CLIPS
            yield f"classifier of {arm}, seed {seed},", path


def _training_findings(
    what: str, rows: list[dict[str, str]], fold: int, held_out: set[int], tested: set[str], by_name: dict[str, Clip]
) -> list[Finding]:
    findings = []
    for row in rows:
        clip = by_name.get(row["name"])
        if clip is None:
            findings.append(Finding(fold, f"the training clip {row['name']} of the {what} is not among the features"))
        elif clip.fold in held_out or row.get("fold") in {str(one) for one in held_out}:
            findings.append(Finding(fold, f"the {what} was trained on its test clip {row['name']}"))
        elif clip.fs_id in tested or row["fs_id"] in tested:
            findings.append(Finding(fold, f"the {what} was trained on {row['name']} of a tested recording", True))
    return findings
