"""The page as text: what is in it, what is said to be missing, and that names from outside stay text."""

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import soundfile
from fake_page import ODD, fake_sounds, page, results, whole_study
from fake_study import fake_params
from fake_stylized import PROMPTS, STRENGTHS
from matplotlib.image import imread
from numpy.typing import NDArray

from soundaug.audit.checks import Finding
from soundaug.params import Control, Params
from soundaug.reporting.page import confusion, media
from soundaug.reporting.page.document import minus, render_page

PARAMS = fake_params()
MEGABYTE = 2**20
MUSIC = 1 + len(PROMPTS) * len(STRENGTHS) + 2  # players: the original, restyled, from text
QUICK = Path(__file__).parents[1] / "reports/index.html"


class Read(HTMLParser):
    """Tags, the text of every section, ids, links and sources."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.section = ""
        self.text: dict[str, str] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self.section = dict(attrs)["id"] or ""

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        self.text[self.section] = self.text.get(self.section, "") + data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("data")
    whole_study(data, PARAMS)
    return data


@pytest.fixture(scope="module")
def html(study: Path) -> str:
    return page(study, PARAMS, fake_sounds(PARAMS, len(ODD)))


@pytest.fixture(scope="module")
def read(html: str) -> Read:
    return Read(html)


def specs(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="charts">(.*?)</script>', html, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_sections_in_their_order(read: Read) -> None:
    wanted = ["verdict", "arms", "differences", "confusion", "classes", "training", "listen", "closest", "inversion"]
    assert [one["id"] for one in read.all("section")] == [*wanted, "music", "audit", "generator", "method", "repeat"]
    assert "+12.5 points95 % interval" in " ".join(read.text["verdict"].split()).replace("points 95", "points95")
    assert "Diffusion augmentation changed mean fold accuracy by +12.5 points" in read.text["verdict"]


def test_names_from_outside_are_text(html: str, read: Read) -> None:
    scripts = read.all("script")
    assert [one.get("type") for one in scripts] == ["application/json", None, None]
    assert not [one for one in read.all("img") if one["src"] == "x"]
    assert "onerror" not in {name for _, attrs in read.tags for name in attrs}
    for name in ODD:
        assert name in read.text["classes"]
        assert name in read.text["listen"]
        assert name in {
            row["class"] for layer in specs(html)["classes"]["layer"][:1] for row in layer["data"]["values"]
        }
    assert "49" not in read.text["listen"]  # no name is a template


def test_every_picture_has_a_text_and_nothing_comes_from_elsewhere(html: str, read: Read) -> None:
    assert all(one["alt"] for one in read.all("img"))
    sources = [one["src"] or "" for tag in ("img", "audio") for one in read.all(tag)]
    assert sources
    assert all(source.startswith("data:") for source in sources)
    assert [one["href"] for one in read.all("link")] == ["data:,"]
    assert "University of Washington Interactive Data Lab" in html
    assert {(one["href"] or "")[0] for one in read.all("a")} == {"#"}
    assert "default-src 'none'" in (read.all("meta")[1]["content"] or "")
    assert len(read.all("audio")) == 3 * 3 + 3 * 5 + 2 * 2 + 3 * 3 + MUSIC
    ids = [attrs["id"] for _, attrs in read.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_charts_hold_the_numbers(html: str) -> None:
    found = specs(html)
    matrices = {f"confusion-{name}" for name in ("base", "aug", "difference")}
    curves = {"curves-test_accuracy", "curves-train_loss", "generator", "music-style", "music-chroma"}
    assert set(found) == {"accuracy", "differences", "classes"} | matrices | curves
    means = {row["arm"]: row["accuracy"] for row in found["accuracy"]["layer"][3]["data"]["values"]}
    assert means == pytest.approx({"base": 62.5, "aug": 75, "duplicate": 66.6667, "mixup": 66.6667})
    runs = found["differences"]["layer"][1]["data"]["values"]
    assert {"arm": "aug", "fold": 2, "seed": 1, "points": 16.67} in runs
    assert len(runs) == 3 * 3 * 2
    rows = found["confusion-base"]["data"]["values"]
    assert sum(row["share"] for row in rows if row["actual"] == ODD[0]) == pytest.approx(100, abs=0.2)
    assert all("description" in spec for spec in found.values())


def test_the_confusion_scale_of_a_difference_is_even() -> None:
    chart = confusion._confusion("difference", "d", np.array([[5.0, -8.0], [0.0, np.nan]]), ["a", "b"], 8.0)
    scale = chart.spec["layer"][0]["encoding"]["color"]["scale"]
    assert scale["domain"] == [-8.0, -4.0, 0, 4.0, 8.0]
    assert len(chart.spec["data"]["values"]) == 3  # what is undefined is not drawn


def test_names_of_many_classes_stand_upright_below_their_columns() -> None:
    names = [f"a class with a long name, {number}" for number in range(30)]
    wide = confusion._confusion("base", "base", np.eye(30), names, None).spec
    few = confusion._confusion("base", "base", np.eye(3), names[:3], None).spec
    assert [spec["encoding"]["x"]["axis"]["labelAngle"] for spec in (wide, few)] == [-90, -60]
    assert [len(spec["layer"]) for spec in (wide, few)] == [1, 2]  # numbers are in the cells of few


def missing(tmp_path: Path, params: Params, sounds: bool = True) -> dict[str, str]:
    found = Read(page(tmp_path, params, fake_sounds(params, len(ODD)) if sounds else []))
    return {name: " ".join(text.split()) for name, text in found.text.items()}


def test_without_sounds_the_page_says_so(study: Path) -> None:
    text = missing(study, PARAMS, sounds=False)
    wanted = "Not in this report. data/demonstration is not there: the stage demonstrate makes it."
    assert wanted in text["listen"]
    assert wanted in text["inversion"]
    assert "No sounds. data/demonstration is not there" in text["closest"]
    assert "3.0 dB apart, shifted by 0 frames, its parent; fold 1 held out" in text["closest"]


def test_bach_in_other_styles(html: str, read: Read) -> None:
    text = " ".join(read.text["music"].split())
    assert f"The original Bach's prelude as it was played heard as solo piano {PROMPTS[0]}" in text
    assert PROMPTS[1] in text
    assert "style heard as asked, 4 sounds from text 50.0 %" in text
    alts = {one["alt"] for one in read.all("img")}
    assert f"Mel spectrogram of Bach's prelude by the prompt {PROMPTS[1]}, strength 0.25" in alts
    assert "Mel spectrogram of music by the prompt chiptune 0 alone" in alts
    chroma = specs(html)["music-chroma"]
    assert {"music": "Bach", "kind": "to other tunes", "strength": 0.5, "value": 0.1} in chroma["layer"][0]["data"][
        "values"
    ]
    assert "held-out pieces to the tune itself at 0.25: 0.90" in chroma["description"]
    assert "against the denoising strength" in specs(html)["music-style"]["description"]


def test_in_validation_no_interval_stands_below_the_figure(html: str, study: Path) -> None:
    params = PARAMS.model_copy(update={"data": PARAMS.data.model_copy(update={"held_out": "others"})})
    told = re.compile('<p class="interval">(.*)</p>')
    assert told.findall(render_page(results(study, params, []))) == ["in validation: no interval holds"]
    (interval,) = told.findall(html)
    assert interval.startswith("95 % interval ")


def test_without_restyled_music_the_page_says_so(study: Path) -> None:
    found = Read(render_page(replace(results(study, PARAMS, []), stylized=None)))
    assert "Not in this report. data/stylized is not there: the stage stylize makes it." in found.text["music"]


def test_nothing_generated_one_fold_no_controls(tmp_path: Path) -> None:
    params = fake_params(generate={"per_class": 0}, controls=[], folds=[1], seeds=[0])
    whole_study(tmp_path, params)
    for name in ("generated", "models"):
        (tmp_path / name).rename(tmp_path / f"no {name}")
    text = missing(tmp_path, params, sounds=False)
    assert "One fold only" in text["differences"]
    assert "This run has no controls." in text["arms"]
    assert "Nothing was generated." in text["listen"]
    assert "Nothing was generated." in text["generator"]
    assert "No closest pairs are there" in text["closest"]
    assert "With one fold there is no test over folds" in text["verdict"]


def test_outputs_of_stages_missing(tmp_path: Path) -> None:
    whole_study(tmp_path, PARAMS)
    for path in [*tmp_path.rglob("closest.csv"), *tmp_path.glob("models/*/*/history.csv")]:
        path.unlink()
    text = missing(tmp_path, PARAMS)
    assert "No closest pairs are there: the stage assess_generator" in text["closest"]
    assert "No curves of the generators are there" in text["generator"]
    assert "The generator was not assessed" in text["generator"]


def test_no_alphas_without_interpolation(study: Path) -> None:
    params = fake_params(generate={"method": "variation"})
    sounds = [one for one in fake_sounds(params, len(ODD)) if one.role != "mixture"]
    text = Read(page(study, params, sounds)).text["listen"]
    assert "No row of alphas" in text
    assert "this run's is variation" in text


def test_classes_without_sounds_are_counted(study: Path, read: Read) -> None:
    text = Read(page(study, PARAMS, fake_sounds(PARAMS, 2))).text["listen"]
    assert "Sounds of 2 of the 3 classes" in text
    assert ODD[2] not in text
    assert "Sounds of" not in read.text["listen"]


def test_the_same_study_gives_the_same_page(study: Path, html: str) -> None:
    assert page(study, PARAMS, fake_sounds(PARAMS, len(ODD))) == html


def test_a_leak_is_told(study: Path) -> None:
    found = results(study, PARAMS, [])
    leaky = replace(found, audit=replace(found.audit, findings=(Finding(1, "<b>a clip</b>"),)))
    text = Read(render_page(leaky)).text["audit"]
    assert "First: <b>a clip</b>." in text.split("1 leaks.")[1]
    assert "No recording is on both sides" in Read(render_page(found)).text["audit"]


def test_times_of_the_stages(study: Path, read: Read) -> None:
    text = " ".join(read.text["repeat"].split())
    assert "peak memory, MB train_aug 6 60 12 500 all 60 500" in text
    unknown = replace(results(study, PARAMS, []), environment={"python": "3.11"})
    assert "No times are there" in Read(render_page(unknown)).text["repeat"]


@pytest.mark.parametrize(
    ("text", "wanted"), [("-1.2", "−1.2"), ("-9.0 to -2.9", "−9.0 to −2.9"), ("2012-01-02", "2012-01-02"), ("-", "-")]
)
def test_minus(text: str, wanted: str) -> None:
    assert minus(text) == wanted


def decoded(uri: str) -> tuple[str, bytes]:
    kind, _, content = uri.partition(";base64,")
    return kind, base64.b64decode(content)


@pytest.mark.parametrize(("rate", "encoded"), [(8000, 8000), (22050, 22050), (10000, 11025), (96000, 48000)])
def test_sound_is_mp3_of_the_same_length_and_pitch(rate: int, encoded: int) -> None:
    samples = np.rint(8000 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype(np.int16)
    kind, content = decoded(media.sound(samples, rate))
    assert kind == "data:audio/mpeg"
    heard, found = soundfile.read(io.BytesIO(content))
    assert found == encoded
    assert len(heard) == pytest.approx(encoded, abs=0.15 * encoded)  # MP3 pads
    spectrum = np.abs(np.fft.rfft(heard[: encoded // 2]))
    assert 2 * int(spectrum.argmax()) == pytest.approx(440, abs=4)
    assert media.sound(samples, rate) == media.sound(samples, rate)


def test_sounds_are_encoded_once_ahead_or_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    encode = media.sound

    def counted(samples: NDArray[np.int16], rate: int) -> str:
        made.append(rate)
        return encode(samples, rate)

    monkeypatch.setattr(media, "sound", counted)
    low, high = (np.rint(8000 * np.sin(np.arange(4000) * step)).astype(np.int16) for step in (0.05, 0.2))
    encoded = media.Encoded([(low, 8000), (high, 8000), (low, 8000)])
    assert [encoded(low, 8000), encoded(high, 8000)] == [encode(low, 8000), encode(high, 8000)]
    assert made == [8000, 8000]
    assert encoded(low.copy(), 16000) == encode(low, 16000)
    assert encoded(low, 16000) != encoded(low, 8000)
    assert made == [8000, 8000, 16000]


def test_spectrogram_has_low_bands_below_and_later_frames_right() -> None:
    mel = np.full((4, 6), -80.0)
    mel[0, 5] = 0.0
    kind, content = decoded(media.spectrogram(mel, 0.0))
    picture = imread(io.BytesIO(content))
    assert kind == "data:image/png"
    assert picture.shape == (4, 6, 4)
    brightness = picture[..., :3].sum(axis=2)
    assert np.unravel_index(brightness.argmax(), brightness.shape) == (3, 5)
    assert np.unique(brightness.round(4)).size == 2


@pytest.mark.skipif(not QUICK.is_file(), reason="dvc repro has not made reports/index.html")
def test_the_page_of_the_last_run_is_small_enough_to_open() -> None:
    assert QUICK.stat().st_size < 15 * MEGABYTE


def test_every_arm_has_a_colour_in_either_theme() -> None:
    style = (Path(__file__).parents[1] / "soundaug/reporting/page/static/page.css").read_text(encoding="utf-8")
    light, _, dark = style.partition(':root[data-theme="dark"]')
    for arm in ("base", "aug", *get_args(Control)):
        for theme in (light, dark):
            assert len(re.findall(rf"--arm-{arm}: #[0-9a-f]{{6}};", theme)) == 1, arm
