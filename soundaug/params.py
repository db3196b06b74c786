"""The one schema of params.yaml: typed, frozen, every key required, ranges checked where they are declared.

The string below a parameter says what it means; docs/parameters.md is made of them.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from soundaug.running.errors import StudyError
from soundaug.running.foreign import LONGEST_VALUE, brief, reason

PARAMS_FILE = Path("params.yaml")

Control = Literal[
    "duplicate",
    "waveform",
    "specaugment",
    "mixup",
    "slerp",
    "resynthesis",
    "pseudo_label",
]
Problem = Literal["missing", "unreadable", "empty", "not_finite", "silent"]
Workers = Literal["threads", "dask"]


def measured_in(unit: str) -> Any:
    """What a number is measured in, as the table of parameters (docs/parameters.md) tells it."""
    return Field(json_schema_extra={"unit": unit})


Unit = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]


class Settings(BaseModel):
    """Base of every section: an unknown key, a missing key or a wrong type is an error, values never change."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


S = TypeVar("S", bound=Settings)


def _rising(settings: S, name: str, ends: list[float]) -> S:
    if ends[0] > ends[-1]:
        raise ValueError(f"{name} is {ends}, wanted [lowest, highest]")
    return settings


class Synthetic(Settings):
    """The embedded corpus: ``recordings_per_class`` x ``slices_per_recording`` clips a class, spread over the folds."""

    recordings_per_class: Positive
    """Recordings of every class."""
    slices_per_recording: Positive
    """Clips cut from each recording."""
    snr_db: Annotated[list[float], Field(min_length=2, max_length=2), measured_in("dB")]
    """Lowest and highest signal-to-noise ratio, drawn per recording."""
    slice_seconds: Annotated[
        list[Annotated[float, Field(gt=0.0, le=60.0)]], Field(min_length=2, max_length=2), measured_in("s")
    ]
    """Shortest and longest clip; one starts their mean after the other."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        return _rising(_rising(self, "snr_db", self.snr_db), "slice_seconds", self.slice_seconds)


class Download(Settings):
    """Where UrbanSound8K comes from and the MD5 its archive must have."""

    url: Annotated[str, Field(pattern=r"^https?://")]
    """The archive's address."""
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    """Of the archive; another one is refused."""


class Data(Settings):
    """Where the labelled clips come from and how they fall into folds."""

    source: Literal[
        "synthetic",
        "urbansound8k",
        "directory",
    ]
    """The embedded corpus, UrbanSound8K (downloaded), or a folder of your own."""
    root: Annotated[str, Field(min_length=1)]
    """The folder of source directory, or one that holds UrbanSound8K.tar.gz. dvc repro watches it."""
    group_pattern: str | None
    """Of a folder a class: a regular expression whose one group reads the recording's id from a clip's path below root.
    null: every clip is a recording of its own."""
    n_folds: Annotated[int, Field(ge=2)]
    """Folds made where the source brings none, and by the random split."""
    split: Literal["official", "random"]
    """official: the source's folds, no recording on both sides. random: by clip, leaky, to reproduce the published
    figure only."""
    held_out: Literal["fold", "others"]
    """fold: each of folds is tested, all others train. others: each trains alone, all others are tested; to choose
    settings for a test fold by folds without it (docs/search.md), not for the study's result."""
    recordings_share: Annotated[float, Field(gt=0.0, le=1.0)]
    """Of each class's training recordings in every fold that train, at least one and two clips; a larger share has
    those of a smaller one. Test clips stay as they are."""
    skip: list[Problem]
    """Clips with these problems are left out, counted and named; any other problem stops the pipeline."""
    synthetic: Synthetic
    download: Download

    @model_validator(mode="after")
    def _one_group(self) -> Self:
        if self.group_pattern is not None:
            try:
                groups = re.compile(self.group_pattern).groups
            except re.error as error:
                raise ValueError(f"group_pattern is no regular expression ({error})") from None
            if groups != 1:
                raise ValueError(f"group_pattern has {groups} groups, wanted exactly one: the recording's id")
        return self


class Features(Settings):
    """The mel front end that real clips, generator and classifier share."""

    sample_rate: Annotated[int, Field(ge=4000, le=192000), measured_in("Hz")]
    """Audio of other rates is resampled."""
    clip_seconds: Annotated[float, Field(gt=0.0, le=60.0), measured_in("s")]
    """Longer clips are cut, shorter ones padded with zeros."""
    n_fft: Annotated[int, Field(ge=64, le=32768), measured_in("samples")]
    """Length of the window and of the Fourier transform."""
    hop_length: Annotated[Positive, measured_in("samples")]
    """From one frame to the next; at most n_fft."""
    n_mels: Annotated[int, Field(ge=8, le=512)]
    """Mel bands."""
    fmin_hz: Annotated[float, Field(ge=0.0), measured_in("Hz")]
    """Where the lowest band begins; below fmax_hz."""
    fmax_hz: Annotated[float, Field(gt=0.0), measured_in("Hz")]
    """Where the highest band ends; at most half the sample rate."""
    filters: Literal["htk", "slaney"]
    """Scale of the bands. slaney: librosa's default scale and area normalisation, as audio-diffusion uses."""
    scale: Literal["log", "linear"]
    """What the classifier sees; the generator always works on the log mel."""
    floor_db: Annotated[float, measured_in("dB")]
    """Level below which a log mel is cut; 0 dB is the power of full-scale white noise in one bin. Below ceiling_db."""
    ceiling_db: Annotated[float, measured_in("dB")]
    """Level that the generator takes as its highest."""
    normalization: Literal["none", "standardize", "clip_mean"]
    """Of the classifier's input; what is fitted is fitted on the real training clips. standardize: mean and deviation
    of each band. clip_mean: each clip's own mean of each band is taken off, then one deviation for all bands."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.hop_length > self.n_fft:
            raise ValueError(f"hop_length is {self.hop_length}, wanted at most n_fft ({self.n_fft})")
        if self.n_samples <= self.n_fft // 2:
            raise ValueError(
                f"clip_seconds is {self.clip_seconds} ({self.n_samples} samples), "
                f"wanted more than half of n_fft ({self.n_fft})"
            )
        if not self.fmin_hz < self.fmax_hz <= self.sample_rate / 2:
            raise ValueError(
                f"fmin_hz, fmax_hz are {self.fmin_hz}, {self.fmax_hz}, "
                f"wanted fmin < fmax <= sample_rate / 2 ({self.sample_rate / 2})"
            )
        if self.floor_db >= self.ceiling_db:
            raise ValueError(f"floor_db is {self.floor_db}, wanted less than ceiling_db ({self.ceiling_db})")
        return self

    @property
    def n_samples(self) -> int:
        """Samples a clip is cut or padded to."""
        return round(self.clip_seconds * self.sample_rate)

    @property
    def n_frames(self) -> int:
        """Frames of a clip's mel spectrogram (centred frames)."""
        return 1 + self.n_samples // self.hop_length

    @property
    def frames_per_second(self) -> float:
        """Frames a second."""
        return self.sample_rate / self.hop_length


class Autoencoder(Settings):
    """The autoencoder of a latent diffusion model (Rombach et al. 2022, without adversary) and its training."""

    channels: Annotated[list[Positive], Field(min_length=1)]
    """Of its levels, each half the size of the last."""
    latent_channels: Positive
    """Channels of what is diffused."""
    steps: Annotated[Positive, measured_in("steps")]
    """Of its optimiser."""
    batch_size: Annotated[Positive, measured_in("clips")]
    """Clips a step."""
    learning_rate: Annotated[float, Field(gt=0.0)]
    """Of Adam."""
    kl_weight: Annotated[float, Field(ge=0.0)]
    """Weight of the divergence of the latents from a standard normal distribution."""


class Generator(Settings):
    """The diffusion model and its training."""

    pretrained: Annotated[str, Field(min_length=1)] | None
    """A checkpoint in audio-diffusion's layout to start from: a folder, or a Hugging Face hub name. null: none."""
    corpus: Literal["data/features", "data/music"]
    """What it learns: the training folds, or the embedded music, of which it is told no class. Music is there only to
    reproduce the published figure, whose generator had learned music."""
    space: Literal["patch", "whitened", "latent"]
    """What is diffused. patch: mel bins. whitened: patches on their principal axes, every channel of deviation 1, so
    that noise hides texture no sooner than level. latent: an autoencoder's latents. A checkpoint brings its own."""
    patch: Annotated[int, Field(ge=1, le=16)]
    """Of space patch or whitened: patch x patch mel bins become channels (space-to-depth)."""
    autoencoder: Autoencoder
    condition: Literal["class", "sound", "none"]
    """What the network is told: a class; a class and the embedding of a sound; nothing: clips are of no class."""
    channels: Annotated[list[Positive], Field(min_length=1)]
    """Of the U-Net's levels, each half the size of the last."""
    attention_levels: Annotated[int, Field(ge=0)]
    """How many of the lowest levels have self-attention."""
    layers_per_block: Positive
    """Residual layers of every level."""
    train_timesteps: Annotated[int, Field(ge=10)]
    """Noise levels of the schedule."""
    beta_schedule: Literal["linear", "squaredcos_cap_v2"]
    """How noise grows over the levels; a flow has its own."""
    prediction: Literal["v_prediction", "epsilon", "flow"]
    """What the network predicts. flow: flow matching, with levels of its own. A checkpoint brings its own."""
    log_sigma: Annotated[list[float], Field(min_length=2, max_length=2)] | None
    """Noise levels to learn: mean and deviation of ln(noise / signal), normal; EDM: [-0.5, 1.2]. null: all alike."""
    min_snr_gamma: Annotated[float, Field(gt=0.0)] | None
    """Of the min-SNR weights of the levels. null: one weight for all."""
    window_seconds: Annotated[Annotated[float, Field(gt=0.0)] | None, measured_in("s")]
    """The network's window where it is shorter than a clip: it learns random parts, and clips are made of several.
    null: the whole clip."""
    label_dropout: Unit
    """Share of the clips whose class is not told, for classifier-free guidance."""
    unlabelled: bool
    """Also learn the training folds' recordings that data.recordings_share leaves out, their class not told."""
    validation_share: Annotated[float, Field(ge=0.0, le=0.5)]
    """Share of each class's recordings that is left out to watch the loss."""
    steps: Annotated[int, Field(ge=0), measured_in("steps")]
    """Of the optimiser. 0: a checkpoint as it is."""
    batch_size: Annotated[Positive, measured_in("clips")]
    """Clips a step."""
    learning_rate: Annotated[float, Field(gt=0.0)]
    """Of AdamW, at its highest."""
    warmup_steps: Annotated[int, Field(ge=0), measured_in("steps")]
    """In which the learning rate rises; then it falls as a cosine."""
    weight_decay: Annotated[float, Field(ge=0.0)]
    """Of AdamW."""
    clip_norm: Annotated[float, Field(gt=0.0)]
    """Longer gradients are shortened to it."""
    ema_decay: Unit
    """Of the averaged weights, which are those that are kept."""
    checkpoint_every: Annotated[Positive, measured_in("steps")]
    """Between resumable checkpoints, and between looks at the validation loss."""
    precision: Literal["auto", "float32", "bfloat16"]
    """auto: bfloat16 where the processor multiplies it in hardware."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.log_sigma is not None and self.log_sigma[1] <= 0:
            raise ValueError(f"log_sigma is {self.log_sigma}, wanted a mean and a deviation above 0")
        if self.attention_levels > len(self.channels):
            raise ValueError(f"attention_levels is {self.attention_levels}, wanted at most {len(self.channels)} levels")
        if self.steps == 0 and self.pretrained is None:
            raise ValueError("steps is 0, wanted at least 1 without a pretrained checkpoint")
        if self.corpus == "data/music" and self.condition != "none":
            raise ValueError(
                f"condition is {self.condition}, wanted none with corpus data/music: it has no such classes"
            )
        if self.corpus == "data/music" and self.unlabelled:
            raise ValueError("unlabelled is true, wanted false with corpus data/music: it has none of the recordings")
        return self

    @property
    def multiple(self) -> int:
        """What the mel's height and width are padded to a multiple of."""
        finest = 2 ** (len(self.autoencoder.channels) - 1) if self.space == "latent" else self.patch
        return int(finest * 2 ** (len(self.channels) - 1))


Method = Literal["interpolation", "variation", "inpainting", "sampling"]
Span = Annotated[list[Annotated[float, Field(ge=0.0)]], Field(min_length=2, max_length=2)]  # seconds, from and to


class Generate(Settings):
    """How clips are made. Every clip draws its parents whatever the method, since the controls take them too."""

    per_class: Annotated[int, Field(ge=0), measured_in("clips")]
    """Clips made of every class, for each held-out fold. 0: an A/A check, every arm must equal base."""
    method: Method
    """interpolation: parents inverted to noise, slerp, decoded. variation: the first parent noised part of the way and
    denoised. inpainting: the first parent made anew outside of keep_seconds. sampling: from noise and the class."""
    parents: Annotated[int, Field(ge=2, le=8)]
    """Of an interpolation."""
    alpha: Annotated[list[Unit], Field(min_length=1, max_length=2)]
    """Of an interpolation, the share of all parents but the first. [0.5]: fixed; [0.2, 0.8]: drawn per clip."""
    renormalize: bool
    """Mixed noises of a deviation above 1, that of noise, are brought down to it."""
    strength: Annotated[list[Unit], Field(min_length=1, max_length=2)]
    """Of a variation, the part of the way to noise and back; fixed or drawn, as alpha."""
    keep_seconds: Annotated[list[Span], measured_in("s")]
    """Of an inpainting: the spans kept of the first parent, within the clip; [[0.0, 1.0]]: outpaint after 1 s."""
    resamplings: Annotated[int, Field(ge=1, le=100)]
    """Of an inpainting: passes of every noise level."""
    sampler: Literal[
        "ddim",
        "ddpm",
        "dpm_solver",
        "heun",
        "adams_bashforth",
    ]
    """What goes from noise to clip. An inpainting wants ddim or ddpm."""
    steps: Annotated[Positive, measured_in("steps")]
    """Of the sampler and of the inversion; at most generator.train_timesteps."""
    inversion: Literal["fixed_point", "adams_bashforth", "ddim"]
    """What goes from clip to noise. fixed_point inverts the sampler ddim, adams_bashforth the sampler of that name.
    ddim drifts, as audio-diffusion's encode does."""
    inversion_iterations: Positive
    """Network evaluations a step of fixed_point."""
    max_reconstruction_db: Annotated[float, Field(gt=0.0), measured_in("dB")]
    """The report calls a larger error of a clip inverted and decoded a fault."""
    overlap: Annotated[float, Field(ge=0.0, le=0.9)]
    """Of neighbouring windows, where a clip is made of several."""
    loop: bool
    """Clips that end as they start."""
    guidance: Annotated[float, Field(ge=0.0)]
    """Of classifier-free guidance. 1: the conditional model alone."""
    candidates: Annotated[int, Field(ge=1, le=100), measured_in("clips")]
    """Clips made for each one kept: a classifier of the training folds keeps those it believes most."""
    batch_size: Annotated[Positive, measured_in("clips")]
    """Clips at once; it does not decide what they are."""
    single_recording: Literal["error", "within"]
    """A class with one training recording: stop, or pair its own slices."""
    precision: Literal["auto", "float32", "bfloat16"]
    """auto: bfloat16 where the processor multiplies it in hardware."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for span in self.keep_seconds:
            _rising(self, "keep_seconds", span)
        return _rising(_rising(self, "alpha", self.alpha), "strength", self.strength)

    @model_validator(mode="after")
    def _sampler_that_may_go_back(self) -> Self:
        if self.method == "inpainting" and self.sampler not in ("ddim", "ddpm"):
            raise ValueError(
                f"sampler is {self.sampler}, wanted ddim or ddpm with method inpainting, which goes back a level"
            )
        return self


class Invert(Settings):
    """Mel spectrogram to audio."""

    method: Literal["griffin_lim", "admm", "mel_griffin_lim"]
    """griffin_lim and admm hold to magnitudes guessed from the mel, mel_griffin_lim to the mel alone."""
    mel_inversion: Literal["pseudo_inverse", "nnls"]
    """How those magnitudes are guessed."""
    nnls_iterations: Positive
    """Of nnls."""
    iterations: Positive
    """Of the phase reconstruction."""
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Of its projections: fast Griffin-Lim has 0.99, admm bears 0.2."""
    rho: Annotated[float, Field(gt=0.0)]
    """Of admm."""
    vocoder: str | None
    """Vocos or BigVGAN that the audio goes through at last: a folder, or a Hugging Face hub name. null: none."""
    stretch: Annotated[float, Field(ge=1.0, le=16.0)]
    """Generated clips are made this many times as slow and cut to the clip's length. 2.0 is what decoding a mel at
    twice its hop does, to reproduce the published figure only; 1.0: as they are."""
    level_db: Annotated[float | None, measured_in("dB")]
    """The loudest band of every generated clip is brought to this level, as an image that forgets its clip's level is
    decoded, to reproduce the published figure only. null: each clip's own level."""


class Waveform(Settings):
    """The control `waveform`: ranges of audiomentations' transforms, each applied with ``probability``."""

    probability: Unit
    """Of each transform, for each clip."""
    shift: Unit
    """Largest part of the clip it is shifted by, either way."""
    pitch_semitones: Annotated[float, Field(ge=0.0, le=24.0), measured_in("semitones")]
    """Largest change of pitch, either way."""
    gain_db: Annotated[float, Field(ge=0.0), measured_in("dB")]
    """Largest change of level, either way."""
    noise_snr_db: Annotated[list[float], Field(min_length=2, max_length=2), measured_in("dB")]
    """Lowest and highest signal-to-noise ratio of the white noise added."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        return _rising(self, "noise_snr_db", self.noise_snr_db)


class SpecAugment(Settings):
    """The control `specaugment`: two masks of each kind, at most this part of the axis each."""

    frequency: Unit
    """Of the bands, the widest mask."""
    time: Unit
    """Of the frames, the widest mask."""


class PseudoLabel(Settings):
    """The control `pseudo_label`: the recordings that data.recordings_share leaves out, as the base classifier hears
    them (Lee 2013)."""

    confidence: Unit
    """Clips whose likeliest class is less probable than this are left out."""


class Bare(Settings):
    """A control without settings of its own."""


class Controls(Settings):
    """What each control is made with, by its name."""

    # The strings say in the report what an arm is trained on.
    duplicate: Bare
    """and as many copies of the same parents"""
    waveform: Waveform
    """shift, pitch, gain and noise on the waveform"""
    specaugment: SpecAugment
    """masked bands of time and frequency"""
    mixup: Bare
    """and the mixtures of the same pairs"""
    slerp: Bare
    """and the mixtures of the same pairs on the sphere, without a network"""
    resynthesis: Bare
    """and the same parents through mel and phase reconstruction alone"""
    pseudo_label: PseudoLabel
    """and the recordings withheld, under labels of the base classifier"""


class Classifier(Settings):
    """Three (or more) convolutional blocks, global average pooling and two linear layers."""

    channels: Annotated[list[Positive], Field(min_length=1)]
    """Of its convolutional blocks."""
    kernel: Annotated[int, Field(ge=1, le=15)]
    """Side of the convolutions' kernels."""
    padding: Annotated[int, Field(ge=0, le=7)]
    """On every side of a convolution's input."""
    pool: Annotated[int, Field(ge=1, le=8)]
    """Side of the max pooling after each convolution. 1: none."""
    batch_norm: bool
    """After each convolution."""
    hidden: Positive
    """Units of the first linear layer."""


class Training(Settings):
    """How every arm's classifier is trained: one budget, either steps or epochs."""

    steps: Annotated[Positive | None, measured_in("steps")]
    """Of the optimiser, the same in every arm. null: epochs instead."""
    epochs: Annotated[Positive | None, measured_in("epochs")]
    """Passes over an arm's training set, so that arms with extra clips take more steps. null: steps instead."""
    batch_size: Annotated[int, Field(ge=2), measured_in("clips")]
    """Clips a step."""
    learning_rate: Annotated[float, Field(gt=0.0)]
    """Of AdamW, at its highest."""
    weight_decay: Annotated[float, Field(ge=0.0)]
    """Of AdamW."""
    schedule: Literal["constant", "cosine"]
    """Of the learning rate."""
    average_decay: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Of the averaged weights. 0: the last weights themselves."""
    evaluations: Positive
    """How often the test fold is looked at for the curves."""
    precision: Literal["auto", "float32", "bfloat16"]
    """auto: bfloat16 where the processor multiplies it in hardware."""

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError(
                f"steps is {self.steps} and epochs {self.epochs}, wanted exactly one of them, null the other"
            )
        return self


class Augmentation(Settings):
    """How extra clips are trained on, in every arm that has some: generated ones and those of the controls alike."""

    on_top_of: Literal["duplicate", "waveform", "specaugment", "mixup", "slerp", "resynthesis"] | None
    """A control whose clips the arm aug has beside the generated ones, so that aug minus that control is what diffusion
    adds to it. null: generated clips alone."""

    share: Annotated[float, Field(gt=0.0, lt=1.0)] | None
    """Of extra clips in every batch. null: as they come, a shuffled pass over all clips."""
    pretraining: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Share of the steps, the first ones, that extra clips alone train; real clips alone train the rest. 0: none."""
    soft_labels: Unit
    """Weight in an extra clip's label of what the base classifier of the same fold and seed takes it for. 0: its class
    alone."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.share is not None and self.pretraining > 0:
            raise ValueError(f"share is {self.share} and pretraining {self.pretraining}, wanted one of them alone")
        return self


def extra_per_batch(share: float, batch_size: int) -> int:
    """Extra clips in a batch of which they are ``share``."""
    return round(share * batch_size)


class Evaluate(Settings):
    """The statistics and pictures of the report."""

    bootstrap: Annotated[int, Field(ge=100)]
    """Resamples of the intervals."""
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)]
    """Of the intervals."""
    seed: Seed
    """Of the resamples."""


class Leakage(Settings):
    """What the leakage audit bears. A recording, a parent or a training clip on both sides is always an error."""

    similarity: Annotated[float, Field(ge=0.1, le=1.0)]
    """Correlation of mel fingerprints from which a test clip and a clip trained on are near-duplicates."""
    max_share: Unit | None
    """Share of the test clips that may have one; more is an error. null: any, they are counted and named."""


Style = Literal[
    "electric_beats",
    "epic_orchestra",
    "lo_fi_beats",
    "solo_piano",
    "jazz_trio",
    "acoustic_guitar",
    "church_organ",
    "chiptune",
]


class Music(Settings):
    """The embedded music: compositions drawn from the seed, each played in every style, and a prelude by Bach."""

    sample_rate: Annotated[int, Field(ge=8000, le=48000), measured_in("Hz")]
    """Of the audio that is written."""
    styles: Annotated[list[Style], Field(min_length=2)]
    """Each plays every composition."""
    pieces: Positive
    """Compositions to train on."""
    held_out_pieces: Positive
    """Compositions that are only listened to."""
    bars: Annotated[int, Field(ge=2, le=64), measured_in("bars")]
    """Of four beats, in every composition."""
    tempo: Annotated[
        list[Annotated[float, Field(ge=40.0, le=240.0)]], Field(min_length=2, max_length=2), measured_in("beats/min")
    ]
    """Slowest and fastest."""
    captions: Annotated[int, Field(ge=1, le=20)]
    """Of every piece."""
    bach_bars: Annotated[int, Field(ge=1, le=35), measured_in("bars")]
    """Of the prelude, from its beginning."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.styles)) != len(self.styles):
            raise ValueError(f"styles is {self.styles}, wanted every value once")
        return _rising(self, "tempo", self.tempo)


class StyleImage(Settings):
    """The spectrogram images of a stylizer: Riffusion's parameters by their names, and a window's columns."""

    sample_rate: Annotated[int, Field(ge=8000, le=48000), measured_in("Hz")]
    """Of the sound that is made; music of other rates is resampled."""
    step_size_ms: Annotated[Positive, measured_in("ms")]
    """From one column to the next."""
    window_duration_ms: Annotated[Positive, measured_in("ms")]
    """The window of the Fourier transform."""
    padded_duration_ms: Annotated[Positive, measured_in("ms")]
    """The window with its padding."""
    num_frequencies: Annotated[int, Field(ge=8, le=1024)]
    """Mel bands, the image's height."""
    min_frequency: Annotated[int, Field(ge=0), measured_in("Hz")]
    """Of the lowest band."""
    max_frequency: Annotated[Positive, measured_in("Hz")]
    """Of the highest band."""
    power_for_image: Annotated[float, Field(gt=0.0, le=1.0)]
    """A pixel is a magnitude to this power: the lower, the brighter the quiet parts."""
    width: Annotated[int, Field(ge=8, le=4096)]
    """Columns of a window, which is what the model makes at once."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.step_size_ms <= self.window_duration_ms <= self.padded_duration_ms:
            found = f"{self.step_size_ms}, {self.window_duration_ms}, {self.padded_duration_ms}"
            raise ValueError(
                f"step_size_ms, window_duration_ms, padded_duration_ms are {found}, wanted step <= window <= padded"
            )
        if not self.min_frequency < self.max_frequency <= self.sample_rate / 2:
            raise ValueError(
                f"min_frequency, max_frequency are {self.min_frequency}, {self.max_frequency}, "
                f"wanted min < max <= sample_rate / 2 ({self.sample_rate / 2})"
            )
        for name in ("num_frequencies", "width"):
            if getattr(self, name) % 8:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted a multiple of 8, as Stable Diffusion takes")
        return self


class StyleText(Settings):
    """The text encoder of a stylizer (CLIP's) and its tokenizer."""

    vocabulary: Annotated[int, Field(ge=514)]
    """Tokens, at most: 512 are of single bytes, 2 mark beginning and end."""
    max_tokens: Annotated[int, Field(ge=4, le=77)]
    """Of a prompt, with the marks of its beginning and end; a longer one is refused."""
    width: Positive
    """Of the hidden states."""
    layers: Positive
    """Of the transformer."""
    heads: Positive
    """Of its attention."""
    steps: Annotated[int, Field(ge=0)]
    """Of learning which caption belongs to which image; the U-Net's training leaves the text encoder as it is."""
    batch_size: Positive
    """Pairs of a caption and an image a step."""
    learning_rate: Annotated[float, Field(gt=0.0)]
    """Of AdamW in these steps."""

    @model_validator(mode="after")
    def _whole_heads(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width is {self.width}, wanted a multiple of heads ({self.heads})")
        return self


class Stylizer(Settings):
    """A text-conditioned latent diffusion of spectrogram images, in Stable Diffusion's parts, and its training."""

    image: StyleImage
    """What its images are."""
    windows_per_piece: Positive
    """Windows that are drawn from each piece of the music."""
    autoencoder: Autoencoder
    """Of images into latents; trained first."""
    text: StyleText
    """What reads the prompts; trained before the U-Net."""
    channels: Annotated[list[Positive], Field(min_length=1)]
    """Of the U-Net's levels, each half the size of the last."""
    attention_levels: Annotated[int, Field(ge=1)]
    """How many of the lowest levels attend to the text, beside its effect on every block as a whole."""
    layers_per_block: Positive
    """Residual blocks of a level."""
    train_timesteps: Annotated[int, Field(ge=20)]
    """Noise levels of Stable Diffusion's schedule."""
    prediction: Literal["v_prediction", "epsilon"]
    """What the U-Net predicts."""
    min_snr_gamma: Annotated[float, Field(gt=0.0)] | None
    """The weight of the noise levels (Hang et al. 2023); null: one weight for all."""
    label_dropout: Unit
    """Share of the captions that are left empty, for classifier-free guidance."""
    steps: Positive
    """Optimiser steps."""
    batch_size: Positive
    """Windows a step."""
    learning_rate: Annotated[float, Field(gt=0.0)]
    """Of AdamW, after the warm-up."""
    warmup_steps: Annotated[int, Field(ge=0)]
    """Steps until the learning rate is reached; after them it falls by half a cosine."""
    weight_decay: Annotated[float, Field(ge=0.0)]
    """Of AdamW."""
    clip_norm: Annotated[float, Field(gt=0.0)]
    """Longest gradient."""
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Of the averaged weights, which are kept."""
    checkpoint_every: Positive
    """Steps between resumable checkpoints."""
    precision: Literal["auto", "float32", "bfloat16"]
    """auto: bfloat16 where the processor multiplies it in hardware."""

    @model_validator(mode="after")
    def _sides_halve(self) -> Self:
        factor = 2 ** (len(self.autoencoder.channels) - 1 + len(self.channels) - 1)
        for name in ("num_frequencies", "width"):
            if getattr(self.image, name) % factor:
                raise ValueError(
                    f"image.{name} is {getattr(self.image, name)}, wanted a multiple of {factor}: "
                    f"{len(self.autoencoder.channels)} levels of the autoencoder and {len(self.channels)} of the U-Net"
                )
        if self.attention_levels > len(self.channels):
            raise ValueError(f"attention_levels is {self.attention_levels}, wanted at most {len(self.channels)}")
        return self


class Stylize(Settings):
    """What the stylizer makes, and with which model."""

    model: Annotated[str, Field(min_length=1)] | None
    """null: the trained one. A Stable Diffusion of spectrogram images instead: a folder or a name on the hub."""
    prompts: Annotated[list[Annotated[str, Field(pattern=r"\w")]], Field(min_length=1)]
    """That Bach is restyled by."""
    strengths: Annotated[list[Annotated[float, Field(gt=0.0, le=1.0)]], Field(min_length=1)]
    """Of denoising when sound is restyled, one after another: 1 leaves nothing of it."""
    strength: float
    """The one of them that the figures in metrics.json are of."""
    negative_prompt: str
    """What no sound is to be like."""
    samples: Positive
    """Sounds from text, of every style."""
    judge_steps: Positive
    """Steps that the classifier of styles is trained for."""
    guidance: Annotated[float, Field(ge=1.0)]
    """Towards the prompt, classifier-free; 1: none."""
    sampler: Literal["ddim", "dpm_solver"]
    """dpm_solver: DPM-Solver++ 2M (Lu et al. 2022), of which half the steps do."""
    steps: Positive
    """Of the sampler from noise; restyling takes their share by strength."""
    overlap: Annotated[float, Field(ge=0.0, le=0.5)]
    """Of neighbouring windows, a share of the window."""
    batch_size: Positive
    """Windows that are made together."""
    iterations: Positive
    """Of Griffin-Lim."""
    precision: Literal["auto", "float32", "bfloat16"]
    """auto: bfloat16 where the processor multiplies it in hardware."""

    @model_validator(mode="after")
    def _every_value_once(self) -> Self:
        for name in ("prompts", "strengths"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"{name} is {values}, wanted every value once")
        if self.strength not in self.strengths:
            raise ValueError(f"strength is {self.strength}, wanted one of strengths ({self.strengths})")
        return self


class Params(Settings):
    """Everything params.yaml holds."""

    seed: Seed
    """Of the data and the generated clips."""
    folds: Annotated[list[Positive], Field(min_length=1)]
    """Held out one at a time; all other folds train."""
    seeds: Annotated[list[Seed], Field(min_length=1)]
    """Of the classifiers: every arm is trained with each."""
    controls: list[Control]
    """Arms beside base and aug."""
    processes: Positive
    """That train a generator or make clips together, by accelerate launch."""
    workers: Workers
    """That compute features and sound: this machine's threads, or those of a Dask cluster (docs/machines.md)."""
    data: Data
    features: Features
    generator: Generator
    generate: Generate
    invert: Invert
    control: Controls
    classifier: Classifier
    training: Training
    augmentation: Augmentation
    leakage: Leakage
    evaluate: Evaluate
    music: Music
    stylizer: Stylizer
    stylize: Stylize

    @model_validator(mode="after")
    def _no_repeats(self) -> Self:
        for name in ("folds", "seeds", "controls"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"{name} is {values}, wanted every value once")
        return self

    @model_validator(mode="after")
    def _batches_are_counted(self) -> Self:
        uses = self.augmentation
        if self.training.steps is None and (uses.share is not None or uses.pretraining > 0):
            name = "share" if uses.share is not None else "pretraining"
            raise ValueError(f"augmentation.{name} is {getattr(uses, name)}, wanted training.steps with it, not epochs")
        if uses.share is not None and not 1 <= extra_per_batch(uses.share, self.training.batch_size) < (
            self.training.batch_size
        ):
            raise ValueError(
                f"augmentation.share is {uses.share}, wanted at least one extra and one real clip "
                f"in batches of training.batch_size ({self.training.batch_size})"
            )
        return self

    @model_validator(mode="after")
    def _steps_within_schedule(self) -> Self:
        if self.generate.steps > self.generator.train_timesteps:
            raise ValueError(
                f"generate.steps is {self.generate.steps}, "
                f"wanted at most generator.train_timesteps ({self.generator.train_timesteps})"
            )
        return self

    @model_validator(mode="after")
    def _spans_within_the_clip(self) -> Self:
        for span in self.generate.keep_seconds:
            if span[1] > self.features.clip_seconds:
                raise ValueError(
                    f"generate.keep_seconds has the span {span}, "
                    f"wanted spans that end by features.clip_seconds ({self.features.clip_seconds})"
                )
        return self

    @model_validator(mode="after")
    def _restyles_in_a_step(self) -> Self:
        for strength in self.stylize.strengths:
            if int(self.stylize.steps * strength) < 1:
                raise ValueError(
                    f"stylize.strengths has {strength}, wanted at least 1 / stylize.steps ({1 / self.stylize.steps:g})"
                )
        if self.stylize.model is None and self.stylize.steps > self.stylizer.train_timesteps:
            raise ValueError(
                f"stylize.steps is {self.stylize.steps}, "
                f"wanted at most stylizer.train_timesteps ({self.stylizer.train_timesteps})"
            )
        return self

    @property
    def arms(self) -> list[str]:
        """Every trained arm, base first."""
        return ["base", "aug", *self.controls]


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check ``path``; raises StudyError that names the parameter, what was found and what was wanted."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise StudyError(f"{path}: not there, wanted a parameter file such as presets/quick.yaml") from None
    except UnicodeDecodeError as error:
        raise StudyError(f"{path}: found bytes that are no UTF-8 ({error.reason}), wanted a UTF-8 file") from None
    try:
        values = yaml.safe_load(text)
    except Exception as error:  # PyYAML's constructors raise anything on a tag, a date or a number that is none
        raise StudyError(f"{path}: not valid YAML: {reason(error)}") from None
    try:
        return parse_params(values)
    except StudyError as error:
        raise StudyError(f"{path}: {error}") from None


def parse_params(values: Any) -> Params:
    """Check a parsed params.yaml; raises StudyError on the first thing that is wrong."""
    if not isinstance(values, dict):
        raise StudyError(f"found {type(values).__name__}, wanted a mapping of parameters")
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise StudyError("; ".join(_explain(detail) for detail in error.errors()[:3])) from None


def _explain(detail: ErrorDetails) -> str:
    """One line for one pydantic error."""
    name = ".".join(str(part) for part in detail["loc"]) or "params"
    kind, found = detail["type"], detail["input"]
    if kind == "missing":
        return f"{name}: missing, wanted a value (presets/ shows every parameter)"
    if kind == "invalid_key":
        return f"found the key {brief(found)}, wanted a parameter's name"
    if kind == "extra_forbidden":
        return f"{name}: unknown parameter, wanted one of the schema's (presets/ shows every parameter)"
    if kind == "value_error":
        return f"{name}: {detail['msg'].removeprefix('Value error, ')}"
    # "List should have at most 2 items after validation, not 3"
    wanted = re.sub(r"^(List|String) should have | after validation, not \d+$", "", detail["msg"])
    wanted = wanted.removeprefix("Input should be ")
    hint = ""
    if isinstance(found, str) and len(found) <= LONGEST_VALUE and _is_number(found):
        number = int(found) if re.fullmatch(r"[+-]?[0-9]{1,18}", found.strip()) else float(found)
        plain = repr(number) if "." in repr(number) else repr(number).replace("e", ".0e")
        hint = f" (quoted, or an exponent without a point: YAML reads {found} as text, write {plain})"
    return f"{name}: found {brief(found)}, wanted {wanted}{hint}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
