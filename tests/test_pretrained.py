"""Checkpoints of audio-diffusion: what is read is what diffusers' own pipeline uses, and what is wrong is told."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import librosa
import numpy as np
import pytest
import torch
from diffusers import AudioDiffusionPipeline, DDIMScheduler, DDPMScheduler
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from tiny_checkpoint import HEIGHT, WIDTH, folder_of, save_checkpoints, tiny_mel

from soundaug.diffusion.codec import ClipScaling, LatentCodec
from soundaug.diffusion.pretrained import MelConfig, Pretrained, load_pretrained
from soundaug.running import hub
from soundaug.running.errors import StudyError

os.environ.setdefault("SOUNDAUG_DEVICE", "cpu")
torch.set_num_threads(1)

WEIGHTS = Path("unet") / "diffusion_pytorch_model.safetensors"
PICKLE = WEIGHTS.with_suffix(".bin")
HUB_NAME = "someone/audio-diffusion-tiny"


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, AudioDiffusionPipeline]:
    return save_checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture
def folder(checkpoints: dict[str, AudioDiffusionPipeline], tmp_path: Path) -> Path:
    """A copy of the pixel checkpoint, to be damaged."""
    return Path(shutil.copytree(folder_of(checkpoints["pixel"]), tmp_path / "checkpoint"))


def weights_equal(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def edit(path: Path, **changes: Any) -> None:
    """Change values of a JSON file; None takes the key away."""
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in values.items() if value is not None}))


# what is read


@pytest.mark.parametrize("kind", ["pixel", "latent", "conditional"])
def test_every_part_is_read(kind: str, checkpoints: dict[str, AudioDiffusionPipeline]) -> None:
    pipeline = checkpoints[kind]
    found = load_pretrained(str(folder_of(pipeline)))
    assert type(found.unet) is type(pipeline.unet)
    assert weights_equal(found.unet, pipeline.unet)
    assert not found.unet.training
    assert found.mel == MelConfig(x_res=24, y_res=16, sample_rate=8000, n_fft=256, hop_length=200, top_db=70.0)
    assert isinstance(found.schedule.scheduler, DDPMScheduler)
    assert found.schedule.prediction == pipeline.scheduler.config.prediction_type
    assert torch.equal(found.schedule.alpha_bar, pipeline.scheduler.alphas_cumprod)
    if kind == "latent":
        assert weights_equal(found.autoencoder, pipeline.vqvae)
    else:
        assert found.autoencoder is None


def test_the_schedule_stays_that_of_the_checkpoint(folder: Path) -> None:
    """A DDIM scheduler made from it visits the same levels; clipping, which inversion does not survive, is off."""
    edit(
        folder / "scheduler" / "scheduler_config.json",
        clip_sample=True,
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing="trailing",
    )
    schedule = load_pretrained(str(folder)).schedule.scheduler
    assert schedule.config.clip_sample is False
    ddim, original = DDIMScheduler.from_config(schedule.config), DDIMScheduler.from_pretrained(folder / "scheduler")
    assert {**ddim.config, "clip_sample": True} == {**original.config}
    assert ddim.final_alpha_cumprod == original.final_alpha_cumprod != 1.0


@pytest.mark.parametrize("kind", ["pixel", "latent"])
def test_decoding_agrees_with_the_pipeline(kind: str, checkpoints: dict[str, AudioDiffusionPipeline]) -> None:
    pipeline = checkpoints[kind]
    found = load_pretrained(str(folder_of(pipeline)))
    codec = found.codec(WIDTH, -200.0)
    noise = random(3, *codec.image_shape)
    scheduler = DDIMScheduler.from_config(found.schedule.scheduler.config)
    pipeline.scheduler = scheduler
    images, _ = pipeline(batch_size=3, steps=4, noise=noise, return_dict=False)
    scheduler.set_timesteps(4)
    sample = noise
    with torch.no_grad():
        for timestep in scheduler.timesteps:
            sample = scheduler.step(found.unet(sample, timestep).sample, timestep, sample).prev_sample
    log_mels = codec.to_log_mel(sample, torch.zeros(3))
    theirs = np.stack([np.asarray(image) for image in images]) * (70 / 255) - 70.0
    assert 5 < theirs.std() < 40  # neither black nor saturated
    assert np.abs(log_mels.numpy() - theirs).max() < 70 / 255 * 0.501  # but for their rounding to 8 bits


def test_images_agree_with_diffusers_mel() -> None:
    mel = tiny_mel()
    rng = np.random.default_rng(0)
    waveform = (rng.normal(size=WIDTH * 200) * np.linspace(0, 1, WIDTH * 200) ** 4).astype(np.float32)
    mel.load_audio(raw_audio=waveform)
    theirs = np.asarray(mel.audio_slice_to_image(0)) / 255 * 2 - 1
    power = librosa.feature.melspectrogram(y=mel.get_audio_slice(0), sr=8000, n_fft=256, hop_length=200, n_mels=HEIGHT)
    log_mel = torch.from_numpy(librosa.power_to_db(power, top_db=None))[None] + 12.0  # the level has no say
    scaling = ClipScaling(HEIGHT, WIDTH, WIDTH, 70.0, -200.0, quantized=True)
    ours = scaling.to_image(log_mel)[0, 0].numpy()
    assert theirs.min() == -1
    assert theirs.max() == 1
    assert np.abs(ours - theirs).max() < 1e-6


def test_the_codecs(checkpoints: dict[str, AudioDiffusionPipeline]) -> None:
    scaling = ClipScaling(n_mels=16, n_frames=21, width=24, top_db=70.0, floor_db=-80.0)
    assert load_pretrained(str(folder_of(checkpoints["pixel"]))).codec(21, -80.0) == scaling
    codec = load_pretrained(str(folder_of(checkpoints["latent"]))).codec(21, -80.0)
    assert isinstance(codec, LatentCodec)
    assert codec.scaling == scaling
    assert codec.scaling_factor == 0.18215
    assert codec.image_shape == (2, 8, 12)


# pickled weights


def to_pickle(folder: Path, rename: dict[str, str] | None = None, **options: Any) -> None:
    """The unet's weights as the .bin file older versions of diffusers wrote."""
    tensors = load_file(folder / WEIGHTS)
    for new, old in (rename or {}).items():
        tensors = {name.replace(new, old): tensor for name, tensor in tensors.items()}
    torch.save(tensors, folder / PICKLE, **options)
    (folder / WEIGHTS).unlink()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_of_tensors_is_read(zipped: bool, folder: Path, checkpoints: dict[str, Any]) -> None:
    to_pickle(folder, _use_new_zipfile_serialization=zipped)
    assert weights_equal(load_pretrained(str(folder)).unet, checkpoints["pixel"].unet)


def test_attention_is_read_by_the_names_of_2022(folder: Path, checkpoints: dict[str, Any]) -> None:
    old = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    to_pickle(folder, old)
    assert any(".proj_attn." in name for name in torch.load(folder / PICKLE, weights_only=True))
    assert weights_equal(load_pretrained(str(folder)).unet, checkpoints["pixel"].unet)


class Touch:
    """Unpickled, it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("plain", [True, False])
def test_a_pickle_that_runs_code_is_refused(plain: bool, folder: Path, tmp_path: Path) -> None:
    to_pickle(folder)
    victim = tmp_path / "created"
    if plain:
        (folder / PICKLE).write_bytes(pickle.dumps(Touch(victim)))
    else:
        tensors = torch.load(folder / PICKLE, weights_only=True)
        torch.save(tensors | {"conv_in.bias": Touch(victim)}, folder / PICKLE)
    with pytest.raises(StudyError) as raised:
        load_pretrained(str(folder))
    assert str(raised.value) == (
        f"{folder / PICKLE}: found a pickle that holds more than tensors, or is damaged (refused: it could run code), "
        "wanted diffusion_pytorch_model.safetensors"
    )
    assert not victim.exists()
    torch.load(folder / PICKLE, weights_only=False) if not plain else pickle.loads((folder / PICKLE).read_bytes())
    assert victim.exists()  # it would have


def test_a_pickle_beside_safetensors_is_not_looked_at(folder: Path, checkpoints: dict[str, Any]) -> None:
    (folder / PICKLE).write_bytes(b"anything")
    assert weights_equal(load_pretrained(str(folder)).unet, checkpoints["pixel"].unet)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2], "found list of more than tensors, wanted names with their tensors"),
        ({"state_dict": {}}, "found dict of more than tensors, wanted names with their tensors"),
        (None, "found a pickle that holds more than tensors, or is damaged"),
    ],
)
def test_a_pickle_of_something_else_is_told(value: Any, message: str, folder: Path) -> None:
    to_pickle(folder)
    if value is None:
        (folder / PICKLE).write_bytes((folder / PICKLE).read_bytes()[:1000])
    else:
        torch.save(value, folder / PICKLE)
    with pytest.raises(StudyError) as raised:
        load_pretrained(str(folder))
    assert str(raised.value).startswith(f"{folder / PICKLE}: {message}")


# damaged checkpoints


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


@pytest.mark.parametrize("pickled", [False, True])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("conv_in.bias"), "1 missing (conv_in.bias)"),
        (lambda tensors: tensors.update(extra=torch.zeros(3)), "1 unknown (extra)"),
        (
            lambda tensors: tensors.update({"conv_in.bias": torch.zeros(5), "conv_out.bias": torch.zeros(1, 1)}),
            "2 misshapen (conv_in.bias (5,) for (8,), conv_out.bias (1, 1) for (1,))",
        ),
        (
            lambda tensors: (
                [tensors.pop(name) for name in sorted(tensors) if name.startswith("conv_")]
                and tensors.update(b=torch.zeros(1), a=torch.zeros(1))
            ),
            "6 missing (conv_in.bias, conv_in.weight, conv_norm_out.bias, ...), 2 unknown (a, b)",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_told(
    change: Callable[[dict[str, torch.Tensor]], Any],
    message: str,
    pickled: bool,
    folder: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    change_tensors(folder, change)
    if pickled:
        to_pickle(folder)
    weights = folder / (PICKLE if pickled else WEIGHTS)
    with pytest.raises(StudyError) as raised:
        load_pretrained(str(folder))
    assert str(raised.value) == (
        f"{weights}: found tensors that do not fit: {message}, wanted those of {folder / 'unet' / 'config.json'}"
    )
    assert capfd.readouterr() == ("", "")  # the line is all there is


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("mel/mel_config.json", {"x_res": None}, "x_res: found None, wanted a whole number above 0"),
        ("mel/mel_config.json", {"n_fft": 256.5}, "n_fft: found 256.5, wanted a whole number above 0"),
        ("mel/mel_config.json", {"hop_length": 0}, "hop_length: found 0, wanted a whole number above 0"),
        ("mel/mel_config.json", {"sample_rate": "8000"}, "sample_rate: found '8000', wanted a whole number above 0"),
        ("mel/mel_config.json", {"top_db": -80}, "top_db: found -80, wanted a number above 0"),
        ("mel/mel_config.json", {"top_db": True}, "top_db: found True, wanted a number above 0"),
        ("unet/config.json", {"_class_name": "UNet1DModel"}, "found the class 'UNet1DModel', wanted UNet2DModel or "),
        ("unet/config.json", {"_class_name": None}, "found the class None, wanted UNet2DModel or UNet2DConditionModel"),
        (
            "unet/config.json",
            {"sample_size": 16},
            "found images of 1 x 16 x 16 in and 1 channels out, wanted 1 x 16 x 24 as the mel makes them",
        ),
        (
            "scheduler/scheduler_config.json",
            {"_class_name": "PNDMScheduler"},
            "found the class 'PNDMScheduler', wanted DDPMScheduler or DDIMScheduler",
        ),
        ("scheduler/scheduler_config.json", {"beta_schedule": "cubic"}, "found no noise schedule (cubic"),
        (
            "scheduler/scheduler_config.json",
            {"prediction_type": "flow"},
            "prediction_type: found 'flow', wanted one of epsilon, sample, v_prediction",
        ),
    ],
)
def test_settings_that_cannot_be_are_told(file: str, changes: dict[str, Any], message: str, folder: Path) -> None:
    edit(folder / file, **changes)
    with pytest.raises(StudyError) as raised:
        load_pretrained(str(folder))
    assert str(raised.value).startswith(f"{folder / file}: {message}")


def test_a_network_that_cannot_be_built_is_told(folder: Path) -> None:
    edit(folder / "unet" / "config.json", down_block_types=["DownBlock2D", "Sideways2D"])
    with pytest.raises(StudyError) as raised:
        load_pretrained(str(folder))
    assert str(raised.value).startswith(f"{folder / WEIGHTS}: found no UNet2DModel that {folder}/unet/config.json desc")
    assert "Sideways2D" in str(raised.value)


@pytest.mark.parametrize(
    "file", ["model_index.json", "unet/config.json", "scheduler/scheduler_config.json", "mel/mel_config.json"]
)
def test_missing_or_broken_files_are_told(file: str, folder: Path) -> None:
    for content, message in [("{", "found no JSON ("), ("[]", "found list, wanted a mapping"), (None, "not there, ")]:
        if content is None:
            (folder / file).unlink()
        else:
            (folder / file).write_text(content)
        with pytest.raises(StudyError) as raised:
            load_pretrained(str(folder))
        assert str(raised.value).startswith(f"{folder / file}: {message}")


def test_missing_or_broken_weights_are_told(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"garbage" * 100)
    with pytest.raises(StudyError) as raised:
        load_pretrained(str(folder))
    assert str(raised.value).startswith(f"{folder / WEIGHTS}: found no UNet2DModel that ")
    (folder / WEIGHTS).unlink()
    with pytest.raises(StudyError) as raised:
        load_pretrained(str(folder))
    assert str(raised.value) == (
        f"{folder}/unet: found no weights, wanted diffusion_pytorch_model.safetensors (or diffusion_pytorch_model.bin)"
    )


def test_an_autoencoder_that_does_not_fit_is_told(checkpoints: dict[str, Any], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folder_of(checkpoints["latent"]), tmp_path / "latent"))
    edit(folder / "mel" / "mel_config.json", x_res=25)
    with pytest.raises(StudyError) as raised:
        load_pretrained(str(folder))
    assert str(raised.value) == f"{folder}: autoencoder: found images of 16 x 25, wanted multiples of 2"
    edit(folder / "mel" / "mel_config.json", x_res=32)
    with pytest.raises(StudyError) as raised:
        load_pretrained(str(folder))
    assert str(raised.value) == (
        f"{folder}/unet/config.json: found images of 2 x 8 x 12 in and 2 channels out, "
        "wanted 2 x 8 x 16 as the mel makes them"
    )
    shutil.rmtree(folder / "vqvae")
    with pytest.raises(StudyError, match=r"vqvae/config\.json: not there"):
        load_pretrained(str(folder))


# the front end


def front_end(**changes: Any) -> Any:
    fits = {
        "sample_rate": 8000,
        "n_fft": 256,
        "hop_length": 200,
        "n_mels": 16,
        "n_frames": 24,
        "fmin_hz": 0.0,
        "fmax_hz": 4000.0,
        "filters": "slaney",
    }
    return SimpleNamespace(**{name: value for name, value in (fits | changes).items() if value is not None})


def test_a_front_end_that_fits(checkpoints: dict[str, AudioDiffusionPipeline]) -> None:
    found = load_pretrained(str(folder_of(checkpoints["pixel"])))
    found.check_fits(front_end())
    found.check_fits(front_end(n_frames=20))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample_rate": 22050}, "sample_rate 22050 (wanted 8000)"),
        ({"n_fft": 512, "hop_length": 100}, "n_fft 512 (wanted 256), hop_length 100 (wanted 200)"),
        ({"n_mels": 64}, "n_mels 64 (wanted 16)"),
        ({"n_frames": 25}, "n_frames 25 (wanted at most 24: shorten clip_seconds)"),
        ({"filters": "htk"}, "filters htk (wanted slaney)"),
        ({"filters": None}, "filters htk (wanted slaney)"),
        ({"fmin_hz": 20.0, "fmax_hz": 3000.0}, "fmin_hz 20.0 (wanted 0.0), fmax_hz 3000.0 (wanted 4000.0)"),
    ],
)
def test_every_mismatch_of_the_front_end_is_told(changes: dict[str, Any], message: str, checkpoints: Any) -> None:
    found = Pretrained(HUB_NAME, None, None, MelConfig(24, 16, 8000, 256, 200, 70.0), None)
    with pytest.raises(StudyError) as raised:
        found.check_fits(front_end(**changes))
    assert str(raised.value) == f"params.yaml: features: found {message}, wanted what {HUB_NAME} was trained on"


# the hub


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def put_into_cache(cache: Path, folder: Path, name: str = HUB_NAME) -> Path:
    """As the hub's library lays a download out."""
    repository = cache / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    return Path(shutil.copytree(folder, repository / "snapshots" / ("0" * 40)))


@pytest.mark.parametrize("pickled", [False, True])
def test_a_cached_download_needs_no_network(
    pickled: bool, cache: Path, folder: Path, checkpoints: dict[str, Any]
) -> None:
    if pickled:
        to_pickle(folder)
    put_into_cache(cache, folder)
    found = load_pretrained(HUB_NAME)
    assert found.name == HUB_NAME
    assert weights_equal(found.unet, checkpoints["pixel"].unet)


def test_offline_and_not_cached_is_told(cache: Path) -> None:
    with pytest.raises(StudyError) as raised:
        load_pretrained(HUB_NAME)
    assert str(raised.value) == (
        f"generator.pretrained: found no folder {HUB_NAME}, no network and no copy of the hub's {HUB_NAME} in the "
        f"cache, wanted one of them: run `hf download {HUB_NAME} --local-dir FOLDER` where there is a network and "
        "give FOLDER"
    )


def test_a_hub_that_does_not_answer_is_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # the port of discard: nobody listens
    with pytest.raises(StudyError, match=rf"^generator.pretrained: found no folder {HUB_NAME}, no network and no copy"):
        load_pretrained(HUB_NAME)


def test_only_what_is_needed_is_downloaded(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    snapshot = tmp_path / "snapshot"

    def download(name: str, allow_patterns: list[str]) -> str:
        assert name == HUB_NAME
        asked.append(allow_patterns)
        for file in allow_patterns:
            if (folder / file).exists():
                (snapshot / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(folder / file, snapshot / file)
        return str(snapshot)

    monkeypatch.setattr(hub, "snapshot_download", download)
    load_pretrained(HUB_NAME)
    assert [sorted(files) for files in asked] == [
        [
            "mel/mel_config.json",
            "model_index.json",
            "scheduler/scheduler_config.json",
            "unet/config.json",
            "unet/diffusion_pytorch_model.safetensors",
            "vqvae/config.json",
            "vqvae/diffusion_pytorch_model.safetensors",
        ]
    ]
    shutil.rmtree(snapshot)
    to_pickle(folder)
    load_pretrained(HUB_NAME)  # pickles only where there are no safetensors
    assert asked[1:] == [asked[0], ["unet/diffusion_pytorch_model.bin"]]
    load_pretrained(HUB_NAME)  # and not again
    assert asked[3:] == [asked[0]]


@pytest.mark.parametrize("name", ["", "nowhere", "./nowhere/model", "/nowhere/model", "a/b/c", "a b/c"])
def test_a_name_that_can_be_no_hubs_is_told(name: str, cache: Path) -> None:
    with pytest.raises(StudyError) as raised:
        load_pretrained(name)
    assert str(raised.value) == (
        f"generator.pretrained: found {name!r}, wanted a folder that is there or a hub name such as owner/model"
    )


def test_a_name_the_hub_refuses_is_told(cache: Path) -> None:
    with pytest.raises(StudyError) as raised:
        load_pretrained("owner/-model-")
    assert str(raised.value) == (
        "generator.pretrained: found owner/-model- neither as a folder nor on the hub (HFValidationError), wanted one"
    )
