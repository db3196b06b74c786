"""What the report says about the generated clips: how good they are, against what, and what is wrong with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundaug.params import Params
from soundaug.running.outputs import read_rows

# What a generator is expected to reach, after the study's own goals.
SCORE_GOAL = 0.8  # of the base model's accuracy
AGREEMENT_GOAL = 0.85
KID_GOAL = 2.0  # times that between real training and test clips
COPIES_GOAL = 0.01  # of clips of other recordings than the parents', more than the parents themselves are
NOISE_STD = (0.9, 1.1)  # of inverted noise; the prior's is 1


@dataclass(frozen=True)
class Goal:
    """A figure of the generated clips beside what it should reach."""

    name: str
    value: float
    wanted: str
    reached: bool


def goals(metrics: Mapping[str, Mapping[str, float]], base_accuracy: float) -> list[Goal]:
    """The figures of `assess_generator` that have a goal, averaged over folds; one that is not there is left out."""
    found = metrics.get("generator", {})
    listed = []
    if "accuracy_score" in found:
        wanted = SCORE_GOAL * base_accuracy
        text = f"at least {100 * wanted:.1f} % ({SCORE_GOAL:.0%} of base)"
        listed.append(Goal("accuracy_score", found["accuracy_score"], text, found["accuracy_score"] >= wanted))
    if "label_agreement" in found:
        reached = found["label_agreement"] >= AGREEMENT_GOAL
        listed.append(Goal("label_agreement", found["label_agreement"], f"at least {AGREEMENT_GOAL:.0%}", reached))
    if "kid_test" in found and found.get("kid_train_test", 0.0) > 0:
        ratio = found["kid_test"] / found["kid_train_test"]
        text = f"at most {KID_GOAL:g} times that of real training clips"
        listed.append(Goal("kid_test / kid_train_test", ratio, text, ratio <= KID_GOAL))
    if "copies_beyond_recordings" in found:
        share, limit = found["copies_beyond_recordings"], COPIES_GOAL + found.get("parents_beyond_recordings", 0.0)
        text = f"at most {100 * limit:.1f} % ({COPIES_GOAL:.0%} beyond the parents' own)"
        listed.append(Goal("copies_beyond_recordings", share, text, share <= limit))
    return listed


def faults(metrics: Mapping[str, Mapping[str, float]], params: Params) -> list[str]:
    """What is wrong with the inversion, in sentences; drift is not left for the reader to find."""
    found = metrics.get("generator", {})
    told = []
    limit = params.generate.max_reconstruction_db
    if found.get("reconstruction_rmse_db", 0.0) > limit:
        drifts = params.generate.inversion == "ddim"
        remedy = "generate.inversion: fixed_point gives them back" if drifts else "more generate.steps lose less"
        told.append(
            "Inversion loses the clip: parents inverted and decoded again are "
            f"{found['reconstruction_rmse_db']:.1f} dB (RMSE) from themselves, more than "
            f"generate.max_reconstruction_db ({limit:g}); {remedy}."
        )
    if "noise_std" in found and not NOISE_STD[0] <= found["noise_std"] <= NOISE_STD[1]:
        told.append(
            f"Inverted noise is not what the generator expects: its standard deviation is {found['noise_std']:.2f}, "
            f"wanted {NOISE_STD[0]} to {NOISE_STD[1]}"
            + (
                " (mixtures above 1 were brought to it)."
                if params.generate.renormalize
                else "; generate.renormalize mends it."
            )
        )
    return told


def history_rows(data: Path, params: Params) -> list[dict[str, Any]]:
    """The generators' curves, a row a step and fold: step, fold, loss, validation_loss (None between its looks)."""
    rows: list[dict[str, Any]] = []
    for fold in params.folds:
        path = data / "models" / "generator" / f"fold{fold}" / "history.csv"
        for row in read_rows(path, ("step", "loss", "validation_loss")) if path.is_file() else ():
            losses = {name: float(row[name]) if row[name] else None for name in ("loss", "validation_loss")}
            rows.append({"step": int(row["step"]), "fold": fold, **losses})
    return rows
