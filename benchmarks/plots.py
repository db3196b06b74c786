"""Pictures of the measurements."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from benchmarks.comparison import Comparison
from soundaug.running.outputs import whole

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


def plot_recordings(path: Path, points: Sequence[Mapping[str, Any]]) -> None:
    """Against the share of the training recordings: accuracy of base (left), gains of all other arms over it (right).

    Both with 95 % intervals; ``points`` are those of ``benchmarks.search.curve_points``.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
    table = pd.DataFrame(points)
    arms = table.groupby("arm", sort=False)
    for index, (arm, part) in enumerate(arms):
        axes = left if arm == "base" else right
        x = part["recordings"] * 1.05 ** (index - (arms.ngroups - 1) / 2 if axes is right else 0)  # side by side
        axes.errorbar(x, part["mean"], _whiskers(part), marker="o", color=f"C{index}", label=arm)
    right.axhline(0, color="grey", linewidth=0.8, linestyle=":")
    left.set_ylabel("accuracy of base, %, with 95 % interval")
    right.set_ylabel("accuracy minus base, points, with 95 % interval")
    shares = sorted(table["recordings"].unique())
    for axes in (left, right):
        axes.set(xscale="log", xlabel="share of the training recordings, %", xticks=shares)
        axes.set_xticklabels([f"{share:g}" for share in shares])
        axes.set_xlim(shares[0] / 1.5, 1.5 * shares[-1])  # arms of one share stay beside its tick
        axes.minorticks_off()
    right.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    sns.despine(figure)
    _save(path, figure)


def plot_clips(path: Path, points: Sequence[Mapping[str, Any]]) -> None:
    """Gain over base with its interval against the generated clips per class."""
    table = pd.DataFrame(points)
    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    axes.errorbar(table["clips"], table["mean"], _whiskers(table), marker="o", capsize=3)
    axes.axhline(0, color="grey", linewidth=1)
    gain = "aug minus base, points,\nwith 95 % interval"
    axes.set(xscale="log", xlabel="generated clips per class", ylabel=gain, xticks=table["clips"])
    axes.set_xticklabels([str(count) for count in table["clips"]])
    axes.minorticks_off()
    sns.despine(figure)
    _save(path, figure)


def plot_gains(path: Path, points: Sequence[Mapping[str, Any]]) -> None:
    """Gain of every row of the search over base, points with 95 % interval; a panel a share of the recordings.

    ``points`` are those of ``benchmarks.search.gain_points``.
    """
    table = pd.DataFrame(points)
    shares = table.groupby("recordings")
    sizes = [len(part) + 1.5 for _, part in shares]  # and the title
    figure, panels = plt.subplots(
        len(shares),
        1,
        figsize=(8, 0.27 * sum(sizes) + 1),
        layout="constrained",
        squeeze=False,
        sharex=True,
        height_ratios=sizes,
    )
    looks = {
        "alone": ("C1", "generated clips"),
        "on_top": ("C3", "generated clips and a control's"),
        "control": ("0.45", "a control's clips"),
    }
    for axes, (share, part) in zip(panels[:, 0], shares, strict=True):
        part = part.reset_index(drop=True)
        for kind, (color, label) in looks.items():
            some = part[part["kind"] == kind]
            axes.errorbar(some["mean"], some.index, xerr=_whiskers(some), fmt="o", color=color, label=label)
        axes.axvline(0, color="grey", linewidth=0.8, linestyle=":")
        axes.set_title(f"{share:g} % of the recordings", fontsize="medium", loc="left")
        axes.set(yticks=range(len(part)), ylim=(len(part) - 0.5, -0.5))
        axes.set_yticklabels(part["name"])
    panels[-1, 0].set_xlabel(
        "accuracy minus base, points, with 95 % interval\n(validation: one fold trains, others are tested)"
    )
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    sns.despine(figure)
    _save(path, figure)


def plot_tested(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Gain of every arm over base on the test folds, points with 95 % interval; a panel a share of recordings and kind.

    ``rows`` are those of ``benchmarks.tested.table``.
    """
    table = pd.DataFrame([row for row in rows if row["arm"] != "base"])
    for name, column in (("mean", "gain"), ("low", "gain_low"), ("high", "gain_high")):
        table[name] = table[column].astype(float)
    shares = table.groupby(["recordings", "kind"], sort=False)
    arms = list(dict.fromkeys(table["arm"]))
    figure, panels = plt.subplots(
        1,
        len(shares),
        figsize=(2 + 3.5 * len(shares), 0.4 * len(arms) + 1.6),
        layout="constrained",
        squeeze=False,
        sharex=True,
    )
    for axes, ((share, kind), part) in zip(panels[0], shares, strict=True):
        for place, arm in enumerate(arms):
            row = part[part["arm"] == arm]
            color = "C1" if arm == "aug" else "0.45"
            axes.errorbar(row["mean"], [place] * len(row), xerr=_whiskers(row), fmt="o", color=color)
            if arm == "aug":  # for the eye to tell which controls are beyond it
                axes.axvline(row["mean"].item(), color=color, linewidth=0.8, linestyle="--")
        axes.axvline(0, color="grey", linewidth=0.8, linestyle=":")
        beside = "generated clips" if kind == "alone" else "generated clips and a control's"
        folds, seeds = (part[column].iloc[0] for column in ("folds", "seeds"))
        axes.set_title(
            f"{share} % of the recordings\naug: {beside}\ntest fold{'s' * (' ' in folds)} {folds}, {seeds} seeds",
            fontsize="medium",
        )
        axes.set(xlabel="accuracy minus base, points,\nwith 95 % interval", yticks=range(len(arms)))
        axes.set_yticklabels(arms if axes is panels[0][0] else [])
        axes.set_ylim(len(arms) - 0.5, -0.5)
    sns.despine(figure)
    _save(path, figure)


def plot_costs(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Seconds (above) and peak memory (below) against each axis; dotted: proportion through the largest value."""
    table = pd.DataFrame(rows)
    axes_of = table.groupby("axis", sort=False)
    figure, panels = plt.subplots(2, len(axes_of), figsize=(11, 6), layout="constrained", squeeze=False, sharex="col")
    for (above, below), (axis, part) in zip(panels.T, axes_of, strict=True):
        sns.lineplot(part, x="value", y="seconds", marker="o", ax=above)
        sns.lineplot(part, x="value", y="peak_memory_mb", marker="o", ax=below)
        last = part.iloc[-1]
        if axis != "batch":
            above.axline((0, 0), (last["value"], last["seconds"]), color="grey", linestyle=":", linewidth=1)
        others = ", ".join(f"{name} {last[name]}" for name in ("clips", "steps", "batch") if name != axis)
        above.set_title(others, fontsize="medium")
        above.set(ylabel="seconds", ylim=(0, 1.1 * part["seconds"].max()), xlim=(0, None))
        below.set(xlabel=str(axis), ylabel="peak memory, MB", ylim=(0, 1.1 * part["peak_memory_mb"].max()))
    sns.despine(figure)
    _save(path, figure)


def plot_speed(path: Path, comparisons: Sequence[Comparison]) -> None:
    """Seconds of every comparison's sides and of the machine's peak, on a logarithmic axis, with the ratios."""
    rows = [
        {"work": one.work, "side": side, "seconds": seconds}
        for one in comparisons
        for side, seconds in (("the others", one.theirs), ("the study", one.ours), ("the machine's peak", one.at_peak))
    ]
    figure, axes = plt.subplots(figsize=(9, 0.9 * len(comparisons) + 1.4), layout="constrained")
    sns.barplot(pd.DataFrame(rows), x="seconds", y="work", hue="side", ax=axes)
    axes.set(xscale="log", xlabel="seconds", ylabel="")
    for row, one in enumerate(comparisons):
        axes.annotate(f" {one.ratio:.1f} x {one.against}", (one.theirs, row - 0.27), va="center", fontsize="small")
    axes.set_xlim(right=max(one.theirs for one in comparisons) * 50)
    axes.legend(title="", loc="upper right")
    sns.despine(figure)
    _save(path, figure)


def plot_scale(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Seconds (above) and peak memory (below) of every stage against the corpus's clips; dotted: proportion."""
    table = pd.DataFrame(rows)
    stages = table.groupby("stage", sort=False)
    figure, panels = plt.subplots(
        2, len(stages), figsize=(2.4 * len(stages) + 1, 5), layout="constrained", squeeze=False, sharex=True
    )
    for (above, below), (stage, part) in zip(panels.T, stages, strict=True):
        sns.lineplot(part, x="clips", y="seconds", marker="o", ax=above)
        sns.lineplot(part, x="clips", y="peak_mb", marker="o", ax=below)
        last = part.iloc[-1]
        if last["seconds"] > 0:
            above.axline((0, 0), (last["clips"], last["seconds"]), color="grey", linestyle=":", linewidth=1)
        above.set_title(str(stage), fontsize="medium")
        above.set(ylabel="seconds", ylim=(0, 1.08 * part["seconds"].max()), xlim=(0, None))
        below.set(xlabel="clips", ylabel="peak memory, MB", ylim=(0, 1.08 * part["peak_mb"].max()))
    sns.despine(figure)
    _save(path, figure)


def plot_convergence(path: Path, magnitudes: Sequence[Any], mels: Sequence[Any]) -> None:
    """Error against time, a line a method: phases for true magnitudes, and mels back to audio."""
    figure, panels = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
    labels = ("spectral convergence, dB", "RMS error of the log mel, dB")
    for axes, sides, label in zip(panels, (magnitudes, mels), labels, strict=True):
        table = pd.DataFrame(sides)
        table["seconds_a_clip"] *= 1000
        sns.lineplot(table, x="seconds_a_clip", y="error", hue="method", style="method", markers=True, ax=axes)
        axes.set(xscale="log", xlabel="milliseconds a clip", ylabel=label)
        axes.get_legend().set_title("")
    panels[0].set_title("phases for true magnitudes (n_fft 1024, hop 256)", fontsize="medium")
    panels[1].set_title("audio-diffusion's mels (256 bands) to audio", fontsize="medium")
    sns.despine(figure)
    _save(path, figure)


def _whiskers(table: pd.DataFrame) -> list[Any]:
    """Below and above the mean; an interval of no width may end beside it by a rounding error."""
    return [(table["mean"] - table["low"]).clip(lower=0), (table["high"] - table["mean"]).clip(lower=0)]


def plot_power(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Power against the seeds, a panel a number of folds, a line an effect; dashed: the corrected t-test.

    Of the interval from two seeds on: that of one seed does not know how runs differ, and is no start of its line.
    """
    table = pd.DataFrame(rows)
    folds = table.groupby("folds", sort=True)
    figure, panels = plt.subplots(1, len(folds), figsize=(11, 4), layout="constrained", squeeze=False, sharey=True)
    for axes, (k, part) in zip(panels[0], folds, strict=True):
        named = part.rename(columns={"t": "corrected t", "points": "true difference"})
        long = named.melt(["true difference", "seeds"], ["interval", "corrected t"], "claimed by", "power")
        long = long[(long["claimed by"] != "interval") | (long["seeds"] > 1)]
        long["true difference"] = long["true difference"].map(lambda points: f"{points:g} point{'s' * (points != 1)}")
        sns.lineplot(long, x="seeds", y="power", hue="true difference", style="claimed by", markers=True, ax=axes)
        axes.axhline(0.8, color="grey", linestyle=":", linewidth=1)
        seeds = sorted(set(part["seeds"]))
        axes.set(title=f"{k} folds", xscale="log", xticks=seeds, ylim=(0, 1.02))
        axes.set_xticklabels([f"{number:g}" for number in seeds])
        axes.minorticks_off()
        if axes is not panels[0][-1]:
            axes.get_legend().remove()
    sns.move_legend(panels[0][-1], "center left", bbox_to_anchor=(1, 0.5), frameon=False)
    panels[0][0].set_ylabel("share of studies that claim the difference")
    sns.despine(figure)
    _save(path, figure)


def plot_ladder(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Accuracy of both arms of every rung, and their difference: bars go from the rung before to this one's gain."""
    table = pd.DataFrame(rows)
    places = range(len(table))
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(12, 0.55 * len(table) + 1.6), layout="constrained", sharey=True, width_ratios=(2, 3)
    )
    for arm, color in zip(("base", "aug"), sns.color_palette(), strict=False):
        left.plot(table[arm], places, marker="o", color=color, label={"base": "base", "aug": "augmented"}[arm])
    left.set(xlabel="accuracy, %", yticks=places)
    left.set_yticklabels([f"{row.change}\n({row.network.split(':')[0]} network)" for row in table.itertuples()])
    left.invert_yaxis()
    left.legend(frameon=False)
    gains = table["delta"].to_numpy(float)
    less, more = sns.color_palette("muted")[3], sns.color_palette("muted")[2]
    for place in places:
        if place == 0 or pd.isna(table["explained"][place]):
            continue
        change = gains[place] - gains[place - 1]
        looks: dict[str, Any] = {"color": less if change < 0 else more, "label": "takes" if change < 0 else "gives"}
        if place == 1:  # from the published figure to this project's: no change of the protocol
            looks = {"color": "0.6", "hatch": "//", "label": "not reproduced"}
        right.barh(place, change, left=gains[place - 1], height=0.55, alpha=0.5, **looks)
        right.plot([gains[place - 1]] * 2, [place - 1, place], color="grey", linewidth=0.8)
    for place, row in enumerate(table.itertuples()):
        ends = "" if pd.isna(row.delta_low) else f" ({row.delta_low:+.1f} to {row.delta_high:+.1f})"
        if ends:
            right.plot([row.delta_low, row.delta_high], [place, place], color="black", linewidth=1)
        right.plot(row.delta, place, marker="o", color="black", clip_on=False)
        right.annotate(f"{row.delta:+.1f}{ends}", (1.01, place), xycoords=("axes fraction", "data"), va="center")
    right.axvline(0, color="grey", linewidth=0.8, linestyle=":")
    right.set(xlabel="augmented minus base, points, with its 95 % interval")
    handles, labels = right.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    right.legend(once.values(), once, title="a change", frameon=False, loc="upper left")
    sns.despine(figure)
    _save(path, figure)


def _save(path: Path, figure: Any) -> None:
    with whole(path) as partial:
        figure.savefig(partial, dpi=DPI, format="png", metadata={"Software": None})
    plt.close(figure)
