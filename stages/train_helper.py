"""train_helper: a classifier of a held-out fold's training folds alone, which helps to make clips.

Reads data/features, writes data/models/encoder/fold<fold>, whose embeddings of sounds condition the generator (needed
by generator.condition: sound alone), and data/models/selector/fold<fold>, which picks among candidates (needed where
generate.candidates is above 1). One training serves both.
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
    encodes, selects = params.generator.condition == "sound", params.generate.candidates > 1
    encoder, selector = (Path(f"data/models/{name}/fold{fold}") for name in ("encoder", "selector"))
    if not encodes:
        with whole(encoder) as partial:
            write_json(partial / "config.json", {"condition": "no sound"})
    if not selects:
        with whole(selector) as partial:
            write_json(partial / "summary.json", {"candidates": 1})
    if not (encodes or selects):  # torch is not even imported
        print(f"helper, fold {fold} held out: not needed, the generator hears no sound and clips have one candidate")
        return
    from soundaug.classification.classifier import save_classifier
    from soundaug.classification.encoder import SoundEncoder
    from soundaug.classification.fold_classifier import train_without
    from soundaug.folds.provenance import write_train_clips

    trained, train = train_without(FEATURES, fold, params, "helper")
    if encodes:
        with whole(encoder) as partial:
            SoundEncoder.fit(trained.model, train.mel).save(partial)
            write_train_clips(partial, train)
    if selects:
        with whole(selector) as partial:
            partial.mkdir()
            save_classifier(partial / "model.safetensors", trained.model)
            write_train_clips(partial, train)
            # With the network's settings, so that generate depends on them only where there is something to select.
            figures = {"candidates": params.generate.candidates, "n_train": len(train)}
            write_json(partial / "summary.json", figures | {"classifier": params.classifier.model_dump()})


if __name__ == "__main__":
    run_stage(main)
