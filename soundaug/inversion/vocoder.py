"""Vocoders from a folder or the hub, Vocos (Siuzdak 2023) and BigVGAN (Lee et al. 2022): from audio to better audio.

A vocoder has a mel front end of its own, seldom the study's: it is given what phase reconstruction made, turns it into
its own mels and those into audio, so that any vocoder goes with any front end.
"""

import importlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torchaudio
import yaml
from safetensors.torch import load_file
from torch import nn

from soundaug.running.device import choose_device
from soundaug.running.errors import StudyError
from soundaug.running.foreign import reading, reason
from soundaug.running.hub import local_or_fetched
from soundaug.running.pickled import read_tensors

PARAM = "invert.vocoder"
VOCOS = ("config.yaml", "pytorch_model.bin")
BIGVGAN = ("config.json", "bigvgan_generator.pt")
SAFETENSORS = "model.safetensors"  # read instead of a pickle where it is there
PARTS = {  # of a Vocos: the classes that its configuration may name
    "feature_extractor": ("vocos.feature_extractors.MelSpectrogramFeatures",),
    "backbone": ("vocos.models.VocosBackbone", "vocos.models.VocosResNetBackbone"),
    "head": ("vocos.heads.ISTFTHead",),
}

Render = Callable[[torch.Tensor], torch.Tensor]  # waveforms [B, n] to [B, about n], at the vocoder's rate


class Vocoder:
    """Waveforms [B, n_samples] at ``sample_rate`` through a vocoder of another rate and back, on the device."""

    def __init__(self, render: Render, own_rate: int, sample_rate: int) -> None:
        self.render = render
        self.own_rate = own_rate
        self.sample_rate = sample_rate

    @torch.inference_mode()
    def __call__(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Of the same length; each is brought to a peak of 0.95 before, since that is what vocoders have learned."""
        peaks = waveforms.abs().amax(dim=-1, keepdim=True).clamp(min=1e-8)
        given = torchaudio.functional.resample(0.95 * waveforms / peaks, self.sample_rate, self.own_rate)
        made = torchaudio.functional.resample(self.render(given), self.own_rate, self.sample_rate)
        made = nn.functional.pad(made, (0, max(0, waveforms.shape[-1] - made.shape[-1])))
        return made[..., : waveforms.shape[-1]] * peaks / 0.95


def load_vocoder(name: str, sample_rate: int) -> Vocoder:
    """The vocoder in the folder ``name`` or of that name on the hub, for audio at ``sample_rate``.

    Raises StudyError, one line: not there, a file missing or not a vocoder's, tensors that do not fit, a package that
    is not installed. Pickles are read as tensors alone.
    """
    folder = local_or_fetched(name, [*VOCOS, *BIGVGAN, SAFETENSORS], PARAM)
    for (config, weights), load in ((VOCOS, _load_vocos), (BIGVGAN, _load_bigvgan)):
        if (folder / config).is_file():
            render, own_rate = load(folder / config, folder / weights)
            return Vocoder(render, own_rate, sample_rate)
    raise StudyError(f"{folder}: found neither {VOCOS[0]} (Vocos) nor {BIGVGAN[0]} (BigVGAN), wanted one of them")


def _load_vocos(config: Path, weights: Path) -> tuple[Render, int]:
    _package("vocos", "pip install vocos")
    try:
        values = yaml.safe_load(config.read_text(encoding="utf-8"))
        parts = {name: (values[name]["class_path"], values[name].get("init_args", {})) for name in PARTS}
    except Exception as error:  # PyYAML's constructors raise anything
        raise StudyError(f"{config}: found no Vocos ({reason(error)}), wanted {', '.join(PARTS)}") from None
    for name, (path, _) in parts.items():
        if path not in PARTS[name]:
            raise StudyError(f"{config}: {name}: found {path!r}, wanted {' or '.join(PARTS[name])}")
    pretrained = importlib.import_module("vocos.pretrained")
    try:
        model = pretrained.Vocos(*(_class(path)(**arguments) for path, arguments in parts.values()))
        own_rate = int(parts["feature_extractor"][1]["sample_rate"])
    except Exception as error:  # whatever a foreign setting breaks first
        raise StudyError(f"{config}: found settings that make no Vocos ({reason(error)})") from None
    _fill(model, _tensors(weights), weights)
    render: Render = model.to(choose_device()).eval()
    return render, own_rate


def _load_bigvgan(config: Path, weights: Path) -> tuple[Render, int]:
    package = _package("bigvgan", "pip install --no-deps bigvgan")
    try:
        settings = package.bigvgan.AttrDict(json.loads(config.read_text(encoding="utf-8")))
        model = package.BigVGAN(settings, use_cuda_kernel=False)
        own_rate = int(settings.sampling_rate)
    except Exception as error:  # whatever a foreign setting breaks first
        raise StudyError(f"{config}: found settings that make no BigVGAN ({reason(error)})") from None
    tensors = _tensors(weights)
    if not any(key.endswith("weight_g") for key in tensors):
        model.remove_weight_norm()  # they were saved after it
    _fill(model, tensors, weights)
    network = model.to(choose_device()).eval()

    def render(waveforms: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = network(package.get_mel_spectrogram(waveforms, settings))[:, 0]
        return made

    return render, own_rate


def _tensors(weights: Path) -> Mapping[str, torch.Tensor]:
    """A vocoder's tensors by name."""
    safe = weights.with_name(SAFETENSORS)
    if safe.is_file():
        with reading(safe, "no tensors", "the vocoder's weights"):
            tensors: Mapping[str, torch.Tensor] = load_file(safe)
        return tensors
    if not weights.is_file():
        raise StudyError(f"{weights}: not there, wanted the vocoder's weights (or {SAFETENSORS})")
    return read_tensors(weights, f"tensors alone, or {SAFETENSORS}", top="generator")


def _fill(model: nn.Module, tensors: Mapping[str, torch.Tensor], weights: Path) -> None:
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise StudyError(f"{weights}: found tensors that do not fit ({reason(error)})") from None


def _package(name: str, command: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise StudyError(f"{PARAM}: found no package {name}, wanted it for this vocoder: {command}") from None


def _class(path: str) -> Any:
    module, name = path.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)
