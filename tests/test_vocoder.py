"""Vocoders: what is loaded is the packages' own, at any rate; and what is wrong is told in a line."""

import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torchaudio
import yaml
from safetensors.torch import save_file
from torch import nn

from soundaug.inversion import vocoder
from soundaug.inversion.vocoder import Vocoder, load_vocoder
from soundaug.running.errors import StudyError

RATE = 8000  # the study's
OWN_RATE = 16000  # the vocoder's
VOCOS: dict[str, Any] = {
    "feature_extractor": {
        "class_path": "vocos.feature_extractors.MelSpectrogramFeatures",
        "init_args": {"sample_rate": OWN_RATE, "n_fft": 256, "hop_length": 64, "n_mels": 20, "padding": "center"},
    },
    "backbone": {
        "class_path": "vocos.models.VocosBackbone",
        "init_args": {"input_channels": 20, "dim": 16, "intermediate_dim": 32, "num_layers": 2},
    },
    "head": {
        "class_path": "vocos.heads.ISTFTHead",
        "init_args": {"dim": 16, "n_fft": 256, "hop_length": 64, "padding": "center"},
    },
}
BIGVGAN: dict[str, Any] = {
    "resblock": "1",
    "upsample_rates": [8, 8],
    "upsample_kernel_sizes": [16, 16],
    "upsample_initial_channel": 16,
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3, 5]],
    "activation": "snakebeta",
    "snake_logscale": True,
    "num_mels": 20,
    "n_fft": 256,
    "hop_size": 64,
    "win_size": 256,
    "sampling_rate": OWN_RATE,
    "fmin": 0,
    "fmax": None,
}


def noise(count: int = 2, samples: int = 4000) -> torch.Tensor:
    return 0.1 * torch.randn(count, samples, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def vocos_model() -> Any:
    from vocos.feature_extractors import MelSpectrogramFeatures
    from vocos.heads import ISTFTHead
    from vocos.models import VocosBackbone
    from vocos.pretrained import Vocos

    torch.manual_seed(0)
    parts = zip((MelSpectrogramFeatures, VocosBackbone, ISTFTHead), VOCOS.values(), strict=True)
    return Vocos(*(cls(**part["init_args"]) for cls, part in parts)).eval()


@pytest.fixture
def folder(tmp_path: Path, vocos_model: Any) -> Path:
    """A Vocos as its hub's folders are."""
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(VOCOS))
    torch.save(vocos_model.state_dict(), tmp_path / "pytorch_model.bin")
    return tmp_path


def rendered(model: Any, waveforms: torch.Tensor) -> torch.Tensor:
    """By hand: to the vocoder's rate at a peak of 0.95, through it, and back."""
    peaks = waveforms.abs().amax(dim=1, keepdim=True)
    given = torchaudio.functional.resample(0.95 * waveforms / peaks, RATE, OWN_RATE)
    with torch.inference_mode():
        made = torchaudio.functional.resample(model(given), OWN_RATE, RATE)
    return made[:, : waveforms.shape[1]] * peaks / 0.95


@pytest.mark.parametrize("safe", [False, True])
def test_a_vocos_is_the_packages(safe: bool, folder: Path, vocos_model: Any) -> None:
    if safe:
        (folder / "pytorch_model.bin").unlink()
        save_file(vocos_model.state_dict(), folder / "model.safetensors")
    made = load_vocoder(str(folder), RATE)(noise())
    wanted = rendered(vocos_model, noise())
    assert made.shape == noise().shape
    assert wanted.abs().max() > 1e-3
    assert torch.allclose(made[:, : wanted.shape[1]], wanted, atol=1e-6)


def test_a_vocoder_that_gives_back_its_input_gives_back_the_clip() -> None:
    """Of a length that the rates do not divide; what is missing at the end is silence."""
    through = Vocoder(lambda waveforms: waveforms, OWN_RATE, RATE)
    seconds = torch.arange(4001) / RATE
    clip = 0.01 * torch.sin(2 * torch.pi * 440 * seconds)[None]
    assert (through(clip)[:, 100:-100] - clip[:, 100:-100]).abs().max() < 1e-4
    shorter = Vocoder(lambda waveforms: waveforms[:, :-640], OWN_RATE, RATE)(clip)
    assert shorter.shape == clip.shape
    assert torch.equal(shorter[:, -300:], torch.zeros(1, 300))


def test_silence_stays_finite(folder: Path) -> None:
    assert torch.isfinite(load_vocoder(str(folder), RATE)(torch.zeros(1, 4000))).all()


@pytest.mark.parametrize("normed", [False, True])
def test_a_bigvgan_is_the_packages(normed: bool, tmp_path: Path) -> None:
    """Saved with its weight norm, as while training, or after it, as published."""
    bigvgan = pytest.importorskip("bigvgan", reason="bigvgan is not installed: pip install --no-deps bigvgan")
    torch.manual_seed(0)
    settings = bigvgan.bigvgan.AttrDict(BIGVGAN)
    model = bigvgan.BigVGAN(settings).eval()
    if not normed:
        model.remove_weight_norm()
    (tmp_path / "config.json").write_text(json.dumps(BIGVGAN))
    torch.save({"generator": model.state_dict()}, tmp_path / "bigvgan_generator.pt")

    def by_hand(waveforms: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = model(bigvgan.get_mel_spectrogram(waveforms, settings))[:, 0]
        return made

    wanted = rendered(by_hand, noise())
    made = load_vocoder(str(tmp_path), RATE)(noise())
    assert wanted.abs().max() > 1e-4
    assert torch.allclose(made[:, : wanted.shape[1]], wanted, atol=1e-6)


class Runs:
    """What a pickle could do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("run",))


def test_what_is_wrong_is_told(folder: Path, vocos_model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(message: str) -> None:
        with pytest.raises(StudyError, match=f"^{message}") as raised:
            load_vocoder(str(folder), RATE)
        assert "\n" not in str(raised.value)

    weights, config = folder / "pytorch_model.bin", folder / "config.yaml"
    whole = weights.read_bytes()
    file = re.escape(str(weights))
    weights.write_bytes(pickle.dumps(Runs()))
    refused(f"{file}: found a pickle that holds more than tensors")
    assert "run" not in capsys.readouterr().out
    weights.write_bytes(whole[: len(whole) // 2])
    refused(f"{file}: found a pickle that holds more than tensors, or is damaged")
    torch.save([1, 2], weights)
    refused(f"{file}: found list of more than tensors")
    torch.save({"a": 1}, weights)
    refused(f"{file}: found dict of more than tensors")
    state = vocos_model.state_dict()
    torch.save({key: value for key, value in state.items() if key != "head.out.bias"}, weights)
    refused(rf"{file}: found tensors that do not fit \(.*Missing.*head\.out\.bias")
    torch.save(state | {"head.out.bias": torch.zeros(3)}, weights)
    refused(rf"{file}: found tensors that do not fit \(.*size mismatch for head\.out\.bias")
    weights.unlink()
    refused(f"{file}: not there, wanted the vocoder's weights")

    file = re.escape(str(config))
    config.write_text("a: [")
    refused(f"{file}: found no Vocos")
    config.write_text("text")
    refused(f"{file}: found no Vocos")
    config.write_text(yaml.safe_dump({"head": {}}))
    refused(rf"{file}: found no Vocos \('feature_extractor'\)")
    config.write_text(yaml.safe_dump(VOCOS | {"head": {"class_path": "os.system", "init_args": {"command": "ls"}}}))
    refused(rf"{file}: head: found 'os\.system', wanted vocos\.heads\.ISTFTHead")
    config.write_text(yaml.safe_dump(VOCOS | {"head": VOCOS["head"] | {"init_args": {"wrong": 1}}}))
    refused(f"{file}: found settings that make no Vocos")
    config.unlink()
    refused(f"{re.escape(str(folder))}: found neither config.yaml .* nor config.json")


def test_a_package_that_is_not_there_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(vocoder.importlib, "import_module", missing)
    with pytest.raises(StudyError, match=r"^invert\.vocoder: found no package vocos, .*: pip install vocos$"):
        load_vocoder(str(folder), RATE)


def test_a_name_that_is_neither_a_folder_nor_the_hubs_is_told() -> None:
    with pytest.raises(StudyError, match=r"^invert\.vocoder: found 'nowhere', wanted a folder that is there or a hub"):
        load_vocoder("nowhere", RATE)


def test_parts_that_may_be_named_are_networks() -> None:
    for paths in vocoder.PARTS.values():
        for path in paths:
            assert issubclass(vocoder._class(path), nn.Module)
