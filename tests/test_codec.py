"""Log mels to images and back: each scaling against its formula, latents against the autoencoder, and mel.json."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, VQModel
from tiny import tiny_params

from soundaug.diffusion import codec as codec_module
from soundaug.diffusion.codec import (
    ClipScaling,
    Codec,
    LatentCodec,
    MelScaling,
    WhitenedScaling,
    codec_of,
    images_of,
    load_codec,
    save_codec,
)
from soundaug.running.errors import StudyError

MEL = MelScaling(
    n_mels=16, n_frames=21, floor_db=-80.0, ceiling_db=20.0, mean_db=-30.0, deviation_db=50.0, patch=2, multiple=4
)
CLIP = ClipScaling(n_mels=16, n_frames=21, width=24, top_db=80.0, floor_db=-100.0)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def clips(count: int = 3) -> torch.Tensor:
    """Log mels that stay 70 dB within their own maximum, which is another for every clip."""
    unit = torch.rand((count, 16, 21), generator=torch.Generator().manual_seed(0))
    unit.flatten(1)[:, 0] = 1.0
    return unit * 70 - 70 - 5.0 * torch.arange(count)[:, None, None]


def tiny_autoencoder(channels: int = 4, seed: int = 0) -> AutoencoderKL:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoencoderKL(
            in_channels=channels,
            out_channels=channels,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(8, 8),
            latent_channels=3,
            norm_num_groups=4,
        )


# MelScaling


def test_the_scaling_of_a_front_end_and_a_network() -> None:
    params = tiny_params()
    assert MelScaling.of(params.features, params.generator) == MEL


def test_part_by_part_is_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    params, log_mels = tiny_params(), 30 * random(7, 16, 21) - 40
    at_once = MelScaling.of(params.features, params.generator, log_mels)
    cut = log_mels.clamp(params.features.floor_db, params.features.ceiling_db).double()
    monkeypatch.setattr(codec_module, "PART", 3)
    scaling = MelScaling.of(params.features, params.generator, log_mels)
    assert scaling == at_once
    assert scaling.mean_db == round(float(cut.mean()), 4)
    assert scaling.deviation_db == round(float(cut.std(correction=0)), 4)
    assert torch.equal(images_of(scaling, log_mels), scaling.to_image(log_mels))
    assert images_of(scaling, log_mels[:0]).shape == (0, *scaling.image_shape)


def test_the_images_shape() -> None:
    assert MEL.image_shape == (4, 8, 12)  # 21 frames padded to 24; patches of 2 x 2 are channels
    published = MelScaling(64, 44, -60.0, 20.0, -20.0, 40.0, patch=4, multiple=16)
    assert published.image_shape == (16, 16, 12)


def test_mels_and_back() -> None:
    log_mel = (random(3, 16, 21) * 20 - 30).clamp(-80, 20)
    image = MEL.to_image(log_mel)
    assert image.shape == (3, 4, 8, 12)
    assert image.abs().max() <= 1
    assert MEL.levels(log_mel).tolist() == [0.0, 0.0, 0.0]
    assert (MEL.to_log_mel(image, MEL.levels(log_mel)) - log_mel).abs().max() < 1e-4


def test_the_scale_is_linear_and_what_is_outside_is_cut() -> None:
    for level, value in [(-80.0, -1.0), (-30.0, 0.0), (20.0, 1.0), (-200.0, -1.0), (50.0, 1.0), (-5.0, 0.5)]:
        image = MEL.to_image(torch.full((1, 16, 21), level))
        assert image[0, :, :, :10].unique().item() == pytest.approx(value, abs=1e-6)  # frames 0 to 19
    back = MEL.to_log_mel(torch.tensor([-3.0, 0.0, 3.0])[:, None, None, None].expand(3, 4, 8, 12))
    assert back.amin(dim=(1, 2)).tolist() == back.amax(dim=(1, 2)).tolist() == [-80.0, -30.0, 20.0]


def test_padding_is_the_floor_and_is_cut_away() -> None:
    image = MEL.to_image(torch.full((1, 16, 21), 20.0))
    flat = torch.nn.functional.pixel_shuffle(image, 2)[0, 0]
    assert flat[:, :21].unique().tolist() == [1.0]
    assert flat[:, 21:].unique().tolist() == [-1.0]
    image[:, :, :, 11] = 0.7  # frames 22 and 23 only
    assert MEL.to_log_mel(image).unique().tolist() == [20.0]


def test_a_patch_of_the_mel_is_a_pixels_channels() -> None:
    log_mel = torch.zeros(1, 16, 21)
    log_mel[0, 2:4, 4:6] = torch.tensor([[-80.0, -30.0], [-5.0, 20.0]])
    assert MEL.to_image(log_mel)[0, :, 1, 2].tolist() == pytest.approx([-1.0, 0.0, 0.5, 1.0])


# WhitenedScaling


def textured(count: int = 40) -> torch.Tensor:
    """Log mels of a wandering level, 10 dB about -40, with a texture of 1 dB, 12 dB lower at the top than below."""
    level = torch.nn.functional.interpolate(random(count, 1, 4, 6) * 10, (16, 21), mode="bilinear")[:, 0]
    return level + random(count, 16, 21, seed=1) - 40 - torch.linspace(0, 12, 16)[:, None]


def test_whitened_channels_are_uncorrelated_and_of_deviation_1() -> None:
    scaling = MelScaling(16, 20, -80.0, 20.0, -40.0, 10.0, patch=2, multiple=2)
    log_mels = textured()[:, :, :20]
    codec = WhitenedScaling.of(scaling, log_mels)
    images = codec.to_image(log_mels).double()
    assert images.shape == (40, 4, 8, 10)
    assert images.mean(dim=(0, 3)).abs().max() < 1e-5  # in every row of patches
    flat = images.transpose(0, 1).flatten(1)
    torch.testing.assert_close(flat @ flat.T / flat.shape[1], torch.eye(4).double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(codec.axes.T @ codec.axes, torch.eye(4), atol=1e-5, rtol=0)
    assert codec.deviation.tolist() == sorted(codec.deviation.tolist(), reverse=True)
    assert codec.axes[:, 0].tolist() == pytest.approx([0.5] * 4, abs=0.02)  # most of a patch is its level
    assert codec.deviation[0] > 5 * codec.deviation[-1]
    assert codec.deviation[-1].item() == pytest.approx(0.1, abs=0.02)  # the texture's 1 dB of 10 dB


def test_whitening_part_by_part_is_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    log_mels = textured(7)
    at_once = WhitenedScaling.of(MEL, log_mels)
    monkeypatch.setattr(codec_module, "PART", 3)
    assert (WhitenedScaling.of(MEL, log_mels).to_image(log_mels) - at_once.to_image(log_mels)).abs().max() < 1e-4


def test_whitened_mels_come_back_cut_to_the_range() -> None:
    log_mels = textured()
    codec = WhitenedScaling.of(MEL, log_mels)
    assert codec.levels(log_mels[:2]).tolist() == [0.0, 0.0]
    assert (codec.to_log_mel(codec.to_image(log_mels)) - log_mels.clamp(-80, 20)).abs().max() < 1e-3
    loud = codec.to_log_mel(codec.to_image(log_mels + 90))
    assert (loud - (log_mels + 90).clamp(-80, 20)).abs().max() < 1e-3


def test_a_whitened_clip_is_padded_with_its_last_frame() -> None:
    """21 frames are 10 pairs, and one beside itself; at the floor, the edge would be the largest detail of all."""
    log_mels = textured()
    codec = WhitenedScaling.of(MEL, log_mels)
    longer = torch.cat([log_mels, log_mels[:, :, -1:].expand(-1, -1, 3)], dim=2)
    whole = WhitenedScaling(
        MelScaling(**{**vars(MEL), "n_frames": 24}), codec.mean, codec.axes, codec.deviation
    ).to_image(longer)
    assert torch.equal(codec.to_image(log_mels), whole)


def test_the_mask_of_a_whitened_image_goes_by_whole_patches() -> None:
    codec = WhitenedScaling.of(MEL, textured())
    mask = codec.frame_mask(torch.arange(21) < 9)  # frame 9 shares its patches with frame 8
    assert mask.shape == (4, 8, 12)
    assert mask.all(dim=1).all(dim=0).tolist() == [True] * 4 + [False] * 6 + [False, True]
    assert torch.equal(mask.any(dim=0), mask.all(dim=0))


def test_channels_that_hardly_differ_are_not_blown_up() -> None:
    codec = WhitenedScaling.of(MEL, torch.full((3, 16, 21), -30.0))
    assert codec.deviation.tolist() == pytest.approx([0.1 / 50] * 4)
    image = codec.to_image(torch.full((1, 16, 21), -29.0))
    assert image.abs().max().item() == pytest.approx(10, rel=1e-3)  # 1 dB of 0.1 dB


def test_no_clips_are_no_images() -> None:
    for codec in (MEL, WhitenedScaling.of(MEL, textured())):
        assert codec.to_image(torch.empty(0, 16, 21)).shape == (0, 4, 8, 12)


def test_a_whitening_comes_back_from_its_file_to_the_bit(tmp_path: Path) -> None:
    log_mels = textured()
    codec = WhitenedScaling.of(MEL, log_mels)
    save_codec(tmp_path, codec)
    assert torch.equal(load_codec(tmp_path).to_image(log_mels), codec.to_image(log_mels))
    assert json.loads((tmp_path / "mel.json").read_text())["scaling"] == MEL.config()


# ClipScaling


def test_a_clips_image_is_relative_to_its_maximum() -> None:
    log_mel = torch.full((2, 16, 21), -200.0)
    log_mel[0, 3, :4] = torch.tensor([-10.0, -30.0, -70.0, -95.0])
    log_mel[1] = log_mel[0] - 7.5
    image = CLIP.to_image(log_mel)
    assert image.shape == (2, 1, 16, 24)
    assert image[0, 0, 3, :4].tolist() == pytest.approx([1.0, 0.5, -0.5, -1.0])  # 0, 20, 60 and 85 dB below
    assert torch.equal(image[0], image[1])
    assert CLIP.levels(log_mel).tolist() == [-10.0, -17.5]
    assert image[:, :, :, 21:].unique().tolist() == [-1.0]


def test_a_clip_and_its_level_come_back() -> None:
    log_mel = clips()
    assert (CLIP.to_log_mel(CLIP.to_image(log_mel), CLIP.levels(log_mel)) - log_mel).abs().max() < 1e-4
    louder = CLIP.to_log_mel(CLIP.to_image(log_mel), CLIP.levels(log_mel) + 6)
    assert torch.allclose(louder, log_mel + 6, atol=1e-4)


def test_what_is_below_the_range_or_the_floor_is_cut() -> None:
    log_mel = torch.full((1, 16, 21), -300.0)
    log_mel[0, 0, 0] = -10.0
    levels = CLIP.levels(log_mel)
    assert CLIP.to_log_mel(CLIP.to_image(log_mel), levels).unique().tolist() == [-90.0, -10.0]  # top_db below
    assert CLIP.to_log_mel(CLIP.to_image(log_mel), levels - 30).unique().tolist() == [-100.0, -40.0]  # the floor
    image = torch.full((1, 1, 16, 24), 9.0)
    assert CLIP.to_log_mel(image, levels).unique().tolist() == [-10.0]


def test_a_silent_clip_is_not_full_scale() -> None:
    log_mel = clips()
    log_mel[1] = -100.0
    image = CLIP.to_image(log_mel)
    assert image[1].unique().tolist() == [-1.0]
    assert image[0].max() == image[2].max() == 1.0
    assert CLIP.to_log_mel(image, CLIP.levels(log_mel))[1].unique().tolist() == [-100.0]


def test_eight_bits_as_audio_diffusion_rounds_them() -> None:
    """Its formulas (`Mel.audio_slice_to_image`, `image_to_audio`, `AudioDiffusionPipeline`) in numpy, on one clip."""
    scaling = ClipScaling(16, 21, 21, 80.0, -100.0, quantized=True)
    log_mel = (random(1, 16, 21) * 40 - 30).clamp(min=-100)
    relative = np.maximum(log_mel[0].numpy() - log_mel.max().item(), -80)
    pixels = (((relative + 80) * 255 / 80).clip(0, 255) + 0.5).astype(np.uint8)
    image = scaling.to_image(log_mel)
    assert np.abs(image[0, 0].numpy() - (pixels / 255 * 2 - 1)).max() < 1e-6
    generated = image + random(1, 1, 16, 21, seed=1) * 0.1
    again = (np.clip(generated[0, 0].numpy() / 2 + 0.5, 0, 1) * 255).round().astype("uint8")
    wanted = again.astype("float") * 80 / 255 - 80
    assert np.abs(scaling.to_log_mel(generated, torch.zeros(1))[0].numpy() - wanted).max() < 1e-4
    exact = ClipScaling(16, 21, 21, 80.0, -100.0)
    error = (exact.to_image(log_mel) - image).abs().max().item()
    assert 0.9 / 255 < error <= 1.001 / 255  # half a grey value of 2 / 255


def test_more_frames_than_the_image_is_wide_are_told() -> None:
    with pytest.raises(StudyError, match=r"^n_frames: found 25, wanted at most the image's width \(24\)$"):
        ClipScaling(16, 25, 24, 80.0, -100.0)
    with pytest.raises(StudyError, match=r"^top_db: found 0.0, wanted more than 0$"):
        ClipScaling(16, 20, 24, 0.0, -100.0)


# LatentCodec


def test_latents_are_the_posteriors_mean_scaled() -> None:
    autoencoder = tiny_autoencoder()
    codec = LatentCodec(MEL, autoencoder, 0.5)
    log_mel, levels = clips(), torch.zeros(3)
    assert codec.image_shape == (3, 4, 6)
    latents = codec.to_image(log_mel)
    with torch.no_grad():
        posterior = autoencoder.encode(MEL.to_image(log_mel)).latent_dist
        assert torch.allclose(latents, posterior.mean * 0.5, atol=1e-6)
        decoded = MEL.to_log_mel(autoencoder.decode(posterior.mean).sample, levels)
    assert torch.allclose(codec.to_log_mel(latents, levels), decoded, atol=1e-4)
    assert torch.equal(codec.to_image(log_mel), latents)
    assert not latents.requires_grad
    assert not latents.is_inference()
    assert not any(parameter.requires_grad for parameter in autoencoder.parameters())


def test_a_clips_latents_do_not_depend_on_its_neighbours() -> None:
    codec = LatentCodec(MEL, tiny_autoencoder(), 1.0, batch_size=4)
    log_mel = clips(6)
    together = codec.to_image(log_mel)
    back = codec.to_log_mel(together, torch.zeros(6))
    for row in range(6):
        alone = codec.to_image(log_mel[row : row + 1])
        assert torch.equal(alone[0], together[row])
        assert torch.equal(codec.to_log_mel(alone, torch.zeros(1))[0], back[row])
    assert codec.to_image(log_mel[:0]).shape == (0, 3, 4, 6)


def test_levels_go_past_the_autoencoder() -> None:
    codec = LatentCodec(CLIP, tiny_autoencoder(channels=1), 1.0)
    log_mel = clips()
    levels = codec.levels(log_mel)
    assert levels.tolist() == pytest.approx([0.0, -5.0, -10.0], abs=1e-5)
    latents = codec.to_image(log_mel)
    quiet, loud = codec.to_log_mel(latents, levels + 200), codec.to_log_mel(latents, levels + 210)
    assert torch.allclose(loud - quiet, torch.tensor(10.0), atol=1e-3)


def test_latents_of_a_vector_quantised_autoencoder() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        autoencoder = VQModel(
            1, 1, ("DownEncoderBlock2D",) * 2, ("UpDecoderBlock2D",) * 2, (8, 8), norm_num_groups=4, latent_channels=2
        )
    codec = LatentCodec(CLIP, autoencoder, 2.0)
    log_mel = clips()
    latents = codec.to_image(log_mel)
    assert codec.image_shape == (2, 8, 12) == latents.shape[1:]
    with torch.no_grad():
        images = autoencoder(CLIP.to_image(log_mel)).sample
    levels = codec.levels(log_mel)
    assert torch.allclose(codec.to_log_mel(latents, levels), CLIP.to_log_mel(images, levels), atol=1e-3)


@pytest.mark.parametrize(
    ("scaling", "channels", "factor", "message"),
    [
        (CLIP, 4, 1.0, "autoencoder: found 4 channels in and 4 out, wanted 1 (images of 1 x 16 x 24)"),
        (
            MelScaling(15, 21, -80.0, 20.0, -30.0, 50.0, 1, 5),
            1,
            1.0,
            "autoencoder: found images of 15 x 25, wanted multiples of 2",
        ),
        (CLIP, 1, 0.0, "autoencoder: found the scaling factor 0.0, wanted a number above 0"),
        (CLIP, 1, math.nan, "autoencoder: found the scaling factor nan, wanted a number above 0"),
    ],
)
def test_an_autoencoder_that_does_not_fit_is_told(scaling: Codec, channels: int, factor: float, message: str) -> None:
    with pytest.raises(StudyError) as raised:
        LatentCodec(scaling, tiny_autoencoder(channels), factor)
    assert str(raised.value) == message


# masks


def kept(*frames: int) -> torch.Tensor:
    mask = torch.zeros(21, dtype=torch.bool)
    mask[list(frames)] = True
    return mask


def test_a_mask_keeps_whole_frames_and_the_padding() -> None:
    mask = CLIP.frame_mask(kept(0, 5))
    assert mask.shape == (1, 16, 24)
    assert mask.all(dim=1)[0].nonzero().flatten().tolist() == [0, 5, 21, 22, 23]
    assert mask.sum() == 5 * 16
    mask = MEL.frame_mask(kept(0, 1, 5))
    assert mask.shape == (4, 8, 12)
    log_mel = torch.full((1, 16, 21), -80.0)
    log_mel[:, :, [0, 1, 5]] = 20.0
    assert torch.equal(mask[:, :, :10], MEL.to_image(log_mel)[0, :, :, :10] == 1)
    assert mask[:, :, 11].all()


def test_a_latent_is_kept_when_all_its_frames_are() -> None:
    codec = LatentCodec(CLIP, tiny_autoencoder(1), 1.0)  # 2 frames a column
    mask = codec.frame_mask(kept(0, 2, 3, 5, 20))
    assert mask.shape == (3, 8, 12)
    assert mask[0, 0].nonzero().flatten().tolist() == [1, 10, 11]  # frames 2 and 3, 20 and padding, padding
    assert mask.sum() == 3 * 3 * 8
    folded = LatentCodec(MEL, tiny_autoencoder(), 1.0)  # 4 frames a column
    assert folded.frame_mask(kept(*range(7)))[0, 0].tolist() == [True] + [False] * 5


# mel.json


def latent(scaling: Codec = MEL, channels: int = 4) -> LatentCodec:
    return LatentCodec(scaling, tiny_autoencoder(channels), 0.7)


@pytest.mark.parametrize(
    "codec", [MEL, CLIP, ClipScaling(16, 21, 24, 80.0, -100.0, True), latent(), latent(CLIP, 1)], ids=range(5)
)
def test_a_codec_is_read_again(codec: Codec, tmp_path: Path) -> None:
    save_codec(tmp_path, codec)
    assert json.loads((tmp_path / "mel.json").read_text()) == codec.config()
    again = load_codec(tmp_path)
    assert type(again) is type(codec)
    assert again.config() == codec.config()
    assert again.image_shape == codec.image_shape
    log_mel = clips()
    image, levels = codec.to_image(log_mel), codec.levels(log_mel)
    assert torch.equal(again.to_image(log_mel), image)
    assert torch.equal(again.to_log_mel(image, levels), codec.to_log_mel(image, levels))


def test_mel_json_in_full() -> None:
    assert latent().config() == {
        "codec": "latent",
        "scaling_factor": 0.7,
        "scaling": {
            "codec": "mel",
            "n_mels": 16,
            "n_frames": 21,
            "floor_db": -80.0,
            "ceiling_db": 20.0,
            "mean_db": -30.0,
            "deviation_db": 50.0,
            "patch": 2,
            "multiple": 4,
        },
    }
    assert CLIP.config() == {
        "codec": "clip",
        "n_mels": 16,
        "n_frames": 21,
        "width": 24,
        "top_db": 80.0,
        "floor_db": -100.0,
        "quantized": False,
    }
    assert codec_of(CLIP.config(), None) == CLIP


def without(config: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != name}


def whitened(**changes: Any) -> dict[str, Any]:
    return WhitenedScaling.of(MEL, textured()).config() | changes


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ([], "found list, wanted a mapping"),
        ({}, "found the codec None, wanted mel, whitened, clip or latent"),
        (MEL.config() | {"codec": "wav"}, "found the codec 'wav', wanted mel, whitened, clip or latent"),
        (
            without(MEL.config(), "n_mels"),
            "found ['ceiling_db', 'deviation_db', 'floor_db', 'mean_db', 'multiple', 'n_frames', 'patch'], "
            "wanted ['ceiling_db', 'deviation_db', 'floor_db', 'mean_db', 'multiple', 'n_frames', 'n_mels', 'patch']",
        ),
        (MEL.config() | {"n_mels": "16"}, "n_mels: found '16', wanted a whole number above 0"),
        (MEL.config() | {"n_mels": True}, "n_mels: found True, wanted a whole number above 0"),
        (MEL.config() | {"patch": 0}, "patch: found 0, wanted a whole number above 0"),
        (MEL.config() | {"deviation_db": 0}, "deviation_db: found 0, wanted more than 0"),
        (MEL.config() | {"floor_db": None}, "floor_db: found None, wanted a number"),
        (MEL.config() | {"floor_db": math.nan}, "floor_db: found nan, wanted a number"),
        (CLIP.config() | {"quantized": 1}, "quantized: found 1, wanted true or false"),
        (CLIP.config() | {"width": 20}, "n_frames: found 21, wanted at most the image's width (20)"),
        ({"codec": "whitened"}, "found [], wanted axes, deviation, mean and scaling"),
        (whitened(mean=[0.0]), "mean: found [1] numbers, wanted [4, 8]"),
        (whitened(axes=[[1.0] * 4] * 3), "axes: found [3, 4] numbers, wanted [4, 4]"),
        (whitened(axes=[[math.inf] * 4] * 4), "axes: found numbers that are not finite, wanted finite ones"),
        (whitened(deviation=[1.0, 1.0, 1.0, 0.0]), "deviation: found 0.0, wanted more than 0"),
        (whitened(scaling=CLIP.config()), "scaling: found the codec clip, wanted mel"),
        ({"codec": "latent"}, "found [] of a latent codec, wanted scaling and scaling_factor"),
        (latent().config() | {"scaling_factor": "1"}, "scaling_factor: found '1', wanted a number"),
        (
            latent().config() | {"scaling": CLIP.config()},
            "autoencoder: found 4 channels in and 4 out, wanted 1 (images of 1 x 16 x 24)",
        ),
    ],
)
def test_bad_values_are_told_with_the_file(config: Any, message: str, tmp_path: Path) -> None:
    save_codec(tmp_path, latent())
    (tmp_path / "mel.json").write_text(json.dumps(config))
    with pytest.raises(StudyError) as raised:
        load_codec(tmp_path)
    assert str(raised.value) == f"{tmp_path / 'mel.json'}: {message}"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "not there, wanted what the network's images are"),
        (lambda path: path.write_text("{"), "found no JSON ("),
        (lambda path: path.write_bytes(b"\xff"), "found no JSON ("),
    ],
)
def test_a_missing_or_broken_file_is_told(damage: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    save_codec(tmp_path, MEL)
    damage(tmp_path / "mel.json")
    with pytest.raises(StudyError) as raised:
        load_codec(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path / 'mel.json'}: {message}")


def test_a_latent_codec_needs_its_folder(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"^codec: found a latent codec without a folder"):
        codec_of(latent().config(), None)
    (tmp_path / "mel.json").write_text(json.dumps(latent().config()))
    with pytest.raises(StudyError, match=r"vqvae/config.json: not there"):
        load_codec(tmp_path)
