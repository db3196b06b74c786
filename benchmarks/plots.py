"""Pictures of the measurements."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from soundaug.outputs import whole

DPI = 150


def plot_factors(path: Path, rungs: Sequence[tuple[str, float]]) -> None:
    """Seconds a clip as one change after the other is made, on a logarithmic axis, with the ratio so far."""
    names, seconds = zip(*rungs, strict=True)
    figure, axes = plt.subplots(figsize=(8, 0.5 * len(rungs) + 1.2), layout="constrained")
    sns.barplot(x=list(seconds), y=list(names), ax=axes, color=sns.color_palette()[0])
    axes.set(xscale="log", xlabel="seconds an interpolated clip", ylabel="")
    for row, value in enumerate(seconds):
        axes.annotate(f" {value:.2g} s, {seconds[0] / value:.1f} x", (value, row), va="center")
    axes.set_xlim(right=seconds[0] * 5)
    sns.despine(figure)
    _save(path, figure)


def plot_costs(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Seconds against clips, steps and batch, each with the proportion through its largest value."""
    table = pd.DataFrame(rows)
    figure, panels = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    for axes, (axis, part) in zip(panels, table.groupby("axis", sort=False), strict=True):
        sns.lineplot(part, x="value", y="seconds", marker="o", ax=axes)
        if axis != "batch":
            last = part.iloc[-1]
            axes.axline((0, 0), (last["value"], last["seconds"]), color="grey", linestyle=":", linewidth=1)
        axes.set(xlabel=str(axis), ylabel="seconds", ylim=(0, None), xlim=(0, None))
    panels[2].set_title(f"{table.iloc[-1]['clips']} clips by batch size", fontsize="medium")
    sns.despine(figure)
    _save(path, figure)


def _save(path: Path, figure: Any) -> None:
    with whole(path) as partial:
        figure.savefig(partial, dpi=DPI, format="png", metadata={"Software": None})
    plt.close(figure)
