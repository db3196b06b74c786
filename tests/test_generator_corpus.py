"""What a generator learns: the training folds clip for clip, or whole clips of the music's pieces to train on."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from fake_study import CLASSES, fake_params, fake_study, write_csv

from soundaug.generator.corpus import GeneratorCorpus
from soundaug.running.errors import StudyError
from soundaug.sound.audio import fit
from soundaug.sound.features import MelFrontEnd

RATE, SAMPLES = 8000, 4000  # the clips of fake_params
MUSIC = {"corpus": "data/music", "condition": "none"}


def music(folder: Path, seconds: float = 1.3) -> dict[str, np.ndarray]:
    """Two compositions in two styles, one more held out; by file, at the study's rate."""
    rng = np.random.default_rng(0)
    files: dict[str, np.ndarray] = {}
    rows = []
    for style in ("solo_piano", "jazz_trio"):
        for piece, split in (("train0000", "train"), ("train0001", "train"), ("held_out0000", "held_out")):
            file = f"{style}/{piece}.flac"
            files[file] = rng.uniform(-0.5, 0.5, round(seconds * RATE))
            (folder / style).mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / file, files[file], RATE)
            rows.append((file, piece, style, "a caption", split))
    write_csv(folder / "pieces.csv", ("file", "piece", "style", "captions", "split"), rows)
    return files


def test_the_training_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = fake_params()
    fake_study(tmp_path / "data", params)
    monkeypatch.chdir(tmp_path)
    corpus = GeneratorCorpus.load(params.generator, 2, MelFrontEnd(params.features))
    assert (corpus.classes, corpus.folds) == (list(CLASSES), [1, 3])
    rows = corpus.rows()
    assert len(rows) == len(corpus.clips) == 24
    assert [fold for _, _, fold in rows] == 12 * [1] + 12 * [3]
    assert [name for name, _, _ in rows] == corpus.clips.name.tolist()
    assert all(name.startswith(f"{fs_id}-") and fs_id.startswith(str(fold)) for name, fs_id, fold in rows)


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_the_music_is_cut_into_clips_and_none_is_the_studys(
    scale: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = music(tmp_path / "data/music")
    monkeypatch.chdir(tmp_path)
    params = fake_params(features={"scale": scale}, generator=MUSIC)
    front_end = MelFrontEnd(params.features)
    corpus = GeneratorCorpus.load(params.generator, 2, front_end)
    assert (corpus.classes, corpus.folds, corpus.rows()) == (["jazz_trio", "solo_piano"], [], [])
    clips = corpus.clips  # 1.3 s are two clips of half a second, and a rest
    assert clips.name.tolist() == [
        f"{style}/train000{piece}.flac#{part}"
        for style in ("solo_piano", "jazz_trio")
        for piece in (0, 1)
        for part in (0, 1)
    ]
    assert clips.class_id.tolist() == 4 * [1] + 4 * [0]
    assert clips.fs_id.tolist() == 2 * ["train0000", "train0000", "train0001", "train0001"]
    wanted = front_end(
        torch.from_numpy(fit(files["jazz_trio/train0001.flac"][SAMPLES:].astype(np.float32), SAMPLES))[None]
    )
    np.testing.assert_allclose(
        front_end.log_mel(torch.from_numpy(clips.mel[7])), front_end.log_mel(wanted[0]), atol=0.05
    )  # 16 bits


def test_music_that_is_no_use_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = fake_params(generator=MUSIC)
    front_end = MelFrontEnd(params.features)
    with pytest.raises(StudyError, match=re.escape("data/music/pieces.csv: not there, wanted")):
        GeneratorCorpus.load(params.generator, 1, front_end)
    music(tmp_path / "data/music", seconds=0.4)
    with pytest.raises(StudyError, match=re.escape("found no piece as long as a clip (0.5 s), wanted one or more")):
        GeneratorCorpus.load(params.generator, 1, front_end)
    (tmp_path / "data/music/jazz_trio/train0001.flac").write_text("no music")
    with pytest.raises(StudyError, match=r"data/music/jazz_trio/train0001.flac: not readable as audio"):
        GeneratorCorpus.load(params.generator, 1, front_end)


def test_music_has_none_of_the_studys_classes() -> None:
    with pytest.raises(StudyError) as error:
        fake_params(generator={"corpus": "data/music"})
    assert str(error.value) == (
        "generator: condition is class, wanted none with corpus data/music: it has no such classes"
    )
    with pytest.raises(StudyError) as error:
        fake_params(generator=MUSIC | {"unlabelled": True})
    assert str(error.value) == (
        "generator: unlabelled is true, wanted false with corpus data/music: it has none of the recordings"
    )
    assert fake_params(generator=MUSIC).generator.corpus == "data/music"
