"""The verdict: what the figures of reports/metrics.json support, in words."""

from collections.abc import Mapping

from soundaug.params import Params
from soundaug.reporting.evaluation import Metrics
from soundaug.statistics.proof import (
    what_accuracy_hides,
    what_clips_can_prove,
    what_folds_can_prove,
    what_seeds_can_prove,
)

VALIDATION = (
    "Each fold trained alone and was tested on all others, so that recordings and runs are counted more than once: "
    "the intervals and p-values here do not hold, and nothing is claimed by them. These are figures to choose settings "
    "by, not the study's result."
)  # of data.held_out: others
NEAR_TOLD = 0.01  # share of the test clips from which the verdict tells of near-duplicates


def best_control(metrics: Metrics, params: Params, figure: str = "accuracy") -> str | None:
    """The control with the highest mean of ``figure``, accuracy or macro_f1; None without controls."""
    return max(params.controls, key=lambda arm: float(metrics[arm][figure]["mean"]), default=None)


def verdict(metrics: Metrics, params: Params) -> str:
    """What the intervals support: one sentence on the difference, then what bounds or forbids reading more into it."""
    alpha = 1 - params.evaluate.confidence
    sentences = [f"Diffusion augmentation changed mean fold accuracy {_change(metrics, params, 'accuracy')}."]
    if params.generate.per_class == 0:
        changed = metrics["delta"]["changed_predictions"]
        agreement = "every prediction agrees" if changed == 0 else f"{changed:.2%} of the predictions differ"
        sentences.insert(0, f"This is an A/A check, nothing was generated and both arms must be equal: {agreement}.")
    corpus = metrics["corpus"]
    if hidden := what_accuracy_hides(corpus["largest_class"], corpus["classes"]):
        sentences += [hidden, f"Macro-F1 changed {_change(metrics, params, 'macro_f1')}."]
    if params.data.held_out == "others":
        sentences.append(VALIDATION)
    else:
        sentences.append(what_folds_can_prove(len(params.folds), alpha))
    for told in (
        what_seeds_can_prove(len(params.seeds)),
        what_clips_can_prove(corpus["test_clips"], corpus["test_recordings"]),
    ):
        sentences += [told] if told else []
    if params.data.recordings_share < 1:
        sentences.append(f"{params.data.recordings_share:.0%} of each class's training recordings were used.")
    if params.data.split == "random":
        sentences.append(
            "The split is random by clip: slices of one recording are in training and test, "
            "so these accuracies are leaky and too high."
        )
    if metrics.get("audit", {}).get("near_share", 0.0) >= NEAR_TOLD:
        sentences.append(
            f"{metrics['audit']['near_share']:.1%} of the test clips are nearly the same as a clip trained on, "
            "although of another recording by its id."
        )
    if params.generator.pretrained is not None:
        sentences.append("Whether the pretrained generator had heard test clips before is not known.")
    if params.data.source == "synthetic":
        sentences.append("Figures on the embedded synthetic corpus say nothing about UrbanSound8K.")
    return " ".join(sentences)


def difference(found: Mapping[str, float], params: Params) -> str:
    """A difference in percentage points with its interval, such as "+1.2 points (95 % interval -0.5 to +2.9)"."""
    level = f"{100 * params.evaluate.confidence:g} %"
    return f"{points(found['mean'])} points ({level} interval {points(found['ci_low'])} to {points(found['ci_high'])})"


def points(fraction: float) -> str:
    """A difference of fractions as signed percentage points, two decimals where one would hide it: "+1.2"."""
    value = 100 * fraction
    text = f"{value:+.1f}" if abs(value) >= 0.05 or value == 0 else f"{value:+.2f}"
    return "0.0" if float(text) == 0 else text


def p_text(p: float | None) -> str:
    """A p-value with two significant digits, "< 0.001" below that, "-" where there is none."""
    if p is None:
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def _change(metrics: Metrics, params: Params, figure: str) -> str:
    """By how much aug differs in ``figure`` from base and from the control that is best in it, and what that proves."""
    found = metrics["delta"][figure]
    text = f"by {_told(found, params, 'it helped', 'it hurt')}"
    best = best_control(metrics, params, figure)
    if best is not None:
        over = metrics["over"][best][figure]
        told = _told(over, params, "better than that control", "worse than that control")
        called = "the best control" if figure == "accuracy" else "the control that is best in it"
        text += f"; against {called}, {best}, it is {told}"
    return text


def _told(found: Mapping[str, float], params: Params, above: str, below: str) -> str:
    """A difference, with what its interval supports and what does not confirm that; without either in validation."""
    if params.data.held_out == "others":
        return f"{points(found['mean'])} points"
    text = f"{difference(found, params)}: "
    if found["ci_low"] <= 0 <= found["ci_high"]:
        return text + "no difference can be claimed"
    text += above if found["ci_low"] > 0 else below
    p, corrected = found.get("p_holm", found.get("p_value", 0.0)), " after Holm's correction" * ("p_holm" in found)
    if p > 1 - params.evaluate.confidence:
        text += f", although the corrected t-test over folds (p = {p_text(p)}{corrected}) does not confirm it"
    return text
