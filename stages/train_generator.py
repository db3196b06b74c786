"""train_generator: the diffusion model of one held-out fold, trained on every other fold."""

import argparse
from pathlib import Path

import torch

from soundaug.diffusion import MelScaling, save_generator
from soundaug.errors import run_stage
from soundaug.features import MelFrontEnd
from soundaug.generator_training import GeneratorTraining
from soundaug.outputs import whole, write_csv, write_json
from soundaug.packed import ClipSet, class_list, fold_file, folds_of, split
from soundaug.params import load_params

FEATURES = Path("data/features")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fold", type=int, required=True, help="the fold held out")
    fold = parser.parse_args().fold
    params = load_params()
    train, _ = split(FEATURES, fold)
    training = GeneratorTraining(
        params.generator,
        MelScaling.of(params.features, params.generator),
        MelFrontEnd(params.features).log_mel(torch.from_numpy(train.mel)),
        torch.from_numpy(train.class_id),
        n_classes=len(class_list(FEATURES)),
        seed=params.seed + fold,
    )
    training.run(f"generator, fold {fold} held out")
    with whole(Path(f"data/models/generator/fold{fold}")) as partial:
        save_generator(partial, training.unet, training.scheduler, training.scaling)
        training.write_history(partial / "history.csv")
        write_csv(partial / "train_clips.csv", ["name", "fs_id", "fold"], train_clips(fold))
        write_json(partial / "summary.json", training.summary())
    training.finish()


def train_clips(held_out: int) -> list[tuple[str, str, int]]:
    """Name, recording and fold of every clip the generator learned from."""
    rows = []
    for fold in folds_of(FEATURES):
        if fold != held_out:
            clips = ClipSet.load(fold_file(FEATURES, fold))
            rows += [(str(name), str(fs_id), fold) for name, fs_id in zip(clips.name, clips.fs_id, strict=True)]
    return rows


if __name__ == "__main__":
    run_stage(main)
