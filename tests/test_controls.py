"""The controls: one clip for every generated one, made of the same parents."""

import random
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import soundfile
import torch
from tiny import tiny_clips, tiny_params

from soundaug import controls
from soundaug.controls import extra_clips, first_parents, mixup, slerp, specaugment, waveform
from soundaug.folds.packed import ClipSet
from soundaug.interpolation import Pair, draw_pairs
from soundaug.params import Control, SpecAugment, Waveform
from soundaug.sound.audio import fit, read_mono
from soundaug.sound.features import MelFrontEnd, mels_of_waveforms
from soundaug.sources.corpus import TABLE, Clip, layout_path, write_clips

OF_PARENTS: list[Control] = [control for control in get_args(Control) if control != "pseudo_label"]
PARAMS = tiny_params(controls=OF_PARENTS, generate={"per_class": 4, "alpha": [0.2, 0.8]})
CLASSES = ["dog_bark", "siren", "drilling"]
REAL = tiny_clips()
PAIRS: list[Pair] = draw_pairs(
    REAL.name.tolist(), REAL.class_id, REAL.fs_id.tolist(), [1] * len(REAL), CLASSES, PARAMS.generate, 0, 2
)
FRONT_END = MelFrontEnd(PARAMS.features)
SETTINGS = Waveform(probability=1.0, shift=0.25, pitch_semitones=2.0, gain_db=6.0, noise_snr_db=[10.0, 30.0])


def rows(side: str) -> list[int]:
    return [REAL.name.tolist().index(getattr(pair, f"parent_{side}")) for pair in PAIRS]


def assert_labelled_as_the_pairs(clips: ClipSet) -> None:
    assert clips.class_id.tolist() == [pair.class_id for pair in PAIRS]
    assert clips.fs_id.tolist() == [pair.fs_id_a for pair in PAIRS]
    assert clips.name.tolist() == [pair.name for pair in PAIRS]


def test_duplicates_are_the_first_parents() -> None:
    clips = first_parents(REAL, PAIRS)
    assert np.array_equal(clips.mel, REAL.mel[rows("a")])
    assert_labelled_as_the_pairs(clips)


def test_mixup_is_its_formula() -> None:
    clips = mixup(REAL, PAIRS)
    for clip, a, b, pair in zip(clips.mel, rows("a"), rows("b"), PAIRS, strict=True):
        wanted = (1 - pair.alpha) * REAL.mel[a].astype(np.float64) + pair.alpha * REAL.mel[b]
        np.testing.assert_allclose(clip, wanted, atol=1e-5)
    assert clips.mel.dtype == np.float32
    assert len({pair.alpha for pair in PAIRS}) == 12
    assert_labelled_as_the_pairs(clips)


def test_slerp_mixes_on_the_sphere_around_the_bands_means() -> None:
    clips = slerp(REAL, PAIRS, FRONT_END)
    centre = REAL.mel.astype(np.float64).mean(axis=(0, 2))[:, None]
    cut = 0
    for clip, a, b, pair in zip(clips.mel, rows("a"), rows("b"), PAIRS, strict=True):
        first, second = (REAL.mel[row].astype(np.float64) - centre for row in (a, b))
        omega = np.arccos((first * second).sum() / np.linalg.norm(first) / np.linalg.norm(second))
        weights = np.sin((1 - pair.alpha) * omega), np.sin(pair.alpha * omega)
        mixed = (weights[0] * first + weights[1] * second) / np.sin(omega) + centre
        wanted = np.clip(mixed, PARAMS.features.floor_db, PARAMS.features.ceiling_db)
        cut += int((wanted != mixed).sum())
        np.testing.assert_allclose(clip, wanted, atol=1e-3)
    assert clips.mel.dtype == np.float32
    assert cut < 0.2 * clips.mel.size
    assert_labelled_as_the_pairs(clips)


def test_slerp_keeps_the_variance_that_a_mean_loses() -> None:
    def variance(mel: np.ndarray) -> float:
        return float((mel - REAL.mel.mean(axis=(0, 2))[:, None]).var())

    parents = first_parents(REAL, PAIRS).mel
    assert variance(mixup(REAL, PAIRS).mel) < variance(slerp(REAL, PAIRS, FRONT_END).mel)
    assert variance(slerp(REAL, PAIRS, FRONT_END).mel) == pytest.approx(variance(parents), rel=0.35)


def test_slerp_of_the_ends_are_the_parents() -> None:
    for alpha, side in ((0.0, "a"), (1.0, "b")):
        clips = slerp(REAL, [replace(pair, alpha=alpha) for pair in PAIRS], FRONT_END)
        wanted = np.clip(REAL.mel[rows(side)], PARAMS.features.floor_db, PARAMS.features.ceiling_db)
        np.testing.assert_allclose(clips.mel, wanted, atol=1e-3)


# specaugment


def masked(clip: np.ndarray, parent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which bands and which frames are filled with the parent's mean; fails when anything else has changed."""
    mean = float(torch.from_numpy(parent).mean())
    filled = clip == np.float32(mean)
    bands, frames = filled.all(axis=1), filled.all(axis=0)
    cross = bands[:, None] | frames[None, :]
    assert np.array_equal(clip[~cross], parent[~cross])
    assert filled[cross].all()
    return bands, frames


def test_specaugment_masks_no_more_than_allowed() -> None:
    before = REAL.mel.copy()
    widths = []
    for frequency, time in ((0.25, 0.3), (0.5, 0.0), (0.0, 0.5)):
        clips = specaugment(REAL, PAIRS, SpecAugment(frequency=frequency, time=time))
        for clip, parent in zip(clips.mel, REAL.mel[rows("a")], strict=True):
            bands, frames = masked(clip, parent)
            assert bands.sum() <= 2 * round(frequency * 16)
            assert frames.sum() <= 2 * round(time * 21)
            widths.append((bands.sum(), frames.sum()))
        assert_labelled_as_the_pairs(clips)
    assert np.mean(widths, axis=0).min() > 1  # and masks there are
    assert np.array_equal(REAL.mel, before)


def test_specaugment_without_masks_is_the_parents() -> None:
    clips = specaugment(REAL, PAIRS, SpecAugment(frequency=0.0, time=0.0))
    assert np.array_equal(clips.mel, REAL.mel[rows("a")])


def test_a_pairs_seed_decides_its_masks() -> None:
    settings = SpecAugment(frequency=0.5, time=0.5)
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    clips = specaugment(REAL, PAIRS, settings)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    assert np.array_equal(specaugment(REAL, PAIRS, settings).mel, clips.mel)
    assert np.array_equal(specaugment(REAL, PAIRS[5:], settings).mel, clips.mel[5:])
    same_parent = [PAIRS[0], Pair(**(vars(PAIRS[0]) | {"seed": PAIRS[0].seed + 1}))]
    one, other = specaugment(REAL, same_parent, settings).mel
    assert not np.array_equal(one, other)


# waveform


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A file for every pair, by the name of its first parent: a tone in quiet noise, at another rate than the mels."""
    folder = tmp_path_factory.mktemp("audio")
    rng = np.random.default_rng(0)
    for number, name in enumerate(REAL.name):
        tone = 0.2 * np.sin(2 * np.pi * (300 + 100 * number) * np.arange(5600) / 16000)
        soundfile.write(folder / str(name), tone + 0.001 * rng.normal(size=5600), 16000, subtype="FLOAT")
    return [folder / pair.parent_a for pair in PAIRS]


def plain(audio: list[Path]) -> np.ndarray:
    settings = PARAMS.features
    waveforms = [fit(read_mono(path, settings.sample_rate), settings.n_samples) for path in audio]
    return mels_of_waveforms(np.stack(waveforms), FRONT_END)


def test_without_probability_the_waveforms_are_the_parents(audio: list[Path]) -> None:
    settings = SETTINGS.model_copy(update={"probability": 0.0})
    clips = waveform(REAL, PAIRS, audio, FRONT_END, settings, "test")
    assert np.array_equal(clips.mel, plain(audio))
    assert_labelled_as_the_pairs(clips)


def test_a_pairs_seed_decides_its_waveform(audio: list[Path]) -> None:
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), np.random.get_state()
    clips = waveform(REAL, PAIRS, audio, FRONT_END, SETTINGS, "test")
    assert random.getstate() == before[0]
    assert all(np.array_equal(one, other) for one, other in zip(np.random.get_state(), before[1], strict=True))
    random.seed(2)
    np.random.seed(2)
    again = waveform(REAL, PAIRS[7:], audio[7:], FRONT_END, SETTINGS, "test")
    assert np.array_equal(again.mel, clips.mel[7:])
    difference = np.abs(clips.mel - plain(audio)).mean(axis=(1, 2))
    assert difference.min() > 0.5
    assert np.isfinite(clips.mel).all()


def test_each_change_does_what_it_says(audio: list[Path]) -> None:
    none = {"shift": 0.0, "pitch_semitones": 0.0, "gain_db": 0.0, "noise_snr_db": [90.0, 90.0]}

    def changed(**settings: object) -> np.ndarray:
        only = SETTINGS.model_copy(update=none | settings)
        return waveform(REAL, PAIRS, audio, FRONT_END, only, "test").mel

    loud = plain(audio) > plain(audio).max() - 30
    loud[:, :, 0] = False  # where the pitch shift fades in
    assert np.abs(changed() - plain(audio))[loud].max() < 0.5
    gains = np.array([np.median((a - b)[m]) for a, b, m in zip(changed(gain_db=6.0), plain(audio), loud, strict=True)])
    assert np.abs(gains).max() <= 6.2
    assert gains.max() - gains.min() > 4
    noisy = changed(noise_snr_db=[10.0, 10.0])
    assert (np.median(noisy, axis=(1, 2)) - np.median(plain(audio), axis=(1, 2))).min() > 10
    power = np.power(10.0, plain(audio) / 10).sum(axis=(1, 2))
    ratio = power / (np.power(10.0, noisy / 10).sum(axis=(1, 2)) - power)
    assert 10 * np.log10(ratio).mean() == pytest.approx(10.0, abs=3.0)
    pitched = changed(pitch_semitones=2.0)
    peaks = [mels.mean(axis=2).argmax(axis=1) for mels in (plain(audio), pitched)]
    assert 0 < np.abs(peaks[1] - peaks[0]).max() <= 2  # a band is 2 to 4 semitones wide


# all of them


def test_every_control_adds_as_many_clips_as_there_are_pairs(
    tmp_path: Path, audio: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, generated = tmp_path / "raw", tmp_path / "generated"
    monkeypatch.setattr(controls, "RAW", raw)
    fold_clips = []
    for name, fs_id, class_id in zip(REAL.name, REAL.fs_id, REAL.class_id, strict=True):
        path = raw / layout_path(1, str(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((audio[0].parent / str(name)).read_bytes())
        fold_clips.append(Clip(str(name), str(fs_id), 1, int(class_id), CLASSES[class_id], layout_path(1, str(name))))
    write_clips(raw / TABLE, fold_clips)
    resynthesis = mixup(REAL, PAIRS[::-1])
    resynthesis = ClipSet(
        resynthesis.mel, *(getattr(mixup(REAL, PAIRS), name) for name in ("class_id", "fs_id", "name"))
    )
    resynthesis.save(generated / "resynthesis.npz")
    made = {control: extra_clips(control, REAL, PAIRS, generated, PARAMS) for control in OF_PARENTS}
    for clips in made.values():
        assert clips.mel.shape == (len(PAIRS), 16, 21)
        assert_labelled_as_the_pairs(clips)
    assert np.array_equal(made["duplicate"].mel, first_parents(REAL, PAIRS).mel)
    assert np.array_equal(made["mixup"].mel, mixup(REAL, PAIRS).mel)
    assert np.array_equal(made["slerp"].mel, slerp(REAL, PAIRS, FRONT_END).mel)
    assert np.array_equal(made["resynthesis"].mel, resynthesis.mel)
    assert np.array_equal(made["specaugment"].mel, specaugment(REAL, PAIRS, PARAMS.control.specaugment).mel)
    own = waveform(REAL, PAIRS, audio, FRONT_END, PARAMS.control.waveform, "test")
    assert np.array_equal(made["waveform"].mel, own.mel)
    assert len({clips.mel.tobytes() for clips in made.values()}) == 6


def test_no_pairs_add_nothing(tmp_path: Path) -> None:
    empty = ClipSet.pack(np.empty((0, 16, 21), np.float32), [], [], [])
    assert (
        len(first_parents(REAL, []))
        == len(mixup(REAL, []))
        == len(slerp(REAL, [], FRONT_END))
        == len(specaugment(REAL, [], SpecAugment.model_validate({"frequency": 0.1, "time": 0.1})))
        == 0
    )
    assert len(waveform(REAL, [], [], FRONT_END, SETTINGS, "test")) == len(empty)
