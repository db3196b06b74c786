"""train_control: the classifier trained on real clips and as many extra clips that cost no generator.

Reads data/raw, data/features, data/generated/fold<fold> and data/runs/base, writes
data/runs/<control>/fold<fold>/seed<seed>.
"""

import argparse
from pathlib import Path
from typing import get_args

from soundaug.classification.arms import run_arm, run_folder
from soundaug.classification.soft_labels import teacher_probabilities
from soundaug.controls import extra_clips
from soundaug.folds.packed import class_list, split, withheld_clips
from soundaug.interpolation import read_pairs
from soundaug.params import Control, load_params
from soundaug.pseudo_labels import pseudo_labelled
from soundaug.running.errors import run_stage

FEATURES = Path("data/features")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--control", choices=get_args(Control), required=True, help="what the clips are made by")
    parser.add_argument("--fold", type=int, required=True, help="the fold held out")
    parser.add_argument("--seed", type=int, required=True, help="of weights and batches")
    args = parser.parse_args()
    params = load_params()
    real, test = split(FEATURES, args.fold)
    generated = Path(f"data/generated/fold{args.fold}")
    n_classes = len(class_list(FEATURES))
    if args.control == "pseudo_label":
        withheld, base = withheld_clips(FEATURES, args.fold), run_folder("base", args.fold, args.seed)
        believed = teacher_probabilities(withheld, base / "model.safetensors", n_classes, params)
        extra = pseudo_labelled(withheld, believed, params.control.pseudo_label)
    else:
        extra = extra_clips(args.control, real, read_pairs(generated / "pairs.csv"), generated, params)
    run_arm(args.control, args.fold, args.seed, real, extra, test, n_classes, params, params.augmentation)


if __name__ == "__main__":
    run_stage(main)
