"""The stage `fetch` for its three sources, and what it refuses."""

import csv
import hashlib
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from soundaug.running.errors import StudyError, run_stage
from soundaug.sources import kinds as sources
from soundaug.sources.corpus import URBANSOUND8K_CLASSES, audio_path, read_clips, read_excluded
from soundaug.sources.download import ARCHIVE
from stages import fetch

BASE = yaml.safe_load((Path(__file__).parents[1] / "params.yaml").read_text(encoding="utf-8"))
TABLE = Path("data/raw/metadata/UrbanSound8K.csv")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fetch"])
    monkeypatch.setattr(sources, "DOWNLOADS", Path(".scratch/download"))
    return tmp_path


def write_params(folds: tuple[int, ...] = (1, 2), **data: Any) -> None:
    own: dict[str, Any] = {"n_folds": 2, "group_pattern": None, "split": "official", "skip": []}
    values = BASE | {"seed": 0, "folds": list(folds), "data": BASE["data"] | own | data}
    Path("params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")


def write_audio(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(80, 0.1), 8000)


def urbansound8k(root: Path, folds: tuple[int, ...] = (1, 2, 10)) -> None:
    """A corpus in UrbanSound8K's layout: one recording a class and fold, of one clip."""
    (root / "metadata").mkdir(parents=True)
    with (root / "metadata" / "UrbanSound8K.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class"])
        for fold in folds:
            for class_id, name in enumerate(URBANSOUND8K_CLASSES):
                clip = f"{100 * fold + class_id}-{class_id}-0-0.wav"
                writer.writerow([clip, 100 * fold + class_id, 0.0, 0.01, 1, fold, class_id, name])
                write_audio(root / "audio" / f"fold{fold}" / clip)


def by_class(root: Path, classes: int = 2, recordings: int = 4) -> None:
    for c in range(classes):
        for r in range(recordings):
            write_audio(root / f"class {c}" / f"{r}.flac")


def test_directory_in_urbansound8ks_layout(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    urbansound8k(here / "own")
    write_params((1, 2, 10), source="directory", root="own")
    fetch.main()
    assert capsys.readouterr().out == "fetched 30 clips of 10 classes, 30 recordings, folds 1 2 10; 0 left out\n"
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "slice_file_name,fsID,start,end,salience,fold,classID,class,path"
    assert lines[1] == "100-0-0-0.wav,100,0.0,0.01,1,1,0,air_conditioner,audio/fold1/100-0-0-0.wav"
    assert all(audio_path(clip, Path("data/raw"), Path("own")).is_file() for clip in read_clips(TABLE))
    assert sorted(file.name for file in Path("data").rglob("*.*")) == ["MD5.csv", "UrbanSound8K.csv", "excluded.csv"]
    checksums = Path("data/raw/metadata/MD5.csv").read_text().splitlines()
    path = Path("own/audio/fold1/100-0-0-0.wav")
    assert checksums[:2] == ["name,md5", f"100-0-0-0.wav,{hashlib.md5(path.read_bytes()).hexdigest()}"]
    assert len(checksums) == 31
    path.write_bytes(path.read_bytes() + b"more")  # told by the table alone: whoever reads sounds depends on it
    fetch.main()
    again = Path("data/raw/metadata/MD5.csv").read_text().splitlines()
    assert [one == other for one, other in zip(checksums, again, strict=True)] == [True, False] + [True] * 29
    assert Path("data/raw/excluded.csv").read_text(encoding="utf-8") == "name,reason\n"


def test_directory_of_class_folders(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    by_class(here / "my own")
    (here / "my own" / "class 0" / "notes.txt").touch()
    write_params(source="directory", root="my own")
    fetch.main()
    first = TABLE.read_bytes()
    fetch.main()
    assert TABLE.read_bytes() == first
    assert capsys.readouterr().out.splitlines()[:3] == [
        "ignored 1 files that are no audio by their ending: 1 .txt",
        "data.group_pattern is null: every clip counts as a recording of its own, and clips of one recording may "
        "come to lie in training and test",
        "fetched 8 clips of 2 classes, 8 recordings, folds 1 2; 0 left out",
    ]


def test_a_pattern_that_takes_recordings_of_two_classes_for_one_is_told(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_class(here / "own")
    write_params(source="directory", root="own", group_pattern=r"/(\w)")
    fetch.main()
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("4 recordings have clips of more than one class, the first is 0 (class 0, class 1): ")
    write_params(source="directory", root="own", group_pattern="^(.+)$")
    fetch.main()
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_missing_clips_are_counted_and_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    urbansound8k(here / "own")
    (here / "own" / "audio" / "fold2" / "203-3-0-0.wav").unlink()
    write_params(source="directory", root="own", skip=["missing"])
    fetch.main()
    assert capsys.readouterr().out == "fetched 29 clips of 10 classes, 29 recordings, folds 1 2 10; 1 left out\n"
    assert read_excluded(Path("data/raw/excluded.csv")) == [("203-3-0-0.wav", "missing")]


def test_urbansound8k_from_the_users_own_archive(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    urbansound8k(here / "release", folds=(1, 2))
    archive = here / "own" / ARCHIVE
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(here / "release", "UrbanSound8K")
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    write_params(source="urbansound8k", root="own", download={"url": "http://127.0.0.1:9/none", "md5": md5})
    fetch.main()
    assert capsys.readouterr().out == "fetched 20 clips of 10 classes, 20 recordings, folds 1 2; 0 left out\n"
    clips = read_clips(TABLE)
    assert (clips[13].name, clips[13].start, clips[13].salience) == ("203-3-0-0.wav", 0.0, 1)
    assert all(audio_path(clip, Path("data/raw"), Path("nowhere")).is_file() for clip in clips)
    assert TABLE.read_text(encoding="utf-8").splitlines()[0].endswith(",classID,class")
    assert sorted(entry.name for entry in Path("data").iterdir()) == ["raw"]
    assert archive.is_file()
    assert not Path(".scratch").exists()


def test_synthetic(capsys: pytest.CaptureFixture[str]) -> None:
    small = {"recordings_per_class": 2, "slices_per_recording": 1, "snr_db": [0.0, 6.0], "slice_seconds": [1.5, 2.5]}
    write_params(source="synthetic", synthetic=small)
    fetch.main()
    assert capsys.readouterr().out == "fetched 20 clips of 10 classes, 20 recordings, folds 1 2; 0 left out\n"
    clips = read_clips(TABLE, URBANSOUND8K_CLASSES)
    assert [sum(clip.fold == fold for clip in clips) for fold in (1, 2)] == [10, 10]
    assert all(audio_path(clip, Path("data/raw"), Path("nowhere")).is_file() for clip in clips)


def test_only_a_random_split_may_leak(here: Path) -> None:
    for fold in (1, 2):
        urbansound8k(here / f"own{fold}", folds=(fold,))
        table = here / f"own{fold}" / "metadata" / "UrbanSound8K.csv"
        table.write_text(table.read_text(encoding="utf-8") + f"0-0-0-{fold}.wav,0,,,,{fold},0,air_conditioner\n")
        write_audio(here / f"own{fold}" / "audio" / f"fold{fold}" / f"0-0-0-{fold}.wav")
    one, two = (here / f"own{fold}" / "metadata" / "UrbanSound8K.csv" for fold in (1, 2))
    one.write_text(one.read_text(encoding="utf-8") + "".join(two.read_text(encoding="utf-8").splitlines(True)[1:]))
    (here / "own2" / "audio" / "fold2").rename(here / "own1" / "audio" / "fold2")
    write_params(source="directory", root="own1")
    with pytest.raises(StudyError) as error:
        fetch.main()
    assert str(error.value) == (
        "data.source directory: found recording 0 in folds 1 (0-0-0-1.wav) and 2 (0-0-0-2.wav), "
        "wanted every recording in one fold"
    )
    write_params(source="directory", root="own1", split="random")
    fetch.main()
    assert [clip.fold for clip in read_clips(TABLE)] == [1] * 11 + [2] * 11  # the split itself is made later


@pytest.mark.parametrize(
    ("folds", "classes", "data", "line"),
    [
        ((1,), 1, {}, "data.source directory: found the class class 0 only, wanted at least two"),
        ((1,), 2, {"n_folds": 5}, "data.n_folds: found 4 recordings of class class 0, wanted at least 5, one a fold"),
        ((1,), 2, {"root": "no"}, "data.root: found no, which is no folder, wanted the folder of your labelled clips"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_half_written(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    folds: tuple[int, ...],
    classes: int,
    data: dict[str, Any],
    line: str,
) -> None:
    by_class(here / "own", classes)
    write_params(folds, **{"source": "directory", "root": "own"} | data)
    with pytest.raises(SystemExit) as stopped:
        run_stage(fetch.main)
    assert stopped.value.code == 1
    assert capsys.readouterr().err == f"error: {line}\n"
    assert not list(Path("data").iterdir())
