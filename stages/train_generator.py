"""train_generator: the diffusion model of one held-out fold, trained on every other fold.

Reads data/features and data/models/encoder/fold<fold>, writes data/models/generator/fold<fold>.
"""

import argparse
from pathlib import Path

import torch

from soundaug.card import write_card
from soundaug.diffusion import Told, save_generator
from soundaug.encoder import load_encoder
from soundaug.errors import run_stage
from soundaug.features import MelFrontEnd
from soundaug.generator_training import Clips, GeneratorTraining, validation_recordings
from soundaug.outputs import whole, write_csv, write_json
from soundaug.packed import class_list, concatenate, fold_by_name, split, withheld_clips
from soundaug.params import load_params
from soundaug.processes import is_main, relaunch
from soundaug.starting_point import starting_point

FEATURES = Path("data/features")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fold", type=int, required=True, help="the fold held out")
    fold = parser.parse_args().fold
    params = load_params()
    if relaunch(params.processes):
        return
    settings, seed, classes = params.generator, params.seed + fold, class_list(FEATURES)
    clips, _ = split(FEATURES, fold)
    log_mels = MelFrontEnd(params.features).log_mel(torch.from_numpy(clips.mel))
    encoder = None
    if settings.condition == "sound":
        encoder = load_encoder(Path(f"data/models/encoder/fold{fold}"), params.features)
    told = Told(torch.from_numpy(clips.class_id), None if encoder is None else encoder(clips.mel))
    watched = validation_recordings(clips.class_id, clips.fs_id, settings.validation_share, seed)
    train, validation = (Clips(log_mels[chosen], told.rows(chosen)) for chosen in (~watched, watched))
    if settings.unlabelled:
        more = withheld_clips(FEATURES, fold)
        clips = concatenate([clips, more])
        train = train.with_unlabelled(
            MelFrontEnd(params.features).log_mel(torch.from_numpy(more.mel)),
            None if encoder is None else encoder(more.mel),
            len(classes),
        )
    label = f"generator, fold {fold} held out"
    sound_size = None if encoder is None else encoder.size
    start = starting_point(
        settings, params.features, train.log_mels, validation.log_mels, len(classes), seed, label, sound_size
    )
    training = GeneratorTraining(settings, start, train, validation, len(classes), seed)
    training.run(label)
    if not is_main():
        return
    fold_of = fold_by_name(FEATURES)
    learned = [
        (name, fs_id, fold_of[name]) for name, fs_id in zip(clips.name.tolist(), clips.fs_id.tolist(), strict=True)
    ]
    folds = sorted({row[2] for row in learned})
    with whole(Path(f"data/models/generator/fold{fold}")) as partial:
        save_generator(partial, training.unet, training.schedule, training.codec)
        if encoder is not None:
            encoder.save(partial / "encoder")
        training.write_history(partial / "history.csv")
        write_csv(partial / "train_clips.csv", ["name", "fs_id", "fold"], learned)
        summary = training.summary()
        write_json(partial / "summary.json", summary)
        write_card(partial / "README.md", fold, folds, classes, params, summary)
    training.finish()


if __name__ == "__main__":
    run_stage(main)
