"""Generated clips in one archive: the samples come back, other programs read it, the bytes are the same each time."""

import csv
import io
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundaug.sound.clip_archive import read_archived, write_archive
from soundaug.sources.corpus import Clip, layout_path, read_clips

CLIPS = [
    Clip(f"{number}-0 дождь.flac", f"r{number}", 3, class_id, name, layout_path(3, f"{number}-0 дождь.flac"))
    for number, (class_id, name) in enumerate([(0, "rain"), (1, "wind"), (0, "rain")])
]
WAVEFORMS = np.random.default_rng(0).integers(-(2**15), 2**15, (3, 400), dtype=np.int16)


def test_samples_come_back_in_the_order_asked_for(tmp_path: Path) -> None:
    write_archive(tmp_path / "clips.zip", CLIPS, iter(WAVEFORMS), 8000)
    paths = [clip.path for clip in CLIPS]
    found = list(read_archived(tmp_path / "clips.zip", [paths[2], paths[0], paths[2]]))
    np.testing.assert_array_equal(found, WAVEFORMS[[2, 0, 2]])
    assert found[0].dtype == np.int16


def test_unpacked_it_is_a_corpus_in_urbansound8ks_layout(tmp_path: Path) -> None:
    write_archive(tmp_path / "clips.zip", CLIPS, WAVEFORMS, 8000)
    with zipfile.ZipFile(tmp_path / "clips.zip") as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
    assert read_clips(tmp_path / "metadata/UrbanSound8K.csv") == CLIPS
    for clip, waveform in zip(CLIPS, WAVEFORMS, strict=True):
        samples, rate = soundfile.read(tmp_path / clip.path, dtype="int16")
        assert (rate, soundfile.info(tmp_path / clip.path).format) == (8000, "FLAC")
        np.testing.assert_array_equal(samples, waveform)


def test_the_bytes_do_not_tell_when_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_archive(tmp_path / "first.zip", CLIPS, WAVEFORMS, 8000)
    later = time.localtime(time.time() + 5 * 24 * 3600)
    monkeypatch.setattr(time, "localtime", lambda *_: later)
    write_archive(tmp_path / "second.zip", CLIPS, WAVEFORMS, 8000)
    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "second.zip").read_bytes()


def test_no_clips_are_an_archive_with_an_empty_table(tmp_path: Path) -> None:
    write_archive(tmp_path / "clips.zip", [], [], 8000)
    with zipfile.ZipFile(tmp_path / "clips.zip") as archive:
        assert archive.namelist() == ["metadata/UrbanSound8K.csv"]
        table = io.StringIO(archive.read("metadata/UrbanSound8K.csv").decode())
    assert [row[:2] for row in csv.reader(table)] == [["slice_file_name", "fsID"]]
    assert list(read_archived(tmp_path / "clips.zip", [])) == []


def test_a_clip_too_few_leaves_no_archive(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shorter"):
        write_archive(tmp_path / "clips.zip", CLIPS, WAVEFORMS[:2], 8000)
    assert not list(tmp_path.iterdir())
    write_archive(tmp_path / "clips.zip", CLIPS, WAVEFORMS, 8000)
    with pytest.raises(KeyError, match="other"):
        list(read_archived(tmp_path / "clips.zip", ["other.flac"]))
