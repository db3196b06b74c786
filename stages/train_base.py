"""train_base: the classifier trained on real clips alone.

Reads data/features, writes data/runs/base/fold<fold>/seed<seed>.
"""

import argparse
from pathlib import Path

from soundaug.classification.arms import run_arm
from soundaug.folds.packed import class_list, split
from soundaug.params import load_params
from soundaug.running.errors import run_stage

FEATURES = Path("data/features")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fold", type=int, required=True, help="the fold held out")
    parser.add_argument("--seed", type=int, required=True, help="of weights and batches")
    args = parser.parse_args()
    real, test = split(FEATURES, args.fold)
    run_arm("base", args.fold, args.seed, real, None, test, len(class_list(FEATURES)), load_params())


if __name__ == "__main__":
    run_stage(main)
