"""Generated clips by each method: what is kept of the parents, what is inverted once, and the inversion's figures."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel
from tiny import tiny_clips, tiny_params

from soundaug.diffusion.codec import ClipScaling, Codec, MelScaling
from soundaug.diffusion.model import Told
from soundaug.diffusion.schedule import Schedule
from soundaug.generation import methods as generation
from soundaug.generation.methods import Parents, generate, kept_frames
from soundaug.generation.sampling import Sampler
from soundaug.interpolation import Pair, draw_pairs, mix, slerp
from soundaug.params import Generate
from soundaug.running.device import generator_of
from soundaug.running.kept_rows import Rows

PARAMS = tiny_params()
FEATURES = PARAMS.features
CLIPS = tiny_clips()
LOG_MELS, LABELS, NAMES = torch.from_numpy(CLIPS.mel).clone(), torch.from_numpy(CLIPS.class_id), CLIPS.name.tolist()
LOG_MELS -= torch.arange(len(LOG_MELS))[:, None, None] / 2  # so that every clip has another level
CODECS: dict[str, Codec] = {
    "mel": MelScaling.of(FEATURES, PARAMS.generator),
    "clip": ClipScaling(n_mels=16, n_frames=21, width=24, top_db=60.0, floor_db=-80.0),
}


def settings(**changes: Any) -> Generate:
    return PARAMS.generate.model_copy(update={"steps": 3, "per_class": 3, "renormalize": False} | changes)


def network(codec: Codec) -> UNet2DModel:
    channels, height, width = codec.image_shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return UNet2DModel(
            sample_size=(height, width),
            in_channels=channels,
            out_channels=channels,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=8,
            norm_num_groups=4,
            num_class_embeds=4,
        )


NETWORKS = {name: network(codec) for name, codec in CODECS.items()}
SCHEDULE = Schedule(
    DDPMScheduler(
        num_train_timesteps=100, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", clip_sample=False
    )
)


def sampler_of(codec: str = "mel", **changes: Any) -> Sampler:
    return Sampler(NETWORKS[codec], SCHEDULE, settings(**changes))


def parents_of(codec: str = "mel") -> Parents:
    return Parents(CODECS[codec], LOG_MELS, Told(LABELS), NAMES)


def draw(**changes: Any) -> list[Pair]:
    folds, classes = [1] * len(CLIPS), ["dog_bark", "siren", "drilling"]
    fs_ids = CLIPS.fs_id.tolist()
    return draw_pairs(NAMES, CLIPS.class_id, fs_ids, folds, classes, settings(**changes), seed=0, held_out=2)


def test_what_a_network_is_told_is_the_class_and_the_parents_sounds_mixed() -> None:
    sounds = torch.eye(len(CLIPS))[:, :6] + 0.1
    parents = Parents(CODECS["mel"], LOG_MELS, Told(LABELS, sounds), NAMES)
    pairs = draw(alpha=[0.3])
    told = parents.told_of(pairs)
    assert told.labels is not None
    assert told.labels.tolist() == [pair.class_id for pair in pairs]
    a, b = (sounds[parents.rows(pairs, place)] for place in (0, 1))
    assert told.sounds is not None
    torch.testing.assert_close(told.sounds, slerp(a, b, torch.full((len(pairs),), 0.3)))
    assert parents_of().told_of(pairs).sounds is None


def make(sampler: Sampler, pairs: list[Pair], codec: str = "mel") -> torch.Tensor:
    return run(sampler, parents_of(codec), pairs)[0]


def run(sampler: Sampler, parents: Parents, pairs: list[Pair]) -> tuple[torch.Tensor, dict[str, Any]]:
    with TemporaryDirectory() as folder:
        made, quality = generate(sampler, parents, pairs, FEATURES.frames_per_second, Path(folder))
        return torch.from_numpy(np.array(made.array())), quality


@pytest.mark.parametrize("method", ["interpolation", "sampling"])
@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_an_interrupted_run_goes_on_where_it_was(
    method: str, stop_after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "BATCHES", 1)
    sampler, pairs = sampler_of(method=method, per_class=5), draw(per_class=5)
    wanted, figures = run(sampler, parents_of(), pairs)
    calls: list[int] = []
    plain = Rows.append

    def stopped(self: Rows, rows: torch.Tensor) -> None:
        if len(calls) == stop_after:
            raise KeyboardInterrupt
        calls.append(len(rows))
        plain(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Rows, "append", stopped)
        if method == "interpolation" or stop_after < 4:
            with pytest.raises(KeyboardInterrupt):
                generate(sampler, parents_of(), pairs, FEATURES.frames_per_second, tmp_path)
    done = sum(len(Rows(path, shape)) for path, shape in files(tmp_path, method))
    assert done == sum(calls)
    seen: list[int] = []
    monkeypatch.setattr(Rows, "append", lambda self, rows: (seen.append(len(rows)), plain(self, rows)))
    made, again = generate(sampler, parents_of(), pairs, FEATURES.frames_per_second, tmp_path)
    assert torch.equal(torch.from_numpy(np.array(made.array())), wanted)
    assert again == figures
    total = sum(len(Rows(path, shape)) for path, shape in files(tmp_path, method))
    assert sum(seen) == total - done  # nothing is made twice


def files(folder: Path, method: str) -> list[tuple[Path, tuple[int, ...]]]:
    found = [(folder / "mels0", tuple(LOG_MELS.shape[1:]))]
    if method == "interpolation":
        found.append((folder / "noises0", CODECS["mel"].image_shape))
    for path, _ in found:
        path.touch()
    return found


def rows(pairs: list[Pair], place: int) -> list[int]:
    return [NAMES.index(pair.parents[place].name) for pair in pairs]


def round_trip(codec: str, clips: list[int]) -> torch.Tensor:
    """What the codec alone makes of clips."""
    scaling = CODECS[codec]
    return scaling.to_log_mel(scaling.to_image(LOG_MELS[clips]), scaling.levels(LOG_MELS[clips]))


both_codecs = pytest.mark.parametrize("codec", sorted(CODECS))

# Interpolation


@both_codecs
@pytest.mark.parametrize(("alpha", "place"), [(0.0, 0), (1.0, 1)])
def test_an_end_of_the_path_is_that_parents_reconstruction(codec: str, alpha: float, place: int) -> None:
    sampler, scaling = sampler_of(codec), CODECS[codec]
    pairs = draw(alpha=[alpha])
    ends = rows(pairs, place)
    noise = sampler.invert(scaling.to_image(LOG_MELS[ends]), Told(LABELS[ends]))
    images = sampler.decode(noise, Told(LABELS[ends]), [0] * len(ends))
    found = make(sampler, pairs, codec)
    assert torch.equal(found, scaling.to_log_mel(images, scaling.levels(LOG_MELS[ends])))
    assert found.shape == (9, 16, 21)


@both_codecs
@pytest.mark.parametrize("n_parents", [2, 4])
def test_between_the_ends_noises_and_levels_are_mixed(codec: str, n_parents: int) -> None:
    sampler, scaling = sampler_of(codec, parents=n_parents), CODECS[codec]
    pairs = draw(alpha=[0.2, 0.8], parents=n_parents)
    assert {len(pair.parents) for pair in pairs} == {n_parents}
    of_place = [rows(pairs, place) for place in range(n_parents)]
    noises = [sampler.invert(scaling.to_image(LOG_MELS[one]), Told(LABELS[one])) for one in of_place]
    alpha = torch.tensor([pair.alpha for pair in pairs])
    mixed = slerp(*noises, alpha) if n_parents == 2 else mix(noises, alpha)
    labels = torch.tensor([pair.class_id for pair in pairs])
    images = sampler.decode(mixed, Told(labels), [pair.seed for pair in pairs])
    shares = np.array([[1 - pair.alpha] + [pair.alpha / (n_parents - 1)] * (n_parents - 1) for pair in pairs])
    maxima = LOG_MELS.amax(dim=(1, 2)).numpy()[np.array(of_place).T]  # [pair, place]
    levels = (shares * maxima).sum(axis=1) if codec == "clip" else np.zeros(len(pairs))
    wanted = scaling.to_log_mel(images, torch.from_numpy(levels).float())
    torch.testing.assert_close(make(sampler, pairs, codec), wanted, rtol=0, atol=1e-4)


def test_a_clips_level_lies_between_its_parents() -> None:
    """Only the codec that takes a clip's level off has to give it back: by hand, from the loudest pixel made."""
    sampler = sampler_of("clip")
    for alpha in (0.0, 0.25, 1.0):
        pairs = draw(alpha=[alpha])
        made = make(sampler, pairs, "clip")
        a, b = (LOG_MELS[rows(pairs, place)].amax(dim=(1, 2)) for place in (0, 1))
        assert (a - b).abs().max() > 2
        level = (1 - alpha) * a + alpha * b
        assert (made.amax(dim=(1, 2)) <= level + 1e-4).all()
        assert (made.amin(dim=(1, 2)) >= level - 60 - 1e-4).all()


def test_a_pair_is_what_it_is_whatever_the_others_are() -> None:
    sampler, pairs = sampler_of(), draw()
    order = [4, 8, 0]
    assert torch.equal(make(sampler, [pairs[index] for index in order]), make(sampler, pairs)[order])


@pytest.mark.parametrize("n_parents", [2, 3])
def test_every_parent_is_inverted_once(n_parents: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler, inverted = sampler_of(parents=n_parents, steps=1), []
    invert = sampler.invert

    def noting(images: torch.Tensor, *rest: Any) -> torch.Tensor:
        inverted.append(len(images))
        return invert(images, *rest)

    monkeypatch.setattr(sampler, "invert", noting)
    _, quality = run(sampler, parents_of(), draw(per_class=20, parents=n_parents))
    assert sum(inverted) == 18  # all there are
    assert (quality["clips"], quality["parents"]) == (60, 18)


@both_codecs
def test_the_figures_of_the_inversion(codec: str) -> None:
    sampler, scaling, pairs = sampler_of(codec), CODECS[codec], draw()
    _, quality = run(sampler, parents_of(codec), pairs)
    used = sorted({*rows(pairs, 0), *rows(pairs, 1)})
    noise = sampler.invert(scaling.to_image(LOG_MELS[used]), Told(LABELS[used]))
    sample = np.linspace(0, len(used) - 1, 4).astype(int)  # one batch of them
    checked = [used[index] for index in sample]
    again = sampler.decode(noise[sample], Told(LABELS[checked]), [0] * 4, guidance=1.0)
    error = scaling.to_log_mel(again, scaling.levels(LOG_MELS[checked])) - round_trip(codec, checked)
    assert quality == {
        "clips": 9,
        "parents": len(used),
        "noise_std": pytest.approx(float(noise.std()), abs=1e-4),
        "reconstruction_rmse_db": pytest.approx(float(error.square().mean().sqrt()), abs=1e-4),
    }
    assert 0 < quality["reconstruction_rmse_db"] < 100


def test_more_iterations_of_the_inversion_give_the_parents_back_better() -> None:
    errors = []
    for changes in ({"inversion": "ddim"}, *({"inversion_iterations": count} for count in (1, 2, 3))):
        _, quality = run(sampler_of(steps=5, **changes), parents_of(), draw())
        errors.append(quality["reconstruction_rmse_db"])
    assert errors == sorted(errors, reverse=True)
    assert errors[1] < errors[0] / 2
    assert errors[3] < errors[0] / 10


# Variation


@both_codecs
def test_strength_0_is_the_first_parent_through_the_codec(codec: str) -> None:
    pairs = draw(strength=[0.0])
    found = make(sampler_of(codec, method="variation"), pairs, codec)
    assert torch.equal(found, round_trip(codec, rows(pairs, 0)))


@both_codecs
def test_a_variation_is_each_pairs_own_strength_and_seed(codec: str) -> None:
    pairs = draw(strength=[0.2, 1.0])
    assert len({pair.strength for pair in pairs}) == 9
    sampler, scaling, firsts = sampler_of(codec, method="variation"), CODECS[codec], rows(pairs, 0)
    strengths, seeds = [pair.strength for pair in pairs], [pair.seed for pair in pairs]
    images = sampler.vary(scaling.to_image(LOG_MELS[firsts]), Told(LABELS[firsts]), strengths, seeds)
    found = make(sampler, pairs, codec)
    assert torch.equal(found, scaling.to_log_mel(images, scaling.levels(LOG_MELS[firsts])))
    assert (found - round_trip(codec, firsts)).abs().mean() > 1
    assert torch.equal(make(sampler, pairs[5:7], codec), found[5:7])


# Inpainting


@pytest.mark.parametrize(
    ("spans", "frames"),
    [
        ([], []),
        ([[0.0, 0.1]], [0, 1, 2, 3]),
        ([[0.1, 0.2]], [4, 5, 6, 7]),
        ([[0.0, 0.02], [0.24, 0.26]], [0, 10]),
        ([[0.0, 0.2], [0.1, 0.3]], list(range(12))),
        ([[0.05, 0.05]], []),
        ([[0.4, 0.5]], [16, 17, 18, 19, 20]),  # the last frame's centre is the very end of the clip
        ([[0.0, 0.5]], list(range(21))),
    ],
)
def test_the_frames_of_spans(spans: list[list[float]], frames: list[int]) -> None:
    """40 frames a second, frame 0 at 0 s."""
    kept = kept_frames(spans, 21, 40.0)
    assert kept.dtype == torch.bool
    assert torch.nonzero(kept).flatten().tolist() == frames


@both_codecs
@pytest.mark.parametrize("name", ["ddim", "ddpm"])
def test_inpainting_keeps_the_spans_and_makes_the_rest_anew(codec: str, name: str) -> None:
    pairs, spans = draw(), [[0.0, 0.1], [0.35, 0.5]]
    sampler = sampler_of(codec, method="inpainting", keep_seconds=spans, sampler=name)
    found, wanted = make(sampler, pairs, codec), round_trip(codec, rows(pairs, 0))
    # Two frames share an element of the folded image; kept is what holds kept frames only.
    kept = [0, 1, 2, 3, *range(14, 21)]
    anew = list(range(4, 14))
    assert torch.equal(found[:, :, kept], wanted[:, :, kept])
    assert (found - wanted)[:, :, anew].abs().mean() > 2
    differs = ((found - wanted) != 0).float().mean(dim=(0, 1))
    assert (differs[anew] > 0.5).all()


def test_inpainting_looks_at_nothing_but_what_is_kept() -> None:
    pairs = draw()
    sampler = sampler_of("mel", method="inpainting", keep_seconds=[[0.0, 0.2]])
    found = make(sampler, pairs)
    other = LOG_MELS.clone()
    other[:, :, 8:] = -13.0
    parents = Parents(CODECS["mel"], other, Told(LABELS), NAMES)
    assert torch.equal(run(sampler, parents, pairs)[0], found)


# Sampling


@both_codecs
def test_sampling_is_of_seed_and_class_alone(codec: str) -> None:
    pairs, scaling = draw(), CODECS[codec]
    sampler = sampler_of(codec, method="sampling", sampler="ddpm")
    found = make(sampler, pairs, codec)
    seeds = [pair.seed for pair in pairs]
    noise = torch.stack([torch.randn(scaling.image_shape, generator=generator_of(seed, 0)) for seed in seeds])
    images = sampler.decode(noise, Told(torch.tensor([pair.class_id for pair in pairs])), seeds)
    levels = scaling.levels(LOG_MELS[rows(pairs, 0)])
    assert torch.equal(found, scaling.to_log_mel(images, levels))
    assert torch.equal(make(sampler, pairs[4:6], codec), found[4:6])
    shuffled = Parents(scaling, LOG_MELS.flip(0), Told(LABELS), NAMES)
    others, _ = run(sampler, shuffled, pairs)
    if codec == "mel":
        assert torch.equal(others, found)
    else:  # the level alone is the first parent's
        mirrored = [len(NAMES) - 1 - row for row in rows(pairs, 0)]
        levels = scaling.levels(LOG_MELS[mirrored])
        assert torch.equal(others, scaling.to_log_mel(images, levels))


# All


@pytest.mark.parametrize("method", ["interpolation", "variation", "inpainting", "sampling"])
def test_each_method_makes_a_clip_a_pair_within_the_features_range(method: str) -> None:
    pairs = draw()
    sampler = sampler_of(method=method)
    found, quality = run(sampler, parents_of(), pairs)
    assert found.shape == (9, 16, 21)
    assert found.dtype == torch.float32
    assert quality["clips"] == 9
    assert -80 <= float(found.min()) < float(found.max()) <= 20
    assert len({clip.numpy().tobytes() for clip in found}) == 9
    assert torch.equal(make(sampler, pairs), found)


@pytest.mark.parametrize("method", ["interpolation", "variation", "inpainting", "sampling"])
def test_no_pairs_make_no_clips(method: str) -> None:
    made, quality = run(sampler_of(method=method), parents_of(), [])
    assert (made.shape, quality) == ((0, 16, 21), {})
