"""The report's figures, each a function from the study to the bytes of a PNG: the same study, the same bytes."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
import numpy as np
import seaborn as sns
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from soundaug.listening.examples import ClosestPair, Example
from soundaug.params import Features, Params
from soundaug.reporting.evaluation import Metrics, Study, curves
from soundaug.reporting.verdict import best_control
from soundaug.statistics.stats import Floats
from soundaug.stylizer.report import KINDS, STYLE_GOAL, Stylized

matplotlib.use("Agg")

DPI = 110
MOST_EXAMPLES = 12  # rows of the strip of spectrograms
MOST_ANNOTATED = 12  # classes up to which a confusion matrix shows its numbers
# DejaVu first, then what reads scripts it lacks, as far as installed; the last draws a labelled box for the rest.
FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Hiragino Sans",
    "Arial Unicode MS",
    "Noto Sans Devanagari",
    "Last Resort High-Efficiency",
)


def accuracy_figure(study: Study, metrics: Metrics, params: Params) -> bytes:
    """Accuracy per arm: mean with its interval, and the folds behind it."""
    with _style():
        figure = Figure(figsize=(9, 1.6 + 0.55 * len(study.arms)), layout="constrained")
        axes = figure.subplots()
        colours = _colours(study.arms)
        for y, arm in enumerate(study.arms):
            found = metrics[arm]["accuracy"]
            folds = 100 * study.accuracy(arm).mean(axis=1)
            axes.plot(folds, np.full(len(folds), y), "o", color=colours[arm], alpha=0.45, markersize=6, zorder=2)
            axes.plot([100 * found["ci_low"], 100 * found["ci_high"]], [y, y], color=colours[arm], lw=3, zorder=3)
            axes.plot(100 * found["mean"], y, "D", color=colours[arm], markeredgecolor="black", markersize=9, zorder=4)
        axes.axvline(100 * metrics["base"]["accuracy"]["mean"], color="0.4", ls="--", lw=1, zorder=1)
        _arm_axis(axes, study.arms)
        axes.set_xlabel("accuracy on the held-out fold at the last epoch (%)")
        axes.set_title(textwrap.fill(f"Accuracy per arm, {_folds_and_seeds(study)}", 80))
        drawn = "recordings, runs" if len(study.seeds) > 1 else "recordings"
        _legend(
            axes,
            [
                _mark("D", f"mean, {100 * params.evaluate.confidence:g} % interval ({drawn} drawn)"),
                _mark("o", "one fold, mean over seeds"),
                Line2D([], [], color="0.4", ls="--", lw=1, label="mean of base"),
            ],
        )
        return _png(figure)


def difference_figure(study: Study, metrics: Metrics, params: Params) -> bytes:
    """Difference to base of every fold and seed, per arm, with the mean and its interval."""
    with _style():
        arms = [arm for arm in study.arms if arm != "base"]
        figure = Figure(figsize=(9, 1.8 + 0.6 * len(arms)), layout="constrained")
        axes = figure.subplots()
        palette = sns.color_palette("colorblind", len(study.folds))
        base = study.accuracy("base")
        spread = np.linspace(-0.28, 0.28, len(study.folds)) if len(study.folds) > 1 else np.zeros(1)
        for y, arm in enumerate(arms):
            differences = 100 * (study.accuracy(arm) - base)  # [folds, seeds]
            for i, row in enumerate(differences):
                axes.plot(row, np.full(len(row), y + spread[i]), "o", color=palette[i], alpha=0.8, markersize=6)
            found = (metrics if arm == "aug" else metrics[arm])["delta"]["accuracy"]
            axes.plot([100 * found["ci_low"], 100 * found["ci_high"]], [y, y], color="black", lw=2.5, zorder=4)
            axes.plot(100 * found["mean"], y, "D", color="white", markeredgecolor="black", markersize=9, zorder=5)
        axes.axvline(0, color="0.4", ls="--", lw=1, zorder=1)
        _arm_axis(axes, arms)
        axes.set_xlabel("accuracy minus base on the same fold and seed (percentage points)")
        axes.set_title(textwrap.fill(f"Difference to base of every fold and seed, {_folds_and_seeds(study)}", 80))
        marks = [_mark("o", f"fold {fold.fold}", palette[i]) for i, fold in enumerate(study.folds)]
        interval = f"mean, {100 * params.evaluate.confidence:g} % interval"
        _legend(axes, [_mark("D", interval, "white"), *marks])
        return _png(figure)


def confusion_figure(study: Study) -> bytes:
    """Confusion matrices of base and aug, each row in percent of the actual class, and aug minus base."""
    n = len(study.classes)
    shares = [_row_percent(study.confusion(arm)) for arm in ("base", "aug")]
    with _style():
        side = 3.2 + 0.34 * n
        names = [_label(name) for name in study.classes]
        figure = Figure(figsize=(3 * side, side + 0.6), layout="constrained")
        panels = figure.subplots(1, 3, sharey=True)
        change = shares[1] - shares[0]
        most = max(1.0, float(np.nanmax(np.abs(change))))
        for axes, values, title in zip(panels, [*shares, change], ["base", "aug", "aug minus base"], strict=True):
            signed = values is change
            sns.heatmap(
                values,
                ax=axes,
                cmap="vlag" if signed else "cividis",
                vmin=-most if signed else 0,
                vmax=most if signed else 100,
                annot=_cells(values, "+.0f" if signed else ".0f") if n <= MOST_ANNOTATED else False,
                fmt="",
                annot_kws={"size": 9},
                square=True,
                xticklabels=names,
                yticklabels=names,
                cbar_kws={"shrink": 0.6, "label": "percentage points" if signed else "% of the actual class"},
            )
            axes.set_title(title)
            axes.set_xlabel("predicted")
            axes.tick_params(axis="x", rotation=90)
            axes.tick_params(axis="y", rotation=0)
        panels[0].set_ylabel("actual")
        figure.suptitle(f"Confusion of classes, all test clips, {_folds_and_seeds(study)}")
        return _png(figure, whole=True)


def class_figure(study: Study, metrics: Metrics, params: Params) -> bytes:
    """Accuracy of every class in base, aug and the best control."""
    best = best_control(metrics, params)
    arms = ["base", "aug", *([best] if best else [])]
    values = {arm: 100 * study.class_accuracy(arm) for arm in arms}
    order = np.argsort(values["base"], kind="stable")
    with _style():
        figure = Figure(figsize=(9, 1.6 + 0.42 * len(study.classes)), layout="constrained")
        axes = figure.subplots()
        colours, markers = _colours(study.arms), dict(zip(arms, "oDs", strict=False))
        for y, class_id in enumerate(order):
            found = [values[arm][class_id] for arm in arms]
            axes.plot([np.nanmin(found), np.nanmax(found)], [y, y], color="0.7", lw=2, zorder=1)
            for arm in arms:
                axes.plot(
                    values[arm][class_id], y, markers[arm], color=colours[arm], markeredgecolor="black", markersize=8
                )
        axes.set_yticks(range(len(order)), [_label(study.classes[i]) for i in order])
        axes.set_ylim(-0.6, len(order) - 0.4)
        axes.set_xlabel("clips of the class predicted right (%)")
        control = f" and {best}, the best control" if best else ""
        figure.suptitle(textwrap.fill(f"Accuracy per class: base, aug{control}, {_folds_and_seeds(study)}", 80))
        _legend(axes, [_mark(markers[arm], arm, colours[arm]) for arm in arms])
        return _png(figure)


def curves_figure(study: Study) -> bytes:
    """Test accuracy and training loss against the step: mean over runs, and the range of base and aug."""
    with _style():
        figure = Figure(figsize=(13, 5), layout="constrained")
        panels = figure.subplots(1, 2)
        colours = _colours(study.arms)
        columns = (("test_accuracy", "accuracy on the held-out fold (%)", 100), ("train_loss", "training loss", 1))
        for axes, (column, label, scale) in zip(panels, columns, strict=True):
            for arm in study.arms:
                steps, runs = curves(study, arm, column)
                main = arm in ("base", "aug")
                style = {"lw": 2.5 if main else 1.2, "zorder": 3 if main else 2}
                axes.plot(steps, scale * runs.mean(axis=0), color=colours[arm], ls="-" if main else "--", **style)
                if main:
                    low, high = scale * runs.min(axis=0), scale * runs.max(axis=0)
                    axes.fill_between(steps, low, high, color=colours[arm], alpha=0.15, lw=0)
            axes.set_xlabel("optimiser step")
            axes.set_ylabel(label)
        figure.suptitle(
            f"Training curves: mean over {_folds_and_seeds(study)}; band: lowest to highest run of base, aug"
        )
        lines = [
            Line2D([], [], color=colours[a], lw=2, ls="-" if a in ("base", "aug") else "--", label=a)
            for a in study.arms
        ]
        figure.legend(
            handles=lines, loc="outside lower center", ncols=min(7, len(lines)), frameon=False, handlelength=3
        )
        return _png(figure)


def spectrogram_figure(examples: Sequence[Example], features: Features) -> bytes:
    """A row a class: parent A, the clip generated from both parents, parent B, and a real clip of the test fold."""
    shown = examples[:MOST_EXAMPLES]
    loudest = max(float(mel.max()) for one in shown for mel in (one.parent_a, one.parent_b, one.test_clip))
    with _style(grid=False):
        rows = [(one.parent_a, one.generated, one.parent_b, one.test_clip) for one in shown]
        figure, panels = _mel_grid(rows, [one.class_name for one in shown], 13, 1.55, loudest, features)
        for axes, title in zip(panels[0], ("parent A", "generated", "parent B", "a real test clip"), strict=True):
            axes.set_title(title)
        part = "" if len(shown) == len(examples) else f" (the first {len(shown)} of {len(examples)} classes)"
        figure.suptitle(
            f"Mel spectrograms of generated clips, their parents and real clips{part}; one dB scale", y=0.995
        )
        return _png(figure)


def closest_figure(pairs: Sequence[ClosestPair], features: Features) -> bytes:
    """A row a pair: the generated clip, and the training clip that it is nearest to."""
    loudest = max(float(max(pair.generated.max(), pair.real.max())) for pair in pairs)
    with _style(grid=False):
        rows = [(pair.generated, pair.real) for pair in pairs]
        figure, panels = _mel_grid(rows, [pair.class_name for pair in pairs], 10, 1.7, loudest, features)
        for row, pair in zip(panels, pairs, strict=True):
            kind = "its parent" if pair.is_parent else "no parent"
            row[1].set_title(f"{pair.distance_db:.1f} dB apart, shifted by {pair.shift} frames, {kind}", fontsize=9)
        panels[0][0].set_title("generated", fontsize=9)
        figure.suptitle("The generated clips that are nearest to a training clip", y=0.995)
        return _png(figure)


def generator_figure(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Loss of the generators against the step, a colour a held-out fold: training, and validation where watched."""
    with _style():
        figure = Figure(figsize=(9, 4.5), layout="constrained")
        axes = figure.subplots()
        folds = sorted({row["fold"] for row in rows})
        for fold, colour in zip(folds, sns.color_palette("colorblind", len(folds)), strict=True):
            for column, style in (("loss", "-"), ("validation_loss", "o--")):
                shown = [row for row in rows if row["fold"] == fold and row[column] is not None]
                if shown:
                    label = f"fold {fold} held out, {'training' if column == 'loss' else 'validation'}"
                    steps, losses = [row["step"] for row in shown], [row[column] for row in shown]
                    axes.plot(steps, losses, style, color=colour, lw=1.5, ms=5, label=label)
        axes.set_yscale("log")
        axes.set_xlabel("optimiser step")
        axes.set_ylabel("weighted squared error")
        figure.suptitle("Training of the generators; validation: recordings left out, averaged weights")
        figure.legend(loc="outside lower center", ncols=min(3, 2 * len(folds)), frameon=False)
        return _png(figure)


def stylize_figure(stylized: Stylized) -> bytes:
    """Style accuracy and chroma similarity of restyled sounds against the denoising strength."""
    with _style():
        figure = Figure(figsize=(13, 5.2), layout="constrained")
        style_axes, chroma_axes = figure.subplots(1, 2)
        for (kind, name), colour in zip(KINDS.items(), sns.color_palette("colorblind", len(KINDS)), strict=True):
            rows = [row for row in stylized.curve if row["kind"] == kind]
            for axes, column, line, label in (
                (style_axes, "style_accuracy", "o-", name),
                (chroma_axes, "chroma_similarity", "o-", f"{name}, to the tune itself"),
                (chroma_axes, "chroma_similarity_to_others", "o:", f"{name}, to other tunes"),
            ):
                known = [(row["strength"], row[column]) for row in rows if row[column] is not None]
                if known:
                    strengths, values = zip(*known, strict=True)
                    axes.plot(strengths, values, line, color=colour, lw=2, ms=6, label=label)
        style_axes.axhline(STYLE_GOAL, color="0.4", ls="--", lw=1, label="wanted")
        if "played_chroma_similarity" in stylized.summary:
            played = stylized.summary["played_chroma_similarity"]
            chroma_axes.axhline(played, color="0.4", ls="--", lw=1, label="held-out pieces as the music plays them")
        for axes, label in ((style_axes, "style heard as asked (share)"), (chroma_axes, "chroma similarity")):
            axes.set_xlabel("denoising strength")
            axes.set_ylabel(label)
            axes.set_ylim(min(-0.05, axes.dataLim.y0 - 0.05), 1.05)
            axes.legend(frameon=False, fontsize=10, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
        figure.suptitle("Restyled music: the style that is heard, and how much of the tune stays")
        return _png(figure)


def _mel_grid(
    rows: Sequence[Sequence[Floats]],
    classes: Sequence[str],
    width: float,
    row_height: float,
    loudest: float,
    features: Features,
) -> tuple[Figure, NDArray[np.object_]]:
    """A figure ``width`` inches wide of mel spectrograms in dB, a row a class name, and its axes [rows, columns].

    Margins are fixed in inches: matplotlib's own layouts measure every label of every panel several times.
    """
    limits = (max(features.floor_db, loudest - 80), loudest)
    height = 1.4 + row_height * len(rows)
    figure = Figure(figsize=(width, height))
    edges = {"left": 0.95 / width, "right": 1 - 1.2 / width, "top": 1 - 0.75 / height, "bottom": 0.6 / height}
    gap = 0.32 / (row_height - 0.32)
    panels = figure.subplots(
        len(rows),
        len(rows[0]),
        sharex=True,
        sharey=True,
        squeeze=False,
        gridspec_kw=edges | {"hspace": gap, "wspace": 0.14},
    )
    for row, mels, name in zip(panels, rows, classes, strict=True):
        for axes, mel in zip(row, mels, strict=True):
            picture = _draw_mel(axes, mel, features, limits)
        row[0].set_ylabel("\n".join(textwrap.wrap(_label(name), 16)) + "\nmel, Hz", fontsize=9)
    panels[0][0].set_yticks(*_mel_ticks(features))  # shared by all
    for axes in panels[-1]:
        axes.set_xlabel("seconds")
    tall = edges["top"] - edges["bottom"]
    scale = figure.add_axes((1 - 1.0 / width, edges["bottom"] + tall / 4, 0.2 / width, tall / 2))
    figure.colorbar(picture, cax=scale, label="dB")
    return figure, panels


def _draw_mel(axes: Axes, mel: Floats, features: Features, limits: tuple[float, float]) -> AxesImage:
    """A mel spectrogram [n_mels, T] in dB, seconds to the right, low bands below."""
    seconds = mel.shape[1] * features.hop_length / features.sample_rate
    return axes.imshow(
        mel,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap="magma",
        extent=(0, seconds, -0.5, mel.shape[0] - 0.5),
        vmin=limits[0],
        vmax=limits[1],
    )


def _style(grid: bool = True) -> AbstractContextManager[None]:
    """Settings of one figure, undone after it."""
    settings = sns.axes_style("whitegrid" if grid else "ticks") | sns.plotting_context("notebook", font_scale=1.0)
    installed = set(font_manager.get_font_names())
    settings |= {"font.family": [name for name in FONTS if name in installed], "svg.hashsalt": "soundaug"}
    return matplotlib.rc_context(settings)


def _png(figure: Figure, whole: bool = False) -> bytes:
    """The figure's bytes; ``whole``: as large as what is drawn, long names of classes too."""
    content = io.BytesIO()
    tight = "tight" if whole else None
    figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None}, bbox_inches=tight)
    return content.getvalue()


def _colours(arms: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    return dict(zip(arms, sns.color_palette("colorblind", len(arms)), strict=True))


def _arm_axis(axes: Axes, arms: Sequence[str]) -> None:
    axes.set_yticks(range(len(arms)), arms)
    axes.set_ylim(len(arms) - 0.4, -0.6)  # base on top
    axes.grid(axis="y", visible=False)


def _mark(marker: str, label: str, colour: str | tuple[float, float, float] = "0.6") -> Line2D:
    return Line2D([], [], ls="", marker=marker, color=colour, markeredgecolor="black", markersize=8, label=label)


def _legend(axes: Axes, handles: list[Line2D]) -> None:
    axes.figure.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)), frameon=False)


def _folds_and_seeds(study: Study) -> str:
    folds, seeds = len(study.folds), len(study.seeds)
    return f"{folds} fold{'s' * (folds > 1)} x {seeds} seed{'s' * (seeds > 1)}"


def _label(name: str) -> str:
    """A class name as plain text: matplotlib would read $ as mathematics."""
    return name.replace("$", r"\$")


def _row_percent(table: Floats) -> Floats:
    total = table.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(100 * table, total, out=np.full(table.shape, np.nan), where=total > 0))


def _cells(values: Floats, form: str) -> NDArray[np.str_]:
    """Numbers as text, nothing where they round to zero or are not there."""
    return np.array([["" if not abs(value) >= 0.5 else format(value, form) for value in row] for row in values])


def _mel_ticks(features: Features) -> tuple[list[float], list[str]]:
    """Positions among the mel bands (HTK scale, as in the front end) of round frequencies."""

    def mel(hz: float | Floats) -> Floats:
        return np.asarray(2595 * np.log10(1 + np.asarray(hz) / 700))

    low, high = mel(features.fmin_hz), mel(features.fmax_hz)
    shown = [hz for hz in (250, 1000, 3000, 8000, 16000) if features.fmin_hz <= hz <= features.fmax_hz]
    positions = (mel(np.array(shown, dtype=np.float64)) - low) / (high - low) * (features.n_mels + 1) - 1
    return positions.tolist(), [str(hz) for hz in shown]
