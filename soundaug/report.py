"""reports/report.md: the verdict, the tables, how the figures came about and how to repeat them; the run's machine."""

import html
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import yaml

from soundaug import stats
from soundaug.audit import Audit
from soundaug.evaluation import (
    Metrics,
    Study,
    accuracy_table,
    best_control,
    p_text,
    points,
    verdict,
)
from soundaug.generator_report import faults, goals
from soundaug.params import Params

PACKAGES = ("torch", "torchaudio", "diffusers", "librosa", "numpy", "scipy", "scikit-learn", "soundfile", "dvc")

ARMS = {
    "base": "the real training clips alone",
    "aug": "and the clips made by diffusion",
    "duplicate": "and as many copies of the same parents",
    "waveform": "shift, pitch, gain and noise on the waveform",
    "specaugment": "masked bands of time and frequency",
    "mixup": "and the mixtures of the same pairs",
    "resynthesis": "and the same parents through mel and phase reconstruction alone",
}
FIGURES = {  # file name: alt text
    "accuracy.png": "Accuracy per arm with its interval and the accuracy of every fold",
    "differences.png": "Difference to base of every fold and seed, per arm",
    "confusion.png": "Confusion matrices of base and aug and their difference",
    "per_class.png": "Accuracy of every class in base, aug and the best control",
    "curves.png": "Test accuracy and training loss against the optimiser step",
    "spectrograms.png": "Spectrograms of generated clips beside their parents and a real test clip",
    "closest.png": "Spectrograms of the generated clips nearest to a training clip, beside it",
    "generator.png": "Training and validation loss of the generators against the optimiser step",
}


def escape(text: str) -> str:
    """Text from outside as it reads: nothing in it acts as Markdown or HTML, nor ends a table's cell or line."""
    one_line = " ".join(text.split())
    return re.sub(r"([\\`*_\[\]()#!|~$:@])", r"\\\1", html.escape(one_line, quote=False))


def render(study: Study, metrics: Metrics, audit: Audit, params: Params, figures: Iterable[str]) -> str:
    """The report as Markdown; ``figures`` are the names of those that were drawn into figures/ beside it."""
    drawn = set(figures)

    def picture(name: str) -> str:
        return f"![{FIGURES[name]}](figures/{name})\n" if name in drawn else ""

    parts = [
        "# Does audio made by a diffusion model improve a sound classifier?",
        f"**{verdict(metrics, params)}**",
        picture("accuracy.png"),
        "## Arms",
        "Primary figure: mean over the held-out folds of the accuracy at the last epoch, seeds averaged within a fold. "
        + ("Every arm takes the same number of optimiser steps." if params.training.steps else _EPOCHS),
        _arms(study, metrics, params),
        (
            "p: corrected resampled t-test over folds. Holm p: the same, adjusted for the number of controls; `aug` is "
            "the one comparison stated in advance and is not adjusted."
        ),
        *(["## Diffusion against each control", _over(metrics, params)] if params.controls else []),
        picture("differences.png"),
        "## Every fold and seed",
        _values(study),
        "## Classes",
        _classes(study, metrics, params),
        picture("per_class.png"),
        picture("confusion.png"),
        "## Training",
        picture("curves.png"),
        "## Generated clips",
        _generated(metrics, params),
        picture("spectrograms.png"),
        picture("closest.png"),
        picture("generator.png"),
        "## Statistics",
        _statistics(metrics, params),
        "## Corpus",
        _corpus(study),
        "## Leakage audit",
        _audit(audit, params),
        "## How to repeat",
        (
            "`dvc repro` with these parameters in params.yaml; packages and machine are in "
            "[environment.json](environment.json), all numbers in [metrics.json](metrics.json)."
        ),
        f"```yaml\n{yaml.safe_dump(params.model_dump(), sort_keys=False, allow_unicode=True)}```",
    ]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def summary(metrics: Metrics, params: Params) -> str:
    """A table for the terminal: accuracy of every arm and its difference to base, with intervals; then the verdict."""
    rows = [("arm", "accuracy %", "interval", "minus base", "interval", "p")]
    for arm in params.arms:
        found, delta = metrics[arm]["accuracy"], _delta(metrics, arm)
        interval = f"{100 * found['ci_low']:.1f} to {100 * found['ci_high']:.1f}"
        row = (arm, f"{100 * found['mean']:.1f}", interval)
        rows.append((*row, "", "", "") if delta is None else (*row, points(delta["mean"]), _range(delta), _p(delta)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "", verdict(metrics, params)])


def environment() -> dict[str, object]:
    """Versions of Python and the main packages (none is imported), platform, processor, device and cores."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "python": platform.python_version(),
        "packages": versions,
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "device": _device(),
        "cores": os.cpu_count(),
    }


_EPOCHS = (
    "Every arm is trained for the same number of epochs, so arms with extra clips take more optimiser steps: "
    "part of a difference may be longer training."
)


_GENERATED = (
    "accuracy\\_score: accuracy on real test clips of a classifier trained on generated clips alone (Ravuri & Vinyals "
    "2019). label\\_agreement: share of generated clips that the fold's own base classifier gives their class. KID: "
    "kernel distance of that classifier's embeddings, of generated and of real training clips, to the real test clips. "
    "copies: share of generated clips nearer to a training clip than the nearest 1 % of real test clips are, tolerant "
    "of time shift; beyond recordings: to clips of other recordings than the parents'."
)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _delta(metrics: Metrics, arm: str) -> Mapping[str, float] | None:
    if arm == "base":
        return None
    found: Mapping[str, float] = (metrics if arm == "aug" else metrics[arm])["delta"]["accuracy"]
    return found


def _range(found: Mapping[str, float]) -> str:
    return f"{points(found['ci_low'])} to {points(found['ci_high'])}"


def _p(found: Mapping[str, float], key: str = "p_value") -> str:
    return p_text(found.get(key))


def _arms(study: Study, metrics: Metrics, params: Params) -> str:
    level = f"{100 * params.evaluate.confidence:g} % interval"
    header = ["arm", "trained on", "accuracy %", level, "macro-F1 %", "minus base, points", level, "p", "Holm p"]
    header += ["sign-flip p", "best epoch on test %", "s.d. over seeds"]
    rows = []
    for arm in study.arms:
        found, delta = metrics[arm]["accuracy"], _delta(metrics, arm)
        row = [arm, ARMS[arm], f"{100 * found['mean']:.1f}"]
        row += [f"{100 * found['ci_low']:.1f} to {100 * found['ci_high']:.1f}"]
        row += [f"{100 * metrics[arm]['macro_f1']['mean']:.1f}"]
        if delta is None:
            row += ["", "", "", "", ""]
        else:
            row += [points(delta["mean"]), _range(delta), _p(delta), "" if arm == "aug" else _p(delta, "p_holm")]
            row += [_p(delta, "p_sign_flip")]
        row += [f"{100 * metrics[arm]['best_epoch_on_test']['accuracy']:.1f}"]
        rows.append([*row, f"{100 * metrics[arm]['seed_std']:.2f}" if "seed_std" in metrics[arm] else "-"])
    return _table(header, rows)


def _over(metrics: Metrics, params: Params) -> str:
    level = f"{100 * params.evaluate.confidence:g} % interval"
    rows = []
    for arm in params.controls:
        found = metrics["over"][arm]["accuracy"]
        rows.append([f"aug minus {arm}", points(found["mean"]), _range(found)])
        rows[-1] += [_p(found), _p(found, "p_holm"), _p(found, "p_sign_flip")]
    return _table(["difference", "points", level, "p", "Holm p", "sign-flip p"], rows)


def _values(study: Study) -> str:
    cells = {(row["fold"], row["seed"], row["arm"]): row for row in accuracy_table(study)}
    rows = []
    for fold in study.folds:
        for seed in study.seeds:
            found = [cells[fold.fold, seed, arm] for arm in study.arms]
            shown = [f"{100 * row['accuracy']:.2f} ({100 * row['macro_f1']:.2f})" for row in found]
            rows.append([str(fold.fold), str(seed), str(len(fold.clips)), *shown])
    return "Accuracy and, in brackets, macro-F1 in percent.\n\n" + _table(
        ["held-out fold", "seed", "test clips", *study.arms], rows
    )


def _classes(study: Study, metrics: Metrics, params: Params) -> str:
    best = best_control(metrics, params)
    arms = ["base", "aug", *([best] if best else [])]
    values = [study.class_accuracy(arm) for arm in arms]
    counts = study.confusion("base").sum(axis=1) / len(study.seeds)
    rows = []
    for class_id, name in enumerate(study.classes):
        found = [value[class_id] for value in values]
        shown = [f"{100 * value:.1f}" if counts[class_id] else "-" for value in found]
        change = points(found[1] - found[0]) if counts[class_id] else "-"
        rows.append([escape(name), f"{counts[class_id]:.0f}", *shown, change])
    return "Part of each class's test clips predicted right, in percent, over all folds and seeds.\n\n" + _table(
        ["class", "test clips", *arms, "aug minus base, points"], rows
    )


def _generated(metrics: Metrics, params: Params) -> str:
    told = [f"**Error: {escape(fault)}**" for fault in faults(metrics, params)]
    if reached := goals(metrics, metrics["base"]["accuracy"]["mean"]):
        goal_rows = [
            [escape(one.name), f"{one.value:.3g}", escape(one.wanted), "yes" if one.reached else "no"]
            for one in reached
        ]
        told.append(_table(["figure", "value", "wanted", "reached"], goal_rows))
        told.append(_GENERATED)
    rows = [
        [escape(f"{section}.{key}"), f"{value:g}"]
        for section in ("generator", "inversion")
        for key, value in metrics.get(section, {}).items()
    ]
    if not rows:
        return "Nothing was generated."
    told.append("Averages over the held-out folds.\n\n" + _table(["figure", "value"], rows))
    return "\n\n".join(told)


def _statistics(metrics: Metrics, params: Params) -> str:
    k, found = len(params.folds), metrics["delta"]["accuracy"]
    lines = [
        (
            "- Unit: the paired difference per held-out fold (same fold, same seeds, same test clips), seeds averaged "
            f"within the fold; {k} fold{'s' * (k > 1)}, {len(params.seeds)} seed{'s' * (len(params.seeds) > 1)}."
        ),
        (
            f"- Intervals: cluster bootstrap, {params.evaluate.bootstrap} resamples of whole recordings within each "
            "fold, since clips of one recording are not independent; percentiles. They hold the trained models fixed: "
            "what another seed or training set would change shows in the tests over folds and the s.d. over seeds."
        ),
    ]
    if k == 1:
        lines.append("- With one fold the corrected t-test is undefined and the sign-flip test can only give 1.")
    else:
        lines.append(
            "- p: corrected resampled t-test (Nadeau & Bengio 2003), variance factor 1/k + n_test/n_train."
            + ("" if "p_value" in found else " Left out: all folds differ by the same amount.")
        )
        lines.append(
            f"- Sign-flip test, exact: p = {_p(found, 'p_sign_flip')} for aug minus base. The smallest p that {k} "
            f"folds can give is {p_text(stats.smallest_sign_flip_p(k))}."
        )
    lines += [
        (
            f"- Secondary: McNemar's exact test on the discordant clips gives p = {_p(found, 'p_mcnemar')}; it takes "
            "clips for independent, which they are not."
        ),
        (
            "- Holm's adjustment runs over the controls, in each of the two families (control minus base, aug minus "
            "control). The best control is picked by its result, which flatters it."
        ),
        (
            "- `best epoch on test` is picked on the test fold, hence too high; it is there to compare with published "
            "figures only."
        ),
    ]
    return "\n".join(lines)


def _corpus(study: Study) -> str:
    recordings = len({clip.fs_id for clip in study.corpus})
    folds = len({clip.fold for clip in study.corpus})
    text = f"{len(study.corpus)} clips of {recordings} recordings, {len(study.classes)} classes, {folds} folds."
    if not study.excluded:
        return text + " No clip was left out."
    reasons = Counter(reason for _, reason in study.excluded)
    rows = [[escape(reason), str(count)] for reason, count in sorted(reasons.items())]
    named = ", ".join(escape(name) for name, _ in study.excluded[:20])
    more = f" and {len(study.excluded) - 20} more" if len(study.excluded) > 20 else ""
    return f"{text} Left out: {len(study.excluded)} ({named}{more}).\n\n" + _table(["reason", "clips"], rows)


def _audit(audit: Audit, params: Params) -> str:
    looked = (
        f"Looked at {audit.test_clips} test clips in {audit.folds} held-out folds, {audit.pairs} pairs of parents and "
        f"{audit.generator_clips} training clips of generators."
    )
    if not audit.findings:
        return f"{looked} No recording is on both sides, no parent and no generator's training clip is of a test fold."
    if params.data.split == "random":
        return (
            f"**Leaky.** {looked} The split is random by clip: {audit.shared_recordings} recordings (summed over "
            "folds) are in a test fold and in its training folds."
        )
    return f"**{len(audit.findings)} leaks.** {looked} First: {escape(audit.findings[0].message)}."


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _device() -> str:
    """The accelerator's name as its driver tells it, else "cpu"."""
    if program := shutil.which("nvidia-smi"):
        command = [program, "--query-gpu=name", "--format=csv,noheader"]
        try:
            found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603 - a fixed command
        except (OSError, subprocess.TimeoutExpired):
            return "cpu"
        if found.returncode == 0 and found.stdout.strip():
            return found.stdout.strip().splitlines()[0]
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return "mps"
    return "cpu"
