"""The page of a small finished study whose classes have names that would break a careless page."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from fake_study import fake_study, write_csv
from fake_stylized import write_stylized

from soundaug.audit.checks import audit
from soundaug.audit.closeness import Closeness
from soundaug.listening.examples import load_closest
from soundaug.listening.sounds import Sound
from soundaug.params import Params
from soundaug.reporting.evaluation import compute_metrics, load_study
from soundaug.reporting.generator_report import history_rows
from soundaug.reporting.page.document import render_page
from soundaug.reporting.page.sections import Results
from soundaug.stylizer.report import load_stylized

ODD = (
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>\"><b>/../{{ 7 * 7 }}\\",
    "狗叫 & Straße/дождь «x»",
)
USAGE = {"train_aug": {"runs": 6, "seconds": 60.4, "longest": 12.0, "peak_mb": 500}}
ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)


def tone(hz: float, params: Params) -> np.ndarray:
    time = np.arange(params.features.n_samples) / params.features.sample_rate
    return np.rint(8000 * np.sin(2 * np.pi * hz * time)).astype(np.int16)


def fake_sounds(params: Params, n_classes: int) -> list[Sound]:
    """What the stage demonstrate writes, of ``n_classes`` and two of the closest pairs."""
    mel = np.linspace(-70, 0, params.features.n_mels * params.features.n_frames, dtype=np.float32)
    mel = mel.reshape(params.features.n_mels, params.features.n_frames)
    sounds = []
    for number in range(n_classes):
        for role in ("parent_a", "generated", "parent_b", "mel_only", "reconstructed"):
            sounds.append(Sound("class", number, role, f"<i>{role}</i>.wav", tone(300 + 50 * number, params), mel))
        for alpha in ALPHAS:
            sounds.append(Sound("class", number, "mixture", "m.flac", tone(300 + 400 * alpha, params), mel, alpha))
    for rank in range(2):
        for role in ("generated", "real"):
            sounds.append(Sound("closest", rank, role, f"{role}.wav", tone(440, params), mel))
    return sounds


def whole_study(data: Path, params: Params, classes: Sequence[str] = ODD) -> None:
    """A study with all that the page shows, but for the sounds."""
    fake_study(data, params, classes=classes)
    write_stylized(data / "stylized")
    for fold in params.folds:
        rows = [(0, 3, 0, 2.0 + fold, True), (1, 5, -2, 3.0 + fold, False)]
        columns = ("generated", "train", "shift", "distance_db", "is_parent")
        write_csv(data / "generated" / f"fold{fold}" / "closest.csv", columns, rows)
        history = data / "models" / "generator" / f"fold{fold}" / "history.csv"
        write_csv(history, ("step", "loss", "validation_loss"), [(10, 0.5, ""), (20, 0.25, 0.3)])


def results(data: Path, params: Params, sounds: Sequence[Sound]) -> Results:
    """What the page is made of."""
    study = load_study(data, params)
    return Results(
        study=study,
        metrics=compute_metrics(study, params, data),
        audit=audit(data, params),
        near=Closeness(36, []),
        params=params,
        closest=load_closest(data, params.folds, params.features, study.classes),
        histories=history_rows(data, params),
        sounds=sounds,
        stylized=load_stylized(data / "stylized"),
        environment={"python": "3.11", "packages": {"numpy": "2.0"}, "stages": USAGE},
    )


def page(data: Path, params: Params, sounds: Sequence[Sound]) -> str:
    """The page of the study under ``data``."""
    return render_page(results(data, params, sounds))
