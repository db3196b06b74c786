"""Interpolated clips a second against diffusers' AudioDiffusionPipeline, and where the difference comes from.

Run `dvc repro` first: clips, base classifier and generator are those of the pipeline's data/. A pixel network in
audio-diffusion's manner is trained; the same pairs then go through the pipeline as the published study calls it,
through the study's sampler with the same weights, and through the study's own generator. How good each side's clips are
is judged as in the stage assess_generator.
"""

import argparse
import math
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from diffusers import DDPMScheduler
from tqdm import tqdm

from benchmarks import published
from benchmarks.comparison import Comparison
from benchmarks.measure import flop, matmul_peak, peak_memory_mb, product_dtype, time_by_kind, timed
from benchmarks.plots import plot_costs, plot_factors
from benchmarks.study import Study
from soundaug.classification.encoder import load_encoder
from soundaug.diffusion.codec import Codec
from soundaug.diffusion.model import Told, Unet, ask, diffusion_loss, load_generator, place
from soundaug.diffusion.schedule import Schedule
from soundaug.generation.methods import Parents, generate
from soundaug.generation.sampling import Sampler
from soundaug.interpolation import Pair
from soundaug.inversion.mel_to_audio import MelToAudio, sound
from soundaug.params import Generate, load_params
from soundaug.running.device import autocast, choose_device
from soundaug.running.errors import run_stage
from soundaug.running.outputs import write_csv
from soundaug.sound.audio import from_pcm16

REPORTS = Path("reports/benchmarks")
STUDY_PER_CLASS = 100  # clips a class of the published study, by which its parents are counted
BATCH = 32
COMMON = {"method": "interpolation", "guidance": 1.0, "alpha": [0.5], "parents": 2, "batch_size": BATCH}
SECOND_ORDER = {"sampler": "adams_bashforth", "inversion": "adams_bashforth", "steps": 6}
PARITY = {
    "sampler": "ddim",
    "inversion": "ddim",
    "steps": published.STEPS,
    "renormalize": False,
    "precision": "float32",
}
PIPELINE, SAME, OWN = "AudioDiffusionPipeline", "the same weights", "the study's generator"
COSTS = {"clips": (128, 256, 512, 1024), "steps": (5, 10, 20), "batch": (8, 32, 128)}  # what is tried
COSTS_AT = {"clips": 128, "steps": 5, "batch": BATCH}  # what the other two are meanwhile
SOUNDED = 8  # clips whose sound is timed
FIGURES = ("accuracy_score", "label_agreement", "kid_ratio")


class Maker(NamedTuple):
    """A network with all it takes to make clips, and what it is told of the training clips."""

    unet: Unet
    schedule: Schedule
    codec: Codec
    told: Told
    settings: Generate

    @classmethod
    def own(cls, study: Study, **changes: object) -> "Maker":
        """The study's generator with the settings of params.yaml and ``changes``."""
        unet, codec, schedule = load_generator(study.generator)
        folder, sounds = study.generator / "encoder", None
        if folder.exists():
            sounds = load_encoder(folder, study.params.features)(study.train.mel)
        told = Told(torch.from_numpy(study.train.class_id), sounds)
        return cls(unet, schedule, codec, told, study.params.generate.model_copy(update=COMMON | changes))

    def make(self, study: Study, pairs: list[Pair]) -> np.ndarray:
        """The log mels [N, n_mels, T] in dB of ``pairs``."""
        sampler = Sampler(self.unet, self.schedule, self.settings)
        parents = Parents(self.codec, study.log_mels, self.told, study.train.name.tolist())
        with TemporaryDirectory() as folder:
            made, _ = generate(sampler, parents, pairs, study.params.features.frames_per_second, Path(folder))
            return np.array(made.array())


class Cost(NamedTuple):
    """Seconds to invert a parent, to decode a clip and to sound it; parents a clip."""

    invert: float
    decode: float
    sound: float
    parents: float

    @property
    def clip(self) -> float:
        """Seconds an interpolated clip."""
        return self.parents * self.invert + self.decode + self.sound


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fold", type=int, help="the fold held out (default: the first of params.yaml)")
    parser.add_argument("--per-class", type=int, default=10, help="clips a class whose quality is judged")
    parser.add_argument("--pixel-steps", type=int, default=400, help="training steps of the pixel network")
    parser.add_argument("--pixel-batch", type=int, default=8, help="clips it makes at once; 8 stay in a CPU's caches")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs, of which the median counts")
    args = parser.parse_args()
    params = load_params()
    study = Study.load(params, args.fold or params.folds[0])
    unet = study.train_pixel_unet(args.pixel_steps)
    pairs, parents = study.pairs(args.per_class), parents_a_clip(study.pairs(STUDY_PER_CLASS))
    pixel = Maker(
        unet,
        Schedule(DDPMScheduler(clip_sample=False)),
        published.clip_scaling(params.features, quantized=False),
        Told(torch.from_numpy(study.train.class_id)),
        params.generate.model_copy(update=COMMON | SECOND_ORDER | {"batch_size": args.pixel_batch}),
    )
    own = Maker.own(study)

    pipeline = published.pipeline_of(deepcopy(unet), params.features)
    pictures = published.to_pictures(study.log_mels[:2], params.features)
    theirs = timed(lambda: published.interpolate(pipeline, *pictures), args.repeats).median
    encode = timed(lambda: pipeline.encode(pictures[:1], steps=published.STEPS), args.repeats).median
    costs = {name: cost_of(maker, study, parents, args.repeats) for name, maker in ((SAME, pixel), (OWN, own))}
    write_factors(factors(theirs, encode, deepcopy(unet), pixel, costs[SAME], args.repeats))

    sounds = {
        PIPELINE: published_sounds(pipeline, study, pixel, pairs),
        SAME: our_sounds(pixel, study, pairs),
        OWN: our_sounds(own, study, pairs),
    }
    seconds = {PIPELINE: theirs} | {name: cost.clip for name, cost in costs.items()}
    rows = []
    for name, waveforms in sounds.items():
        quality = study.judge(waveforms, pairs, name)
        rows.append((name, seconds[name], theirs / seconds[name], *(quality.get(figure, "") for figure in FIGURES)))
    write_csv(REPORTS / "generate.csv", ["side", "seconds_a_clip", "ratio", *FIGURES], rows)
    share = write_peak(own, study, args.repeats)
    write_costs(study.fold)
    for side, found, ratio, *figures in rows:
        shown = ", ".join(f"{figure} {value}" for figure, value in zip(FIGURES, figures, strict=True))
        print(f"{side}: {found:.3f} s a clip, ratio {ratio:.1f}, {shown}")
    cost = costs[OWN]
    at_peak = share * (cost.clip - cost.sound)  # nothing is asked of the sound, which is no product
    Comparison("generate", "an interpolated clip", PIPELINE, theirs, cost.clip, at_peak, "matrix products").tell()


def parents_a_clip(pairs: list[Pair]) -> float:
    """How many clips are inverted for each one made, every parent once."""
    return len({parent.name for pair in pairs for parent in pair.parents}) / len(pairs)


def cost_of(maker: Maker, study: Study, parents: float, repeats: int) -> Cost:
    """Medians over `BATCH` clips."""
    sampler = Sampler(maker.unet, maker.schedule, maker.settings)
    chosen = torch.linspace(0, len(study.log_mels) - 1, BATCH).long()
    told = maker.told.rows(chosen)
    images = maker.codec.to_image(study.log_mels[chosen])
    noise = sampler.invert(images, told)
    invert = timed(lambda: sampler.invert(images, told), repeats, warm_up=0).median
    decode = timed(lambda: sampler.decode(noise, told, range(BATCH)), repeats).median
    mel_to_audio = MelToAudio(study.front_end, study.params.invert)
    log_mels = study.log_mels[chosen[:SOUNDED]].numpy()
    sounded = timed(lambda: sound(log_mels, range(SOUNDED), mel_to_audio, "sound"), repeats).median
    return Cost(invert / BATCH, decode / BATCH, sounded / SOUNDED, parents)


def factors(
    theirs: float, encode: float, unet: Unet, pixel: Maker, cost: Cost, repeats: int
) -> list[tuple[str, float]]:
    """Seconds a clip of the pixel network as the pipeline's ways are given up one after the other.

    Each is the number of network evaluations times the median of one, plus the sound; the ends are measured whole.
    """
    batch, steps = pixel.settings.batch_size, pixel.settings.steps
    shape = (batch, *pixel.codec.image_shape)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))

    def evaluation(precision: str) -> float:
        def run() -> None:
            with torch.inference_mode(), autocast(choose_device(), precision):
                ask(unet, x, 500, Told())

        return timed(run, repeats).median / batch

    one = encode / published.STEPS
    rest = theirs - 3 * encode  # sound, images
    first_order = (cost.parents + 1) * published.STEPS
    rungs = [(PIPELINE, theirs), ("each parent inverted once", first_order * one + rest)]
    rungs.append((f"batches of {batch}", first_order * evaluation("float32") + rest))
    place(unet, choose_device())
    x = x.to(memory_format=torch.channels_last)
    rungs.append(("layout and attention for the processor", first_order * evaluation("float32") + rest))
    mixed = evaluation(pixel.settings.precision)
    rungs.append(("mixed precision", first_order * mixed + rest))
    rungs.append((f"second order, {steps} steps", (cost.parents + 1) * (steps + 1) * mixed + rest))
    return [*rungs, ("mel Griffin-Lim, measured whole", cost.clip)]


def write_factors(rungs: list[tuple[str, float]]) -> None:
    """The table and the picture of where the ratio comes from."""
    before = [rungs[0][1], *(seconds for _, seconds in rungs[:-1])]
    rows = [
        (name, seconds, last / seconds, rungs[0][1] / seconds)
        for (name, seconds), last in zip(rungs, before, strict=True)
    ]
    write_csv(REPORTS / "generate_factors.csv", ["change", "seconds_a_clip", "factor", "ratio"], rows)
    plot_factors(REPORTS / "generate_factors.png", rungs)


def our_sounds(maker: Maker, study: Study, pairs: list[Pair]) -> np.ndarray:
    """Waveforms [N, n_samples] of ``pairs``, as the stages generate and invert make them."""
    mel_to_audio = MelToAudio(study.front_end, study.params.invert)
    samples, _ = sound(maker.make(study, pairs), [pair.seed for pair in pairs], mel_to_audio, "sounds")
    return from_pcm16(samples)


def published_sounds(pipeline: Any, study: Study, pixel: Maker, pairs: list[Pair]) -> np.ndarray:
    """Waveforms [N, n_samples] of ``pairs`` by the pipeline's arithmetic, in batches for the sake of time.

    The tests show that encoding and decoding agree with the pipeline's to 1e-3. It forgets a clip's level: here every
    clip gets the mean level of its parents.
    """
    maker = pixel._replace(settings=pixel.settings.model_copy(update=PARITY))
    log_mels = maker.make(study, pairs)
    pictures = published.to_pictures(torch.from_numpy(log_mels), study.params.features)
    waveforms = np.zeros((len(pairs), study.params.features.n_samples), np.float32)
    for row, (picture, log_mel) in enumerate(
        zip(tqdm(pictures, desc="the pipeline's sounds", disable=None), log_mels, strict=True)
    ):
        audio = pipeline.mel.image_to_audio(picture)[: waveforms.shape[1]]
        reached = float(study.front_end.power(torch.from_numpy(audio)[None].float()).sum())
        wanted = float(study.front_end.from_db(torch.from_numpy(log_mel)).sum())
        waveforms[row, : len(audio)] = audio * np.sqrt(wanted / max(reached, 1e-20))
    return waveforms / np.maximum(1, np.abs(waveforms).max(axis=1, keepdims=True))


def write_peak(own: Maker, study: Study, repeats: int) -> float:
    """Share of the matrix-product peak, measured in the same precision, that training and sampling reach.

    Returns sampling's.
    """
    settings, device = study.params.generator, choose_device()
    unet = deepcopy(own.unet)
    place(unet, device)
    images = torch.randn((settings.batch_size, *own.codec.image_shape), device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    told = Told()
    if unet.config.num_class_embeds is not None:
        told = own.told.rows(torch.zeros(len(images), dtype=torch.int64)).to(device)
    unet.eval()
    with torch.no_grad():
        operations = flop(lambda: ask(unet, images, 500, told)) / len(images)
    optimizer = torch.optim.AdamW(unet.parameters())

    def train() -> None:
        levels = torch.full((len(images),), 500, device=device)
        with autocast(device, settings.precision):
            loss = diffusion_loss(unet, own.schedule, images, told, levels, torch.randn_like(images), 5.0)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), settings.clip_norm)
        optimizer.step()

    def sample() -> None:
        with torch.inference_mode(), autocast(device, settings.precision):
            ask(unet, images, 500, told)

    precision = product_dtype(device, settings.precision)
    peak = matmul_peak(precision, device)
    rows = []
    # A training step is a forward pass and a backward pass of twice its operations.
    for name, run, passes in (("training", train, 3), ("sampling", sample, 1)):
        unet.train(name == "training")
        seconds = timed(run, repeats, warm_up=2).median
        rate = passes * operations * len(images) / seconds
        kinds = time_by_kind(run)
        rows.append(
            (name, str(precision), operations / 1e9, seconds, rate / 1e9, peak / 1e9, rate / peak, *kinds.values())
        )
        print(
            f"{name}: {rate / 1e9:.0f} of {peak / 1e9:.0f} GFLOP/s, {rate / peak:.0%}; time: "
            + ", ".join(f"{kind} {share:.0%}" for kind, share in kinds.items())
        )
    columns = ["what", "precision", "gflop_an_image", "seconds", "gflop_a_second", "peak_gflop_a_second", "share"]
    write_csv(REPORTS / "generate_peak.csv", [*columns, *(f"time_{kind}" for kind in kinds)], rows)
    return float(rate / peak)


def write_costs(fold: int) -> None:
    """Seconds and memory of the whole of `generate` against clips, steps and batch, each in a process of its own."""
    rows = []
    spawn = multiprocessing.get_context("spawn")
    for axis, values in COSTS.items():
        for value in values:
            at = COSTS_AT | {axis: value}
            with ProcessPoolExecutor(1, mp_context=spawn) as process:
                seconds, memory = process.submit(cost_of_making, fold, **at).result()
            rows.append({"axis": axis, "value": value, **at, "seconds": seconds, "peak_memory_mb": memory})
    write_csv(REPORTS / "generate_costs.csv", list(rows[0]), (list(row.values()) for row in rows))
    plot_costs(REPORTS / "generate_costs.png", rows)


def cost_of_making(fold: int, clips: int, steps: int, batch: int) -> tuple[float, float]:
    """Seconds that ``clips`` take once a batch has been made, and this process's peak memory in MB."""
    study = Study.load(load_params(), fold)
    maker = Maker.own(study, steps=steps, batch_size=batch)
    pairs = study.pairs(math.ceil(clips / len(study.classes)))[:clips]
    maker.make(study, pairs[:batch])
    start = time.perf_counter()
    maker.make(study, pairs)
    return time.perf_counter() - start, peak_memory_mb()


if __name__ == "__main__":
    run_stage(main)
