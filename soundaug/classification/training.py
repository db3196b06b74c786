"""Training of the classifier: one function for every arm, which differ in the training set and in nothing else."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from soundaug.classification.batches import mixed_batches, n_steps
from soundaug.classification.classifier import SoundClassifier, build_classifier
from soundaug.classification.optimizer import AdamW
from soundaug.folds.packed import ClipSet, concatenate
from soundaug.params import Augmentation, Classifier, Features, Training
from soundaug.running.device import autocast, choose_device, generator_of
from soundaug.running.errors import StudyError
from soundaug.running.memory import keep_all_freed_memory

TEST_BATCH = 64  # clips whose activations a processor can keep at hand
AS_THEY_COME = Augmentation(on_top_of=None, share=None, pretraining=0.0, soft_labels=0.0)


@dataclass(frozen=True)
class HistoryRow:
    """One look at the curves: training figures since the last look, test figures of the weights that would be kept."""

    step: int
    epoch: float
    learning_rate: float
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float


@dataclass(frozen=True)
class Trained:
    """A finished run: the model (averaged weights where asked for), test probabilities [N, n_classes], the curves.

    ``best_on_test`` are the probabilities at the best look, picked on the test clips: no result, only kept to be told.
    """

    model: SoundClassifier
    probabilities: np.ndarray
    best_on_test: np.ndarray
    history: list[HistoryRow]
    steps: int


def _kept(model: SoundClassifier, averaged: AveragedModel | None) -> SoundClassifier:
    """The weights that count: the averaged ones where there are any."""
    return model if averaged is None else cast(SoundClassifier, averaged.module)


def train_classifier(
    real: ClipSet,
    extra: ClipSet | None,
    test: ClipSet,
    n_classes: int,
    features: Features,
    settings: Training,
    network: Classifier,
    seed: int,
    label: str,
    augmentation: Augmentation = AS_THEY_COME,
    extra_targets: np.ndarray | None = None,
) -> Trained:
    """Train on ``real`` and ``extra`` clips, in batches as ``augmentation`` says; test clips are only looked at.

    ``extra_targets`` [len(extra), n_classes] are soft labels of the extra clips, in place of their classes.
    Normalisation is fitted on ``real`` alone. No or empty ``extra`` is the base arm, to the bit. Raises StudyError when
    the loss stops being a number.
    """
    keep_all_freed_memory()
    device = choose_device()
    n_extra = 0 if extra is None else len(extra)
    train = concatenate([real, extra]) if extra is not None and n_extra else real
    model = build_classifier(network, features, n_classes, torch.from_numpy(real.mel), seed)
    model.to(device).to(memory_format=torch.channels_last)
    averaged: AveragedModel | None = None
    if settings.average_decay > 0:
        averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(settings.average_decay), use_buffers=False)
    # Without weight decay this is Adam, the published optimiser.
    optimizer = AdamW(model.parameters(), settings.learning_rate, settings.weight_decay)
    mel, labels = torch.from_numpy(train.mel).to(device), torch.from_numpy(train.class_id).to(device)
    targets = labels
    if n_extra and extra_targets is not None:
        hard = F.one_hot(torch.from_numpy(real.class_id), n_classes).float()
        targets = torch.cat([hard, torch.from_numpy(extra_targets).float()]).to(device)
    steps = n_steps(settings, len(train))
    looks = {math.ceil(steps * look / settings.evaluations) for look in range(1, settings.evaluations + 1)}
    history: list[HistoryRow] = []
    best_on_test, best_accuracy = np.empty(0), -1.0
    seen = correct = 0
    loss_sum = 0.0
    batches = mixed_batches(len(real), n_extra, settings, augmentation, steps, generator_of(seed, 2))
    for step, batch in enumerate(tqdm(batches, total=steps, desc=label, disable=None, unit="step"), 1):
        rate = settings.learning_rate
        if settings.schedule == "cosine":
            rate *= 0.5 * (1 + math.cos(math.pi * (step - 1) / steps))
        optimizer.learning_rate = rate
        batch = batch.to(device)
        model.train()
        with autocast(device, settings.precision):
            logits = model(mel[batch])
        loss = F.cross_entropy(logits.float(), targets[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if averaged is not None:
            averaged.update_parameters(model)
        loss_sum += loss.item() * len(batch)
        correct += int((logits.argmax(dim=1) == labels[batch]).sum())
        seen += len(batch)
        if step in looks:
            if not math.isfinite(loss_sum):
                raise StudyError(
                    f"{label}: found a loss of {loss_sum} by step {step}, wanted a number: "
                    "lower training.learning_rate or set training.precision to float32"
                )
            probabilities = predict(_kept(model, averaged), test.mel, device)
            history.append(
                HistoryRow(
                    step=step,
                    epoch=step * settings.batch_size / len(train),
                    learning_rate=rate,
                    train_loss=loss_sum / seen,
                    train_accuracy=correct / seen,
                    test_loss=cross_entropy(probabilities, test.class_id),
                    test_accuracy=float((probabilities.argmax(axis=1) == test.class_id).mean()),
                )
            )
            if history[-1].test_accuracy > best_accuracy:
                best_on_test, best_accuracy = probabilities, history[-1].test_accuracy
            seen = correct = 0
            loss_sum = 0.0
    return Trained(_kept(model, averaged).cpu(), probabilities, best_on_test, history, steps)


@torch.inference_mode()
def predict(
    model: SoundClassifier,
    mel: np.ndarray,
    device: torch.device,
    prepare: Callable[[torch.Tensor], torch.Tensor] = lambda batch: batch,
) -> np.ndarray:
    """Class probabilities float64 [N, n_classes] of mels [N, n_mels, T], each batch ``prepare``d; in float32."""
    model.eval()
    starts = range(0, len(mel), TEST_BATCH)
    batches = (torch.from_numpy(np.array(mel[start : start + TEST_BATCH])) for start in starts)
    logits = [model(prepare(batch).to(device)).cpu() for batch in batches]
    return torch.softmax(torch.cat(logits).double(), dim=1).numpy()


def cross_entropy(probabilities: np.ndarray, class_ids: np.ndarray) -> float:
    """Mean negative log-probability of the true classes, probabilities kept from 0."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(class_ids)), class_ids], 1e-12)).mean())
