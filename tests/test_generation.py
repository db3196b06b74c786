"""Generated clips: parents inverted once, mixed and decoded, and the figures of the inversion."""

from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_clips, tiny_params

from soundaug.diffusion import MelScaling, build_scheduler, build_unet
from soundaug.generation import interpolate
from soundaug.interpolation import Pair, draw_pairs, slerp
from soundaug.sampling import Sampler

PARAMS = tiny_params()
SCALING = MelScaling.of(PARAMS.features, PARAMS.generator)
CLIPS = tiny_clips()
LOG_MELS, LABELS, NAMES = torch.from_numpy(CLIPS.mel), torch.from_numpy(CLIPS.class_id), CLIPS.name.tolist()


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    unet = build_unet(PARAMS.generator, SCALING, 3, seed=0)
    return Sampler(unet, build_scheduler(PARAMS.generator), PARAMS.generate.model_copy(update={"steps": 3}))


def draw(**changes: Any) -> list[Pair]:
    settings = PARAMS.generate.model_copy(update={"per_class": 3} | changes)
    folds, classes = [1] * len(CLIPS), ["dog_bark", "siren", "drilling"]
    return draw_pairs(NAMES, CLIPS.class_id, CLIPS.fs_id.tolist(), folds, classes, settings, seed=0, held_out=2)


def rows(pairs: list[Pair], side: str) -> list[int]:
    return [NAMES.index(getattr(pair, f"parent_{side}")) for pair in pairs]


@pytest.mark.parametrize(("alpha", "side"), [(0.0, "a"), (1.0, "b")])
def test_an_end_of_the_path_is_that_parents_reconstruction(sampler: Sampler, alpha: float, side: str) -> None:
    pairs = draw(alpha=[alpha])
    generated, _ = interpolate(sampler, SCALING, LOG_MELS, LABELS, NAMES, pairs)
    parents = rows(pairs, side)
    noise = sampler.invert(SCALING.to_image(LOG_MELS[parents]), LABELS[parents], "test")
    assert torch.equal(generated, SCALING.to_log_mel(sampler.decode(noise, LABELS[parents], "test")))
    assert generated.shape == (9, 16, 21)


def test_between_the_ends_the_noises_are_mixed(sampler: Sampler) -> None:
    pairs = draw(alpha=[0.2, 0.8])
    generated, _ = interpolate(sampler, SCALING, LOG_MELS, LABELS, NAMES, pairs)
    a, b = (
        sampler.invert(SCALING.to_image(LOG_MELS[rows(pairs, side)]), LABELS[rows(pairs, side)], "test")
        for side in "ab"
    )
    mixed = slerp(a, b, torch.tensor([pair.alpha for pair in pairs]))
    decoded = sampler.decode(mixed, torch.tensor([pair.class_id for pair in pairs]), "test")
    assert torch.equal(generated, SCALING.to_log_mel(decoded))


def test_a_pair_is_what_it_is_whatever_the_others_are(sampler: Sampler) -> None:
    pairs = draw()
    together, _ = interpolate(sampler, SCALING, LOG_MELS, LABELS, NAMES, pairs)
    order = [4, 8, 0]
    some, _ = interpolate(sampler, SCALING, LOG_MELS, LABELS, NAMES, [pairs[index] for index in order])
    assert torch.equal(some, together[order])


def test_every_parent_is_inverted_once(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    inverted = []
    invert = sampler.invert

    def noting(images: torch.Tensor, *rest: Any) -> torch.Tensor:
        inverted.append(len(images))
        return invert(images, *rest)

    monkeypatch.setattr(sampler, "invert", noting)
    pairs = draw(per_class=20)
    _, quality = interpolate(sampler, SCALING, LOG_MELS, LABELS, NAMES, pairs)
    assert inverted == [18]  # all there are
    assert (quality["clips"], quality["parents"]) == (60, 18)


def test_the_figures_of_the_inversion(sampler: Sampler) -> None:
    pairs = draw()
    _, quality = interpolate(sampler, SCALING, LOG_MELS, LABELS, NAMES, pairs)
    parents = sorted({*rows(pairs, "a"), *rows(pairs, "b")})
    images = SCALING.to_image(LOG_MELS[parents])
    noise = sampler.invert(images, LABELS[parents], "test")
    sample = np.linspace(0, len(parents) - 1, 4).astype(int)  # one batch of them
    again = sampler.decode(noise[sample], LABELS[parents][sample], "test", guidance=1.0)
    error = SCALING.to_log_mel(again) - SCALING.to_log_mel(images[sample])
    assert quality == {
        "clips": 9,
        "parents": len(parents),
        "noise_std": pytest.approx(float(noise.std()), abs=1e-4),
        "reconstruction_rmse_db": pytest.approx(float(error.square().mean().sqrt()), abs=1e-4),
    }
    assert 0 < quality["reconstruction_rmse_db"] < 100


def test_no_pairs_make_no_clips(sampler: Sampler) -> None:
    generated, quality = interpolate(sampler, SCALING, LOG_MELS, LABELS, NAMES, [])
    assert (generated.shape, quality) == ((0, 16, 21), {})
