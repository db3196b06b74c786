"""The classifier of the published study: convolutional blocks, global average pooling, two linear layers."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from soundaug.params import Classifier, Features
from soundaug.running.errors import StudyError
from soundaug.running.foreign import reading
from soundaug.running.outputs import whole


class SoundClassifier(nn.Module):
    """Mel spectrograms [B, n_mels, T] to class logits [B, n_classes].

    A block is convolution, max pooling, batch norm, ReLU (pooling and norm by ``settings``; with neither, it is the
    published network). Pooling comes first because the first blocks are bound by memory: that leaves a quarter.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, settings: Classifier, n_mels: int, n_classes: int, *, centre: bool = False) -> None:
        super().__init__()
        self.settings = settings
        self.centre = centre
        # Normalisation belongs to the model: it is fitted on the real training clips and saved with the weights.
        self.register_buffer("mean", torch.zeros(n_mels, 1))
        self.register_buffer("std", torch.ones(n_mels, 1))
        layers: list[nn.Module] = []
        in_channels = 1
        for out_channels in settings.channels:
            layers.append(
                nn.Conv2d(
                    in_channels, out_channels, settings.kernel, padding=settings.padding, bias=not settings.batch_norm
                )
            )
            if settings.pool > 1:
                layers.append(nn.MaxPool2d(settings.pool))
            if settings.batch_norm:
                layers.append(nn.BatchNorm2d(out_channels))
            layers.append(nn.ReLU(inplace=True))
            in_channels = out_channels
        self.blocks = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Linear(in_channels, settings.hidden), nn.ReLU(inplace=True), nn.Linear(settings.hidden, n_classes)
        )

    def normalize(self, mel: torch.Tensor) -> torch.Tensor:
        """Mels [B, n_mels, T] as the first convolution takes them [B, 1, n_mels, T]."""
        if self.centre:
            mel = centred(mel)
        image = ((mel - self.mean) / self.std)[:, None]
        return image.contiguous(memory_format=torch.channels_last)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """See the class."""
        features = self.blocks(self.normalize(mel))
        return self.head(features.mean(dim=(2, 3)))  # [B, C, H, W] -> [B, C]


def build_classifier(
    settings: Classifier, features: Features, n_classes: int, train_mel: torch.Tensor, seed: int
) -> SoundClassifier:
    """A fresh classifier, its weights fixed by ``seed``, its normalisation fitted on ``train_mel`` [N, n_mels, T]."""
    check_size(settings, features)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SoundClassifier(settings, features.n_mels, n_classes, centre=features.normalization == "clip_mean")
    if features.normalization == "standardize":
        model.mean.copy_(train_mel.mean(dim=(0, 2))[:, None])
        model.std.copy_(torch.clamp(train_mel.std(dim=(0, 2)), min=1e-5)[:, None])
    elif features.normalization == "clip_mean":
        # One scale for all bands: how much each band moves is what is left of the sound.
        model.std.copy_(torch.clamp(centred(train_mel).std(), min=1e-5))
    return model


def centred(mel: torch.Tensor) -> torch.Tensor:
    """Mels [..., n_mels, T] less each clip's own mean in each band: the colour of microphone and room goes, as in
    cepstral mean normalisation (Atal 1974)."""
    return mel - mel.mean(dim=-1, keepdim=True)


def check_size(settings: Classifier, features: Features) -> None:
    """Raise StudyError when the blocks shrink the spectrogram to nothing."""
    for side, size in (("n_mels", features.n_mels), ("n_frames", features.n_frames)):
        left = size
        for _ in settings.channels:
            left = (left + 2 * settings.padding - settings.kernel + 1) // settings.pool
        if left < 1:
            raise StudyError(
                f"params.yaml: classifier: found kernel {settings.kernel}, padding {settings.padding} and pool "
                f"{settings.pool} that shrink {side} ({size}) to nothing, wanted at least 1 left after every block"
            )


def save_classifier(path: Path, model: SoundClassifier) -> None:
    """Write the weights, normalisation included, as safetensors."""
    with whole(path) as partial:
        save_file({name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}, partial)


def load_classifier(path: Path, settings: Classifier, features: Features, n_classes: int) -> SoundClassifier:
    """Read what `save_classifier` wrote; StudyError when the file is missing, damaged or another network's."""
    model = SoundClassifier(settings, features.n_mels, n_classes, centre=features.normalization == "clip_mean")
    with reading(path, "no such classifier", "what train_base writes"):
        model.load_state_dict(load_file(path))
    return model.eval()
