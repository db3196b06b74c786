"""The user's own folder, in both layouts."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from soundaug.params import Data
from soundaug.running.errors import StudyError
from soundaug.sound.audio import ClipProblem, read_mono
from soundaug.sources.corpus import Clip, audio_path, class_names, folds_of, require_disjoint_recordings
from soundaug.sources.directory import audio_suffixes, list_folder

DATA: dict[str, Any] = {
    "source": "directory",
    "group_pattern": None,
    "n_folds": 2,
    "split": "official",
    "held_out": "fold",
    "recordings_share": 1.0,
    "skip": [],
    "synthetic": {
        "recordings_per_class": 1,
        "slices_per_recording": 1,
        "snr_db": [0.0, 1.0],
        "slice_seconds": [1.5, 2.5],
    },
    "download": {"url": "http://127.0.0.1/", "md5": "0" * 32},
}
CLASSES = ("dog", "it's a “siren”", "щенок и кот")


def settings(root: Path, **changed: Any) -> Data:
    return Data.model_validate(DATA | {"root": str(root)} | changed)


def write_audio(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(80, 0.1), 8000)


@pytest.fixture
def by_class(tmp_path: Path) -> Path:
    """Three classes, three recordings each, two slices each, at two depths, and what is to be passed over."""
    for name in CLASSES:
        for recording in ("a 1", "b 2", "c 3"):
            write_audio(tmp_path / name / f"{recording}-0.wav")
            write_audio(tmp_path / name / "deeper" / f"{recording}-1.FLAC")
    (tmp_path / "dog" / "notes.txt").write_text("bark")
    (tmp_path / "dog" / "rex.JPG").write_text("")
    (tmp_path / "LICENCE").write_text("")
    for hidden in (".git", "dog/.trash"):
        write_audio(tmp_path / hidden / "x.wav")
    write_audio(tmp_path / "dog" / "._a 1-0.wav")
    return tmp_path


def test_one_folder_a_class(by_class: Path) -> None:
    listing = list_folder(settings(by_class, group_pattern=r"([^/]+)-\d\."), seed=0)
    assert class_names(listing.clips) == list(CLASSES)
    assert [clip.path for clip in listing.clips[:4]] == [
        "dog/a 1-0.wav",
        "dog/b 2-0.wav",
        "dog/c 3-0.wav",
        "dog/deeper/a 1-1.FLAC",
    ]
    assert (listing.clips[3].name, listing.clips[3].fs_id) == ("dog__deeper__a 1-1.FLAC", "a 1")
    assert len(listing.clips) == len({clip.name for clip in listing.clips}) == 18
    assert {clip.fs_id for clip in listing.clips} == {"a 1", "b 2", "c 3"}
    assert all(audio_path(clip, Path("raw"), by_class).is_file() for clip in listing.clips)
    assert folds_of(listing.clips) == [1, 2]
    require_disjoint_recordings(listing.clips, "made")
    assert listing.excluded == []
    assert listing.ignored == Counter({"": 1, ".txt": 1, ".jpg": 1})


def test_without_a_pattern_each_file_is_a_recording(by_class: Path) -> None:
    clips = list_folder(settings(by_class), seed=0).clips
    assert [clip.fs_id for clip in clips] == [clip.path for clip in clips]
    assert [[sum(c.fold == k and c.class_id == i for c in clips) for i in range(3)] for k in (1, 2)] == [[3, 3, 3]] * 2


def test_missing_file_behind_a_link(by_class: Path) -> None:
    (by_class / "dog" / "gone.wav").symlink_to(by_class / "nowhere.wav")
    with pytest.raises(StudyError, match=r"dog/gone.wav: not there, wanted the audio of dog__gone.wav"):
        list_folder(settings(by_class), seed=0)
    listing = list_folder(settings(by_class, skip=["missing"]), seed=0)
    assert (len(listing.clips), listing.excluded) == (18, [("dog__gone.wav", "missing")])


def test_audio_that_cannot_be_read_is_listed_to_be_told(by_class: Path) -> None:
    (by_class / "dog" / "phone.M4A").write_bytes(b"\0\0\0\x1cftypM4A ")
    listing = list_folder(settings(by_class), seed=0)
    assert "dog/phone.M4A" in [clip.path for clip in listing.clips]
    assert ".m4a" not in listing.ignored
    with pytest.raises(ClipProblem, match=r"^not readable as audio \(") as raised:
        read_mono(by_class / "dog" / "phone.M4A", 8000)
    assert raised.value.kind == "unreadable"


def test_linked_folders_are_followed_but_not_in_circles(
    by_class: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write_audio(elsewhere / "d 4-0.wav")
    (by_class / "dog" / "linked").symlink_to(elsewhere)
    (by_class / "dog" / "up").symlink_to(by_class / "dog")
    (by_class / "dog" / "top").symlink_to(by_class)
    paths = [clip.path for clip in list_folder(settings(by_class), seed=0).clips]
    assert len(paths) == 19
    assert "dog/linked/d 4-0.wav" in paths


@pytest.mark.parametrize(
    ("files", "changed", "message"),
    [
        (
            [],
            {},
            "data.root: found neither metadata/UrbanSound8K.csv nor class folders in {root}, "
            "wanted one of the two layouts",
        ),
        (
            ["x.wav", "a/y.wav"],
            {},
            "{root}/x.wav: found audio outside the class folders, wanted it in the folder of its class",
        ),
        (["a/x.wav", "b/y.txt"], {}, "{root}/b: found no audio, wanted the clips of class b"),
        (
            ["a/b__c.wav", "a__b/c.wav"],
            {},
            "{root}: found a/b__c.wav and a__b/c.wav, which are both called a__b__c.wav, wanted other names",
        ),
        (
            ["a/1-x.wav", "a/y.wav"],
            {"group_pattern": r"/(\d+)-"},
            "data.group_pattern: found no recording id in 'a/y.wav', wanted '/(\\\\d+)-' to read one",
        ),
        (
            ["a/1.wav", "a/2.wav", "b/3.wav"],
            {},
            "data.n_folds: found 1 recordings of class b, wanted at least 2, one a fold",
        ),
        (
            ["a/1\n2.wav"],
            {},
            "{root}: found the file name 'a/1\\n2.wav', wanted one without control characters, in UTF-8",
        ),
    ],
)
def test_a_bad_folder_is_told_in_one_line(
    tmp_path: Path, files: list[str], changed: dict[str, Any], message: str
) -> None:
    for file in files:
        write_audio(tmp_path / file) if file.endswith(".wav") else (tmp_path / file).parent.mkdir()
        (tmp_path / file).touch()
    with pytest.raises(StudyError) as error:
        list_folder(settings(tmp_path, **changed), seed=0)
    assert str(error.value) == message.replace("{root}", str(tmp_path))


def test_root_must_be_a_folder(tmp_path: Path) -> None:
    wanted = f"data.root: found {tmp_path}/no, which is no folder, wanted the folder of your labelled clips"
    with pytest.raises(StudyError, match=f"^{re.escape(wanted)}$"):
        list_folder(settings(tmp_path / "no"), seed=0)


def urbansound8k(root: Path) -> list[Clip]:
    clips = [
        Clip(
            f"{10 * k + c}-{c}.ogg",
            str(10 * k + c),
            k,
            c,
            f"class {c}",
            path=f"audio/fold{k}/{10 * k + c}-{c}.ogg",
            in_root=True,
        )
        for k in (1, 2, 10)
        for c in (0, 1)
    ]
    (root / "metadata").mkdir()
    rows = [f"{clip.name},{clip.fs_id},{clip.fold},{clip.class_id},{clip.class_name}\n" for clip in clips]
    (root / "metadata" / "UrbanSound8K.csv").write_text("slice_file_name,fsID,fold,classID,class\n" + "".join(rows))
    for clip in clips:
        write_audio(root / clip.path)
    return clips


def test_urbansound8ks_layout_brings_its_folds(tmp_path: Path) -> None:
    clips = urbansound8k(tmp_path)
    assert list_folder(settings(tmp_path), seed=0).clips == clips
    (tmp_path / clips[2].path).unlink()
    with pytest.raises(StudyError, match=r"audio/fold2/20-0.ogg: not there, wanted the audio of 20-0.ogg"):
        list_folder(settings(tmp_path), seed=0)
    listing = list_folder(settings(tmp_path, skip=["missing"]), seed=0)
    assert (listing.clips, listing.excluded) == ([*clips[:2], *clips[3:]], [("20-0.ogg", "missing")])


def test_urbansound8ks_layout_needs_no_pattern(tmp_path: Path) -> None:
    urbansound8k(tmp_path)
    with pytest.raises(StudyError, match=r"^data.group_pattern: found '\(a\)', wanted null: .* names the recordings$"):
        list_folder(settings(tmp_path, group_pattern="(a)"), seed=0)


def test_suffixes() -> None:
    assert {".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".opus", ".m4a", ".wma"} <= audio_suffixes()
    assert not {".raw", ".txt", ".csv", ".jpg", ""} & audio_suffixes()
