"""The classifier: the published network to the layer, its normalisation, its size, its file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny import tiny_clips, tiny_params
from torch import nn

from soundaug.classification.classifier import (
    SoundClassifier,
    build_classifier,
    check_size,
    load_classifier,
    save_classifier,
)
from soundaug.params import Classifier, Features, load_params
from soundaug.running.errors import StudyError

PRESETS = Path(__file__).parents[1] / "presets"
PARAMS = tiny_params()
MEL = torch.from_numpy(tiny_clips().mel)


def test_the_published_network_to_the_layer() -> None:
    params = load_params(PRESETS / "published.yaml")
    model = SoundClassifier(params.classifier, params.features.n_mels, 10)
    assert [type(layer) for layer in model.blocks] == [nn.Conv2d, nn.ReLU] * 3
    convolutions = [layer for layer in model.blocks if isinstance(layer, nn.Conv2d)]
    assert [(layer.in_channels, layer.out_channels) for layer in convolutions] == [(1, 64), (64, 128), (128, 256)]
    for layer in convolutions:
        assert (layer.kernel_size, layer.padding, layer.stride, layer.dilation) == ((5, 5), (0, 0), (1, 1), (1, 1))
    assert [type(layer) for layer in model.head] == [nn.Linear, nn.ReLU, nn.Linear]
    assert [(layer.in_features, layer.out_features) for layer in model.head if isinstance(layer, nn.Linear)] == [
        (256, 256),
        (256, 10),
    ]
    # weights and biases: 25 x in x out + out, in x out + out
    by_hand = (25 * 1 * 64 + 64) + (25 * 64 * 128 + 128) + (25 * 128 * 256 + 256) + (256 * 256 + 256) + (256 * 10 + 10)
    assert by_hand == 1_094_410
    assert sum(parameter.numel() for parameter in model.parameters()) == by_hand
    assert (params.features.n_mels, params.features.n_frames) == (64, 44)
    assert model.blocks(torch.zeros(1, 1, 64, 44)).shape == (1, 256, 52, 32)  # 4 less a side and block


def test_the_published_networks_output_by_hand() -> None:
    """Convolution, ReLU, mean over the map, linear, ReLU, linear."""
    settings = load_params(PRESETS / "published.yaml").classifier.model_copy(update={"channels": [2, 3], "hidden": 4})
    torch.manual_seed(0)
    model = SoundClassifier(settings, 16, 3)
    weights = {name: tensor.double() for name, tensor in model.state_dict().items()}
    image = MEL[:2, None].double()
    for number in (0, 2):
        weight, bias = weights[f"blocks.{number}.weight"], weights[f"blocks.{number}.bias"]
        patches = image.unfold(2, 5, 1).unfold(3, 5, 1)  # [B, C, H, W, 5, 5]
        image = torch.einsum("bchwij,ocij->bohw", patches, weight) + bias[:, None, None]
        image = image.clamp(min=0)
    vector = image.mean(dim=(2, 3))
    vector = (vector @ weights["head.0.weight"].T + weights["head.0.bias"]).clamp(min=0)
    logits = vector @ weights["head.2.weight"].T + weights["head.2.bias"]
    torch.testing.assert_close(model(MEL[:2]).double(), logits, rtol=1e-4, atol=1e-4)


def test_pooling_and_batch_norm_by_params() -> None:
    model = SoundClassifier(PARAMS.classifier, 16, 3)
    counts = {kind: sum(isinstance(layer, kind) for layer in model.blocks) for kind in (nn.MaxPool2d, nn.BatchNorm2d)}
    assert set(counts.values()) == {2}
    assert all(layer.bias is None for layer in model.blocks if isinstance(layer, nn.Conv2d))
    # convolutions without bias, two numbers a channel of batch norm
    by_hand = (9 * 4 + 2 * 4) + (9 * 4 * 8 + 2 * 8) + (8 * 8 + 8) + (8 * 3 + 3)
    assert sum(parameter.numel() for parameter in model.parameters()) == by_hand
    assert model.blocks(torch.zeros(2, 1, 16, 21)).shape == (2, 8, 4, 5)


def test_normalisation_is_fitted_on_the_clips_given() -> None:
    model = build_classifier(PARAMS.classifier, PARAMS.features, 3, MEL, seed=0)
    np.testing.assert_allclose(model.mean[:, 0], MEL.numpy().mean(axis=(0, 2)), rtol=1e-5)
    np.testing.assert_allclose(model.std[:, 0], MEL.numpy().std(axis=(0, 2), ddof=1), rtol=1e-4)
    normal = model.normalize(MEL)
    assert normal.shape == (18, 1, 16, 21)
    assert normal.mean(dim=(0, 1, 3)).abs().max() < 1e-4
    assert (normal.std(dim=(0, 1, 3)) - 1).abs().max() < 1e-3
    plain = PARAMS.features.model_copy(update={"normalization": "none"})
    model = build_classifier(PARAMS.classifier, plain, 3, MEL, seed=0)
    assert torch.equal(model.normalize(MEL)[:, 0], MEL)


def test_clip_mean_takes_the_colour_of_microphone_and_room_off() -> None:
    settings = PARAMS.features.model_copy(update={"normalization": "clip_mean"})
    model = build_classifier(PARAMS.classifier, settings, 3, MEL, seed=0)
    clips = MEL.numpy()
    by_hand = clips - clips.mean(axis=2, keepdims=True)
    by_hand /= by_hand.std(ddof=1)
    np.testing.assert_allclose(model.normalize(MEL)[:, 0], by_hand, atol=1e-4)
    filtered = MEL + torch.linspace(-30, 10, 16)[:, None]  # the same clips through another channel
    torch.testing.assert_close(model.normalize(filtered), model.normalize(MEL), atol=1e-4, rtol=0)


def test_a_constant_band_stays_finite() -> None:
    mel = MEL.clone()
    mel[:, 3] = -60.0
    model = build_classifier(PARAMS.classifier, PARAMS.features, 3, mel, seed=0)
    assert model.std[3].item() == pytest.approx(1e-5)
    assert model.normalize(mel)[:, 0, 3].abs().max() < 1
    assert torch.isfinite(model(mel)).all()


def test_the_seed_decides_the_weights() -> None:
    state = torch.random.get_rng_state()
    models = [build_classifier(PARAMS.classifier, PARAMS.features, 3, MEL, seed).state_dict() for seed in (0, 0, 1)]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
    assert not torch.equal(models[0]["head.0.weight"], models[2]["head.0.weight"])


@pytest.mark.parametrize(
    ("kernel", "padding", "pool", "n_mels", "fits"),
    [(5, 0, 1, 13, True), (5, 0, 1, 12, False), (3, 1, 2, 8, True), (3, 1, 3, 26, False), (3, 1, 3, 27, True)],
)
def test_the_size_that_three_blocks_need(kernel: int, padding: int, pool: int, n_mels: int, fits: bool) -> None:
    settings = Classifier(channels=[2, 2, 2], kernel=kernel, padding=padding, pool=pool, batch_norm=False, hidden=2)
    features = PARAMS.features.model_copy(update={"n_mels": n_mels, "hop_length": 60})  # 67 frames
    if fits:
        check_size(settings, features)
        image = SoundClassifier(settings, n_mels, 3).blocks(torch.zeros(1, 1, n_mels, features.n_frames))
        assert image.shape[2] >= 1
        return
    with pytest.raises(StudyError) as raised:
        build_classifier(settings, features, 3, MEL, seed=0)
    assert str(raised.value) == (
        f"params.yaml: classifier: found kernel {kernel}, padding {padding} and pool {pool} that shrink n_mels "
        f"({n_mels}) to nothing, wanted at least 1 left after every block"
    )


def test_few_frames_are_told_too() -> None:
    features = Features.model_validate(PARAMS.features.model_dump() | {"clip_seconds": 0.04})  # 2 frames
    with pytest.raises(StudyError, match=r"that shrink n_frames \(2\) to nothing"):
        check_size(PARAMS.classifier, features)


def test_the_file_holds_weights_and_normalisation(tmp_path: Path) -> None:
    model = build_classifier(PARAMS.classifier, PARAMS.features, 3, MEL, seed=0)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for name in ("one", "two"):
        save_classifier(tmp_path / f"{name}.safetensors", model)
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    saved = load_file(tmp_path / "one.safetensors")
    assert saved.keys() == model.state_dict().keys()
    assert {"mean", "std"} < saved.keys()
    other = SoundClassifier(PARAMS.classifier, 16, 3)
    other.load_state_dict(saved)
    other.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert torch.equal(other.eval()(MEL), model.eval()(MEL))


@pytest.mark.parametrize("normalization", ["standardize", "clip_mean", "none"])
def test_a_saved_classifier_comes_back(normalization: str, tmp_path: Path) -> None:
    features = PARAMS.features.model_copy(update={"normalization": normalization})
    model = build_classifier(PARAMS.classifier, features, 3, MEL, seed=0)
    model(MEL)  # batch norm has seen something
    save_classifier(tmp_path / "model.safetensors", model)
    loaded = load_classifier(tmp_path / "model.safetensors", PARAMS.classifier, features, 3)
    assert not loaded.training
    assert loaded.centre == (normalization == "clip_mean")
    assert torch.equal(loaded(MEL), model.eval()(MEL))


@pytest.mark.parametrize(
    ("damage", "changes", "reason"),
    [
        (lambda path: path.write_bytes(b"no tensors" * 50), {}, "header"),
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), {}, "header"),
        (lambda path: path.write_bytes(b""), {}, "header"),
        (lambda path: None, {"channels": [4, 9]}, "size mismatch for blocks.4.weight"),
        (lambda path: None, {"channels": [4, 8, 8]}, 'Missing key(s) in state_dict: "blocks.8.weight"'),
        (lambda path: None, {"n_classes": 4}, "size mismatch for head.2.weight"),
        (lambda path: None, {"n_mels": 20}, "size mismatch for mean"),
    ],
)
def test_a_file_that_is_not_this_classifier_is_one_line(
    damage: Callable[[Path], object], changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    save_classifier(path, build_classifier(PARAMS.classifier, PARAMS.features, 3, MEL, seed=0))
    damage(path)
    settings = PARAMS.classifier.model_copy(update={"channels": changes.get("channels", [4, 8])})
    features = PARAMS.features.model_copy(update={"n_mels": changes.get("n_mels", 16)})
    with pytest.raises(StudyError) as raised:
        load_classifier(path, settings, features, changes.get("n_classes", 3))
    line = str(raised.value)
    assert line.startswith(f"{path}: found no such classifier (")
    assert reason in line
    assert line.endswith("), wanted what train_base writes")
    assert "\n" not in line


def test_a_classifier_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(StudyError, match=rf"^{path}: not there, wanted what train_base writes$"):
        load_classifier(path, PARAMS.classifier, PARAMS.features, 3)
