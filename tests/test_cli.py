"""The command line for one's own files, as it is typed."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from soundaug.cli import main
from soundaug.running.errors import run_stage

RATE = 8000
SMALL = [
    "--padded-duration-ms",
    "100",
    "--window-duration-ms",
    "50",
    "--num-frequencies",
    "64",
    "--max-frequency",
    "4000",
]
SMALL_MEL = ["--format", "audio-diffusion", "--sample-rate", "8000", "--width", "64", "--n-mels", "64"]
SMALL_MEL += ["--n-fft", "512", "--hop-length", "128"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tone of 700 Hz in it, the current one."""
    monkeypatch.chdir(tmp_path)
    tone = 0.3 * np.sin(2 * np.pi * 700 * np.arange(8191) / RATE)
    soundfile.write("tone.wav", np.stack([tone, 0.5 * tone], axis=1), RATE)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["soundaug.cli", *words])
    main()


def peak_hz(path: str) -> float:
    samples, rate = soundfile.read(path, always_2d=True)
    return float(np.abs(np.fft.rfft(samples[:, 0])).argmax() * rate / len(samples))


@pytest.mark.parametrize(("options", "size"), [(SMALL, "103 x 64"), (SMALL_MEL, "64 x 64")])
def test_there_and_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], size: str
) -> None:
    run(monkeypatch, "audio-to-image", "tone.wav", "tone.png", *options)
    run(monkeypatch, "image-to-audio", "tone.png", "back.flac", "--seed", "3")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"wrote tone.png: {size}, 1.02 s of tone.wav"
    assert lines[1].startswith("wrote back.flac: 1.02 s")
    assert peak_hz("back.flac") == pytest.approx(700, abs=25)
    level = np.sqrt(np.mean(soundfile.read("back.flac")[0] ** 2))
    assert 20 * np.log10(level / (0.75 * 0.3 / np.sqrt(2))) == pytest.approx(0, abs=1)
    first = Path("back.flac").read_bytes()
    run(monkeypatch, "image-to-audio", "tone.png", "back.flac", "--seed", "3")
    assert Path("back.flac").read_bytes() == first
    assert sorted(path.name for path in folder.iterdir()) == ["back.flac", "tone.png", "tone.wav"]


def test_stereo_there_and_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, "audio-to-image", "tone.wav", "tone.png", "--stereo", *SMALL)
    run(monkeypatch, "image-to-audio", "tone.png", "back.wav")
    left, right = soundfile.read("back.wav")[0].T
    assert 20 * np.log10(np.std(right) / np.std(left)) == pytest.approx(-6.0, abs=1.0)


def test_the_parameters_inside_an_image(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "audio-to-image", "tone.wav", "tone.png", *SMALL)
    run(monkeypatch, "audio-to-image", "tone.wav", "mel.png", *SMALL_MEL)
    capsys.readouterr()
    run(monkeypatch, "print-parameters", "tone.png")
    values = dict(line.split(" = ") for line in capsys.readouterr().out.splitlines())
    found = {name.strip(): value.strip() for name, value in values.items()}
    assert {name: found[name] for name in ("sample_rate", "num_frequencies", "power_for_image", "stereo")} == {
        "sample_rate": "8000",
        "num_frequencies": "64",
        "power_for_image": "0.25",
        "stereo": "False",
    }
    assert float(found["max_value"]) == Image.open("tone.png").getexif()[11080]
    run(monkeypatch, "print-parameters", "mel.png")
    out = capsys.readouterr().out
    assert "hop_length           =             128\n" in out
    assert "reference_power" in out


def test_a_folder_of_sounds(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Path("in/deep").mkdir(parents=True)
    for name in ("a", "deep/b"):
        Path(f"in/{name}.wav").write_bytes(Path("tone.wav").read_bytes())
    soundfile.write("in/short.wav", np.ones(100) * 0.1, RATE)
    run(monkeypatch, "audio-to-image", "in", "images", *SMALL)
    names = sorted(path.relative_to("images").as_posix() for path in Path("images").rglob("*.png"))
    assert names == ["a.png", "deep/b.png", "short.png"]
    capsys.readouterr()
    run(monkeypatch, "sample-clips", "in", "clips", "--clips", "2", "--duration-ms", "250", "--mono")
    out = capsys.readouterr().out
    clips = sorted(Path("clips").rglob("*.wav"))
    assert [path.parent.name for path in clips] == ["clips", "clips", "deep", "deep"]
    assert out.endswith("left out 1 files shorter than 250 ms: in/short.wav\n")
    assert soundfile.info(clips[0]).frames == 2000


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["image-to-audio", "none.png", "a.wav"], "none.png: not there, wanted a spectrogram image"),
        (
            ["image-to-audio", "bare.png", "a.wav"],
            "bare.png: found no EXIF and no text chunks of parameters, wanted an",
        ),
        (["print-parameters", "bare.png"], "bare.png: found no EXIF, wanted a spectrogram image with Riffusion's"),
        (["audio-to-image", "none.wav", "a.png"], "none.wav: not there, wanted a sound file or a folder of them"),
        (["audio-to-image", "bare.png", "a.png"], "bare.png: not readable as audio ("),
        (["audio-to-image", "tone.wav", "a.jpg"], "a.jpg: found the ending '.jpg', wanted .png"),
        (
            ["audio-to-image", "tone.wav", "a.png", "--max-frequency", "0"],
            "tone.wav: min_frequency, max_frequency: found",
        ),
        (
            ["audio-to-image", "tone.wav", "a.png", *SMALL_MEL, "--slice", "1"],
            "tone.wav: slice: found 1, wanted 0 to 0: the sound has 1 whole slices",
        ),
        (["sample-clips", "tone.wav", "out"], "tone.wav: shorter than a clip, wanted 5120 ms or more"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    line: str,
) -> None:
    Image.new("L", (8, 8)).save("bare.png")
    monkeypatch.setattr(sys, "argv", ["soundaug.cli", *words])
    with pytest.raises(SystemExit) as stopped:
        run_stage(main)
    assert stopped.value.code == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: {line}")
    assert told.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == ["bare.png", "tone.wav"]


def test_an_image_without_parameters_with_some_assumed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(np.full((256, 8), 200, np.uint8)).save("bare.png")
    run(monkeypatch, "image-to-audio", "bare.png", "a.wav", "--assume", "audio-diffusion", "--iterations", "2")
    assert soundfile.info("a.wav").samplerate == 22050
    assert soundfile.info("a.wav").frames == 8 * 512 - 1


def test_numbers_that_make_no_sense_are_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["--clips", "0"], ["--seed", "-1"], ["--duration-ms", "x"]):
        with pytest.raises(SystemExit) as stopped:
            run(monkeypatch, "sample-clips", "tone.wav", "out", *words)
        assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert "argument --clips: found 0, wanted 1 or more" in told
    assert "argument --seed: found -1, wanted 0 or more" in told
    assert not Path("out").exists()
