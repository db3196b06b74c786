"""generate: new clips of one held-out fold's generator, each made of training clips by generate.method.

Reads data/features, data/models/generator/fold<fold> and, where there are candidates, data/models/selector/fold<fold>;
writes mels.npz, pairs.csv and summary.json to data/generated/fold<fold>.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from soundaug.classification.training import predict
from soundaug.folds.packed import class_list, fold_by_name, save_clips, split
from soundaug.generation import methods as generation
from soundaug.generation import sampling, solvers
from soundaug.generation.methods import generate, load_sampler
from soundaug.generation.selection import best_candidates, load_selector
from soundaug.interpolation import draw_pairs, write_pairs
from soundaug.params import load_params
from soundaug.running.errors import run_stage
from soundaug.running.outputs import write_json
from soundaug.running.processes import is_main, relaunch
from soundaug.running.scratch import Scratch
from soundaug.sound.features import MelFrontEnd

FEATURES = Path("data/features")
CODE = [
    Path(str(module.__file__)) for module in (generation, sampling, solvers)
]  # what an interrupted run's parts depend on


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fold", type=int, required=True, help="the fold held out")
    fold = parser.parse_args().fold
    params = load_params()
    if relaunch(params.processes):
        return
    train, _ = split(FEATURES, fold)
    fold_of = fold_by_name(FEATURES)
    folds = [fold_of[name] for name in train.name.tolist()]
    settings, classes = params.generate, class_list(FEATURES)
    candidates = settings.model_copy(update={"per_class": settings.per_class * settings.candidates})
    pairs = draw_pairs(
        train.name.tolist(), train.class_id, train.fs_id.tolist(), folds, classes, candidates, params.seed, fold
    )
    folder = Path(f"data/generated/fold{fold}")
    model = Path(f"data/models/generator/fold{fold}")
    sampler, parents = load_sampler(model, train, params.features, settings)
    files = [*sorted(path for path in model.rglob("*") if path.is_file()), *CODE]
    scratch = Scratch("generate", settings, pairs, train.mel, torch.__version__, sampler.device.type, *files)
    made, quality = generate(sampler, parents, pairs, params.features.frames_per_second, scratch.folder)
    if not is_main():
        return
    generated: Iterable[np.ndarray] = made  # row by row, from the disk
    if pairs and settings.candidates > 1:
        selector = load_selector(Path(f"data/models/selector/fold{fold}"), params.features, len(classes))
        selector.to(sampler.device)
        believed = predict(selector, made.array(), sampler.device, MelFrontEnd(params.features).stored)
        kept, selection = best_candidates(pairs, believed, settings.per_class, classes)
        pairs, generated = [pairs[index] for index in kept], made.array()[kept]
        quality |= {
            "clips": len(pairs),
            "accepted": fmean(one["accepted"] for one in selection.values()),
            "selection": selection,
        }
    save_clips(
        folder / "mels.npz",
        generated,
        made.shape,
        [pair.class_id for pair in pairs],
        [pair.fs_id_a for pair in pairs],
        [pair.name for pair in pairs],
    )
    write_pairs(folder / "pairs.csv", pairs)
    write_json(folder / "summary.json", quality)
    scratch.remove()
    print(f"fold {fold}: {len(pairs)} clips")


if __name__ == "__main__":
    run_stage(main)
