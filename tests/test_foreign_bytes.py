"""Whatever bytes a file holds: they are read, or told in one line; nothing else is raised or written, and soon."""

import copy
import gzip
import json
import struct
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from test_bad_input import HEADER, QUICK, SETTINGS, UNET, bytes_of, ihdr, png, tar, with_exif, with_text
from torch import nn

from soundaug.classification.classifier import SoundClassifier, load_classifier, save_classifier
from soundaug.diffusion.codec import codec_of
from soundaug.diffusion.pretrained import UNETS, load_network, load_schedule
from soundaug.folds.packed import ClipSet
from soundaug.images.files import open_image
from soundaug.images.riffusion import ExifTag
from soundaug.images.sound import sound_of
from soundaug.interpolation import read_pairs
from soundaug.params import load_params, parse_params
from soundaug.running.checkpoint import load_checkpoint, save_checkpoint
from soundaug.running.errors import StudyError
from soundaug.running.outputs import read_json, read_rows
from soundaug.sound.excerpts import read_sound
from soundaug.sources.corpus import TABLE, read_clips
from soundaug.sources.download import extract_corpus

PHASES = [Phase.explicit, Phase.reuse, Phase.generate]  # not shrinking: what failed is small
MOST_SECONDS = 5.0  # of processor time, for files of some kilobytes
FEW = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), phases=PHASES)
MANY = settings(FEW, max_examples=60)


def read_or_told(content: bytes, name: str, read: Callable[[Path], Any]) -> Any:
    """What ``read`` makes of a file of these bytes, None where it raises StudyError; nothing is written beside it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "given", name)
        path.parent.mkdir()
        path.write_bytes(content)
        start = time.process_time()
        try:
            found = read(path)
        except StudyError as error:
            assert str(error).startswith(str(path.parent)), error  # noqa: PT017
            assert len(str(error)) < 3000  # noqa: PT017
            found = None
        assert time.process_time() - start < MOST_SECONDS
        there = {entry.relative_to(folder).as_posix() for entry in Path(folder).rglob("*")}
        assert {entry for entry in there if not entry.startswith("given/raw")} <= {"given", f"given/{name}"}
        return found


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """``whole`` with some bytes overwritten, cut out, repeated or put in."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(content)))
        length = draw(st.sampled_from([0, 1, 2, 4, 8, 100]))
        with_what = draw(
            st.one_of(
                st.binary(max_size=8),
                st.sampled_from([b"", b"\0" * 8, b"\xff" * 8, b"\x7f\xff\xff\xff", b'"', b",", b"\n", b"9" * 30]),
            )
        )
        content[place : place + length] = with_what
    return bytes(content[: draw(st.one_of(st.none(), st.integers(0, len(content))))])


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**6), 10**6),
        st.sampled_from([2**31, 2**63, 10**40, 10**400, -1, 0]),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from(["DownBlock2D", "AttnDownBlock2D", "silu", "linear", "epsilon", "fourier"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)


def changed(values: dict[str, Any], more: tuple[str, ...] = ()) -> st.SearchStrategy[dict[str, Any]]:
    """``values`` with some of them, or of ``more``, replaced by anything that JSON can hold."""
    return st.dictionaries(st.sampled_from([*values, *more]), JSON, min_size=1, max_size=2).map(
        lambda new: values | new
    )


# tables

CELLS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["1", "0", "10", "a.wav", "../x", '"', '""', "\n", "1e999", "nan", "١", "\0", "-1", "[]", "[[1]]"]),
)


@MANY
@given(st.lists(st.lists(CELLS, min_size=8, max_size=8), max_size=3), st.text(max_size=30))
def test_tables_of_anything(rows: list[list[str]], rest: str) -> None:
    text = HEADER + "".join(",".join(row) + "\n" for row in rows) + rest
    clips = read_or_told(text.encode("utf-8", "surrogatepass"), "clips.csv", read_clips)
    for clip in clips or ():
        assert "/" not in clip.name
        assert clip.name not in ("", ".", "..")
        assert clip.fold >= 1


@FEW
@given(damaged((HEADER + "a.wav,1,,,,1,0,dog\nb.wav,2,0.0,4.0,1,2,1,cat\n").encode()))
def test_damaged_tables(content: bytes) -> None:
    read_or_told(content, "clips.csv", read_clips)
    read_or_told(content, "table.csv", lambda path: read_rows(path, ["fold"]))
    read_or_told(content, "pairs.csv", read_pairs)


# params


TAGS_AND_SUCH = ["0b_", "0x", "1_", "._", ".inf", "1:60", "2020-99-99", "!!int ''", "!!binary x", "!!set {a}", "~"]
TAGS_AND_SUCH += ["!!python/name:os.system", "&a [*a]", "{<<: 1}", "<<", "=", "? x", "|", "'", "%", "!!omap [a]"]


@st.composite
def yaml_text(draw: st.DrawFn) -> str:
    """The quick preset with one value replaced by something that YAML has a meaning for."""
    value = draw(
        st.one_of(
            st.text(max_size=12),
            st.sampled_from(TAGS_AND_SUCH),
            JSON.map(lambda found: json.dumps(found)),
        )
    )
    lines = QUICK.splitlines()
    place = draw(st.integers(0, len(lines) - 1))
    lines[place] = lines[place].split(":")[0] + ": " + value
    return "\n".join(lines)


@MANY
@given(yaml_text())
def test_params_of_anything(text: str) -> None:
    read_or_told(text.encode("utf-8", "surrogatepass"), "params.yaml", load_params)


@FEW
@given(damaged(QUICK.encode()))
def test_damaged_params(content: bytes) -> None:
    read_or_told(content, "params.yaml", load_params)


@FEW
@given(st.sampled_from(sorted(yaml.safe_load(QUICK))), JSON)
def test_values_of_anything(name: str, value: Any) -> None:
    values = copy.deepcopy(yaml.safe_load(QUICK)) | {name: value}
    try:
        parse_params(values)
    except StudyError as error:
        assert "\n" not in str(error)  # noqa: PT017


# archives

ARCHIVE = gzip.decompress(
    tar((f"UrbanSound8K/{TABLE.as_posix()}", b"x"), ("UrbanSound8K/audio/fold1/a.wav", b"y" * 600))
)


def unpacked(path: Path) -> None:
    extract_corpus(path, path.parent / "raw")


@MANY
@given(damaged(ARCHIVE))
def test_damaged_archives(content: bytes) -> None:
    read_or_told(gzip.compress(content, 1), "a.tar.gz", unpacked)


@FEW
@given(damaged(gzip.compress(ARCHIVE)))
def test_damaged_gzip(content: bytes) -> None:
    read_or_told(content, "a.tar.gz", unpacked)


@MANY
@given(
    st.lists(st.one_of(st.text(max_size=9), st.sampled_from(["../x", "/x", "a/../../x", "a", "a/b", "."])), max_size=4)
)
def test_members_of_any_name(names: list[str]) -> None:
    members = [(name, b"x") for name in names if name.encode("utf-8", "ignore").decode() == name]
    read_or_told(tar((TABLE.as_posix(), b"x"), *members), "a.tar.gz", unpacked)


# images

NUMBERS = st.one_of(st.integers(0, 2**32 - 1), st.floats(), st.text(max_size=6), st.binary(max_size=6))
TAGS = [tag.name for tag in ExifTag]


def heard(path: Path) -> None:
    sound = sound_of(open_image(path), seed=0, iterations=1)
    assert np.isfinite(sound.waveforms).all()


@MANY
@given(st.dictionaries(st.sampled_from(TAGS), NUMBERS, min_size=1, max_size=3))
def test_exif_of_anything(values: dict[str, Any]) -> None:
    try:
        content = with_exif(**values)
    except (struct.error, OverflowError, ValueError, TypeError):  # Pillow cannot write it
        return
    read_or_told(content, "a.png", heard)


@MANY
@given(
    st.dictionaries(
        st.sampled_from(["width", "n_mels", "sample_rate", "n_fft", "hop_length", "top_db", "reference_power"]),
        st.one_of(st.integers(-1, 2**40).map(str), st.floats().map(repr), st.text(max_size=6)),
        min_size=1,
        max_size=3,
    )
)
def test_text_chunks_of_anything(values: dict[str, str]) -> None:
    read_or_told(with_text(**values), "a.png", heard)


@FEW
@given(st.data())
def test_damaged_images(data: st.DataObject) -> None:
    """The file as a whole, and its EXIF block between chunks that are as they should be."""
    read_or_told(data.draw(damaged(with_exif())), "a.png", heard)
    whole = with_exif()
    start = whole.index(b"eXIf")
    exif = whole[start + 4 : start + 4 + struct.unpack(">I", whole[start - 4 : start])[0]]
    pixels = (b"IDAT", zlib.compress(bytes(9 * 16)))
    read_or_told(png(ihdr(8, 16), (b"eXIf", data.draw(damaged(exif))), pixels, (b"IEND", b"")), "a.png", heard)


# audio


@FEW
@given(st.sampled_from(["WAV", "FLAC", "OGG", "AIFF"]), st.data())
def test_damaged_audio(kind: str, data: st.DataObject) -> None:
    whole = bytes_of(lambda file: soundfile.write(file, np.linspace(-0.5, 0.5, 800), 8000, format=kind))
    found = read_or_told(data.draw(damaged(whole)), f"a.{kind.lower()}", read_sound)
    assert found is None or np.isfinite(found[0]).all()


# checkpoints


@FEW
@given(changed(UNET, ("act_fn", "dropout", "attention_head_dim", "time_embedding_type", "mid_block_type", "_x")))
def test_network_configurations_of_anything(values: dict[str, Any]) -> None:
    def read(path: Path) -> None:
        save_file({"a": torch.zeros(1)}, path.parent / "diffusion_pytorch_model.safetensors")
        try:
            load_network(path.parent, UNETS)
        finally:
            (path.parent / "diffusion_pytorch_model.safetensors").unlink()

    read_or_told(json.dumps(values).encode(), "config.json", read)


SCHEDULER = {"_class_name": "DDPMScheduler", "num_train_timesteps": 100, "beta_start": 1e-4, "beta_end": 0.02}
SCHEDULER |= {"beta_schedule": "linear", "prediction_type": "epsilon", "trained_betas": None}


@MANY
@given(changed(SCHEDULER, ("variance_type", "rescale_betas_zero_snr", "shift", "timestep_spacing")))
def test_schedules_of_anything(values: dict[str, Any]) -> None:
    found = read_or_told(json.dumps(values).encode(), "scheduler_config.json", load_schedule)
    assert found is None or bool(((found.alpha_bar > 0) & (found.alpha_bar < 1)).all())


MEL = {"codec": "clip", "n_mels": 8, "n_frames": 8, "width": 8, "top_db": 80.0, "floor_db": -60.0}


@MANY
@given(changed(MEL, ("quantized", "patch", "scaling")))
def test_codecs_of_anything(values: dict[str, Any]) -> None:
    codec_or_told(values)


SCALING = {"codec": "mel", "n_mels": 2, "n_frames": 2, "floor_db": -60.0, "ceiling_db": 0.0, "mean_db": -30.0}
SCALING |= {"deviation_db": 10.0, "patch": 1, "multiple": 1}
WHITENED = {"codec": "whitened", "scaling": SCALING, "mean": [[0.0, 0.0]], "axes": [[1.0]], "deviation": [1.0]}


@MANY
@given(changed(WHITENED, ("patch",)))
def test_whitenings_of_anything(values: dict[str, Any]) -> None:
    codec_or_told(values)


def codec_or_told(values: dict[str, Any]) -> None:
    try:
        codec_of(values, None)
    except StudyError as error:
        assert "\n" not in str(error)  # noqa: PT017


@FEW
@given(damaged(json.dumps(MEL).encode()))
def test_damaged_json(content: bytes) -> None:
    read_or_told(content, "values.json", read_json)


def checkpoint() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "c")
        save_checkpoint(path, {"network": nn.Linear(2, 1)}, torch.Generator(), {"step": 1})
        return path.read_bytes()


@pytest.mark.filterwarnings("ignore")
@MANY
@given(damaged(checkpoint()))
def test_damaged_checkpoints(content: bytes) -> None:
    read_or_told(content, "c.pt", lambda path: load_checkpoint(path, {"network": nn.Linear(2, 1)}, torch.Generator()))


PACKED = bytes_of(
    lambda file: np.savez(file, mel=np.zeros((2, 3, 4), np.float32), class_id=[0, 1], fs_id=["1", "2"], name=["a", "b"])
)


@MANY
@given(damaged(PACKED))
def test_damaged_features(content: bytes) -> None:
    read_or_told(content, "fold1.npz", ClipSet.load)


def classifier() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m")
        save_classifier(path, SoundClassifier(SETTINGS.classifier, SETTINGS.features.n_mels, 3))
        return path.read_bytes()


@FEW
@given(damaged(classifier()[:2000]))
def test_damaged_classifiers(content: bytes) -> None:
    read_or_told(content, "m", lambda path: load_classifier(path, SETTINGS.classifier, SETTINGS.features, 3))
