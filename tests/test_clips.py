"""Clips of sound files: where they come from, what they are named and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundaug.running.errors import StudyError
from soundaug.sound.excerpts import read_sound, sample_clips, sounds_in, write_sound

RATE = 8000


def ramp(path: Path, seconds: float = 2.0, channels: int = 2) -> Path:
    """A file whose samples tell where they are: sample n is n / 32768, the second channel minus that."""
    path.parent.mkdir(parents=True, exist_ok=True)
    one = np.arange(round(seconds * RATE), dtype=np.int16)
    soundfile.write(path, np.stack([one, -one][:channels], axis=1), RATE)
    return path


def test_clips_are_parts_of_the_file_named_after_where_they_start(tmp_path: Path) -> None:
    written, short = sample_clips(sounds_in(ramp(tmp_path / "a.wav")), tmp_path / "out", 5, 500, False, "wav", seed=0)
    assert (len(written), short) == (5, [])
    starts = set()
    for index, path in enumerate(written):
        samples, rate = soundfile.read(path, dtype="int16")
        start_ms = int(path.stem.split("_")[4])
        assert path.name == f"a_clip_{index}_start_{start_ms}_ms_duration_500_ms.wav"
        assert (rate, samples.shape) == (RATE, (4000, 2))
        assert samples[0, 0] == start_ms * RATE // 1000
        np.testing.assert_array_equal(samples[:, 1], -samples[:, 0])
        starts.add(start_ms)
    assert len(starts) == 5
    again, _ = sample_clips(sounds_in(tmp_path / "a.wav"), tmp_path / "again", 5, 500, False, "wav", seed=0)
    assert [path.name for path in again] == [path.name for path in written]
    other, _ = sample_clips(sounds_in(tmp_path / "a.wav"), tmp_path / "other", 5, 500, False, "wav", seed=1)
    assert [path.name for path in other] != [path.name for path in written]


def test_mono_and_another_format(tmp_path: Path) -> None:
    written, _ = sample_clips(sounds_in(ramp(tmp_path / "a.wav")), tmp_path / "out", 1, 2000, True, "flac", seed=0)
    samples, _ = soundfile.read(written[0], dtype="int16", always_2d=True)
    assert written[0].name == "a_clip_0_start_0_ms_duration_2000_ms.flac"
    assert samples.shape == (16000, 1)
    assert not samples.any()  # the channels are each other's opposite


def test_short_files_of_a_folder_are_left_out_and_told(tmp_path: Path) -> None:
    ramp(tmp_path / "in" / "long.wav")
    short = ramp(tmp_path / "in" / "deep" / "short.wav", 0.1)
    (tmp_path / "in" / "notes.txt").touch()
    sounds = sounds_in(tmp_path / "in")
    assert [str(name) for name in sounds] == ["deep/short", "long"]
    written, left = sample_clips(sounds, tmp_path / "out", 2, 500, False, "wav", seed=0)
    assert (len(written), left) == (2, [short])
    ramp(tmp_path / "in" / "deep" / "long.v2.wav")
    written, _ = sample_clips(sounds_in(tmp_path / "in"), tmp_path / "out", 1, 500, False, "wav", seed=0)
    assert [path.relative_to(tmp_path / "out").as_posix().split("_")[0] for path in written] == ["deep/long.v2", "long"]


def test_what_is_refused(tmp_path: Path) -> None:
    short = ramp(tmp_path / "short.wav", 0.1)
    with pytest.raises(StudyError, match=r"short\.wav: shorter than a clip, wanted 500 ms or more"):
        sample_clips({Path("short"): short}, tmp_path / "out", 1, 500, False, "wav", seed=0)
    with pytest.raises(StudyError, match="found 2 files, all shorter than a clip, wanted 500 ms"):
        sample_clips({Path("a"): short, Path("b"): short}, tmp_path / "out", 1, 500, False, "wav", seed=0)
    with pytest.raises(StudyError, match="none: not there, wanted a sound file or a folder of them"):
        sounds_in(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StudyError, match="empty: found no sound file, wanted one or more"):
        sounds_in(tmp_path / "empty")
    soundfile.write(ramp(tmp_path / "two" / "a.wav").with_suffix(".flac"), np.zeros(10), RATE)
    with pytest.raises(StudyError, match=r"a\.wav: found a\.flac beside it, wanted names that differ without endings"):
        sounds_in(tmp_path / "two")
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(StudyError, match=r"text\.wav: not readable as audio \(.*\), wanted audio"):
        read_sound(tmp_path / "text.wav")
    with pytest.raises(StudyError, match=r"a\.txt: found the ending '\.txt', wanted \.wav, \.flac"):
        write_sound(tmp_path / "a.txt", np.zeros((1, 10)), RATE)
    assert not (tmp_path / "a.txt").exists()


def test_sound_beyond_full_scale_is_turned_down_and_told(tmp_path: Path) -> None:
    assert write_sound(tmp_path / "quiet.wav", np.full((1, 10), 0.25), RATE) == 0
    assert soundfile.read(tmp_path / "quiet.wav")[0] == pytest.approx(np.full(10, 0.25))
    assert write_sound(tmp_path / "loud.wav", np.array([[2.0, -1.0]]), RATE) == pytest.approx(-6.02, abs=0.01)
    assert soundfile.read(tmp_path / "loud.wav")[0] == pytest.approx([1.0, -0.5], abs=1e-4)


def test_reading_resamples_and_keeps_channels(tmp_path: Path) -> None:
    waveforms, rate = read_sound(ramp(tmp_path / "a.wav"), 4000)
    assert (rate, waveforms.shape, waveforms.dtype) == (4000, (2, 8000), np.float32)
    np.testing.assert_allclose(waveforms[0, 1000:5000], np.arange(2000, 10000, 2) / 2**15, atol=2e-4)
