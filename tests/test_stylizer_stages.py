"""The stages `train_stylizer` and `stylize`, and the command line, on music of two styles."""

import csv
import json
import sys
from pathlib import Path

import pytest
import soundfile
from tiny_pipeline import hashes, run, tiny_params, workspace
from tiny_stylizer import RATE, write_model, write_music

from soundaug.cli import main
from soundaug.errors import StudyError, run_stage
from soundaug.images.files import open_image
from soundaug.images.riffusion import params_of

SMALL = {"stylizer.image.sample_rate": RATE, "stylizer.image.max_frequency": 4000, "stylize.prompts": ["church organ"]}
QUICK = ["--model", "model", "--steps", "2", "--iterations", "2"]


def test_trained_and_asked_and_the_same_again(tmp_path: Path) -> None:
    written = []
    for name in ("first", "second"):
        with workspace(tmp_path / name, tiny_params(SMALL)):
            write_music(Path("data/music"))
            run("train_stylizer")
            run("stylize")
            assert not list(Path(".scratch").rglob("*.pt"))
        written.append(hashes(tmp_path / name))
    assert written[0] == written[1]
    folder = tmp_path / "first/data"
    summary = json.loads((folder / "models/stylizer/summary.json").read_text())
    assert (summary["steps"], summary["windows"], summary["captions"]) == (2, 12, 4)
    with (folder / "models/stylizer/history.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["2"]
    with (folder / "stylized/sounds.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["prompt"] for row in rows] == ["chiptune", "church organ", "church organ"]
    assert set(json.loads((folder / "stylized/summary.json").read_text())) >= {"style_accuracy", "chroma_similarity"}


def test_another_model_takes_the_trained_ones_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_model(tmp_path / "model")
    with workspace(tmp_path, tiny_params(SMALL | {"stylize.model": str(tmp_path / "model")})):
        write_music(Path("data/music"))
        run("train_stylizer")
        assert [path.name for path in Path("data/models/stylizer").iterdir()] == ["summary.json"]
        assert "not trained" in capsys.readouterr().out
        run("stylize")
    assert (tmp_path / "data/stylized/bach/church_organ_0.5.png").is_file()
    wanted = pytest.raises(StudyError, match=r"stylize\.model: found 'nowhere', wanted a folder")
    with workspace(tmp_path, tiny_params(SMALL | {"stylize.model": "nowhere"})), wanted:
        run("stylize")


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["soundaug.cli", *words])
    main()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an untrained model and a recording, the current one."""
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "model")
    write_music(tmp_path / "music")
    (tmp_path / "music/bach.flac").rename(tmp_path / "in.flac")
    return tmp_path


def test_on_the_command_line(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    command(monkeypatch, "text-to-audio", "chiptune", "text.wav", "--seconds", "0.5", *QUICK)
    assert capsys.readouterr().out.startswith("wrote text.wav and its image: 0.55 s")
    assert params_of(open_image(Path("text.png")))[1] == 3e5
    command(monkeypatch, "audio-to-audio", "in.flac", "chiptune", "styled.flac", *QUICK)
    assert soundfile.info("styled.flac").frames == soundfile.info("in.flac").frames
    command(monkeypatch, "audio-to-audio", "text.png", "organ", "again.flac", "--end-prompt", "chiptune", *QUICK)
    assert soundfile.info("again.flac").frames == 55 * 80
    Path("batch.csv").write_text("name,prompt,audio\none,chiptune,\ntwo,organ,in.flac\n")
    command(monkeypatch, "stylize-batch", "batch.csv", "out", *QUICK)
    assert sorted(path.name for path in Path("out").iterdir()) == ["one.flac", "one.png", "two.flac", "two.png"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["text-to-audio", " ", "a.wav", *QUICK], "prompt: found ' ', wanted"),
        (["text-to-audio", "organ " * 20, "a.wav", *QUICK], "prompt: found "),
        (["text-to-audio", "organ", "a.wav"], "model: found 'data/models/stylizer', wanted a folder|model: found no"),
        (["text-to-audio", "organ", "a.wav", "--overlap", "0.9", *QUICK], "overlap: found 0.9, wanted 0 to 0.5"),
        (["audio-to-audio", "none.wav", "organ", "a.wav", *QUICK], "none.wav: not there"),
        (["audio-to-audio", "in.flac", "organ", "a.wav", "--strength", "0.1", *QUICK], "strength: found 0.1, wanted"),
        (["stylize-batch", "none.csv", "out", *QUICK], "none.csv: not there"),
    ],
)
def test_mistakes_on_the_command_line(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    line: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["soundaug.cli", *words])
    before = sorted(folder.iterdir())
    with pytest.raises(SystemExit):
        run_stage(main)
    told = capsys.readouterr().err
    assert any(told.startswith(f"error: {one}") for one in line.split("|")), told
    assert told.count("\n") == 1
    assert sorted(folder.iterdir()) == before
