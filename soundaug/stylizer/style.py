"""Which style a sound is of: the study's classifier, trained on the music, checked on tunes it never heard."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
import torch

from soundaug.audio import ClipProblem, fit, read_mono
from soundaug.classifier import SoundClassifier
from soundaug.errors import StudyError
from soundaug.features import MelFrontEnd, mels_of_waveforms
from soundaug.music import MusicPiece
from soundaug.packed import ClipSet
from soundaug.params import Classifier, Features, Training
from soundaug.training import predict, train_classifier


@dataclass(frozen=True)
class StyleClassifier:
    """Tells the styles of sounds; ``held_out_accuracy`` is that on pieces whose tunes it never heard."""

    model: SoundClassifier
    styles: list[str]
    features: Features
    held_out_accuracy: float

    def probabilities(self, waveform: np.ndarray, sample_rate: int) -> np.ndarray:
        """Of each style, float64 [n_styles], for a mono waveform [n]: the mean over its clips."""
        if sample_rate != self.features.sample_rate:
            waveform = soxr.resample(waveform, sample_rate, self.features.sample_rate)
        mels = mels_of_waveforms(clips_of(waveform, self.features), MelFrontEnd(self.features))
        found: np.ndarray = predict(self.model, mels, torch.device("cpu")).mean(axis=0)
        return found

    def style_of(self, waveform: np.ndarray, sample_rate: int) -> str:
        """The likeliest style of a mono waveform [n]."""
        return self.styles[int(self.probabilities(waveform, sample_rate).argmax())]


def train_style_classifier(
    folder: Path, pieces: Sequence[MusicPiece], features: Features, training: Training, network: Classifier, seed: int
) -> StyleClassifier:
    """A classifier of the styles of ``pieces`` in ``folder``: trained on those of the split `train`.

    A style is in the colour of the sound, so that normalisation by the clip's own mean, which takes the colour off, is
    replaced by that of the training clips. StudyError when a split has no pieces.
    """
    features = features.model_copy(update={"normalization": "standardize"})
    styles = sorted({piece.style for piece in pieces})
    sets = {}
    for name in ("train", "held_out"):
        chosen = [piece for piece in pieces if piece.split == name]
        if not chosen:
            raise StudyError(f"{folder}: found no pieces of the split {name}, wanted one or more")
        sets[name] = _clip_set(folder, chosen, styles, features)
    trained = train_classifier(
        sets["train"], None, sets["held_out"], len(styles), features, training, network, seed, "style classifier"
    )
    # By piece, as sounds are judged.
    names = sets["held_out"].fs_id
    correct = [
        trained.probabilities[names == name].mean(axis=0).argmax() == sets["held_out"].class_id[names == name][0]
        for name in np.unique(names)
    ]
    return StyleClassifier(trained.model.eval(), styles, features, float(np.mean(correct)))


def clips_of(waveform: np.ndarray, features: Features) -> np.ndarray:
    """The waveform [n] in clips float32 [N, n_samples], one after another; at least one, padded with silence."""
    length = features.n_samples
    count = max(1, len(waveform) // length)  # what is left over after the last whole clip is in none
    return np.stack([fit(waveform[number * length :], length) for number in range(count)]).astype(np.float32)


def _clip_set(folder: Path, pieces: Sequence[MusicPiece], styles: list[str], features: Features) -> ClipSet:
    clips, class_ids, files = [], [], []
    for piece in pieces:
        try:
            made = clips_of(read_mono(folder / piece.file, features.sample_rate), features)
        except ClipProblem as problem:
            raise StudyError(f"{folder / piece.file}: {problem}, wanted audio made by fetch_music") from None
        clips.append(made)
        class_ids += [styles.index(piece.style)] * len(made)
        files += [piece.file] * len(made)
    mels = mels_of_waveforms(np.concatenate(clips), MelFrontEnd(features))
    return ClipSet.pack(mels, class_ids, files, [f"{file}-{number}" for number, file in enumerate(files)])
