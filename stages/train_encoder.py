"""train_encoder: a classifier of the training folds whose embeddings of sounds condition the generator.

Reads data/features, writes data/models/encoder/fold<fold>; needed by generator.condition: sound alone.
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
    folder = Path(f"data/models/encoder/fold{fold}")
    if params.generator.condition != "sound":  # torch is not even imported
        with whole(folder) as partial:
            write_json(partial / "config.json", {"condition": "no sound"})
        print(f"encoder, fold {fold} held out: not needed, the generator is told no sound")
        return
    from soundaug.classification.encoder import SoundEncoder
    from soundaug.classification.fold_classifier import train_without
    from soundaug.folds.provenance import write_train_clips

    trained, train = train_without(FEATURES, fold, params, "encoder")
    with whole(folder) as partial:
        SoundEncoder.fit(trained.model, train.mel).save(partial)
        write_train_clips(partial, train)


if __name__ == "__main__":
    run_stage(main)
