"""Embeddings of clips for a generator to be conditioned on: what a classifier of the training folds hears in them."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import torch

from soundaug.classification.classifier import SoundClassifier, load_classifier, save_classifier
from soundaug.params import Classifier, Features
from soundaug.running.device import choose_device
from soundaug.running.errors import StudyError
from soundaug.running.foreign import reading
from soundaug.running.outputs import read_json, whole, write_json

BATCH = 64
SMALLEST_DEVIATION = 1e-5  # of an embedding's element, below which it says nothing


class SoundEncoder:
    """The features before the linear layers of ``model``, each brought to mean 0 and deviation 1 over a set of clips.

    ``mean`` and ``deviation`` are float32 [D]. 0 throughout, the mean clip, is what stands for no clip at all.
    """

    def __init__(self, model: SoundClassifier, mean: torch.Tensor, deviation: torch.Tensor) -> None:
        self.model = model
        self.mean = mean
        self.deviation = deviation

    @classmethod
    def fit(cls, model: SoundClassifier, mels: np.ndarray) -> "SoundEncoder":
        """Of mels [N, n_mels, T] as the classifier takes them."""
        found = torch.from_numpy(embed(model, mels))
        return cls(model, found.mean(dim=0), torch.clamp(found.std(dim=0, correction=0), min=SMALLEST_DEVIATION))

    @property
    def size(self) -> int:
        """D, numbers in an embedding."""
        return len(self.mean)

    def __call__(self, mels: np.ndarray) -> torch.Tensor:
        """Embeddings float32 [N, D] of mels [N, n_mels, T] as the classifier takes them."""
        return (torch.from_numpy(embed(self.model, mels)) - self.mean) / self.deviation

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors."""
        with whole(folder) as partial:
            partial.mkdir()
            save_classifier(partial / "model.safetensors", self.model)
            n_classes = self.model.head[-1].out_features
            config = {
                "classifier": self.model.settings.model_dump(),
                "n_classes": n_classes,
                "mean": self.mean.tolist(),
                "deviation": self.deviation.tolist(),
            }
            write_json(partial / "config.json", config)


def load_encoder(folder: Path, features: Features) -> SoundEncoder:
    """What `SoundEncoder.save` wrote; StudyError when it is missing or something else."""
    path = folder / "config.json"
    config = read_json(path)
    with reading(path, "no encoder", "what train_helper writes"):
        settings = Classifier.model_validate(config["classifier"])
        mean, deviation = (torch.tensor(config[name], dtype=torch.float32) for name in ("mean", "deviation"))
        n_classes = int(config["n_classes"])
    if mean.shape != deviation.shape or mean.shape != (settings.channels[-1],):
        raise StudyError(
            f"{path}: found {len(mean)} means and {len(deviation)} deviations, wanted {settings.channels[-1]} of each"
        )
    return SoundEncoder(load_classifier(folder / "model.safetensors", settings, features, n_classes), mean, deviation)


@torch.inference_mode()
def embed(model: SoundClassifier, mel: np.ndarray) -> np.ndarray:
    """Embeddings float32 [N, D] of mels [N, n_mels, T] as the classifier takes them; D: channels of its last block.

    These are the features after global average pooling, what goes into the linear layers. ``model`` stays as it is.
    """
    device = choose_device()
    network = deepcopy(model).to(device).eval()
    # [B, n_mels, T] -> [B, C, H, W] -> [B, C]
    parts = [
        network.blocks(network.normalize(batch.to(device))).mean(dim=(2, 3)).cpu()
        for batch in torch.from_numpy(mel).split(BATCH)
    ]
    return torch.cat(parts).numpy()


@torch.inference_mode()
def probabilities_of(model: SoundClassifier, embeddings: np.ndarray) -> np.ndarray:
    """Class probabilities float64 [N, n_classes] of the clips that `embed` made ``embeddings`` [N, D] of.

    ``model`` stays as it is.
    """
    head = deepcopy(model.head).to("cpu").eval()
    return torch.softmax(head(torch.from_numpy(embeddings)).double(), dim=1).numpy()
