"""assess_generator: how good one held-out fold's generated clips are by its base classifier, and what they copy.

Reads data/features, data/generated/fold<fold> and data/runs/base, writes closest.csv and quality.json beside the clips.
"""

import argparse
from dataclasses import astuple, fields
from pathlib import Path

from soundaug.folds.packed import ClipSet, class_list
from soundaug.interpolation import read_pairs
from soundaug.judging.assessment import assess_parents, assess_quality, judge_of
from soundaug.judging.copies import ClosePair
from soundaug.judging.copying import assess_copies
from soundaug.params import load_params
from soundaug.running.errors import run_stage
from soundaug.running.outputs import write_csv, write_json

FEATURES = Path("data/features")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fold", type=int, required=True, help="the fold held out")
    parser.add_argument("--seed", type=int, required=True, help="the base run whose classifier listens")
    args = parser.parse_args()
    params = load_params()
    folder = Path(f"data/generated/fold{args.fold}")
    generated = ClipSet.load(folder / "features.npz")
    model, real = judge_of(FEATURES, args.fold, args.seed, params)
    label = f"fold {args.fold} held out"
    figures = assess_quality(model, generated, real, len(class_list(FEATURES)), params, args.seed, label)
    pairs = read_pairs(folder / "pairs.csv")
    figures |= assess_parents(model, pairs, ClipSet.load(folder / "resynthesis.npz"), real)
    copies, closest = assess_copies(folder / "mels.npz", pairs, real.train, real.test, params)
    write_csv(
        folder / "closest.csv",
        [field.name for field in fields(ClosePair)],
        (astuple(pair) for pair in closest),
    )
    write_json(folder / "quality.json", figures | copies)
    print(f"{label}: " + ", ".join(f"{name} {value:.3g}" for name, value in sorted(figures.items())))


if __name__ == "__main__":
    run_stage(main)
