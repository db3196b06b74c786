"""One run of one arm: what every classifier stage does, whatever clips it adds to the real ones."""

from dataclasses import astuple, fields
from pathlib import Path

from soundaug.classification.classifier import save_classifier
from soundaug.classification.soft_labels import soft_labels, teacher_probabilities
from soundaug.classification.training import AS_THEY_COME, HistoryRow, Trained, train_classifier
from soundaug.folds.packed import ClipSet
from soundaug.folds.provenance import write_extra_clips, write_train_clips
from soundaug.params import Augmentation, Params
from soundaug.running.outputs import write_csv, write_json


def run_folder(arm: str, fold: int, seed: int, data: Path = Path("data")) -> Path:
    """Where a run's results lie."""
    return data / "runs" / arm / f"fold{fold}" / f"seed{seed}"


def run_arm(
    arm: str,
    fold: int,
    seed: int,
    real: ClipSet,
    extra: ClipSet | None,
    test: ClipSet,
    n_classes: int,
    params: Params,
    augmentation: Augmentation = AS_THEY_COME,
) -> None:
    """Train on ``real`` and ``extra``, test on ``test``; write model, clips, predictions, curves and sizes.

    The teacher of soft labels is the base arm's classifier of the same fold and seed: it has seen no test clip.
    """
    targets = None
    if extra is not None and len(extra) and augmentation.soft_labels > 0:
        model = run_folder("base", fold, seed) / "model.safetensors"
        believed = teacher_probabilities(extra, model, n_classes, params)
        targets = soft_labels(extra, believed, augmentation.soft_labels)
    trained = train_classifier(
        real,
        extra,
        test,
        n_classes,
        params.features,
        params.training,
        params.classifier,
        seed,
        label=f"{arm}, fold {fold}, seed {seed}",
        augmentation=augmentation,
        extra_targets=targets,
    )
    folder = run_folder(arm, fold, seed)
    save_classifier(folder / "model.safetensors", trained.model)
    write_predictions(folder / "predictions.csv", test, trained)
    write_csv(
        folder / "history.csv",
        [field.name for field in fields(HistoryRow)],
        ([f"{value:.6g}" for value in astuple(row)] for row in trained.history),
    )
    write_train_clips(folder, real)
    write_extra_clips(folder, extra)
    n_extra = 0 if extra is None else len(extra)
    sizes = {"n_train": len(real), "n_extra": n_extra, "n_test": len(test), "steps": trained.steps}
    write_json(folder / "summary.json", sizes)
    print(f"{arm}, fold {fold}, seed {seed}: accuracy {trained.history[-1].test_accuracy:.4f}")


def write_predictions(path: Path, test: ClipSet, trained: Trained) -> None:
    """Write one row a test clip: clip, fs_id, class_id, predicted, every class's probability, and at the best epoch.

    The best epoch is picked on these very clips.
    """
    n_classes = trained.probabilities.shape[1]
    columns = ["clip", "fs_id", "class_id", "predicted", *(f"p_{class_id}" for class_id in range(n_classes))]
    predicted, at_best = (found.argmax(axis=1) for found in (trained.probabilities, trained.best_on_test))
    rows = zip(test.name, test.fs_id, test.class_id, predicted, trained.probabilities, at_best, strict=True)
    write_csv(
        path,
        [*columns, "predicted_at_best_epoch"],
        ([*head, *(f"{p:.6f}" for p in row), best] for *head, row, best in rows),
    )
