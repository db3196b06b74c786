"""generate: new clips of one held-out fold's generator, each from two training clips inverted to noise and mixed."""

import argparse
from pathlib import Path

import torch

from soundaug.diffusion import load_generator
from soundaug.errors import run_stage
from soundaug.features import MelFrontEnd
from soundaug.generation import interpolate
from soundaug.interpolation import draw_pairs, write_pairs
from soundaug.outputs import write_json
from soundaug.packed import ClipSet, class_list, fold_file, folds_of, split
from soundaug.params import load_params
from soundaug.sampling import Sampler

FEATURES = Path("data/features")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fold", type=int, required=True, help="the fold held out")
    fold = parser.parse_args().fold
    params = load_params()
    train, _ = split(FEATURES, fold)
    folds = [k for k in folds_of(FEATURES) if k != fold for _ in range(len(ClipSet.load(fold_file(FEATURES, k))))]
    pairs = draw_pairs(
        train.name.tolist(),
        train.class_id,
        train.fs_id.tolist(),
        folds,
        class_list(FEATURES),
        params.generate,
        params.seed,
        fold,
    )
    folder = Path(f"data/generated/fold{fold}")
    front_end = MelFrontEnd(params.features)
    unet, scaling, scheduler = load_generator(Path(f"data/models/generator/fold{fold}"))
    sampler = Sampler(unet, scheduler, params.generate)
    log_mels = front_end.log_mel(torch.from_numpy(train.mel))
    labels = torch.from_numpy(train.class_id)
    generated, quality = interpolate(sampler, scaling, log_mels, labels, train.name.tolist(), pairs)
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
