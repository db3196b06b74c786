"""assess_controls: what one held-out fold's base classifier makes of every control's clips, beside the generated ones.

Makes the clips as train_control does. Reads data/features, data/generated/fold<fold>, data/raw and data/runs/base,
writes controls.json beside the generated clips; {} without controls.
"""

import argparse
from pathlib import Path

from soundaug.classification.arms import run_folder
from soundaug.classification.classifier import load_classifier
from soundaug.classification.soft_labels import teacher_probabilities
from soundaug.controls import extra_clips
from soundaug.folds.packed import class_list, split, withheld_clips
from soundaug.interpolation import read_pairs
from soundaug.judging.assessment import RealClips, assess_clips
from soundaug.params import load_params
from soundaug.pseudo_labels import pseudo_labelled
from soundaug.running.errors import run_stage
from soundaug.running.outputs import write_json

FEATURES = Path("data/features")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fold", type=int, required=True, help="the fold held out")
    parser.add_argument("--seed", type=int, required=True, help="the base run whose classifier listens")
    args = parser.parse_args()
    params = load_params()
    train, test = split(FEATURES, args.fold)
    n_classes = len(class_list(FEATURES))
    folder = Path(f"data/generated/fold{args.fold}")
    pairs = read_pairs(folder / "pairs.csv")
    model_path = run_folder("base", args.fold, args.seed) / "model.safetensors"
    model = load_classifier(model_path, params.classifier, params.features, n_classes)
    real = RealClips.heard_by(model, train, test)
    found = {}
    for control in params.controls:
        if control == "pseudo_label":
            withheld = withheld_clips(FEATURES, args.fold)
            believed = teacher_probabilities(withheld, model_path, n_classes, params)
            clips = pseudo_labelled(withheld, believed, params.control.pseudo_label)
        else:
            clips = extra_clips(control, train, pairs, folder, params)
        found[control] = assess_clips(model, clips, real)
        told = ", ".join(f"{name} {value:.3g}" for name, value in found[control].items())
        print(f"fold {args.fold} held out, {control}: {told or 'no clips'}")
    write_json(folder / "controls.json", found)


if __name__ == "__main__":
    run_stage(main)
