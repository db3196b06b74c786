"""train_selector: the classifier that picks among candidates, trained on a held-out fold's training folds alone.

Reads data/features, writes data/models/selector/fold<fold>; needed where generate.candidates is above 1.
"""

import argparse
from pathlib import Path

from soundaug.params import load_params
from soundaug.running.errors import run_stage
from soundaug.running.outputs import whole, write_json

FEATURES = Path("data/features")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fold", type=int, required=True, help="the fold held out")
    fold = parser.parse_args().fold
    params = load_params()
    with whole(Path(f"data/models/selector/fold{fold}")) as folder:
        folder.mkdir(parents=True)
        if params.generate.candidates == 1:  # nothing to pick: torch is not even imported
            write_json(folder / "summary.json", {"candidates": 1})
            print(f"selector, fold {fold} held out: not needed for one candidate a clip")
            return
        from soundaug.classification.classifier import save_classifier
        from soundaug.classification.fold_classifier import train_without
        from soundaug.folds.provenance import write_train_clips

        trained, train = train_without(FEATURES, fold, params, "selector")
        save_classifier(folder / "model.safetensors", trained.model)
        write_train_clips(folder, train)
        # With the network's settings, so that generate depends on them only where there is something to select.
        figures = {"candidates": params.generate.candidates, "n_train": len(train)}
        write_json(folder / "summary.json", figures | {"classifier": params.classifier.model_dump()})


if __name__ == "__main__":
    run_stage(main)
