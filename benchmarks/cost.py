"""What a preset costs, before it is run: operations of its networks, and hours at a measured or a given throughput.

`python -m benchmarks.cost presets/published.yaml --clips 8732 --corpus-folds 10`: times a training step of each network
on this machine. With --teraflops nothing is timed, and the hours are those of a machine that reaches as many.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.measure import flop, timed
from soundaug.classification.classifier import build_classifier
from soundaug.diffusion.codec import MelScaling
from soundaug.diffusion.model import build_unet, place
from soundaug.generator.starting_point import window_columns
from soundaug.params import Params, load_params
from soundaug.running.device import autocast, choose_device
from soundaug.running.errors import StudyError, run_stage

CLASSES = 10
TRAINING = 3  # times a forward pass: backward is twice as much
TIMED = 16  # clips of a step that is timed


@dataclass(frozen=True)
class Corpus:
    """How many clips there are, in how many folds."""

    clips: int
    folds: int

    @property
    def test(self) -> int:
        """Clips of a held-out fold."""
        return round(self.clips / self.folds)

    @property
    def train(self) -> int:
        """Clips of all other folds."""
        return self.clips - self.test


def forward_passes(params: Params, corpus: Corpus) -> dict[str, float]:
    """Clips that go forwards through a network, for all of ``folds``, by what is done; a trained one counts 3 times.

    The first three go through the generator, the last two through the classifier. StudyError for params whose clips
    are not counted.
    """
    generate, generator = params.generate, params.generator
    uncounted = {
        "data.held_out: others": params.data.held_out == "others",
        "data.recordings_share below 1": params.data.recordings_share < 1,
        "generate.method: inpainting": generate.method == "inpainting",
        "augmentation.on_top_of": params.augmentation.on_top_of is not None,
    }
    for what, asked in uncounted.items():
        if asked:
            raise StudyError(f"cost: found {what}, wanted a study without it: what it takes is not counted")
    made = CLASSES * generate.per_class * generate.candidates  # the classifier that chooses is not counted: minutes
    evaluations = {"heun": 2 * generate.steps, "adams_bashforth": generate.steps + 1}
    inversion = evaluations.get(generate.inversion, generate.steps)
    if generate.inversion == "fixed_point":
        inversion = generate.steps * generate.inversion_iterations + 1
    parents = min(made * generate.parents, corpus.train) if generate.method == "interpolation" else 0
    decoding = evaluations.get(generate.sampler, generate.steps) * (1 if generate.guidance == 1 else 2)
    kept = CLASSES * generate.per_class
    arms = [corpus.train] + [corpus.train + kept] * (len(params.arms) - 1)
    seeds = len(params.seeds)
    learned = seeds * sum(_clips_of_training(params, n_clips) for n_clips in arms)
    looked_at = seeds * len(arms) * params.training.evaluations * corpus.test
    return {
        "generator: training": len(params.folds) * TRAINING * generator.steps * generator.batch_size,
        "generator: inversion": len(params.folds) * parents * inversion,
        "generator: decoding": len(params.folds) * made * decoding,
        "classifiers: training": len(params.folds) * TRAINING * (learned + _clips_of_training(params, kept)),
        "classifiers: looks at the test fold": len(params.folds) * looked_at,
    }


def _clips_of_training(params: Params, n_clips: int) -> int:
    training = params.training
    if training.epochs is not None:
        return training.epochs * n_clips
    assert training.steps is not None
    return training.steps * training.batch_size


@dataclass(frozen=True)
class Network:
    """A network of ``params`` and how it is called with a batch of so many clips."""

    module: torch.nn.Module
    forward: Callable[[int], torch.Tensor]
    precision: str

    def operations(self) -> int:
        """Of a forward pass of one clip."""
        with torch.inference_mode():
            return flop(lambda: self.forward(1))

    def throughput(self, device: torch.device) -> float:
        """Operations a second of a training step, the optimiser left out: the median of three."""

        def step() -> None:
            with autocast(device, self.precision):
                found = self.forward(TIMED)
            found.float().square().mean().backward()

        return TRAINING * TIMED * self.operations() / timed(step, repeats=3).median


def networks(params: Params, device: torch.device) -> dict[str, Network]:
    """The generator's U-Net and the classifier; StudyError where the generator is no fresh U-Net of mel bins."""
    settings, features = params.generator, params.features
    if settings.space == "latent" or settings.pretrained is not None or settings.condition == "sound":
        raise StudyError("generator: found an autoencoder, a checkpoint or sounds, wanted a U-Net of mel bins alone")
    channels, height, width = MelScaling.of(features, settings).image_shape
    shape = (channels, height, min(width, window_columns(settings, features)))
    unet = build_unet(settings, shape, CLASSES, 0)
    place(unet, device)

    def denoise(batch: int) -> torch.Tensor:
        labels = None if settings.condition == "none" else torch.zeros(batch, dtype=torch.int64, device=device)
        images = torch.zeros(batch, *shape, device=device).to(memory_format=torch.channels_last)
        denoised: torch.Tensor = unet(images, torch.zeros(batch, device=device), class_labels=labels).sample
        return denoised

    mel = torch.ones(1, features.n_mels, features.n_frames)
    classifier = build_classifier(params.classifier, features, CLASSES, mel, 0)
    classifier.to(device).to(memory_format=torch.channels_last)

    def classify(batch: int) -> torch.Tensor:
        logits: torch.Tensor = classifier(mel.expand(batch, -1, -1).to(device))
        return logits

    return {
        "generator": Network(unet, denoise, settings.precision),
        "classifiers": Network(classifier, classify, params.training.precision),
    }


def _check(option: str, found: int, least: int) -> None:
    if found < least:
        raise StudyError(f"{option}: found {found}, wanted at least {least}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", type=Path)
    parser.add_argument("--clips", type=int, default=8732, help="of the corpus (default: UrbanSound8K's 8732)")
    parser.add_argument("--corpus-folds", type=int, default=10, help="of the corpus (default: 10)")
    parser.add_argument("--teraflops", type=float, help="that are reached in a second, instead of measuring them")
    arguments = parser.parse_args()
    _check("--corpus-folds", arguments.corpus_folds, 2)
    _check("--clips", arguments.clips, arguments.corpus_folds)
    if arguments.teraflops is not None and not 0 < arguments.teraflops < math.inf:
        raise StudyError(f"--teraflops: found {arguments.teraflops:g}, wanted more than 0")
    params, device = load_params(arguments.preset), choose_device()
    found = networks(params, device)
    operations = {name: network.operations() for name, network in found.items()}
    if arguments.teraflops is None:
        reached = {name: network.throughput(device) for name, network in found.items()}
    else:
        reached = dict.fromkeys(found, arguments.teraflops * 1e12)
    for name in found:
        print(f"{name}: {operations[name] / 1e9:.3f} GFLOP a clip forwards, {reached[name] / 1e12:.3f} TFLOP/s")
    total = 0.0
    for work, passes in forward_passes(params, Corpus(arguments.clips, arguments.corpus_folds)).items():
        name = work.partition(":")[0]
        hours = passes * operations[name] / reached[name] / 3600
        total += hours
        print(f"{work:38} {passes * operations[name] / 1e15:9.3f} PFLOP {hours:9.2f} hours")
    print(f"{'together':38} {'':15} {total:9.2f} hours")


if __name__ == "__main__":
    run_stage(main)
