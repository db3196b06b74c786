"""generate: new clips of one held-out fold's generator, each made of training clips by ``generate.method``."""

import argparse
from pathlib import Path
from statistics import fmean

import torch

from soundaug.diffusion import load_generator
from soundaug.errors import run_stage
from soundaug.features import MelFrontEnd
from soundaug.generation import Parents, generate
from soundaug.interpolation import draw_pairs, write_pairs
from soundaug.outputs import write_json
from soundaug.packed import ClipSet, class_list, fold_file, folds_of, split
from soundaug.params import load_params
from soundaug.processes import is_main, relaunch
from soundaug.sampling import Sampler
from soundaug.selection import best_candidates, load_selector
from soundaug.training import predict
from soundaug.windows import windowed

FEATURES = Path("data/features")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fold", type=int, required=True, help="the fold held out")
    fold = parser.parse_args().fold
    params = load_params()
    if relaunch(params.processes):
        return
    train, _ = split(FEATURES, fold)
    folds = [k for k in folds_of(FEATURES) if k != fold for _ in range(len(ClipSet.load(fold_file(FEATURES, k))))]
    settings, classes = params.generate, class_list(FEATURES)
    candidates = settings.model_copy(update={"per_class": settings.per_class * settings.candidates})
    pairs = draw_pairs(
        train.name.tolist(), train.class_id, train.fs_id.tolist(), folds, classes, candidates, params.seed, fold
    )
    folder = Path(f"data/generated/fold{fold}")
    front_end = MelFrontEnd(params.features)
    unet, codec, scheduler = load_generator(Path(f"data/models/generator/fold{fold}"))
    parents = Parents(
        codec,
        front_end.log_mel(torch.from_numpy(train.mel)),
        torch.from_numpy(train.class_id),
        train.name.tolist(),
    )
    sampler = Sampler(windowed(unet, codec.image_shape[2], settings), scheduler, settings)
    generated, quality = generate(sampler, parents, pairs, params.features.frames_per_second)
    if not is_main():
        return
    if pairs and settings.candidates > 1:
        selector = load_selector(Path(f"data/models/selector/fold{fold}"), params.features, len(classes))
        selector.to(sampler.device)
        believed = predict(selector, front_end.stored(generated).numpy(), sampler.device)
        kept, selection = best_candidates(pairs, believed, settings.per_class, classes)
        pairs, generated = [pairs[index] for index in kept], generated[kept]
        quality |= {
            "clips": len(pairs),
            "accepted": fmean(one["accepted"] for one in selection.values()),
            "selection": selection,
        }
    ClipSet.pack(
        generated.numpy(),
        [pair.class_id for pair in pairs],
        [pair.fs_id_a for pair in pairs],
        [pair.name for pair in pairs],
    ).save(folder / "mels.npz")
    write_pairs(folder / "pairs.csv", pairs)
    write_json(folder / "summary.json", quality)
    print(f"fold {fold}: {len(pairs)} clips")


if __name__ == "__main__":
    run_stage(main)
