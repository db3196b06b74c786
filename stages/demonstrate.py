"""demonstrate: the sounds of the report: pairs of the first held-out fold, mixtures, inversion, the closest copies.

Reads data/raw, data/features, data/generated and data/models/generator, writes data/demonstration.
"""

import argparse
from pathlib import Path

from soundaug.folds.packed import class_list, split
from soundaug.generation.methods import load_sampler
from soundaug.interpolation import read_pairs
from soundaug.inversion.mel_to_audio import MelToAudio
from soundaug.listening.demonstration import (
    Player,
    closest_sounds,
    first_of_each_class,
    inversion_sounds,
    mixture_sounds,
    pair_sounds,
)
from soundaug.listening.examples import load_closest
from soundaug.listening.sounds import write_sounds
from soundaug.params import load_params
from soundaug.running.errors import run_stage
from soundaug.sound.features import MelFrontEnd

FEATURES, RAW, GENERATED = Path("data/features"), Path("data/raw"), Path("data/generated")


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    params = load_params()
    fold = params.folds[0]
    front_end = MelFrontEnd(params.features)
    player = Player(RAW, Path(params.data.root), front_end, MelToAudio(front_end, params.invert))
    pairs = first_of_each_class(read_pairs(GENERATED / f"fold{fold}/pairs.csv"))
    sounds = []
    if pairs:
        train, _ = split(FEATURES, fold)
        model = Path(f"data/models/generator/fold{fold}")
        sampler, parents = load_sampler(model, train, params.features, params.generate)
        sounds += pair_sounds(pairs, GENERATED, fold, player)
        if params.generate.method == "interpolation":
            sounds += mixture_sounds(pairs, sampler, parents, player)
        sounds += inversion_sounds(pairs, sampler, parents, player)
    closest = load_closest(Path("data"), params.folds, params.features, class_list(FEATURES))
    sounds += closest_sounds(closest, GENERATED, player)
    write_sounds(Path("data/demonstration"), sounds, params.features.sample_rate)
    print(f"{len(sounds)} sounds")


if __name__ == "__main__":
    run_stage(main)
