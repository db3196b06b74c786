"""One fold of the pipeline's data for a benchmark, and how good clips are by its base classifier."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from diffusers import UNet2DModel

from benchmarks import published
from soundaug.classification.classifier import SoundClassifier, load_classifier
from soundaug.diffusion.model import Told
from soundaug.folds.packed import ClipSet, class_list, split
from soundaug.generator.corpus import validation_recordings
from soundaug.generator.training import Clips
from soundaug.interpolation import Pair, draw_pairs
from soundaug.judging.assessment import RealClips, assess_quality
from soundaug.params import Params
from soundaug.sound.features import MelFrontEnd, mels_of_waveforms

FEATURES = Path("data/features")


class Study(NamedTuple):
    """What `dvc repro` made of the fold held out."""

    params: Params
    fold: int
    classes: list[str]
    train: ClipSet
    test: ClipSet
    log_mels: torch.Tensor  # of the training clips, [N, n_mels, T] in dB
    front_end: MelFrontEnd
    model: SoundClassifier

    @classmethod
    def load(cls, params: Params, fold: int) -> "Study":
        """Raises StudyError that names what `dvc repro` has not made yet."""
        classes, (train, test) = class_list(FEATURES), split(FEATURES, fold)
        front_end = MelFrontEnd(params.features)
        path = Path(f"data/runs/base/fold{fold}/seed{params.seeds[0]}/model.safetensors")
        model = load_classifier(path, params.classifier, params.features, len(classes))
        log_mels = front_end.log_mel(torch.from_numpy(train.mel))
        return cls(params, fold, classes, train, test, log_mels, front_end, model)

    @property
    def generator(self) -> Path:
        """The folder of the generator trained on the training folds."""
        return Path(f"data/models/generator/fold{self.fold}")

    def pairs(self, per_class: int) -> list[Pair]:
        """As the stage generate draws them."""
        settings = self.params.generate.model_copy(update={"per_class": per_class, "alpha": [0.5], "parents": 2})
        names, fs_ids, folds = self.train.name.tolist(), self.train.fs_id.tolist(), [0] * len(self.train)
        seed = self.params.seed
        return draw_pairs(names, self.train.class_id, fs_ids, folds, self.classes, settings, seed, self.fold)

    def train_pixel_unet(self, steps: int) -> UNet2DModel:
        """A network in audio-diffusion's manner that has learned this fold's training clips; resumed when stopped."""
        changes = {"steps": steps, "batch_size": 16, "learning_rate": 3e-4, "condition": "none", "pretrained": None}
        settings = self.params.generator.model_copy(update=changes | {"log_sigma": None, "min_snr_gamma": 5.0})
        seed = self.params.seed + self.fold
        watched = validation_recordings(self.train.class_id, self.train.fs_id, settings.validation_share, seed)
        learned, validation = (Clips(self.log_mels[chosen], Told()) for chosen in (~watched, watched))
        return published.train_pixel_unet(self.params.features, settings, learned, validation, seed, "pixel network")

    def judge(self, waveforms: np.ndarray, pairs: list[Pair], label: str) -> dict[str, float]:
        """Quality figures of the clips ``pairs`` with audio [N, n_samples], as the stage assess_generator's."""
        mels = mels_of_waveforms(waveforms.astype(np.float32), self.front_end)
        class_ids, fs_ids, names = zip(*((p.class_id, p.fs_id_a, p.name) for p in pairs), strict=True)
        clips = ClipSet.pack(mels, class_ids, fs_ids, names)
        n_classes, seed = len(self.classes), self.params.seeds[0]
        real = RealClips.heard_by(self.model, self.train, self.test)
        return assess_quality(self.model, clips, real, n_classes, self.params, seed, label)
