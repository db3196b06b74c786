"""The folder of sounds that the report plays."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundaug.listening.sounds import Sound, read_sounds, write_sounds
from soundaug.running.errors import StudyError

MEL = np.arange(12, dtype=np.float32).reshape(3, 4)
SOUNDS = [
    Sound("class", 2, "parent_a", 'a "quoted", 狗.wav', np.array([0, 1, -32768, 32767], np.int16), MEL),
    Sound("class", 2, "mixture", "b.flac", np.array([5, 6, 7, 8], np.int16), MEL + 1, 0.25),
    Sound("closest", 0, "real", "c.wav", np.zeros(4, np.int16), MEL - 1),
]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write_sounds(tmp_path / "sounds", SOUNDS, 8000)
    found = read_sounds(tmp_path / "sounds")
    assert [(one.group, one.number, one.role, one.name, one.alpha) for one in found] == [
        (one.group, one.number, one.role, one.name, one.alpha) for one in SOUNDS
    ]
    for one, wanted in zip(found, SOUNDS, strict=True):
        np.testing.assert_array_equal(one.samples, wanted.samples)
        np.testing.assert_array_equal(one.log_mel, wanted.log_mel)
    files = {path.name for path in (tmp_path / "sounds").glob("*.flac")}
    assert files == {"class2-parent_a.flac", "class2-mixture-0.25.flac", "closest0-real.flac"}
    assert soundfile.info(tmp_path / "sounds/class2-parent_a.flac").samplerate == 8000


def test_no_folder_holds_no_sounds_and_no_sounds_make_a_folder(tmp_path: Path) -> None:
    assert read_sounds(tmp_path / "sounds") == []
    write_sounds(tmp_path / "sounds", [], 8000)
    assert read_sounds(tmp_path / "sounds") == []
    assert {path.name for path in (tmp_path / "sounds").iterdir()} == {"sounds.csv", "mels.npy"}


def test_a_folder_that_is_something_else_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    write_sounds(folder, SOUNDS, 8000)
    (folder / "closest0-real.flac").write_bytes(b"no sound")
    with pytest.raises(StudyError, match=r"sounds: found no sounds .*wanted what demonstrate writes"):
        read_sounds(folder)
    (folder / "mels.npy").unlink()
    with pytest.raises(StudyError, match=r"sounds/mels\.npy: not there, wanted what demonstrate writes"):
        read_sounds(folder)
    (folder / "sounds.csv").write_text("a,b\n1,2\n")
    with pytest.raises(StudyError, match=r"sounds\.csv: found columns a, b, wanted also file"):
        read_sounds(folder)
