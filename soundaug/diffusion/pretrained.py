"""Checkpoints in the layout of diffusers' AudioDiffusionPipeline (teticio/audio-diffusion), read part by part.

model_index.json, unet/, scheduler/, mel/mel_config.json and, of a latent model, vqvae/.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    FlowMatchEulerDiscreteScheduler,
    UNet2DConditionModel,
    UNet2DModel,
    VQModel,
)
from diffusers.utils import logging as diffusers_logging
from safetensors import safe_open

from soundaug.diffusion.codec import AUTOENCODER_FOLDER, ClipScaling, Codec, LatentCodec
from soundaug.diffusion.schedule import Schedule
from soundaug.params import Features
from soundaug.running.errors import StudyError
from soundaug.running.foreign import brief, reading
from soundaug.running.hub import fetch
from soundaug.running.pickled import read_tensors

UNETS = (UNet2DModel, UNet2DConditionModel)
AUTOENCODERS = (AutoencoderKL, VQModel)
PREDICTIONS = ("epsilon", "sample", "v_prediction")  # what a network may predict, by diffusers' names
SAFETENSORS = "diffusion_pytorch_model.safetensors"
PICKLED = "diffusion_pytorch_model.bin"
INDEX = "model_index.json"
PARAM = "generator.pretrained"
LARGEST_NUMBER = 2**24  # of a mel's settings and of noise levels
LARGEST_SIZE, MOST_LAYERS, MOST_LEVELS = 2**16, 32, 32  # of a configuration: channels, layers a block, levels
MOST_MISSING = 4  # times the numbers that a file holds, of a network that is built to tell which are missing
HARMLESS = 2**24  # numbers, whoever asks for them
SHOWN = 3  # tensors that an error names of each kind


@dataclass(frozen=True)
class MelConfig:
    """audio-diffusion's spectrograms: librosa's mel filters (Slaney's scale and area) from 0 Hz to half the rate."""

    x_res: int  # frames
    y_res: int  # mels
    sample_rate: int  # Hz
    n_fft: int  # samples
    hop_length: int  # samples
    top_db: float  # what an image spans below the clip's maximum


@dataclass(frozen=True)
class Pretrained:
    """A checkpoint: the network, its noise schedule, the spectrograms it was trained on, its latents' autoencoder.

    ``schedule`` has the checkpoint's betas and prediction type; ``clip_sample`` is False, since it would make DDIM
    inversion lossy.
    """

    name: str
    unet: UNet2DModel | UNet2DConditionModel
    schedule: Schedule
    mel: MelConfig
    autoencoder: AutoencoderKL | VQModel | None

    def codec(self, n_frames: int, floor_db: float) -> Codec:
        """From log mels [B, y_res, n_frames] in dB, cut at ``floor_db``, to what the network takes, and back."""
        scaling = ClipScaling(self.mel.y_res, n_frames, self.mel.x_res, self.mel.top_db, floor_db)
        if self.autoencoder is None:
            return scaling
        return LatentCodec(scaling, self.autoencoder, self.autoencoder.config.scaling_factor)

    def check_fits(self, features: Features) -> None:
        """Raise StudyError that lists every setting of the front end that is not the checkpoint's."""
        mel = self.mel
        wanted: dict[str, Any] = {
            "sample_rate": mel.sample_rate,
            "n_fft": mel.n_fft,
            "hop_length": mel.hop_length,
            "n_mels": mel.y_res,
            "fmin_hz": 0.0,
            "fmax_hz": mel.sample_rate / 2,
            "filters": "slaney",
        }
        wrong = [
            f"{name} {found} (wanted {value})"
            for name, value in wanted.items()
            if (found := getattr(features, name, "htk")) != value
        ]
        if features.n_frames > mel.x_res:
            wrong.append(f"n_frames {features.n_frames} (wanted at most {mel.x_res}: shorten clip_seconds)")
        if wrong:
            raise StudyError(f"params.yaml: features: found {', '.join(wrong)}, wanted what {self.name} was trained on")


def load_pretrained(name: str) -> Pretrained:
    """Read the checkpoint in the folder ``name``, or of that name on the Hugging Face hub (kept in its cache).

    Raises StudyError, one line, when it is neither, cannot be fetched, or is not whole.
    """
    folder = Path(name) if name and Path(name).is_dir() else _fetch(name)
    index = _read_json(folder / INDEX)
    has_autoencoder = bool((index.get(AUTOENCODER_FOLDER) or [None])[0])
    mel = _mel_config(folder / "mel" / "mel_config.json")
    pretrained = Pretrained(
        name,
        load_network(folder / "unet", UNETS),
        load_schedule(folder / "scheduler" / "scheduler_config.json"),
        mel,
        load_network(folder / AUTOENCODER_FOLDER, AUTOENCODERS) if has_autoencoder else None,
    )
    _check_images(pretrained, folder / "unet" / "config.json")
    return pretrained


def load_network(folder: Path, classes: Sequence[type[Any]]) -> Any:
    """The diffusers network, one of ``classes``, in ``folder``: float32, on the CPU, ready for inference.

    Safetensors where there are any, else a pickle of nothing but tensors. Raises StudyError that names the file, and
    the first tensors that are missing, unknown or of another shape.
    """
    config = folder / "config.json"
    values = _read_json(config)
    found = values.get("_class_name")
    chosen = next((cls for cls in classes if cls.__name__ == found), None)
    if chosen is None:
        names = " or ".join(cls.__name__ for cls in classes)
        raise StudyError(f"{config}: found the class {brief(found)}, wanted {names}")
    if "quantization_config" in values:
        raise StudyError(f"{config}: found quantization_config, wanted a network of plain numbers")
    with reading(config, "no settings of a network", f"those of a {found}"):
        _check_sizes(config, values)
    weights = next((path for path in (folder / SAFETENSORS, folder / PICKLED) if path.is_file()), None)
    if weights is None:
        raise StudyError(f"{folder}: found no weights, wanted {SAFETENSORS} (or {PICKLED})")
    with reading(weights, f"no {found} that {config} describes", "its weights"), _silent():
        described = _numbers_described(chosen, values)
        held = _numbers_held(weights)
        if described > max(MOST_MISSING * held, HARMLESS):  # told before memory is taken for them
            raise StudyError(f"{weights}: found {held} numbers, wanted the {described} of {config}")
        network, report = chosen.from_pretrained(
            folder,
            use_safetensors=weights.name == SAFETENSORS,
            local_files_only=True,
            low_cpu_mem_usage=False,  # else the first misshapen tensor stops it, and the others are not told
            ignore_mismatched_sizes=True,  # told by the report
            output_loading_info=True,
        )
    misshapen = {
        key: f"{key} {tuple(found)} for {tuple(wanted)}" for key, found, wanted in sorted(report["mismatched_keys"])
    }
    kinds = {
        "missing": sorted(set(report["missing_keys"]) - set(misshapen)),
        "unknown": sorted(report["unexpected_keys"]),
        "misshapen": list(misshapen.values()),
    }
    wrong = [f"{len(keys)} {kind} ({_first(keys)})" for kind, keys in kinds.items() if keys]
    if wrong or report["error_msgs"]:
        raise StudyError(
            f"{weights}: found tensors that do not fit: {', '.join(wrong) or report['error_msgs'][0]}, "
            f"wanted those of {config}"
        )
    return network.float()


def _check_sizes(config: Path, values: Any, key: str = "") -> None:
    """Raise StudyError for sizes beyond all sense, at any depth: building such a network would not end."""
    if isinstance(values, dict):
        for name, value in values.items():
            _check_sizes(config, value, name)
    elif isinstance(values, list):
        if len(values) > MOST_LEVELS:
            raise StudyError(f"{config}: {key}: found {len(values)} values, wanted at most {MOST_LEVELS}")
        for value in values:
            _check_sizes(config, value, key)
    elif isinstance(values, int) and abs(values) > (MOST_LAYERS if "layers" in key else LARGEST_SIZE):
        most = MOST_LAYERS if "layers" in key else LARGEST_SIZE
        raise StudyError(f"{config}: {key}: found {brief(values)}, wanted at most {most}")


def _numbers_described(chosen: type[Any], values: Mapping[str, Any]) -> int:
    """How many numbers the network of a configuration holds; none of them is made."""
    with torch.device("meta"):
        return sum(tensor.numel() for tensor in chosen.from_config(values).parameters())


def _numbers_held(weights: Path) -> int:
    """How many numbers a file of weights holds; StudyError for a pickle of more than tensors."""
    if weights.name == PICKLED:
        return sum(tensor.numel() for tensor in read_tensors(weights, SAFETENSORS, device="meta").values())
    with safe_open(weights, "pt") as tensors:
        return sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118 - no dict


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def _fetch(name: str) -> Path:
    """The hub's files of ``name`` in its cache: safetensors, and pickles only where a component has nothing else."""
    parts = ("unet", AUTOENCODER_FOLDER)
    files = [INDEX, "scheduler/scheduler_config.json", "mel/mel_config.json"]
    folder = fetch(name, files + [f"{part}/{file}" for part in parts for file in ("config.json", SAFETENSORS)], PARAM)
    there = [part for part in parts if (folder / part / "config.json").exists()]
    bare = [part for part in there if not any((folder / part / file).exists() for file in (SAFETENSORS, PICKLED))]
    if bare:
        fetch(name, [f"{part}/{PICKLED}" for part in bare], PARAM)
    return folder


def _read_json(path: Path) -> dict[str, Any]:
    with reading(path, "no JSON", "an audio-diffusion checkpoint's"):
        values = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise StudyError(f"{path}: found {type(values).__name__}, wanted a mapping")
    return values


def _mel_config(path: Path) -> MelConfig:
    values = _read_json(path)
    kinds: dict[str, Any] = {field.name: field.type for field in fields(MelConfig)}
    for name, kind in kinds.items():
        found = values.get(name)
        if not isinstance(found, (int, kind)) or isinstance(found, bool) or not 0 < found <= LARGEST_NUMBER:
            wanted = "a whole number" if kind is int else "a number"
            raise StudyError(f"{path}: {name}: found {brief(found)}, wanted {wanted} above 0")
    return MelConfig(**{name: kind(values[name]) for name, kind in kinds.items()})


def load_schedule(path: Path) -> Schedule:
    """The noise schedule in a scheduler_config.json, nothing clipped; StudyError when it is not one."""
    values = _read_json(path)
    found = values.get("_class_name")
    if found == "FlowMatchEulerDiscreteScheduler":
        return _flow(path, values)
    if found not in ("DDPMScheduler", "DDIMScheduler"):
        raise StudyError(f"{path}: found the class {brief(found)}, wanted DDPMScheduler or DDIMScheduler")
    prediction = values.get("prediction_type", "epsilon")
    if prediction not in PREDICTIONS:
        raise StudyError(f"{path}: prediction_type: found {brief(prediction)}, wanted one of {', '.join(PREDICTIONS)}")
    with reading(path, "no noise schedule", f"{found}'s settings"), _silent():
        _check_sizes(path, values | {"trained_betas": None})
        schedule = Schedule(DDPMScheduler.from_config(values, clip_sample=False))
    if not ((schedule.alpha_bar > 0) & (schedule.alpha_bar < 1)).all():
        raise StudyError(f"{path}: found noise levels without signal or noise, wanted betas between 0 and 1")
    return schedule


def _flow(path: Path, values: Mapping[str, Any]) -> Schedule:
    count, shift = values.get("num_train_timesteps", 1000), values.get("shift", 1.0)
    if not isinstance(count, int) or isinstance(count, bool) or not 0 < count <= LARGEST_SIZE:
        raise StudyError(f"{path}: num_train_timesteps: found {brief(count)}, wanted a whole number above 0")
    if shift != 1.0 or values.get("use_dynamic_shifting"):
        raise StudyError(f"{path}: found shifted noise levels (shift {brief(shift)}), wanted evenly spaced ones (1.0)")
    return Schedule(FlowMatchEulerDiscreteScheduler(num_train_timesteps=count))


def _check_images(pretrained: Pretrained, path: Path) -> None:
    """Raise StudyError when the network does not take the images that the mel and the autoencoder make."""
    config = pretrained.unet.config
    size = config.sample_size
    found = (config.in_channels, *((size, size) if isinstance(size, int) else size or (None, None)))
    try:
        wanted = pretrained.codec(pretrained.mel.x_res, -math.inf).image_shape
    except StudyError as error:
        raise StudyError(f"{path.parents[1]}: {error}") from None
    if found != wanted or config.out_channels != config.in_channels:
        sides = " x ".join(str(side) for side in found)
        raise StudyError(
            f"{path}: found images of {sides} in and {config.out_channels} channels out, "
            f"wanted {' x '.join(str(side) for side in wanted)} as the mel makes them"
        )


@contextmanager
def _silent() -> Iterator[None]:
    """diffusers' warnings off: what they tell is told as an error."""
    before = diffusers_logging.get_verbosity()
    diffusers_logging.set_verbosity(diffusers_logging.CRITICAL)
    try:
        yield
    finally:
        diffusers_logging.set_verbosity(before)
