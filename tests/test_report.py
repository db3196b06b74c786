"""The report's words and tables, and the evaluate stage as a whole."""

import csv
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from fake_study import fake_params, fake_study, read_csv, take_extra_off, write_csv
from fake_stylized import write_stylized

from soundaug.audit.checks import audit
from soundaug.audit.closeness import Closeness, NearDuplicate, write_pairs
from soundaug.params import Params
from soundaug.reporting.evaluation import compute_metrics, load_study
from soundaug.reporting.report import escape, print_summary, render, summary
from soundaug.running.errors import StudyError
from stages import evaluate

ODD = ("<script>alert(1)</script>", "a|b*c_d", "狗叫 & Straße\n$x$")


NONE = Closeness(36, [])


def report_of(data: Path, params: Params) -> str:
    study, found = load_study(data, params), audit(data, params)
    return render(study, compute_metrics(study, params, data), found, NONE, params, ["accuracy.png"])


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    data = tmp_path_factory.mktemp("data")
    fake_study(data, fake_params(), classes=ODD)
    write_csv(data / "features" / "excluded.csv", ("name", "reason"), [("a|b.wav", "silent"), ("c.wav", "silent")])
    return report_of(data, fake_params())


def cells(line: str) -> list[str]:
    """Cells of a Markdown table's row; an escaped bar does not end one."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def table_rows(text: str, first: str) -> list[list[str]]:
    return [cells(line) for line in text.splitlines() if line.startswith(f"| {first} |")]


def test_escape() -> None:
    assert escape("<b>&</b>") == "&lt;b&gt;&amp;&lt;/b&gt;"
    assert escape("a|b_c*d`e") == r"a\|b\_c\*d\`e"
    assert escape("[x](http://y)") == r"\[x\]\(http\://y\)"
    assert escape("two\nlines") == "two lines"
    assert escape("狗叫 Straße") == "狗叫 Straße"


def test_class_names_are_text(text: str) -> None:
    assert "<script>" not in text
    assert "&lt;script&gt;alert\\(1\\)&lt;/script&gt;" in text
    assert "狗叫 &amp; Straße \\$x\\$" in text
    row = next(cells(line) for line in text.splitlines() if line.startswith("| a\\|b"))
    assert len(row) == 6  # class, clips, base, aug, best control, difference


def test_verdict_comes_first(text: str) -> None:
    assert text.splitlines()[2].startswith("**Diffusion augmentation changed mean fold accuracy by +12.5 points")


def test_in_validation_verdict_and_statistics_say_that_intervals_do_not_hold(tmp_path: Path) -> None:
    fake_study(tmp_path, fake_params())
    found = report_of(tmp_path, fake_params(data={"held_out": "others"}))
    assert found.count("the intervals and p-values here do not hold, and nothing is claimed by them.") == 2
    assert found.splitlines()[2].startswith(
        "**Diffusion augmentation changed mean fold accuracy by +12.5 points; against"
    )
    assert "do not hold" not in report_of(tmp_path, fake_params())


def test_tables_hold_the_numbers(text: str) -> None:
    base, aug, mixup = (table_rows(text, arm)[0] for arm in ("base", "aug", "mixup"))
    assert base[2] == "62.5"
    assert base[4] == ""
    assert aug[2] == "75.0"
    assert aug[4] == "+12.5"
    assert aug[6:9] == ["0.24", "", "0.25"]
    assert mixup[4] == "+4.2"
    assert mixup[6:8] == ["-", "-"]
    alike = {arm: table_rows(text, arm)[1] for arm in ("base", "aug", "mixup")}
    assert {arm: row[1] for arm, row in alike.items()} == {"base": "51.7", "aug": "69.6", "mixup": "55.6"}
    assert alike["base"][3:] == ["", "", "", ""]
    assert (alike["aug"][3], alike["aug"][5]) == ("+17.9", "")
    assert (alike["mixup"][3], alike["mixup"][5]) == ("+3.9", "+14.0")
    assert table_rows(text, "mixup")[2] == ["mixup", "82.0", "0.200", "50.0", "+4.2"]
    assert len(table_rows(text, "aug")) == 2  # its clips were not assessed here
    over = table_rows(text, "aug minus mixup")[0]
    assert (over[1], over[3], over[4], over[5]) == ("+8.3", "0.39", "0.78", "0.5")
    values = next(cells(line) for line in text.splitlines() if line.startswith("| 2 | 1 |"))
    assert [value.split()[0] for value in values[2:]] == ["12", "58.33", "75.00", "66.67", "66.67"]


def test_corpus_audit_and_bounds_are_told(text: str) -> None:
    assert "36 clips of 18 recordings, 3 classes, 3 folds. Left out: 2 (a\\|b.wav, c.wav)." in text
    assert "| silent | 2 |" in text
    assert "No recording is on both sides" in text
    assert "The smallest p that 3 folds can give is 0.25." in text
    assert "![Accuracy per arm with its interval and the accuracy of every fold](figures/accuracy.png)" in text
    assert "spectrograms.png" not in text


def test_params_are_in_it(text: str) -> None:
    block = text.split("```yaml\n")[1].split("```")[0]
    assert yaml.safe_load(block) == fake_params().model_dump()


def test_random_split_is_called_leaky(tmp_path: Path) -> None:
    params = fake_params(data={"split": "random"})
    fake_study(tmp_path, params)
    assert "**Leaky.**" not in report_of(tmp_path, params)  # random in name, no recording on both sides
    assert "so these accuracies are leaky" in report_of(tmp_path, params)


def half_wrong_but_aug(arm: str, fold: int, seed: int, class_id: np.ndarray) -> np.ndarray:
    """Every other clip is wrong, in aug none."""
    return (class_id + (np.arange(len(class_id)) % 2) * (arm != "aug")) % 3


def test_summary_for_the_terminal(tmp_path: Path) -> None:
    fake_study(tmp_path, fake_params(), half_wrong_but_aug)
    metrics = compute_metrics(load_study(tmp_path, fake_params()), fake_params(), tmp_path)
    text = summary(metrics, fake_params())
    lines = text.plain.splitlines()
    assert lines[1].split()[:2] == ["base", "50.0"]
    assert lines[2].split()[:2] == ["aug", "100.0"]
    assert "+50.0" in lines[2]
    assert lines[-1].startswith("Diffusion augmentation")
    coloured = {text.plain[span.start : span.end].split()[0]: span.style for span in text.spans}
    assert coloured == {"arm": "bold", "aug": "green", "Diffusion": "bold"}


@pytest.mark.parametrize(("terminal", "no_color", "green"), [(True, "", True), (True, "1", False), (False, "", False)])
def test_colour_is_for_terminals_and_those_who_want_it(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
    no_color: str,
    green: bool,
) -> None:
    fake_study(tmp_path, fake_params(), half_wrong_but_aug)
    metrics = compute_metrics(load_study(tmp_path, fake_params()), fake_params(), tmp_path)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    print_summary(metrics, fake_params())
    told = capsys.readouterr().out
    assert ("\x1b[32maug" in told) == green
    assert ("\x1b" in told) == terminal  # without colour the header and the verdict are still bold
    assert max(map(len, told.splitlines())) > 100  # the verdict is one line


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    params = fake_params()
    fake_study(tmp_path / "data", params)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params.model_dump()), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    write_pairs(tmp_path / "reports/near_duplicates.csv", NONE)
    monkeypatch.setattr(sys, "argv", ["evaluate"])
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_stage_writes_everything_twice_the_same(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate.main()
    first = files(workspace / "reports")
    evaluate.main()
    assert files(workspace / "reports") == first
    tables = {"accuracy", "summary", "confusion_base", "confusion_aug", "per_class", "curves"}
    figures = {"accuracy", "differences", "confusion", "per_class", "curves", "spectrograms"}
    assert set(first) == {
        "metrics.json",
        "environment.json",
        "index.html",
        "report.md",
        "near_duplicates.csv",
        *(f"plots/{name}.csv" for name in tables),
        *(f"figures/{name}.png" for name in figures),
    }
    assert all(content.startswith(b"\x89PNG") for name, content in first.items() if name.endswith(".png"))
    metrics = json.loads(first["metrics.json"])
    assert metrics["aug"]["accuracy"]["mean"] == 0.75
    assert metrics["audit"]["findings"] == 0
    rows = list(csv.DictReader(first["plots/summary.csv"].decode().splitlines()))
    assert [row["arm"] for row in rows] == ["base", "aug", "duplicate", "mixup"]
    assert rows[0]["delta"] == ""
    assert float(rows[1]["delta"]) == 0.125
    links = re.findall(r"\]\((figures/[^)]+)\)", first["report.md"].decode())
    assert set(links) == {f"figures/{name}.png" for name in figures}
    assert "report: reports/index.html, reports/report.md" in capsys.readouterr().out


def test_stage_tells_of_restyled_music(workspace: Path) -> None:
    evaluate.main()
    text = (workspace / "reports/report.md").read_text()
    assert "No music was restyled. data/stylized is not there: the stage stylize makes it." in text
    assert "stylize" not in json.loads((workspace / "reports/metrics.json").read_text())
    write_stylized(workspace / "data/stylized")
    evaluate.main()
    text = (workspace / "reports/report.md").read_text()
    assert "| style heard as asked, 4 sounds from text | 50.0 % | wanted\\: 80 % or more |" in text
    assert "![Style accuracy and chroma similarity of restyled music against the denoising strength]" in text
    found = json.loads((workspace / "reports/metrics.json").read_text())["stylize"]
    assert (found["style_accuracy"], found["chroma_similarity"]) == (0.5, pytest.approx(0.6))
    assert all(isinstance(value, float | int) for value in found.values())
    assert (workspace / "reports/figures/stylize.png").read_bytes().startswith(b"\x89PNG")
    rows = read_csv(workspace / "reports/plots/stylize.csv")
    assert rows[0] == {"line": "held-out pieces: style accuracy", "strength": "0.25", "value": "0.0"}


def test_stage_refuses_a_leak_and_writes_nothing(workspace: Path) -> None:
    path = workspace / "data" / "models" / "generator" / "fold1" / "train_clips.csv"
    rows = read_csv(path)
    rows[0] |= {"name": "100-0-0-0.wav"}
    write_csv(path, list(rows[0]), [list(row.values()) for row in rows])
    with pytest.raises(StudyError, match="leak, held-out fold 1: the generator was trained on its test clip"):
        evaluate.main()
    assert list(files(workspace / "reports")) == ["near_duplicates.csv"]


def test_stage_tells_of_near_duplicates(workspace: Path) -> None:
    pairs = [
        NearDuplicate(1, "real", "100-0-0-0.wav", "100", "a|b.wav", "7", 0.83, -0.25),
        NearDuplicate(2, "generated", "200-0-0-0.wav", "200", "gen2-0-0.flac", "7", 0.6, 0.0),
    ]
    write_pairs(workspace / "reports/near_duplicates.csv", Closeness(36, pairs))
    evaluate.main()
    text = (workspace / "reports/report.md").read_text()
    assert "Of 36 test clips 1 are nearly the same as a training clip of another recording, and 1 as a gen" in text
    assert "5.56% in all. More than 3.00% (leakage.max_share) would be an error." in text
    assert "5.6% of the test clips are nearly the same as a clip trained on, although of another rec" in text
    assert "| 1 | 100-0-0-0.wav | a\\|b.wav | real | 0.830 | -0.25 |" in text
    found = json.loads((workspace / "reports/metrics.json").read_text())["audit"]
    assert (found["near_duplicates"], found["near_generated"], found["near_share"]) == (1, 1, 0.055556)
    page = (workspace / "reports/index.html").read_text()
    assert "5.56% in all" in page
    assert "gen2-0-0.flac" in page


def test_stage_without_generated_clips(workspace: Path) -> None:
    params = fake_params(generate={"per_class": 0}, controls=[], folds=[1], seeds=[0])
    (workspace / "params.yaml").write_text(yaml.safe_dump(params.model_dump()), encoding="utf-8")
    for name in ("generated", "models"):
        (workspace / "data" / name).rename(workspace / name)
    take_extra_off(workspace / "data")
    evaluate.main()
    assert not (workspace / "reports" / "figures" / "spectrograms.png").exists()
    assert "generator" not in json.loads((workspace / "reports" / "metrics.json").read_text())
