"""Which style a sound is of: a small classifier of the music that the stylizer is not trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
import torch

from soundaug.classification.classifier import SoundClassifier
from soundaug.classification.training import predict, train_classifier
from soundaug.folds.packed import ClipSet
from soundaug.music import MusicPiece
from soundaug.params import Classifier, Features, Training
from soundaug.running.errors import StudyError
from soundaug.sound.audio import ClipProblem, fit, read_mono
from soundaug.sound.features import MelFrontEnd, mels_of_waveforms

# Apart from the study's own classifier, so that figures of different settings compare. A style is in the colour of the
# sound, which normalisation by the clip's own mean would take off.
FEATURES = Features(
    sample_rate=16000,
    clip_seconds=2.0,
    n_fft=1024,
    hop_length=504,
    n_mels=64,
    fmin_hz=0.0,
    fmax_hz=8000.0,
    filters="htk",
    scale="log",
    floor_db=-60.0,
    ceiling_db=20.0,
    normalization="standardize",
)
NETWORK = Classifier(channels=[16, 32, 64], kernel=3, padding=1, pool=2, batch_norm=True, hidden=64)


@dataclass(frozen=True)
class StyleClassifier:
    """Tells the styles of sounds; ``accuracy`` is that on pieces whose tunes it never heard."""

    model: SoundClassifier
    styles: list[str]
    accuracy: float

    def probabilities(self, waveform: np.ndarray, sample_rate: int) -> np.ndarray:
        """Of each style, float64 [n_styles], for a mono waveform [n]: the mean over its clips."""
        if sample_rate != FEATURES.sample_rate:
            waveform = soxr.resample(waveform, sample_rate, FEATURES.sample_rate)
        mels = mels_of_waveforms(clips_of(waveform), MelFrontEnd(FEATURES))
        found: np.ndarray = predict(self.model, mels, torch.device("cpu")).mean(axis=0)
        return found

    def style_of(self, waveform: np.ndarray, sample_rate: int) -> str:
        """The likeliest style of a mono waveform [n]."""
        return self.styles[int(self.probabilities(waveform, sample_rate).argmax())]


def train_style_classifier(folder: Path, pieces: Sequence[MusicPiece], steps: int, seed: int) -> StyleClassifier:
    """A classifier of the styles of ``pieces`` in ``folder``: trained on those of the split `held_out`.

    The stylizer learns from the others: what it has by heart is no help here. The classifier is checked on those
    others, whose tunes it never heard. StudyError when a split has no pieces.
    """
    styles = sorted({piece.style for piece in pieces})
    sets = {name: _clip_set(folder, name, pieces, styles) for name in ("held_out", "train")}
    settings = Training(
        steps=steps,
        epochs=None,
        batch_size=32,
        learning_rate=2e-3,
        weight_decay=0.01,
        schedule="cosine",
        average_decay=0.0,
        evaluations=1,
        precision="auto",
    )
    others = sets["train"]
    trained = train_classifier(
        sets["held_out"], None, others, len(styles), FEATURES, settings, NETWORK, seed, "style classifier"
    )
    # By piece, as sounds are judged.
    correct = [
        trained.probabilities[others.fs_id == name].mean(axis=0).argmax() == others.class_id[others.fs_id == name][0]
        for name in np.unique(others.fs_id)
    ]
    return StyleClassifier(trained.model.eval(), styles, float(np.mean(correct)))


def clips_of(waveform: np.ndarray) -> np.ndarray:
    """The waveform [n] in clips float32 [N, n_samples], one after another; at least one, padded with silence."""
    length = FEATURES.n_samples
    count = max(1, len(waveform) // length)  # what is left over after the last whole clip is in none
    return np.stack([fit(waveform[number * length :], length) for number in range(count)]).astype(np.float32)


def _clip_set(folder: Path, split: str, pieces: Sequence[MusicPiece], styles: list[str]) -> ClipSet:
    clips, class_ids, files = [], [], []
    for piece in pieces:
        if piece.split != split:
            continue
        try:
            made = clips_of(read_mono(folder / piece.file, FEATURES.sample_rate))
        except ClipProblem as problem:
            raise StudyError(f"{folder / piece.file}: {problem}, wanted audio made by fetch_music") from None
        clips.append(made)
        class_ids += [styles.index(piece.style)] * len(made)
        files += [piece.file] * len(made)
    if not clips:
        raise StudyError(f"{folder}: found no pieces of the split {split}, wanted one or more")
    mels = mels_of_waveforms(np.concatenate(clips), MelFrontEnd(FEATURES))
    return ClipSet.pack(mels, class_ids, files, [f"{file}-{number}" for number, file in enumerate(files)])
