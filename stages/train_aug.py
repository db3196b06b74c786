"""train_aug: the classifier trained on real clips and the clips that diffusion made from them.

And on a control's clips, with augmentation.on_top_of. Reads data/raw, data/features, data/generated/fold<fold> and
data/runs/base, writes data/runs/aug/fold<fold>/seed<seed>.
"""

import argparse
from pathlib import Path

from soundaug.classification.arms import run_arm
from soundaug.controls import extra_clips
from soundaug.folds.packed import ClipSet, class_list, concatenate, split
from soundaug.interpolation import read_pairs
from soundaug.params import load_params
from soundaug.running.errors import run_stage

FEATURES = Path("data/features")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fold", type=int, required=True, help="the fold held out")
    parser.add_argument("--seed", type=int, required=True, help="of weights and batches")
    args = parser.parse_args()
    real, test = split(FEATURES, args.fold)
    params, n_classes = load_params(), len(class_list(FEATURES))
    folder, control = Path(f"data/generated/fold{args.fold}"), params.augmentation.on_top_of
    extra = ClipSet.load(folder / "features.npz")
    if control is not None:
        below = extra_clips(control, real, read_pairs(folder / "pairs.csv"), folder, params)
        extra = concatenate([below, extra])
    run_arm("aug", args.fold, args.seed, real, extra, test, n_classes, params, params.augmentation)


if __name__ == "__main__":
    run_stage(main)
