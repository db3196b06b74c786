"""Leakage audit on the artefacts: nothing of a held-out fold may have reached what was trained for it."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from soundaug.audit.completeness import incomplete_table, mismatched_clips, unaccounted_extra
from soundaug.folds.packed import fold_file, folds_of
from soundaug.folds.partition import Partition
from soundaug.folds.provenance import COLUMNS, EXTRA_CLIPS, TRAIN_CLIPS
from soundaug.params import Params
from soundaug.running.errors import StudyError
from soundaug.running.foreign import reading
from soundaug.running.outputs import read_json, read_rows

GENERATOR, SELECTOR, ENCODER = "generator", "selector", "encoder"
MUSIC = "data/music"  # a generator's corpus that has none of the study's clips
PAIR_COLUMNS = ("name", "class_id", "parent_a", "parent_b", "fs_id_a", "fs_id_b", "fold_a", "fold_b", "others")


@dataclass(frozen=True)
class Clip:
    """A featurised clip: slice file name, source recording, class and fold."""

    name: str
    fs_id: str
    class_id: int
    fold: int


@dataclass(frozen=True)
class Sides:
    """A held-out ``fold``: folds and recordings that are tested; names of the clips that train with their labels, and
    of those withheld, in any fold; every clip by name."""

    fold: int
    held_out: set[int]
    tested: set[str]
    labelled: set[str]
    withheld: set[str]
    by_name: Mapping[str, Clip]

    def unlabelled(self) -> set[str]:
        """Names of the withheld clips of the training side."""
        return {name for name in self.withheld if self.by_name[name].fold not in self.held_out}


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

    Every model names the clips it was fitted on, weights, normalisation and embeddings: none may be of the test fold,
    and none of those that train may be left out. Clips added to the real ones are those whose parents are told, or
    withheld ones of the training side.

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
    shared = pairs = generator_clips = test_clips = models = 0
    for sides in _all_sides(data, by_name, params):
        test_clips += sum(clip.fold in sides.held_out for clip in clips)
        both = sorted(sides.tested & {clip.fs_id for clip in clips if clip.fold not in sides.held_out})
        shared += len(both)
        findings += [Finding(sides.fold, f"recording {one} is in it and in a training fold", True) for one in both]
        told = _told_pairs(data, sides.fold, params)
        pairs += len(told)
        findings += _generated_findings(data, told, sides, params)
        for what, path in _fitted(data, sides.fold, params):
            rows = read_rows(path, (*COLUMNS, "fold") if what == GENERATOR else COLUMNS)
            models += 1
            generator_clips += len(rows) if what == GENERATOR else 0
            findings += _training_findings(what, rows, sides, params)
        findings += _extra_findings(data, told, sides, params)
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


def _all_sides(data: Path, by_name: Mapping[str, Clip], params: Params) -> Iterator[Sides]:
    clips = by_name.values()
    folds, partition = folds_of(data / "features"), Partition.load(data / "features")
    withheld = {clip.name for clip in clips if (clip.fold, clip.class_id, clip.fs_id) in partition.withheld}
    for fold in params.folds:
        held_out, trained = set(partition.tested(fold, folds)), set(partition.trained(fold, folds))
        tested = {clip.fs_id for clip in clips if clip.fold in held_out}
        if not tested:
            raise StudyError(f"params.yaml: folds: found {fold}, wanted one of {sorted({clip.fold for clip in clips})}")
        training = {clip.name for clip in clips if clip.fold in trained}
        yield Sides(fold, held_out, tested, training - withheld, withheld, by_name)


def _told_pairs(data: Path, fold: int, params: Params) -> list[dict[str, str]]:
    path = data / "generated" / f"fold{fold}" / "pairs.csv"
    return read_rows(path, PAIR_COLUMNS) if path.is_file() or params.generate.per_class > 0 else []


def _generated_findings(data: Path, rows: list[dict[str, str]], sides: Sides, params: Params) -> list[Finding]:
    """Parents that may not be, and generated clips whose parents are not told."""
    folder = data / "generated" / f"fold{sides.fold}"
    parents = [_parents(row, folder / "pairs.csv") for row in rows]
    findings = _pair_findings(rows, parents, sides, params)
    findings += [
        Finding(sides.fold, f"parent {parent[0]} of {row['name']} is withheld, its label may not be used")
        for row, of_row in zip(rows, parents, strict=True)
        for parent in of_row
        if parent[0] in sides.withheld
    ]
    if not rows and params.generate.per_class > 0:
        findings.append(Finding(sides.fold, f"{folder}/pairs.csv tells no parents, wanted those of every clip made"))
    return findings + [Finding(sides.fold, message) for message in mismatched_clips(folder, rows)]


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
    rows: list[dict[str, str]], parents: list[list[tuple[str, str, str]]], sides: Sides, params: Params
) -> list[Finding]:
    findings = []
    for row, (first, *more) in zip(rows, parents, strict=True):
        generated = row["name"]
        for name, fs_id, noted_fold in (first, *more):
            parent = sides.by_name.get(name)
            if parent is None:
                findings.append(Finding(sides.fold, f"parent {name} of {generated} is not among the features"))
                continue
            if (fs_id, noted_fold) != (parent.fs_id, str(parent.fold)):
                findings.append(
                    Finding(
                        sides.fold,
                        f"parent {name} of {generated} is noted as recording {fs_id}, fold {noted_fold}, "
                        f"wanted recording {parent.fs_id}, fold {parent.fold}",
                    )
                )
            if parent.fold in sides.held_out:
                findings.append(Finding(sides.fold, f"parent {name} of {generated} is one of its test clips"))
            elif parent.fs_id in sides.tested:
                findings.append(Finding(sides.fold, f"parent {name} of {generated} is of a tested recording", True))
            if str(parent.class_id) != row["class_id"]:
                findings.append(
                    Finding(
                        sides.fold,
                        f"parent {name} of {generated} is of class {parent.class_id}, wanted {row['class_id']}",
                    )
                )
        if params.generate.single_recording == "error":
            findings += [
                Finding(sides.fold, f"parents {first[0]} and {name} of {generated} are of recording {fs_id}")
                for name, fs_id, _ in more
                if fs_id == first[1]
            ]
    return findings


def _fitted(data: Path, fold: int, params: Params) -> Iterator[tuple[str, Path]]:
    """What was trained for a held-out fold, and the table of the clips it was fitted on."""
    needed = [*helpers_of(params), *([GENERATOR] if params.generate.per_class > 0 else [])]
    for model in (GENERATOR, SELECTOR, ENCODER):
        path = data / "models" / model / f"fold{fold}" / TRAIN_CLIPS
        if model in needed or path.is_file():
            yield model, path
    for arm, seed, run in runs_of(data, fold, params):
        yield classifier_of(arm, seed), run / TRAIN_CLIPS


def helpers_of(params: Params) -> list[str]:
    """The classifiers that help to make clips, by the name of their folder under models/."""
    needed = {SELECTOR: params.generate.candidates > 1, ENCODER: params.generator.condition == "sound"}
    return [model for model, wanted in needed.items() if wanted]


def runs_of(data: Path, fold: int, params: Params) -> Iterator[tuple[str, int, Path]]:
    """Arm, seed and folder of everything that was run on a held-out fold."""
    for arm in params.arms:
        for seed in params.seeds:
            yield arm, seed, data / "runs" / arm / f"fold{fold}" / f"seed{seed}"


def classifier_of(arm: str, seed: int) -> str:
    """What messages call the classifier of a run, up to the comma that ends it."""
    return f"classifier of {arm}, seed {seed},"


def _training_findings(what: str, rows: list[dict[str, str]], sides: Sides, params: Params) -> list[Finding]:
    """Clips that a model may not have been fitted on, and those that its table leaves out."""
    hears_all = what == GENERATOR and params.generator.unlabelled
    findings = []
    for row in rows:
        name, clip = row["name"], sides.by_name.get(row["name"])
        if clip is None:
            findings.append(Finding(sides.fold, f"the training clip {name} of the {what} is not among the features"))
        elif clip.fold in sides.held_out or row.get("fold") in {str(one) for one in sides.held_out}:
            findings.append(Finding(sides.fold, f"the {what} was trained on its test clip {name}"))
        elif clip.fs_id in sides.tested or row["fs_id"] in sides.tested:
            findings.append(Finding(sides.fold, f"the {what} was trained on {name} of a tested recording", True))
        if name in sides.withheld and not hears_all:
            findings.append(Finding(sides.fold, f"the {what} was trained on {name}, which is withheld"))
    if what == GENERATOR and params.generator.corpus == MUSIC:
        return findings
    wanted = sides.labelled | sides.unlabelled() if hears_all else sides.labelled
    return findings + [Finding(sides.fold, message) for message in incomplete_table(what, rows, wanted)]


def _extra_findings(data: Path, pairs: list[dict[str, str]], sides: Sides, params: Params) -> Iterator[Finding]:
    """Clips added to the real ones that are neither made of told parents nor withheld ones of the training side."""
    given = {(row["name"], row["fs_id_a"]) for row in pairs}
    given |= {(name, sides.by_name[name].fs_id) for name in sides.unlabelled()}
    for arm, seed, run in runs_of(data, sides.fold, params):
        summary = read_json(run / "summary.json")
        n_extra = summary.get("n_extra") if isinstance(summary, dict) else None
        rows = read_rows(run / EXTRA_CLIPS, COLUMNS)
        for message in unaccounted_extra(classifier_of(arm, seed), rows, n_extra, given):
            yield Finding(sides.fold, message)
