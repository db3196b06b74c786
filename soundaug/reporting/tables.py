"""The report's tables and sentences as plain text: each form of the report marks them up."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from soundaug.audit.checks import Audit
from soundaug.audit.closeness import Closeness
from soundaug.params import Controls, Params
from soundaug.reporting.evaluation import Metrics, Study, accuracy_table
from soundaug.reporting.generator_report import goals
from soundaug.reporting.verdict import VALIDATION, best_control, p_text, points
from soundaug.statistics.proof import smallest_sign_flip_p

ARMS = {
    "base": "the real training clips alone",
    "aug": "and the clips made by diffusion",
    **{name: field.description or "" for name, field in Controls.model_fields.items()},
}

PRIMARY = (
    "Primary figure: mean over the held-out folds of the accuracy at the last epoch, seeds averaged within a fold."
)
EQUAL_STEPS = "Every arm takes the same number of optimiser steps."
EQUAL_EPOCHS = (
    "Every arm is trained for the same number of epochs, so arms with extra clips take more optimiser steps: "
    "part of a difference may be longer training."
)
MACRO_F1 = (
    "Macro-F1: F1 averaged over the classes, each counting alike however few its clips; mean over the held-out folds "
    "as above."
)
P_VALUES = (
    "p: corrected resampled t-test over folds. Holm p: the same, adjusted for the number of controls; aug is the one "
    "comparison stated in advance and is not adjusted."
)
GENERATED = (
    "accuracy_score: accuracy on real test clips of a classifier trained on generated clips alone (Ravuri & Vinyals "
    "2019). label_agreement: share of generated clips that the fold's own base classifier gives their class. KID: "
    "kernel distance of that classifier's embeddings, of generated and of real training clips, to the real test clips; "
    "kid_parents of the first parents, kid_resynthesis of their sound made of their mels. coverage: share of the real "
    "test clips that have a generated one nearer than their fifth nearest test clip (Naeem et al. 2020); "
    "coverage_parents and coverage_resynthesis: those that have a first parent, or one's sound, so near. "
    "copies: share of generated clips nearer to a training clip than the nearest 1 % of real test clips are, tolerant "
    "of time shift; beyond recordings: to clips of other recordings than the parents'."
)
CLIPS = (
    "The clips that each arm has beside the real ones (aug: the generated ones), as the base classifier of the same "
    "held-out fold hears them; means over the folds. Label agreement: share that it gives their class; one that it "
    "does not may teach it something, or have lost its class; pseudo_label has none, its labels being what that "
    "classifier said. KID: kernel distance of its embeddings of them to those of the real test clips, 0 on average "
    "where both are of one distribution. Coverage: share of the real test clips that have one of them nearer than "
    "their fifth nearest test clip (Naeem et al. 2020)."
)
MOST_PAIRS = 20  # near-duplicates that are shown
MOST_NAMED = 20  # clips left out that are named


@dataclass(frozen=True)
class Table:
    """A header, and rows of as many cells; all text plain."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def delta_of(metrics: Metrics, arm: str, figure: str = "accuracy") -> Mapping[str, float] | None:
    """The ``figure``, accuracy or macro_f1, of ``arm`` minus that of base, in 0..1; None for base itself."""
    if arm == "base":
        return None
    found: Mapping[str, float] = (metrics if arm == "aug" else metrics[arm])["delta"][figure]
    return found


def interval_text(found: Mapping[str, float]) -> str:
    """The interval of a difference in points: "-2.5 to +1.5"."""
    return f"{points(found['ci_low'])} to {points(found['ci_high'])}"


def level_text(params: Params) -> str:
    """What intervals are called: "95 % interval"."""
    return f"{100 * params.evaluate.confidence:g} % interval"


def arms_table(study: Study, metrics: Metrics, params: Params) -> Table:
    """A row an arm: accuracy and its difference to base, with intervals and p."""
    level = level_text(params)
    header = ["arm", "trained on", "accuracy %", level, "minus base, points", level, "p", "Holm p"]
    header += ["sign-flip p", "best epoch on test %", "s.d. over seeds"]
    rows = []
    for arm in study.arms:
        found, delta = metrics[arm]["accuracy"], delta_of(metrics, arm)
        row = [arm, ARMS[arm], f"{100 * found['mean']:.1f}"]
        row += [f"{100 * found['ci_low']:.1f} to {100 * found['ci_high']:.1f}"]
        if delta is None:
            row += ["", "", "", "", ""]
        else:
            row += [points(delta["mean"]), interval_text(delta), _p(delta)]
            row += ["" if arm == "aug" else _p(delta, "p_holm"), _p(delta, "p_sign_flip")]
        row += [f"{100 * metrics[arm]['best_epoch_on_test']['accuracy']:.1f}"]
        rows.append([*row, f"{100 * metrics[arm]['seed_std']:.2f}" if "seed_std" in metrics[arm] else "-"])
    return Table(header, rows)


def over_table(metrics: Metrics, params: Params) -> Table:
    """Aug minus each control."""
    rows = []
    for arm in params.controls:
        found = metrics["over"][arm]["accuracy"]
        rows.append([f"aug minus {arm}", points(found["mean"]), interval_text(found)])
        rows[-1] += [_p(found), _p(found, "p_holm"), _p(found, "p_sign_flip")]
    return Table(["difference", "points", level_text(params), "p", "Holm p", "sign-flip p"], rows)


def macro_f1_table(metrics: Metrics, params: Params) -> Table:
    """A row an arm: macro-F1, its difference to base and that of aug to it, with intervals."""
    level = level_text(params)
    rows = []
    for arm in params.arms:
        found = metrics[arm]["macro_f1"]
        row = [arm, f"{100 * found['mean']:.1f}", f"{100 * found['ci_low']:.1f} to {100 * found['ci_high']:.1f}"]
        aug_minus = None if arm in ("base", "aug") else metrics["over"][arm]["macro_f1"]
        for one in (delta_of(metrics, arm, "macro_f1"), aug_minus):
            row += ["", ""] if one is None else [points(one["mean"]), interval_text(one)]
        rows.append(row)
    return Table(["arm", "macro-F1 %", level, "minus base, points", level, "aug minus it, points", level], rows)


def clips_table(metrics: Metrics, params: Params) -> Table:
    """A row an arm with extra clips: what the base classifier makes of them; no rows where none were assessed."""
    found = {"aug": metrics.get("generator", {})} | {arm: metrics[arm].get("clips", {}) for arm in params.controls}
    rows = []
    for arm, figures in found.items():
        if not figures.keys().isdisjoint(("label_agreement", "kid_test", "coverage")):
            delta = delta_of(metrics, arm)
            rows.append([arm, _figure(figures, "label_agreement", 100, ".1f")])
            rows[-1] += [_figure(figures, "kid_test", 1, ".3f"), _figure(figures, "coverage", 100, ".1f")]
            rows[-1] += [points(delta["mean"]) if delta else ""]
    header = ["arm", "label agreement %", "KID to test clips", "coverage of test clips %"]
    return Table([*header, "arm minus base, points"], rows)


def values_table(study: Study) -> Table:
    """Accuracy and, in brackets, macro-F1 in percent of every fold and seed, a column an arm."""
    cells = {(row["fold"], row["seed"], row["arm"]): row for row in accuracy_table(study)}
    rows = []
    for fold in study.folds:
        for seed in study.seeds:
            found = [cells[fold.fold, seed, arm] for arm in study.arms]
            shown = [f"{100 * row['accuracy']:.2f} ({100 * row['macro_f1']:.2f})" for row in found]
            rows.append([str(fold.fold), str(seed), str(len(fold.clips)), *shown])
    return Table(["held-out fold", "seed", "test clips", *study.arms], rows)


def classes_table(study: Study, metrics: Metrics, params: Params) -> Table:
    """Accuracy of every class in base, aug and the best control, in percent."""
    best = best_control(metrics, params)
    arms = ["base", "aug", *([best] if best else [])]
    values = [study.class_accuracy(arm) for arm in arms]
    counts = study.confusion("base").sum(axis=1) / len(study.seeds)
    rows = []
    for class_id, name in enumerate(study.classes):
        found = [value[class_id] for value in values]
        shown = [f"{100 * value:.1f}" if counts[class_id] else "-" for value in found]
        change = points(found[1] - found[0]) if counts[class_id] else "-"
        rows.append([name, f"{counts[class_id]:.0f}", *shown, change])
    return Table(["class", "test clips", *arms, "aug minus base, points"], rows)


def goals_table(metrics: Metrics) -> Table:
    """What the generator was expected to reach, and whether it did; no rows where it was not assessed."""
    rows = [
        [one.name, f"{one.value:.3g}", one.wanted, "yes" if one.reached else "no"]
        for one in goals(metrics, metrics["base"]["accuracy"]["mean"])
    ]
    return Table(["figure", "value", "wanted", "reached"], rows)


def figures_table(metrics: Metrics) -> Table:
    """Every figure of the generator and of the audio made from its mels, averaged over folds."""
    rows = [
        [f"{section}.{key}", f"{value:g}"]
        for section in ("generator", "inversion")
        for key, value in metrics.get(section, {}).items()
    ]
    return Table(["figure", "value"], rows)


def excluded_table(study: Study) -> Table:
    """How many clips were left out, by reason."""
    reasons = Counter(reason for _, reason in study.excluded)
    return Table(["reason", "clips"], [[reason, str(count)] for reason, count in sorted(reasons.items())])


def statistics_lines(metrics: Metrics, params: Params) -> list[str]:
    """How the intervals and p-values came about, a sentence or two an entry."""
    k, found = len(params.folds), metrics["delta"]["accuracy"]
    drawn, fixed = ", and of its seeds", "training sets"
    if len(params.seeds) == 1:
        drawn, fixed = "", "training sets and the runs of the one seed"
    lines = [VALIDATION] if params.data.held_out == "others" else []
    lines += [
        (
            "Unit: the paired difference per held-out fold (same fold, same seeds, same test clips), seeds averaged "
            f"within the fold; {k} fold{'s' * (k > 1)}, {len(params.seeds)} seed{'s' * (len(params.seeds) > 1)}."
        ),
        (
            f"Intervals: cluster bootstrap, {params.evaluate.bootstrap} resamples of whole recordings within each "
            f"fold{drawn}; percentiles. Clips of one recording are not independent. Held fixed are {fixed}: what "
            "others would change shows in the tests over folds."
        ),
    ]
    if k == 1:
        lines.append("With one fold the corrected t-test is undefined and the sign-flip test can only give 1.")
    else:
        lines.append(
            "p: corrected resampled t-test (Nadeau & Bengio 2003), variance factor 1/k + n_test/n_train."
            + ("" if "p_value" in found else " Left out: all folds differ by the same amount.")
        )
        lines.append(
            f"Sign-flip test, exact: {_p_equals(found, 'p_sign_flip')} for aug minus base. The smallest p that {k} "
            f"folds can give is {p_text(smallest_sign_flip_p(k))}."
        )
    return [
        *lines,
        (
            f"Secondary: McNemar's exact test on the discordant clips gives {_p_equals(found, 'p_mcnemar')}; it takes "
            "clips for independent, which they are not: in simulated studies without a difference it claims one in "
            "every third."
        ),
        (
            "Holm's adjustment runs over the controls, in each of the two families (control minus base, aug minus "
            "control). The best control is picked by its result, which flatters it."
        ),
        (
            "The best epoch on test is picked on the test fold, hence too high; it is there to compare with published "
            "figures only."
        ),
    ]


def corpus_text(study: Study, quote: Callable[[str], str] = str) -> str:
    """What the study was made on and what was left out; ``quote`` marks up names, which come from outside."""
    recordings = len({clip.fs_id for clip in study.corpus})
    folds = len({clip.fold for clip in study.corpus})
    text = f"{len(study.corpus)} clips of {recordings} recordings, {len(study.classes)} classes, {folds} folds."
    if not study.excluded:
        return text + " No clip was left out."
    named = ", ".join(quote(name) for name, _ in study.excluded[:MOST_NAMED])
    more = f" and {len(study.excluded) - MOST_NAMED} more" if len(study.excluded) > MOST_NAMED else ""
    return f"{text} Left out: {len(study.excluded)} ({named}{more})."


def audit_text(audit: Audit, params: Params, quote: Callable[[str], str] = str) -> tuple[str, str]:
    """The audit's verdict in a word or two, empty where nothing was found, and what was looked at and found."""
    looked = (
        f"Looked at {audit.test_clips} test clips in {audit.folds} held-out folds, {audit.pairs} pairs of parents, "
        f"{audit.generator_clips} training clips of generators, and the training clips of all {audit.models} models "
        "(weights, normalisation, embeddings)."
    )
    if not audit.findings:
        clean = "No recording is on both sides, no parent and no clip that a model was fitted on is of a test fold."
        return "", f"{looked} {clean}"
    if params.data.split == "random":
        return "Leaky.", (
            f"{looked} The split is random by clip: {audit.shared_recordings} recordings (summed over folds) are in a "
            "test fold and in its training folds."
        )
    return f"{len(audit.findings)} leaks.", f"{looked} First: {quote(audit.findings[0].message)}."


def closeness_text(near: Closeness, params: Params) -> str:
    """How many test clips are nearly the same as a clip trained on, and what that means."""
    limits = params.leakage
    how = f"by mel fingerprint (a correlation of {limits.similarity:g} or more; level and a shift do not count)"
    if not near.pairs:
        return f"No test clip is nearly the same as a clip of another recording that was trained on, {how}."
    bound = (
        "That is told and does not stop the study (leakage.max_share: null)."
        if limits.max_share is None
        else f"More than {limits.max_share:.2%} (leakage.max_share) would be an error."
    )
    real, generated = near.metrics["near_duplicates"], near.metrics["near_generated"]
    return (
        f"Of {near.test_clips} test clips {real} are nearly the same as a training clip of another recording, and "
        f"{generated} as a generated clip, {how}: {near.share:.2%} in all. {bound} Two recordings may be one that was "
        "uploaded twice. All arms have the same test clips: accuracies are flattered rather than differences. "
        f"reports/near_duplicates.csv names all of them; the most similar, at most {MOST_PAIRS}:"
    )


def closeness_table(near: Closeness) -> Table:
    """The most similar near-duplicates."""
    rows = [
        [str(one.held_out), one.test, one.train, one.kind, f"{one.similarity:.3f}", f"{one.shift_seconds:+.2f}"]
        for one in near.pairs[:MOST_PAIRS]
    ]
    return Table(["held-out fold", "test clip", "clip trained on", "kind", "similarity", "shift, s"], rows)


def _figure(figures: Mapping[str, float], name: str, factor: float, form: str) -> str:
    return f"{factor * figures[name]:{form}}" if name in figures else "-"


def _p(found: Mapping[str, float], key: str = "p_value") -> str:
    return p_text(found.get(key))


def _p_equals(found: Mapping[str, float], key: str) -> str:
    text = _p(found, key)
    return f"p {text}" if text.startswith("<") else f"p = {text}"
