"""train_generator: the diffusion model of one held-out fold, trained on every other fold, or on music.

Reads data/features (or data/music) and data/models/encoder/fold<fold>, writes data/models/generator/fold<fold>.
"""

import argparse
from pathlib import Path

import torch

from soundaug.classification.encoder import load_encoder
from soundaug.diffusion.model import Told, save_generator
from soundaug.generator.card import write_card
from soundaug.generator.corpus import GeneratorCorpus
from soundaug.generator.starting_point import starting_point
from soundaug.generator.training import Clips, GeneratorTraining
from soundaug.params import load_params
from soundaug.running.errors import run_stage
from soundaug.running.outputs import whole, write_csv, write_json
from soundaug.running.processes import is_main, relaunch
from soundaug.sound.features import MelFrontEnd


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fold", type=int, required=True, help="the fold held out")
    fold = parser.parse_args().fold
    params = load_params()
    if relaunch(params.processes):
        return
    settings, seed, front_end = params.generator, params.seed + fold, MelFrontEnd(params.features)
    corpus = GeneratorCorpus.load(settings, fold, front_end)
    clips, classes = corpus.clips, corpus.classes
    log_mels = front_end.log_mel(torch.from_numpy(clips.mel))
    encoder = None
    if settings.condition == "sound":
        encoder = load_encoder(Path(f"data/models/encoder/fold{fold}"), params.features)
    told = Told(torch.from_numpy(clips.class_id), None if encoder is None else encoder(clips.mel))
    watched = corpus.watched(settings.validation_share, seed)
    train, validation = (Clips(log_mels[chosen], told.rows(chosen)) for chosen in (~watched, watched))
    if settings.unlabelled:
        more = corpus.unlabelled.mel
        heard = None if encoder is None else encoder(more)
        train = train.with_unlabelled(front_end.log_mel(torch.from_numpy(more)), heard, len(classes))
    label = f"generator, fold {fold} held out"
    sound_size = None if encoder is None else encoder.size
    start = starting_point(
        settings, params.features, train.log_mels, validation.log_mels, len(classes), seed, label, sound_size
    )
    training = GeneratorTraining(settings, start, train, validation, len(classes), seed)
    training.run(label)
    if not is_main():
        return
    with whole(Path(f"data/models/generator/fold{fold}")) as partial:
        save_generator(partial, training.unet, training.schedule, training.codec)
        if encoder is not None:
            encoder.save(partial / "encoder")
        training.write_history(partial / "history.csv")
        write_csv(partial / "train_clips.csv", ["name", "fs_id", "fold"], corpus.rows())
        summary = training.summary()
        write_json(partial / "summary.json", summary)
        write_card(partial / "README.md", fold, corpus.folds, classes, params, summary)
    training.finish()


if __name__ == "__main__":
    run_stage(main)
