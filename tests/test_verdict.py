"""The verdict's words: it claims what the intervals support, and tells what forbids reading more into them."""

import pytest
from fake_study import fake_params

from soundaug.reporting.evaluation import Metrics
from soundaug.reporting.verdict import p_text, points, verdict


def metrics_of(low: float, mean: float, high: float, p: float = 0.01) -> Metrics:
    found = {"mean": mean, "ci_low": low, "ci_high": high, "p_value": p}
    arm = {"accuracy": {"mean": 0.7, "ci_low": 0.6, "ci_high": 0.8}}
    better = {"accuracy": {"mean": 0.72, "ci_low": 0.6, "ci_high": 0.8}}
    return {
        "base": arm,
        "aug": arm,
        "duplicate": arm,
        "mixup": better,
        "delta": {"accuracy": found, "changed_predictions": 0.0},
        "over": {"duplicate": {"accuracy": found}, "mixup": {"accuracy": found}},
        "corpus": {"test_clips": 36, "test_recordings": 18, "largest_class": 0.34, "classes": 3},
    }


def test_verdict_claims_only_what_the_interval_supports() -> None:
    params = fake_params(data={"source": "urbansound8k"})
    null = verdict(metrics_of(-0.005, 0.012, 0.029), params)
    assert null.startswith(
        "Diffusion augmentation changed mean fold accuracy by +1.2 points (95 % interval -0.5 to +2.9): "
        "no difference can be claimed; against the best control, mixup, it is +1.2 points"
    )
    assert "helped" not in null
    assert "hurt" not in null
    assert null.endswith(
        "3 folds cannot reach p < 0.25 in the sign-flip test, whatever the difference; 6 folds or more can reach "
        "p < 0.05. The test folds have 36 clips of 18 recordings in all: one clip is about 2.8 points, and an interval "
        "drawn from so few is rough."
    )
    helped = verdict(metrics_of(0.004, 0.012, 0.029), params)
    assert "(95 % interval +0.4 to +2.9): it helped; against" in helped
    assert "better than that control" in helped
    hurt = verdict(metrics_of(-0.029, -0.012, -0.004), params)
    assert "by -1.2 points (95 % interval -2.9 to -0.4): it hurt; against" in hurt
    assert "worse than that control" in hurt
    assert "no difference can be claimed" in verdict(metrics_of(0.0, 0.012, 0.029), params)


def test_where_one_class_has_most_clips_the_verdict_is_told_for_macro_f1_too() -> None:
    found = metrics_of(-0.005, 0.012, 0.029)
    assert "Macro-F1" not in verdict(found, fake_params())
    found["corpus"] |= {"largest_class": 0.88}
    for arm, mean in {"base": 0.34, "aug": 0.68, "duplicate": 0.78, "mixup": 0.74}.items():
        found[arm] = found[arm] | {"macro_f1": {"mean": mean, "ci_low": mean - 0.1, "ci_high": mean + 0.1}}
    found["delta"]["macro_f1"] = {"mean": 0.34, "ci_low": 0.2, "ci_high": 0.43}
    found["over"]["duplicate"] |= {"macro_f1": {"mean": -0.1, "ci_low": -0.2, "ci_high": -0.01}}
    text = verdict(found, fake_params())
    accuracy, hidden, macro = (
        text.index(words) for words in ("against the best control, mixup,", "One class has 88%", "Macro-F1 changed")
    )
    assert accuracy < hidden < macro < text.index("3 folds cannot")
    assert (
        "Macro-F1 changed by +34.0 points (95 % interval +20.0 to +43.0): it helped; against the control that is best "
        "in it, duplicate, it is -10.0 points (95 % interval -20.0 to -1.0): worse than that control." in text
    )


def test_verdict_tells_what_does_not_confirm_it() -> None:
    found = metrics_of(0.004, 0.012, 0.029, p=0.2)
    text = verdict(found, fake_params())
    assert "it helped, although the corrected t-test over folds (p = 0.2) does not confirm it" in text
    assert "better than that control, although the corrected t-test over folds (p = 0.2) does not confirm it" in text
    for arm, p in (("mixup", 0.06), ("duplicate", 0.03)):
        found["over"][arm] = {"accuracy": found["over"][arm]["accuracy"] | {"p_value": 0.02, "p_holm": p}}
    assert (
        "better than that control, although the corrected t-test over folds (p = 0.06 after Holm's correction) does "
        "not confirm it" in verdict(found, fake_params())
    )
    found["duplicate"], found["mixup"] = found["mixup"], found["duplicate"]
    assert "duplicate, it is +1.2 points (95 % interval +0.4 to +2.9): better than that control. " in verdict(
        found, fake_params()
    )


def test_nothing_is_claimed_in_validation() -> None:
    """With one fold that trains and all others tested, neither intervals nor p-values hold."""
    text = verdict(metrics_of(0.004, 0.012, 0.029), fake_params(data={"source": "urbansound8k", "held_out": "others"}))
    assert text.startswith(
        "Diffusion augmentation changed mean fold accuracy by +1.2 points; against the best control, mixup, it is +1.2 "
        "points. Each fold trained alone and was tested on all others, so that recordings and runs are counted more "
        "than once: the intervals and p-values here do not hold, and nothing is claimed by them."
    )
    for word in ("helped", "better", "interval +", "p <", "confirm"):
        assert word not in text


def test_verdict_names_what_forbids_reading_more_into_it() -> None:
    null = metrics_of(-0.01, 0.0, 0.01)
    assert "say nothing about UrbanSound8K" in verdict(null, fake_params())
    assert "leaky" in verdict(null, fake_params(data={"split": "random"}))
    assert "leaky" not in verdict(null, fake_params())
    text = verdict(null, fake_params(generate={"per_class": 0}))
    assert text.startswith("This is an A/A check, nothing was generated")
    assert "every prediction agrees" in text


@pytest.mark.parametrize(
    ("fraction", "text"), [(0.0123, "+1.2"), (-0.005, "-0.5"), (0.0, "0.0"), (-1e-9, "0.0"), (0.0004, "+0.04")]
)
def test_points(fraction: float, text: str) -> None:
    assert points(fraction) == text


@pytest.mark.parametrize(("p", "text"), [(None, "-"), (0.25, "0.25"), (0.0312, "0.031"), (0.0002, "< 0.001"), (1, "1")])
def test_p_text(p: float | None, text: str) -> None:
    assert p_text(p) == text
