"""The controls: extra clips made without a generator from the same parents as the generated ones."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torchaudio

from soundaug.folds.packed import ClipSet
from soundaug.interpolation import Pair, mix
from soundaug.params import Control, Params, SpecAugment, Waveform
from soundaug.running.threads import over_cores
from soundaug.sound.audio import fit, read_mono
from soundaug.sound.features import MelFrontEnd, mels_of_waveforms
from soundaug.sources.corpus import TABLE, audio_path, read_clips

RAW = Path("data/raw")
SLERP_BATCH = 256  # pairs mixed at once


def extra_clips(control: Control, real: ClipSet, pairs: Sequence[Pair], generated: Path, params: Params) -> ClipSet:
    """The clips that ``control`` adds to ``real``, one for every generated clip; ``generated`` is its fold's folder."""
    return CONTROLS[control](real, pairs, generated, params)


def first_parents(real: ClipSet, pairs: Sequence[Pair]) -> ClipSet:
    """`duplicate`: the first parent of every pair once more; the others below start from it."""
    return _named(real.take(_rows(real, [pair.parent_a for pair in pairs])), pairs)


def mixup(real: ClipSet, pairs: Sequence[Pair]) -> ClipSet:
    """`mixup` (Zhang et al. 2018) of the same pairs at the same alpha; one class, so the label needs no mixing."""
    a, b = first_parents(real, pairs), real.take(_rows(real, [pair.parent_b for pair in pairs]))
    alpha = np.array([pair.alpha for pair in pairs], np.float32)[:, None, None]
    return ClipSet((1 - alpha) * a.mel + alpha * b.mel, a.class_id, a.fs_id, a.name)


def slerp(real: ClipSet, pairs: Sequence[Pair], front_end: MelFrontEnd) -> ClipSet:
    """`slerp`: the parents' log mels mixed on the sphere, as a generator mixes their noises, without its network.

    In dB, less every band's mean over the real clips, and cut to the front end's range. A mean of two clips varies less
    than either; this does not.
    """
    first = first_parents(real, pairs)
    settings = front_end.settings
    log_mels = front_end.log_mel(torch.from_numpy(real.mel))
    centre = log_mels.double().mean(dim=(0, 2), keepdim=True).float()
    made = np.empty_like(first.mel)
    for start in range(0, len(pairs), SLERP_BATCH):
        part = pairs[start : start + SLERP_BATCH]
        parents = [_rows(real, [pair.parents[place].name for pair in part]) for place in range(len(part[0].parents))]
        alpha = torch.tensor([pair.alpha for pair in part])
        mixed = mix([log_mels[rows] - centre for rows in parents], alpha) + centre
        made[start : start + len(part)] = front_end.stored(mixed.clamp(settings.floor_db, settings.ceiling_db)).numpy()
    return ClipSet(made, first.class_id, first.fs_id, first.name)


def specaugment(real: ClipSet, pairs: Sequence[Pair], settings: SpecAugment) -> ClipSet:
    """`specaugment` (Park et al. 2019): two masks along each axis, filled with the clip's mean, drawn by its seed."""
    parents = first_parents(real, pairs)
    mel = torch.from_numpy(parents.mel.copy())
    for row, pair in zip(mel, pairs, strict=True):
        # torchaudio draws masks from the global generator: lend it the clip's seed.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(pair.seed)
            mean = float(row.mean())
            for axis, part in ((1, settings.frequency), (2, settings.time)):
                width = max(1, round(part * row.shape[axis - 1])) if part else 0
                for _ in range(2):
                    row[:] = torchaudio.functional.mask_along_axis(row[None], width, mean, axis)[0]
    return ClipSet(mel.numpy(), parents.class_id, parents.fs_id, parents.name)


def waveform(
    real: ClipSet, pairs: Sequence[Pair], audio: Sequence[Path], front_end: MelFrontEnd, settings: Waveform, label: str
) -> ClipSet:
    """`waveform`: shift, pitch, gain and noise on the first parents' audio (files ``audio``, one a pair)."""
    import random

    # Slow to import, and for this control only.
    from audiomentations import AddGaussianSNR, Compose, Gain, PitchShift, Shift

    p = settings.probability
    augment = Compose(
        [
            PitchShift(-settings.pitch_semitones, settings.pitch_semitones, p=p),
            Shift(-settings.shift, settings.shift, rollover=True, p=p),
            Gain(-settings.gain_db, settings.gain_db, p=p),
            AddGaussianSNR(settings.noise_snr_db[0], settings.noise_snr_db[1], p=p),
        ]
    )
    features = front_end.settings
    parents = first_parents(real, pairs)
    waveforms = np.empty((len(pairs), features.n_samples), np.float32)
    before = random.getstate(), np.random.get_state()  # audiomentations draws from both global generators
    # Read by threads; only one at a time can draw from those.
    sounds = over_cores(lambda path: fit(read_mono(path, features.sample_rate), features.n_samples), audio, label)
    for row, pair, sound in zip(waveforms, pairs, sounds, strict=True):
        random.seed(pair.seed)
        np.random.seed(pair.seed)
        row[:] = augment(sound, features.sample_rate)
    random.setstate(before[0])
    np.random.set_state(before[1])
    return ClipSet(mels_of_waveforms(waveforms, front_end), parents.class_id, parents.fs_id, parents.name)


def _waveform(real: ClipSet, pairs: Sequence[Pair], generated: Path, params: Params) -> ClipSet:
    path_of = {clip.name: audio_path(clip, RAW, Path(params.data.root)) for clip in read_clips(RAW / TABLE)}
    audio = [path_of[pair.parent_a] for pair in pairs]
    return waveform(real, pairs, audio, MelFrontEnd(params.features), params.control.waveform, "augment waveforms")


def _rows(real: ClipSet, names: Sequence[str]) -> np.ndarray:
    row_of = {str(name): row for row, name in enumerate(real.name)}
    return np.array([row_of[name] for name in names], np.int64)


def _named(clips: ClipSet, pairs: Sequence[Pair]) -> ClipSet:
    return ClipSet(clips.mel, clips.class_id, clips.fs_id, np.array([pair.name for pair in pairs], dtype=str))


CONTROLS: dict[str, Callable[[ClipSet, Sequence[Pair], Path, Params], ClipSet]] = {
    "duplicate": lambda real, pairs, generated, params: first_parents(real, pairs),
    "waveform": _waveform,
    "specaugment": lambda real, pairs, generated, params: specaugment(real, pairs, params.control.specaugment),
    "mixup": lambda real, pairs, generated, params: mixup(real, pairs),
    "slerp": lambda real, pairs, generated, params: slerp(real, pairs, MelFrontEnd(params.features)),
    "resynthesis": lambda real, pairs, generated, params: ClipSet.load(generated / "resynthesis.npz"),
}
