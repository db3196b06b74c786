"""The stages `train_stylizer` and `stylize`, and the command line, on music of two styles."""

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
from PIL import Image
from tiny_pipeline import hashes, run, tiny_params, workspace
from tiny_stylizer import RATE, write_model, write_music

from soundaug.cli import main
from soundaug.images.files import open_image, save_image
from soundaug.images.riffusion import params_of
from soundaug.running.errors import StudyError, run_stage
from soundaug.stylizer.windows import ImageFormat

SMALL = {
    "stylizer.image.sample_rate": RATE,
    "stylizer.image.max_frequency": 4000,
    "stylize.prompts": ["church organ"],
    "stylize.judge_steps": 30,
}
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
    assert [(row["kind"], row["prompt"]) for row in rows] == [
        ("text", "chiptune"),
        ("text", "church organ"),
        ("piece", "chiptune"),
        ("piece", "church organ"),
        ("original", ""),
        ("bach", "church organ"),
    ]
    found = json.loads((folder / "stylized/summary.json").read_text())
    restyled = [row for row in rows if row["kind"] == "piece"]
    assert found["restyled_style_accuracy"] == sum(row["heard"] == row["style"] for row in restyled) / 2
    assert found["chroma_similarity"] == pytest.approx(
        sum(float(row["chroma_similarity"]) for row in restyled) / 2, abs=1e-6
    )
    assert (found["strength"], found["text_sounds"], found["judge_accuracy"]) == (0.5, 2, 1.0)
    assert found["played_chroma_similarity"] <= 1


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
    """The current folder: an untrained model, a recording, an empty one, and images that are not the model's."""
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "model")
    write_music(tmp_path / "music")
    (tmp_path / "music/bach.flac").rename(tmp_path / "in.flac")
    soundfile.write("empty.wav", [], RATE)
    Path("text.wav").write_text("no sound")
    params = load_format().params
    for name, height, changes in (("low", 31, {}), ("other", 32, {"step_size_ms": 20}), ("photo", 32, None)):
        image = Image.new("RGB", (40, height), "grey")
        tags = {0x010F: "Camera"} if changes is None else replace(params, **changes).to_exif()
        image.getexif().update(tags)
        save_image(image, Path(f"{name}.png"))
    Image.new("RGB", (40, 32)).save("bare.png")
    return tmp_path


def load_format() -> ImageFormat:
    """The untrained model's."""
    return ImageFormat.load(Path("model"))


def test_on_the_command_line(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    command(monkeypatch, "text-to-audio", "chiptune", "text.wav", "--seconds", "0.5", *QUICK)
    assert capsys.readouterr().out.startswith("wrote text.wav and its image: 0.55 s")
    assert params_of(open_image(Path("text.png")))[1] == 3e5
    command(monkeypatch, "audio-to-audio", "in.flac", "chiptune", "styled.flac", *QUICK)
    assert soundfile.info("styled.flac").frames == soundfile.info("in.flac").frames
    command(monkeypatch, "audio-to-audio", "text.png", "organ", "again.flac", "--end-prompt", "chiptune", *QUICK)
    assert soundfile.info("again.flac").frames == 55 * 80
    soundfile.write("rate.wav", soundfile.read("in.flac")[0][:5000, None].repeat(2, axis=1), 11025)
    command(monkeypatch, "audio-to-audio", "rate.wav", "chiptune", "rate.flac", *QUICK)  # stereo, of another rate
    assert soundfile.info("rate.flac").duration == pytest.approx(5000 / 11025, abs=1e-3)
    assert (soundfile.info("rate.flac").samplerate, soundfile.info("rate.flac").channels) == (RATE, 1)
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
        (["text-to-audio", "organ", "a.mp4", *QUICK], "a.mp4: found the ending '.mp4', wanted .wav, .flac, .ogg"),
        (["text-to-audio", "organ", "a.wav", "--seconds", "0", *QUICK], "seconds: found 0.0, wanted greater than 0"),
        (["text-to-audio", "organ", "a.wav", "--seed", "-1", *QUICK], "seed: found -1, wanted greater than or equal"),
        (["audio-to-audio", "none.wav", "organ", "a.wav", *QUICK], "none.wav: not there"),
        (
            ["audio-to-audio", "model/unet/config.json", "organ", "a.wav", *QUICK],
            "model/unet/config.json: not readable",
        ),
        (["audio-to-audio", "empty.wav", "organ", "a.wav", *QUICK], "empty.wav: holds no samples"),
        (["audio-to-audio", "in.flac", "", "a.wav", *QUICK], "prompt: found '', wanted"),
        (["audio-to-audio", "bare.png", "organ", "a.wav", *QUICK], "bare.png: found no EXIF, wanted a spectrogram"),
        (["audio-to-audio", "photo.png", "organ", "a.wav", *QUICK], "photo.png: found EXIF without tag 11000"),
        (["audio-to-audio", "low.png", "organ", "a.wav", *QUICK], "low.png: found an image of 31 rows, wanted 32"),
        (["audio-to-audio", "other.png", "organ", "a.wav", *QUICK], "other.png: found step_size_ms 20 (wanted 10), as"),
        (["audio-to-audio", "none.png", "organ", "a.wav", *QUICK], "none.png: not there, wanted a spectrogram image"),
        (["audio-to-audio", "in.flac", "organ", "a.wav", "--mask", "none.png", *QUICK], "none.png: not there"),
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
