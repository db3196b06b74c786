"""Clips sampled from sound files: parts of one length, from random places."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile

from soundaug.running.errors import StudyError
from soundaug.running.outputs import whole
from soundaug.sound.audio import ClipProblem, encoded, read_channels


def sounds_in(path: Path) -> dict[Path, Path]:
    """A sound file, or those below a folder by libsndfile's endings, sorted; keyed by name, without folder and ending.

    StudyError when there are none, or two whose names differ in the ending only.
    """
    if path.is_file():
        return {Path(path.stem): path}
    if not path.is_dir():
        raise StudyError(f"{path}: not there, wanted a sound file or a folder of them")
    endings = {f".{name.lower()}" for name in soundfile.available_formats()} | {".aif", ".oga", ".opus"}
    found: dict[Path, Path] = {}
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.suffix.lower() in endings:
            name = file.relative_to(path).with_suffix("")
            if name in found:
                raise StudyError(
                    f"{file}: found {found[name].name} beside it, wanted names that differ without endings"
                )
            found[name] = file
    if not found:
        raise StudyError(f"{path}: found no sound file, wanted one or more")
    return found


def read_sound(path: Path, sample_rate: int | None = None) -> tuple[np.ndarray, int]:
    """A file as float32 [channels, samples], full scale +-1, and its rate; StudyError when it cannot be used."""
    try:
        return read_channels(path, sample_rate)
    except ClipProblem as problem:
        raise StudyError(f"{path}: {problem}, wanted audio") from None


def write_sound(path: Path, waveforms: np.ndarray, sample_rate: int) -> float:
    """Write float [channels, samples] as 16 bits in the format that the ending names; returns the gain in dB it took.

    Sound beyond full scale is turned down as a whole. StudyError for an ending that libsndfile does not know.
    """
    ending = check_ending(path)
    peak = max(1.0, float(np.abs(waveforms).max(initial=0.0)))
    subtype = "PCM_16" if soundfile.check_format(ending, "PCM_16") else soundfile.default_subtype(ending)
    with whole(path) as partial:
        partial.write_bytes(encoded((waveforms / peak).T, sample_rate, ending, subtype))
    return -20 * float(np.log10(peak))


def check_ending(path: Path) -> str:
    """The sound format that ``path``'s ending names; StudyError for one that libsndfile does not know."""
    ending = path.suffix[1:].upper()
    if ending not in soundfile.available_formats():
        raise StudyError(f"{path}: found the ending {path.suffix!r}, wanted .wav, .flac, .ogg or another of libsndfile")
    return ending


def sample_clips(
    sounds: Mapping[Path, Path], folder: Path, count: int, milliseconds: int, mono: bool, ending: str, seed: int
) -> tuple[list[Path], list[Path]]:
    """Write ``count`` clips of every file into ``folder``; returns them and the files that are too short for one.

    ``sounds`` are files by their names. A clip is named as Riffusion names it, after the file's name:
    `<name>_clip_0_start_1234_ms_duration_5120_ms.wav`. The places depend on the seed and on the file's number only.
    Raises StudyError when every file is too short.
    """
    written, short = [], []
    for number, (sound, file) in enumerate(sounds.items()):
        waveforms, rate = read_sound(file)
        length = round(milliseconds * rate / 1000)
        if waveforms.shape[1] < length:
            short.append(file)
            continue
        if mono:
            waveforms = waveforms.mean(axis=0, keepdims=True)
        rng = np.random.default_rng([seed, number])
        last_ms = (waveforms.shape[1] - length) * 1000 // rate
        for index, start_ms in enumerate(rng.integers(0, last_ms + 1, count)):
            start = round(start_ms * rate / 1000)
            clip = f"{sound.name}_clip_{index}_start_{start_ms}_ms_duration_{milliseconds}_ms.{ending}"
            written.append(folder / sound.parent / clip)
            write_sound(written[-1], waveforms[:, start : start + length], rate)
    if not written:
        found = f"found {len(short)} files, all shorter than a clip" if len(short) > 1 else "shorter than a clip"
        raise StudyError(f"{short[0]}: {found}, wanted {milliseconds} ms or more")
    return written, short
