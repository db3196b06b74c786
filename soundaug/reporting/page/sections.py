"""The page's sections in their order: each a template and what it shows, or what is missing for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml

from soundaug.audit.checks import Audit
from soundaug.audit.closeness import Closeness
from soundaug.listening.examples import ClosestPair
from soundaug.listening.sounds import Sound
from soundaug.params import Params
from soundaug.reporting.evaluation import Metrics, Study
from soundaug.reporting.generator_report import faults
from soundaug.reporting.page.charts import accuracy_chart, class_chart, difference_chart
from soundaug.reporting.page.confusion import MOST_ANNOTATED, confusion_charts
from soundaug.reporting.page.curves import curve_charts, generator_chart, stylize_charts
from soundaug.reporting.page.media import Encoded, spectrogram
from soundaug.reporting.page.vega import Chart
from soundaug.reporting.tables import (
    CLIPS,
    EQUAL_EPOCHS,
    EQUAL_STEPS,
    GENERATED,
    MACRO_F1,
    P_VALUES,
    PRIMARY,
    Table,
    arms_table,
    audit_text,
    classes_table,
    clips_table,
    closeness_table,
    closeness_text,
    corpus_text,
    excluded_table,
    figures_table,
    goals_table,
    macro_f1_table,
    over_table,
    statistics_lines,
    values_table,
)
from soundaug.reporting.verdict import best_control
from soundaug.stylizer.assessment import BACH, ORIGINAL, TEXT
from soundaug.stylizer.report import EXPLAINED, NOT_THERE, Heard, Stylized, stylize_table

WIDEST = 1000  # columns of a picture
NO_SOUNDS = "data/demonstration is not there: the stage demonstrate makes it."
ROLES = {
    "parent_a": "Parent A",
    "parent_b": "Parent B",
    "generated": "Generated",
    "mel_only": "Mel only",
    "reconstructed": "Reconstructed",
    "real": "Nearest training clip",
    "mixture": "Mixture",
}


@dataclass(frozen=True)
class Results:
    """What the page is made of; ``closest``, ``histories`` and ``sounds`` are empty where nothing was generated.

    ``stylized`` is None where no music was restyled. ``encoded`` makes the sounds' MP3s, some of them ahead.
    """

    study: Study
    metrics: Metrics
    audit: Audit
    near: Closeness
    params: Params
    closest: Sequence[ClosestPair]
    histories: Sequence[Mapping[str, Any]]
    sounds: Sequence[Sound]
    stylized: Stylized | None
    environment: Mapping[str, Any]
    encoded: Encoded = field(default_factory=Encoded)

    @cached_property
    def loudest_db(self) -> float:
        """Of all ``sounds``, in their spectrograms."""
        return max(float(one.log_mel.max()) for one in self.sounds)


@dataclass(frozen=True)
class Section:
    """A part of the page: ``templates/sections/<name>.html`` filled with ``data``, or a sentence on what is missing."""

    name: str
    title: str
    data: Mapping[str, Any] = field(default_factory=dict)
    charts: Sequence[Chart] = ()
    missing: str | None = None


@dataclass(frozen=True)
class Played:
    """A sound in the page: its spectrogram and audio as data URIs, what it is, and the name of the clip."""

    label: str
    picture: str
    audio: str
    alt: str
    name: str


def sections(results: Results) -> list[Section]:
    """All sections, those that cannot be shown too."""
    return [
        arms(results),
        differences(results),
        confusion(results),
        classes(results),
        training(results),
        listen(results),
        closest(results),
        inversion(results),
        music(results),
        audit(results),
        generator(results),
        method(results),
        repeat(results),
    ]


def arms(results: Results) -> Section:
    """Accuracy of every arm and the comparison with each control."""
    study, metrics, params = results.study, results.metrics, results.params
    clips = clips_table(metrics, params)
    data = {
        "note": f"{PRIMARY} {EQUAL_STEPS if params.training.steps else EQUAL_EPOCHS}",
        "arms": arms_table(study, metrics, params),
        "p_values": P_VALUES,
        "over": over_table(metrics, params) if params.controls else None,
        "macro_f1": macro_f1_table(metrics, params),
        "macro_f1_note": MACRO_F1,
        "clips": clips if clips.rows else None,
        "clips_note": CLIPS,
        "names": study.arms,
    }
    return Section("arms", "Base, augmented and controls", data, [accuracy_chart(study, metrics, params)])


def differences(results: Results) -> Section:
    """Every fold and seed."""
    study = results.study
    data = {"runs": values_table(study), "folds": [fold.fold for fold in study.folds]}
    chart = difference_chart(study, results.metrics, results.params)
    return Section("differences", "Every fold and seed", data, [chart])


def confusion(results: Results) -> Section:
    """Confusion matrices, of many classes one below the other."""
    few = len(results.study.classes) <= MOST_ANNOTATED
    return Section("confusion", "Confusion of classes", {"side_by_side": few}, confusion_charts(results.study))


def classes(results: Results) -> Section:
    """Gain of every class."""
    study, metrics, params = results.study, results.metrics, results.params
    return Section(
        "classes",
        "Gain of every class",
        {"table": classes_table(study, metrics, params), "best": best_control(metrics, params)},
        [class_chart(study, metrics, params)],
    )


def training(results: Results) -> Section:
    """Training curves of the classifiers."""
    return Section("training", "Training curves", {}, curve_charts(results.study))


def listen(results: Results) -> Section:
    """Of every class two parents, the clip generated from them, and the row of mixtures."""
    title = "Listen: parents and their mixtures"
    strips = []
    for number, found in _by_number(results.sounds, "class").items():
        by_role = {one.role: one for one in found if one.role != "mixture"}
        if {"parent_a", "generated", "parent_b"} <= set(by_role):
            name = results.study.classes[number]
            strip = [_played(by_role[role], name, results) for role in ("parent_a", "generated", "parent_b")]
            row = sorted((one for one in found if one.role == "mixture"), key=lambda one: one.alpha or 0.0)
            mixtures = [(f"{one.alpha:g}", _played(one, name, results)) for one in row]
            strips.append({"class": name, "strip": strip, "mixtures": mixtures})
    if not strips:
        return Section("listen", title, missing=_no_clips(results))
    method = results.params.generate.method
    data = {"strips": strips, "method": method, "fold": results.params.folds[0], "classes": len(results.study.classes)}
    return Section("listen", title, data)


def closest(results: Results) -> Section:
    """The generated clips nearest to a training clip."""
    if not results.closest:
        told = "No closest pairs are there: the stage assess_generator makes them of generated clips."
        return Section("closest", "Closest copies", missing=told)
    heard = _by_number(results.sounds, "closest")
    loudest = max(float(max(pair.generated.max(), pair.real.max())) for pair in results.closest)
    pairs = []
    for rank, pair in enumerate(results.closest):
        by_role = {one.role: one for one in heard.get(rank, ())}
        sides = []
        for role, mel, name in (("generated", pair.generated, pair.name), ("real", pair.real, pair.real_name)):
            if role in by_role:
                sides.append(_played(by_role[role], pair.class_name, results))
            else:
                alt = f"Mel spectrogram of {pair.class_name}: {ROLES[role].lower()}"
                sides.append(Played(ROLES[role], spectrogram(mel, loudest), "", alt, name))
        pairs.append({"pair": pair, "sides": sides})
    return Section("closest", "Closest copies", {"pairs": pairs, "silent": None if heard else NO_SOUNDS})


def inversion(results: Results) -> Section:
    """A real clip, through mel and phase reconstruction alone, and through the generator's noise as well."""
    title = "Inversion: what is lost there and back"
    rows = []
    for number, found in _by_number(results.sounds, "class").items():
        by_role = {one.role: one for one in found}
        if {"parent_a", "mel_only", "reconstructed"} <= set(by_role):
            name = results.study.classes[number]
            original = _played(by_role["parent_a"], name, results, "Original")
            others = [_played(by_role[role], name, results) for role in ("mel_only", "reconstructed")]
            rows.append({"class": name, "strip": [original, *others]})
    if not rows:
        return Section("inversion", title, missing=_no_clips(results))
    return Section("inversion", title, {"rows": rows})


def music(results: Results) -> Section:
    """Bach in other styles by strength, one sound of every style from text, and the curves."""
    found, title = results.stylized, "Bach in other styles"
    if found is None:
        return Section("music", title, missing=NOT_THERE)
    restyled: dict[str, list[tuple[str, Played]]] = {}
    for one in sorted(found.of(BACH), key=lambda one: one.strength or 0.0):
        alt = f"Bach's prelude by the prompt {one.prompt}, strength {one.strength:g}"
        restyled.setdefault(one.prompt, []).append(
            (f"{one.strength:g}", _music(one, f"Strength {one.strength:g}", alt, results))
        )
    data = {
        "original": [
            _music(one, "Bach's prelude as it was played", "Bach's prelude", results) for one in found.of(ORIGINAL)
        ],
        "restyled": restyled,
        "text": [_music(one, one.prompt, f"music by the prompt {one.prompt} alone", results) for one in found.of(TEXT)],
        "figures": stylize_table(found.summary),
        "explained": EXPLAINED,
    }
    return Section("music", title, data, stylize_charts(results.study, found))


def audit(results: Results) -> Section:
    """What the leakage audit looked at."""
    leaks, looked = audit_text(results.audit, results.params)
    near, params = results.near, results.params
    data = {"leaks": leaks, "looked": looked, "near": closeness_text(near, params), "pairs": closeness_table(near)}
    return Section("audit", "Leakage audit", data)


def generator(results: Results) -> Section:
    """Goals, faults, figures and curves of the generator."""
    figures = figures_table(results.metrics)
    if not figures.rows:
        return Section("generator", "The generator", missing="Nothing was generated.")
    data = {
        "faults": faults(results.metrics, results.params),
        "goals": goals_table(results.metrics),
        "explained": GENERATED,
        "figures": figures,
    }
    charts = [generator_chart(results.study, results.histories)] if results.histories else []
    return Section("generator", "The generator", data, charts)


def method(results: Results) -> Section:
    """Statistics and corpus."""
    study = results.study
    data = {"lines": statistics_lines(results.metrics, results.params), "corpus": corpus_text(study)}
    return Section("method", "Statistics and corpus", data | {"excluded": excluded_table(study)})


def repeat(results: Results) -> Section:
    """Parameters, versions, times and how to repeat the run."""
    text = yaml.safe_dump(results.params.model_dump(), sort_keys=False, allow_unicode=True)
    environment = dict(results.environment)
    packages, stages = environment.pop("packages", {}), environment.pop("stages", {})
    data = {"params": text, "environment": environment, "packages": packages, "stages": _usage(stages)}
    return Section("repeat", "How to repeat it", data)


def _usage(stages: Mapping[str, Mapping[str, float]]) -> Table:
    rows = [
        [name, str(one["runs"]), f"{one['seconds']:.0f}", f"{one['longest']:.0f}", f"{one['peak_mb']:.0f}"]
        for name, one in stages.items()
    ]
    if rows:
        total, peak = (how(one[key] for one in stages.values()) for how, key in ((sum, "seconds"), (max, "peak_mb")))
        rows.append(["all", "", f"{total:.0f}", "", f"{peak:.0f}"])
    return Table(["stage", "runs", "seconds in all", "longest", "peak memory, MB"], rows)


def _by_number(sounds: Sequence[Sound], group: str) -> dict[int, list[Sound]]:
    found: dict[int, list[Sound]] = {}
    for one in sounds:
        if one.group == group:
            found.setdefault(one.number, []).append(one)
    return dict(sorted(found.items()))


def _played(one: Sound, class_name: str, results: Results, label: str | None = None) -> Played:
    label = label or (ROLES[one.role] if one.alpha is None else f"Alpha {one.alpha:g}")
    return Played(
        label=label,
        picture=spectrogram(one.log_mel, results.loudest_db),
        audio=results.encoded(one.samples, results.params.features.sample_rate),
        alt=f"Mel spectrogram of {class_name}: {label.lower()}",
        name=one.name,
    )


def _music(one: Heard, label: str, what: str, results: Results) -> Played:
    picture = spectrogram(one.log_mel[:, :: 1 + one.log_mel.shape[1] // WIDEST], 0.0)
    name = f"heard as {one.heard.replace('_', ' ')}"
    return Played(label, picture, results.encoded(one.samples, one.sample_rate), f"Mel spectrogram of {what}", name)


def _no_clips(results: Results) -> str:
    return "Nothing was generated." if results.params.generate.per_class == 0 else NO_SOUNDS
