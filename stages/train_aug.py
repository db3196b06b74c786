"""train_aug: the classifier trained on real clips and the clips that diffusion made from them.

Reads data/features and data/generated/fold<fold>, writes data/runs/aug/fold<fold>/seed<seed>.
"""

import argparse
from pathlib import Path

from soundaug.arms import run_arm
from soundaug.errors import run_stage
from soundaug.packed import ClipSet, class_list, split
from soundaug.params import load_params

FEATURES = Path("data/features")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fold", type=int, required=True, help="the fold held out")
    parser.add_argument("--seed", type=int, required=True, help="of weights and batches")
    args = parser.parse_args()
    real, test = split(FEATURES, args.fold)
    generated = ClipSet.load(Path(f"data/generated/fold{args.fold}/features.npz"))
    run_arm("aug", args.fold, args.seed, real, generated, test, len(class_list(FEATURES)), load_params())


if __name__ == "__main__":
    run_stage(main)
