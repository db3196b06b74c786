"""assess_controls: what one held-out fold's base classifier makes of every control's clips, beside the generated ones.

Makes the clips as train_control does. Reads data/features, data/generated/fold<fold>, data/raw and data/runs/base,
writes controls.json beside the generated clips; {} without controls.
"""

import argparse
from pathlib import Path

from soundaug.classification.encoder import embed, probabilities_of
from soundaug.controls import extra_clips
from soundaug.folds.packed import withheld_clips
from soundaug.interpolation import read_pairs
from soundaug.judging.assessment import assess_clips, judge_of
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
    folder = Path(f"data/generated/fold{args.fold}")
    pairs = read_pairs(folder / "pairs.csv")
    model, real = judge_of(FEATURES, args.fold, args.seed, params)
    found = {}
    for control in params.controls:
        if control == "pseudo_label":
            withheld = withheld_clips(FEATURES, args.fold)
            believed = probabilities_of(model, embed(model, withheld.mel))
            clips = pseudo_labelled(withheld, believed, params.control.pseudo_label)
        else:
            clips = extra_clips(control, real.train, pairs, folder, params)
        found[control] = assess_clips(model, clips, real)
        if control == "pseudo_label":  # the labels are what this classifier said
            found[control].pop("label_agreement", None)
        told = ", ".join(f"{name} {value:.3g}" for name, value in found[control].items())
        print(f"fold {args.fold} held out, {control}: {told or 'no clips'}")
    write_json(folder / "controls.json", found)


if __name__ == "__main__":
    run_stage(main)
