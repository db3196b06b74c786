"""A classifier's training as published code for UrbanSound8K has it: every clip decoded and transformed every epoch.

Written from the description of such code, with torchaudio and torch's own parts, and without what is slow by mistake:
the transforms are made once, and the test clips are looked at once, at the end.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import soundfile
import torch
import torch.nn.functional as F
import torchaudio
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from soundaug.classification.batches import n_steps
from soundaug.classification.classifier import SoundClassifier
from soundaug.params import Features, Training
from soundaug.sound.features import MelFrontEnd


class ClipFiles(Dataset[tuple[torch.Tensor, int]]):
    """Sound files and their classes; an item is decoded, mixed down, resampled, cut or padded, and made a log mel."""

    def __init__(self, paths: Sequence[Path], class_ids: Sequence[int], features: Features) -> None:
        self.paths, self.class_ids, self.features = paths, class_ids, features
        self._reference = MelFrontEnd(features).reference
        slaney = features.filters == "slaney"
        self._mel = torchaudio.transforms.MelSpectrogram(
            features.sample_rate,
            features.n_fft,
            hop_length=features.hop_length,
            f_min=features.fmin_hz,
            f_max=features.fmax_hz,
            n_mels=features.n_mels,
            norm="slaney" if slaney else None,
            mel_scale=features.filters,
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """What the classifier sees [n_mels, T] of a clip, and its class."""
        samples, rate = soundfile.read(self.paths[index], dtype="float32", always_2d=True)
        waveform = torch.from_numpy(samples.T).mean(dim=0)
        if rate != self.features.sample_rate:
            waveform = _resampler(rate, self.features.sample_rate)(waveform)
        waveform = waveform[: self.features.n_samples]
        waveform = F.pad(waveform, (0, self.features.n_samples - len(waveform)))
        power = self._mel(waveform)
        if self.features.scale == "linear":
            return power, self.class_ids[index]
        decibels = 10 * torch.log10(torch.clamp(power / self._reference, min=1e-20))
        return torch.clamp(decibels, min=self.features.floor_db), self.class_ids[index]


@cache
def _resampler(rate: int, wanted: int) -> torchaudio.transforms.Resample:
    return torchaudio.transforms.Resample(rate, wanted)


def train_plainly(
    model: SoundClassifier, train: ClipFiles, test: ClipFiles, settings: Training, seed: int, processes: int
) -> float:
    """Train ``model`` by the study's recipe in float32 and return its accuracy on ``test``, 0..1.

    ``processes`` decode for torch's loader; 0: the one that trains, as published code leaves it.
    """
    torch.manual_seed(seed)
    steps, size = n_steps(settings, len(train)), settings.batch_size
    whole = settings.epochs is None and len(train) >= size  # batches are all full
    loader = DataLoader(train, size, shuffle=True, drop_last=whole, num_workers=processes)
    optimizer = torch.optim.AdamW(model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps) if settings.schedule == "cosine" else None
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(settings.average_decay))
    done = 0
    while done < steps:
        for mel, class_ids in loader:
            model.train()
            loss = F.cross_entropy(model(mel), class_ids)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if rate is not None:
                rate.step()
            averaged.update_parameters(model)
            done += 1
            if done == steps:
                break
    kept = averaged.module if settings.average_decay > 0 else model
    kept.eval()
    right = 0
    with torch.inference_mode():
        for mel, class_ids in DataLoader(test, size, num_workers=processes):
            right += int((kept(mel).argmax(dim=1) == class_ids).sum())
    return right / len(test)
