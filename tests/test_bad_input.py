"""What a user may give by mistake, or somebody else on purpose: for each the one line that is told, and no more."""
# ruff: noqa: E501 - lines as they are told

import gzip
import io
import json
import os
import pickle
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import save_file
from torch import nn

from soundaug.classification.classifier import load_classifier
from soundaug.classification.encoder import load_encoder
from soundaug.diffusion.codec import load_codec
from soundaug.diffusion.pretrained import UNETS, load_network, load_schedule
from soundaug.folds.packed import ClipSet
from soundaug.generation.selection import load_selector
from soundaug.images.files import open_image
from soundaug.images.riffusion import ExifTag
from soundaug.images.sound import sound_of
from soundaug.interpolation import COLUMNS, read_pairs
from soundaug.params import load_params, parse_params
from soundaug.running.checkpoint import load_checkpoint
from soundaug.running.errors import run_stage
from soundaug.running.outputs import read_json
from soundaug.running.pickled import read_tensors
from soundaug.sound.excerpts import read_sound
from soundaug.sources.corpus import read_clips, read_excluded
from soundaug.sources.download import extract_corpus

QUICK = Path(__file__).parents[1].joinpath("presets/quick.yaml").read_text(encoding="utf-8")
SETTINGS = parse_params(yaml.safe_load(QUICK))
RATE = 8000

# By what is wrong: the bytes of the file, or what writes it; and the line. FILE stands for its name, (...) for what a
# library or Python says, which changes with its version.
Rows = dict[str, tuple[bytes | Callable[[Path], object], str]]


def bytes_of(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


# audio


def sound(samples: Any, rate: int = RATE, kind: str = "WAV", subtype: str = "FLOAT") -> bytes:
    return bytes_of(lambda file: soundfile.write(file, np.array(samples), rate, format=kind, subtype=subtype))


def wav(rate: int = RATE, channels: int = 1, tag: int = 1, bits: int = 16, data: bytes = b"\1\0" * 9) -> bytes:
    """A WAV file whose header says so, whatever is in it."""
    head = struct.pack("<HHIIHH", tag, channels, rate, rate * 2 % 2**32, 2, bits)
    chunks = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def flac_that_says(samples: int) -> bytes:
    """A FLAC file that claims another number of samples: 36 bits, at the end of byte 21 and in bytes 22 to 25."""
    whole = bytearray(sound([0.1] * 100, kind="FLAC", subtype="PCM_16"))
    whole[21] = whole[21] & 0xF0 | samples >> 32
    whole[22:26] = struct.pack(">I", samples & 0xFFFFFFFF)
    return bytes(whole)


AUDIO: Rows = {
    "nothing": (b"", "FILE: not readable as audio (Format not recognised.), wanted audio"),
    "text": (b"no audio at all", "FILE: not readable as audio (Format not recognised.), wanted audio"),
    "a web page": (
        b"<!doctype html><html><body>404</body></html>",
        "FILE: not readable as audio (Format not recognised.), wanted audio",
    ),
    "a header alone": (
        wav()[:12],
        "FILE: not readable as audio (Error in WAV file. No 'data' chunk marker.), wanted audio",
    ),
    "no sample": (wav(data=b""), "FILE: holds no samples, wanted audio"),
    "one sample a second": (wav(rate=1), "FILE: has 1 samples a second, not 100 to 10000000, wanted audio"),
    "too many samples a second": (
        wav(rate=2**31 - 1),
        "FILE: has 2147483647 samples a second, not 100 to 10000000, wanted audio",
    ),
    "no samples a second": (
        wav(rate=0),
        "FILE: not readable as audio (Internal error : SF_INFO struct incomplete.), wanted audio",
    ),
    "no channel": (wav(channels=0), "FILE: not readable as audio (Channel count is zero.), wanted audio"),
    "an unknown coding": (
        wav(tag=0x1234),
        "FILE: not readable as audio (Error in WAV/W64/RF64 file. Malformed 'fmt ' chunk.), wanted audio",
    ),
    "NaN": (sound([0.0, np.nan]), "FILE: holds samples that are NaN or infinite, wanted audio"),
    "infinity": (sound([0.0, -np.inf]), "FILE: holds samples that are NaN or infinite, wanted audio"),
    "beyond any scale": (sound([0.0, 1e30]), "FILE: holds samples above 4294967296 times full scale, wanted audio"),
    "a FLAC of a day": (
        flac_that_says(2**36 - 1),
        "FILE: not readable as audio (...), wanted audio",
    ),
    "half a FLAC": (
        sound([0.1] * 100, kind="FLAC", subtype="PCM_16")[:60],
        "FILE: not readable as audio (Error : unknown error in flac decoder.), wanted audio",
    ),
    "a folder": (lambda path: path.mkdir(), "FILE: not there, wanted audio"),
    "no file": (lambda path: None, "FILE: not there, wanted audio"),
}

# tables

HEADER = "slice_file_name,fsID,start,end,salience,fold,classID,class\n"


def row(**changed: str) -> bytes:
    values = {"slice_file_name": "x.wav", "fsID": "1", "start": "", "end": "", "salience": "", "fold": "1"}
    return (HEADER + ",".join((values | {"classID": "0", "class": "a"} | changed).values()) + "\n").encode()


TABLES: Rows = {
    "UTF-16": (
        HEADER.encode("utf-16"),
        "FILE: found bytes that are not UTF-8 (invalid start byte), wanted a UTF-8 table",
    ),
    "a quote that never ends": (
        HEADER.encode() + b'"x.wav,1,,,,1,0,a\n',
        "FILE: not readable as CSV: unexpected end of data",
    ),
    "text after a quote": (
        HEADER.encode() + b'"x"y,1,,,,1,0,a\n',
        "FILE: not readable as CSV: ',' expected after '\"'",
    ),
    "a cell of a megabyte": (
        row(fsID="1" * 2**20),
        "FILE: not readable as CSV: field larger than field limit (131072)",
    ),
    "a name with a line break": (
        row(slice_file_name='"x\n.wav"'),
        "FILE: row 2: column slice_file_name: found 'x\\n.wav', wanted a bare file name",
    ),
    "a name of 300 characters": (
        row(slice_file_name="x" * 300),
        "FILE: row 2: column slice_file_name: found 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx', wanted a bare file name",
    ),
    "a name of 200 characters of three bytes": (
        row(slice_file_name="雨" * 200),
        "FILE: row 2: column slice_file_name: found '雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨...雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨雨', wanted a bare file name",
    ),
    "a name of NUL": (
        row(slice_file_name="x\0.wav"),
        "FILE: row 2: column slice_file_name: found 'x\\x00.wav', wanted a bare file name",
    ),
    "a digit of another script": (
        row(fold="١"),
        "FILE: row 2: column fold: found '١', wanted an integer of at least 1",
    ),
    "a fold of ten digits": (
        row(fold="1" * 10),
        "FILE: row 2: column fold: found '1111111111', wanted an integer of at least 1",
    ),
    "an infinite start": (row(start="1e999"), "FILE: row 2: column start: found '1e999', wanted seconds, or nothing"),
    "a salience below 0": (
        row(salience="-1"),
        "FILE: row 2: column salience: found '-1', wanted an integer of at least 0",
    ),
    "a recording of spaces": (row(fsID="   "), "FILE: row 2: column fsID: found ' ', wanted a name"),
    "a class of a megabyte of digits": (
        row(classID="9" * 100_000),
        "FILE: row 2: column classID: found '9999999999999999999999999999999999999...99999999999999999999999999999999999999', wanted an integer of at least 0",
    ),
    "a semicolon for a comma": (
        HEADER.replace(",", ";").encode(),
        "FILE: row 1: column slice_file_name: not there, found slice_file_name;fsID;start;end;salience;fold;classID;class",
    ),
}
EXCLUDED: Rows = {
    "bytes that are no text": (
        b"name,reason\n\xff\xff,empty\n",
        "FILE: not readable as CSV: 'utf-8' codec can't decode byte 0xff in position 12: invalid start byte",
    ),
    "other columns": (b"clip,why\nx,y\n", "FILE: found columns clip, why, wanted also name, reason"),
}
PAIRS: Rows = {
    "a list of lists of lists": (
        (",".join(COLUMNS) + f"\na,0,a,a,b,1,2,1,2,0.5,1,1.0,{'[' * 9999}\n").encode(),
        "FILE: nested too deeply",
    ),
    "a blank line": ((",".join(COLUMNS) + "\n\n").encode(), "FILE: not enough values to unpack (...)"),
    "a number of 5,000 digits": (
        (",".join(COLUMNS) + f"\na,{'1' * 5000},a,a,b,1,2,1,2,0.5,1,1.0,[]\n").encode(),
        "FILE: Exceeds the limit (...) for integer string conversion: value has 5000 digits; use sys.set_int_max_str_digits() to increase the limit",
    ),
}
JSON: Rows = {
    "nested without end": (b"[" * 99_999, "FILE: not valid JSON: nested too deeply"),
    "a number of 5,000 digits": (
        b"1" * 5000,
        "FILE: not valid JSON: Exceeds the limit (...) for integer string conversion: value has 5000 digits; use sys.set_int_max_str_digits() to increase the limit",
    ),
    "bytes that are no text": (
        b"\xff",
        "FILE: not valid JSON: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
    ),
}

# archives


def tar(*members: tarfile.TarInfo | tuple[str, bytes], mode: str = "w:gz", **options: Any) -> bytes:
    def write(file: io.BytesIO) -> None:
        with tarfile.open(fileobj=file, mode=mode, **options) as archive:  # type: ignore[call-overload]
            for member in members:
                info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member[0])
                content = b"" if isinstance(member, tarfile.TarInfo) else member[1]
                info.size = max(info.size, len(content))
                archive.addfile(info, io.BytesIO(content))

    return bytes_of(write)


def kind_of_member(name: str, kind: bytes, **values: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in values.items():
        setattr(info, key, value)
    return info


def sparse(size: int) -> bytes:
    """An archive with a file of ``size`` bytes, none of which is in it: GNU's sparse files."""
    info = kind_of_member("audio/x.wav", tarfile.GNUTYPE_SPARSE)
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[386:398] = block[398:410] = b"00000000000\0"  # one empty piece at the beginning
    block[483:495] = f"{size:011o}\0".encode()
    block[148:156] = b"        "
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return gzip.compress(bytes(block) + bytes(1024))


def said_to_be(size: int) -> bytes:
    """An archive whose one file is said to be that long."""
    info = tarfile.TarInfo("audio/x.wav")
    info.size = size
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


ARCHIVES: Rows = {
    "a file in a file": (
        tar(("a", b"1"), ("a/b", b"2")),
        "FILE: found a broken archive (File exists), wanted a whole .tar.gz",
    ),
    "a folder, then a file of its name": (
        tar(kind_of_member("a", tarfile.DIRTYPE), ("a", b"2")),
        "FILE: found a broken archive (Is a directory), wanted a whole .tar.gz",
    ),
    "a name with a line break": (
        tar(("a\nb", b"1")),
        "FILE: found the member 'a\\nb', wanted members that stay in their folder",
    ),
    "a name of NUL": (
        tar(kind_of_member("a", tarfile.REGTYPE, pax_headers={"path": "a\0b"}), format=tarfile.PAX_FORMAT),
        "FILE: found the member 'a\\x00b', wanted members that stay in their folder",
    ),
    "a name of 300 characters": (
        tar(("x" * 300, b"1")),
        "FILE: found a broken archive (File name too long), wanted a whole .tar.gz",
    ),
    "a sparse file of an exabyte": (
        sparse(8**11 - 1),
        "FILE: found 'audio/x.wav', a link or device, wanted files and folders only",
    ),
    "a file longer than the disk": (
        said_to_be(2**40),
        "FILE: found more than 64 GiB in it, wanted UrbanSound8K's archive",
    ),
    "a Windows path": (
        tar(("C:\\x", b"1")),
        "FILE: found no metadata/UrbanSound8K.csv in it, wanted UrbanSound8K's archive",
    ),
    "a thousand headers of headers": (
        gzip.compress(tarfile.TarInfo.create_pax_global_header({"comment": "x"}) * 3000 + bytes(1024)),
        "FILE: found a broken archive (nested too deeply), wanted a whole .tar.gz",
    ),
    "a length that is no number": (
        tar(
            kind_of_member("a", tarfile.REGTYPE, pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}),
            format=tarfile.PAX_FORMAT,
        ),
        "FILE: found a broken archive (...), wanted a whole .tar.gz",
    ),
    "a zip": (
        bytes_of(lambda file: zipfile.ZipFile(file, "w").close()),
        "FILE: found a broken archive (not a gzip file), wanted a whole .tar.gz",
    ),
    "packed by xz": (
        tar(("metadata/UrbanSound8K.csv", b"x"), mode="w:xz"),
        "FILE: found a broken archive (not a gzip file), wanted a whole .tar.gz",
    ),
    "not packed": (
        tar(("metadata/UrbanSound8K.csv", b"x"), mode="w"),
        "FILE: found a broken archive (not a gzip file), wanted a whole .tar.gz",
    ),
}

# params


def bomb(levels: int = 40) -> bytes:
    """A list of two lists of two lists: a terabyte, if anybody wrote it out."""
    lines = ["a0: &a0 [1]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, levels)]
    return "\n".join([QUICK.replace("seed: 0\n", "", 1), *lines, f"seed: *a{levels - 1}"]).encode()


def seed(text: str) -> bytes:
    return QUICK.replace("seed: 0\n", f"seed: {text}\n", 1).encode()


PARAMS: Rows = {
    "nothing": (b"", "FILE: found NoneType, wanted a mapping of parameters"),
    "a list": (b"- 1\n", "FILE: found list, wanted a mapping of parameters"),
    "a tab": (
        b"seed:\n\t- 1\n",
        "FILE: not valid YAML: while scanning for the next token found character '\\t' that cannot start any token in \"<unicode string>\", line 2, column 1: - 1 ^",
    ),
    "two documents": (
        b"seed: 1\n---\nseed: 2\n",
        'FILE: not valid YAML: expected a single document in the stream in "<unicode string>", line 1, column 1: seed: 1 ^ but found another document in "<unicode string>", line 2, column 1: --- ^',
    ),
    "an unknown alias": (
        seed("*there"),
        "FILE: not valid YAML: found undefined alias 'there' in \"<unicode string>\", line 2, column 7: seed: *there ^",
    ),
    "a date that is none": (seed("2020-99-99"), "FILE: not valid YAML: month must be in 1..12"),
    "a binary number without digits": (seed("0b_"), "FILE: not valid YAML: invalid literal for int() with base 2: ''"),
    "a whole number of nothing": (seed('!!int ""'), "FILE: not valid YAML: string index out of range"),
    "a time of text": (seed("!!timestamp x"), "FILE: not valid YAML: 'NoneType' object has no attribute 'groupdict'"),
    "a Python object": (
        seed("!!python/object/apply:os.system ['touch pwned']"),
        "FILE: not valid YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object/apply:os.system' in \"<unicode string>\", line 2, column 7: seed: !!python/object/apply:os.system ... ^",
    ),
    "nested without end": (seed("[" * 5000), "FILE: not valid YAML: nested too deeply"),
    "a list of itself": (seed("&a [*a]"), "FILE: seed: found [[[[...]]]], wanted a valid integer"),
    "a bomb of aliases": (
        bomb(),
        "FILE: seed: found [[[[...], [...]], [[...], [...]]], [[[...], [...]], [[...], [...]]]], wanted a valid integer; a0: unknown parameter, wanted one of the schema's (presets/ shows every parameter); a1: unknown parameter, wanted one of the schema's (presets/ shows every parameter)",
    ),
    "a number of 5,000 hexadecimal digits": (
        seed("0x" + "f" * 5000),
        "FILE: seed: found a number of thousands of digits, wanted less than or equal to 2147483647",
    ),
    "text of 5,000 digits": (
        seed("'" + "1" * 5000 + "'"),
        "FILE: seed: found '1111111111111111111111111111111111111...11111111111111111111111111111111111111', wanted a valid integer",
    ),
    "a key that is a number": (QUICK.encode() + b"1: 2\n", "FILE: found the key 1, wanted a parameter's name"),
    "a key that is a list": (
        b"? [1]\n: 2\n",
        'FILE: not valid YAML: while constructing a mapping in "<unicode string>", line 1, column 1: ? [1] ^ found unhashable key in "<unicode string>", line 1, column 3: ? [1] ^',
    ),
    "UTF-16": (QUICK.encode("utf-16"), "FILE: found bytes that are no UTF-8 (invalid start byte), wanted a UTF-8 file"),
    "a bell": (
        b"seed: \7\n",
        'FILE: not valid YAML: unacceptable character #x0007: special characters are not allowed in "<unicode string>", position 6',
    ),
}

# checkpoints


class Command:
    """What runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


def torch_file(value: Any) -> bytes:
    return bytes_of(lambda file: torch.save(value, file))


def zipped(**files: bytes) -> bytes:
    def write(file: io.BytesIO) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)

    return bytes_of(write)


def npy(shape: str) -> bytes:
    """An array's header that says it has this shape, and no array."""
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head


DAMAGED = (
    "FILE: found a damaged checkpoint, wanted a whole one; "
    "it was removed: run the same command to start this training anew"
)
CHECKPOINTS: Rows = {
    "nothing": (
        b"",
        DAMAGED,
    ),
    "a command": (
        torch_file({"parts": Command()}),
        DAMAGED,
    ),
    "a command in an old pickle": (
        pickle.dumps(Command()),
        DAMAGED,
    ),
    "a list": (
        torch_file([1, 2]),
        DAMAGED,
    ),
    "a tensor for a state": (
        torch_file({"parts": {"network": torch.zeros(1)}}),
        DAMAGED,
    ),
    "a zip of something else": (
        zipped(a=b"b"),
        DAMAGED,
    ),
}
PICKLES: Rows = {
    "a command": (
        torch_file({"a": Command()}),
        "FILE: found a pickle that holds more than tensors, or is damaged (refused: it could run code), wanted safetensors",
    ),
    "an unpickler's empty stack": (
        b"\x80\x02).",
        "FILE: found a pickle that holds more than tensors, or is damaged (refused: it could run code), wanted safetensors",
    ),
    "no tensors": (torch_file({"a": 1}), "FILE: found dict of more than tensors, wanted names with their tensors"),
}
FEATURES: Rows = {
    "a command": (
        bytes_of(lambda file: np.savez(file, mel=np.array([Command()]))),
        "FILE: found no packed features (Object arrays cannot be loaded when allow_pickle=False), wanted what featurize writes",
    ),
    "a terabyte of zeros": (
        zipped(**{"mel.npy": npy("(1099511627776,)")}),
        "FILE: found no packed features (...), wanted what featurize writes",
    ),
    "a shape that is no shape": (
        zipped(**{"mel.npy": npy("(-1, 2)")}),
        "FILE: found no packed features (...), wanted what featurize writes",
    ),
    "an encrypted zip": (
        zipped(**{"mel.npy": npy("()")}).replace(b"\x14\0\0\0", b"\x14\0\1\0"),
        "FILE: found no packed features (File 'mel.npy' is encrypted, password required for extraction), wanted what featurize writes",
    ),
}


def written(folder: Path, **files: Any) -> None:
    """``folder`` with these files; ``__`` in a name is a folder's slash."""
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


UNET = {"_class_name": "UNet2DModel", "sample_size": 8, "in_channels": 1, "out_channels": 1, "layers_per_block": 1}
UNET |= {"block_out_channels": [8, 8], "norm_num_groups": 4}
UNET |= {"down_block_types": ["DownBlock2D"] * 2, "up_block_types": ["UpBlock2D"] * 2}


def network(**changed: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        folder.mkdir()
        written(folder, **{"config.json": UNET | changed})
        save_file({"a": torch.zeros(1)}, folder / "diffusion_pytorch_model.safetensors")

    return write


def scheduler(**changed: Any) -> bytes:
    return json.dumps({"_class_name": "DDPMScheduler"} | changed).encode()


NETWORKS: Rows = {
    "a wide network": (
        network(block_out_channels=[2**17, 8]),
        "FILE/config.json: block_out_channels: found 131072, wanted at most 65536",
    ),
    "a deep network": (
        network(layers_per_block=10**9),
        "FILE/config.json: layers_per_block: found 1000000000, wanted at most 32",
    ),
    "a network of many levels": (
        network(block_out_channels=[8] * 99),
        "FILE/config.json: block_out_channels: found 99 values, wanted at most 32",
    ),
    "more than its weights": (
        network(block_out_channels=[2048, 4096]),
        "FILE/diffusion_pytorch_model.safetensors: found 1 numbers, wanted the 2646919169 of FILE/config.json",
    ),
    "a quantised network": (
        network(quantization_config={"quant_method": "bitsandbytes"}),
        "FILE/config.json: found quantization_config, wanted a network of plain numbers",
    ),
    "a class of another library": (
        network(_class_name="os.system"),
        "FILE/config.json: found the class 'os.system', wanted UNet2DModel or UNet2DConditionModel",
    ),
    "channels of no number": (
        network(block_out_channels=["8", "8"]),
        "FILE/diffusion_pytorch_model.safetensors: found no UNet2DModel that FILE/config.json describes (...), wanted its weights",
    ),
    "groups of none": (
        network(norm_num_groups=0),
        "FILE/diffusion_pytorch_model.safetensors: found no UNet2DModel that FILE/config.json describes (integer modulo by zero), wanted its weights",
    ),
    "another network's weights": (
        network(),
        "FILE/diffusion_pytorch_model.safetensors: found tensors that do not fit: 112 missing (conv_in.bias, conv_in.weight, conv_norm_out.bias, ...), 1 unknown (a), wanted those of FILE/config.json",
    ),
}
SCHEDULES: Rows = {
    "a billion levels": (
        scheduler(num_train_timesteps=10**9),
        "FILE: num_train_timesteps: found 1000000000, wanted at most 65536",
    ),
    "a schedule nobody knows": (
        scheduler(beta_schedule="steep"),
        "FILE: found no noise schedule (...), wanted DDPMScheduler's settings",
    ),
    "noise beyond noise": (
        scheduler(beta_end=2.0),
        "FILE: found noise levels without signal or noise, wanted betas between 0 and 1",
    ),
    "a list": (b"[]", "FILE: found list, wanted a mapping"),
}
CODECS: Rows = {
    "a number of 400 digits": (
        lambda folder: written(
            folder,
            **{"mel.json": {"codec": "clip", "n_mels": 8, "n_frames": 8, "width": 8, "top_db": 10**400, "floor_db": 0}},
        ),
        "FILE/mel.json: top_db: found 10000000000000000000000000000000000000...000000000000000000000000000000000000000, wanted a number",
    ),
    "a latent codec of a latent codec": (
        lambda folder: written(
            folder, **{"mel.json": {"codec": "latent", "scaling_factor": 1.0, "scaling": {"codec": ["latent"]}}}
        ),
        "FILE/mel.json: found the codec ['latent'], wanted mel, whitened, clip or latent",
    ),
    "nested without end": (
        lambda folder: written(folder, **{"mel.json": b"[" * 99_999}),
        "FILE/mel.json: found no JSON (nested too deeply), wanted what the network's images are",
    ),
}
CLASSIFIERS: Rows = {
    "half a header": (
        struct.pack("<Q", 100) + b"{",
        "FILE: found no such classifier (Error while deserializing header: invalid header length), wanted what train_base writes",
    ),
    "a header of an exabyte": (
        struct.pack("<Q", 2**60) + b"{}",
        "FILE: found no such classifier (Error while deserializing header: header too large), wanted what train_base writes",
    ),
    "tensors beyond the file": (
        (lambda head: struct.pack("<Q", len(head)) + head)(b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'),
        "FILE: found no such classifier (Error while deserializing header: incomplete metadata, file not fully covered), wanted what train_base writes",
    ),
}
ENCODERS: Rows = {
    "a list": (
        lambda folder: written(folder, **{"config.json": []}),
        "FILE/config.json: found no encoder (list indices must be integers or slices, not str), wanted what train_helper writes",
    ),
    "a mean of text": (
        lambda folder: written(
            folder, **{"config.json": {"classifier": SETTINGS.classifier.model_dump(), "mean": "x", "deviation": []}}
        ),
        "FILE/config.json: found no encoder (...), wanted what train_helper writes",
    ),
}
SELECTORS: Rows = {
    "a list": (
        lambda folder: written(folder, **{"summary.json": []}),
        "FILE/summary.json: found no selector's settings (list indices must be integers or slices, not str), wanted what train_helper writes",
    ),
    "one candidate": (
        lambda folder: written(folder, **{"summary.json": {"candidates": 1}}),
        "FILE/summary.json: found no selector's settings ('classifier'), wanted what train_helper writes",
    ),
}

# images

SMALL = {"SAMPLE_RATE": 8000, "STEREO": False, "STEP_SIZE_MS": 10, "WINDOW_DURATION_MS": 20, "PADDED_DURATION_MS": 40}
SMALL |= {"NUM_FREQUENCIES": 16, "MIN_FREQUENCY": 0, "MAX_FREQUENCY": 4000, "POWER_FOR_IMAGE": 0.25, "MAX_VALUE": 1e6}


def with_exif(size: tuple[int, int] = (8, 16), **changed: Any) -> bytes:
    image = Image.new("RGB", size)
    exif = image.getexif()
    exif.update({int(ExifTag[name]): value for name, value in (SMALL | changed).items()})
    return bytes_of(lambda file: image.save(file, "PNG", exif=exif))


def with_text(size: tuple[int, int] = (8, 16), **changed: str) -> bytes:
    text = PngInfo()
    values = {"width": "8", "n_mels": "16", "sample_rate": "8000", "n_fft": "256", "hop_length": "64", "top_db": "80"}
    for name, value in (values | {"reference_power": "1.0"} | changed).items():
        text.add_text(f"soundaug.{name}", value)
    return bytes_of(lambda file: Image.new("L", size).save(file, "PNG", pnginfo=text))


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks, with their checksums."""
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def ihdr(width: int, height: int) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)


IEND = (b"IEND", b"")
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(%pipe%touch pwned) (w) file\n%%EOF\n"
IMAGES: Rows = {
    "nothing": (b"", "FILE: not readable as an image (cannot identify image file 'FILE'), wanted a spectrogram image"),
    "PostScript": (
        EPS,
        "FILE: not readable as an image (cannot identify image file 'FILE'), wanted a spectrogram image",
    ),
    "a GIF": (
        bytes_of(lambda file: Image.new("L", (8, 8)).save(file, "GIF")),
        "FILE: not readable as an image (cannot identify image file 'FILE'), wanted a spectrogram image",
    ),
    "a picture of gigapixels": (
        png(ihdr(60_000, 60_000), (b"IDAT", zlib.compress(b"\0")), IEND),
        "FILE: not readable as an image (Image size (3600000000 pixels) exceeds limit of 178956970 pixels, could be decompression bomb DOS attack.), wanted a spectrogram image",
    ),
    "a picture of 100 megapixels": (
        png(ihdr(10_000, 10_000), (b"IDAT", zlib.compress(b"\0")), IEND),
        "FILE: not readable as an image (Image size (100000000 pixels) exceeds limit of 89478485 pixels, could be decompression bomb DOS attack.), wanted a spectrogram image",
    ),
    "no pixel": (
        png(ihdr(8, 16), IEND),
        "FILE: not readable as an image (cannot load this image), wanted a spectrogram image",
    ),
    "a picture of no width": (
        png(ihdr(0, 16), (b"IDAT", zlib.compress(b"\0")), IEND),
        "FILE: not readable as an image (cannot identify image file 'FILE'), wanted a spectrogram image",
    ),
    "a wrong checksum": (
        with_exif().replace(b"IDAT", b"IDAX"),
        "FILE: not readable as an image (cannot identify image file 'FILE'), wanted a spectrogram image",
    ),
    "a text of gigabytes": (
        png(
            ihdr(8, 16),
            (b"zTXt", b"a\0\0" + zlib.compress(bytes(2**27))),
            (b"IDAT", zlib.compress(bytes(9 * 16))),
            IEND,
        ),
        "FILE: not readable as an image (Decompressed data too large for PngImagePlugin.MAX_TEXT_CHUNK), wanted a spectrogram image",
    ),
    "EXIF of noise": (
        png(ihdr(8, 16), (b"eXIf", b"noise" * 9), (b"IDAT", zlib.compress(bytes(9 * 16))), IEND),
        "FILE: not readable as an image (not a TIFF file (header b'noisenoi' not valid)), wanted a spectrogram image",
    ),
    "a sample rate beyond all numbers": (
        with_exif(SAMPLE_RATE=1e300),
        "FILE: sample_rate: found 1e+300, wanted at most 1048576",
    ),
    "a window of an hour": (
        with_exif(PADDED_DURATION_MS=3_600_000),
        "FILE: padded_duration_ms: found 3.6e+06, wanted at most 10000",
    ),
    "filters beyond the memory": (
        with_exif((8, 16384), NUM_FREQUENCIES=16384, PADDED_DURATION_MS=9000, SAMPLE_RATE=192000),
        "FILE: num_frequencies: found 16384 with 864001 frequency bins, wanted at most 16777216 filter weights",
    ),
    "a power curve of 1000": (
        with_exif(POWER_FOR_IMAGE=1000.0),
        "FILE: power_for_image: found 1000, wanted at most 100.0",
    ),
    "a maximum that is no number": (
        with_exif(MAX_VALUE=float("nan")),
        "FILE: EXIF tag 11080 (MAX_VALUE): found nan, wanted 0 to 1e+15",
    ),
    "a maximum beyond all sound": (
        with_exif(MAX_VALUE=1e300),
        "FILE: EXIF tag 11080 (MAX_VALUE): found 1e+300, wanted 0 to 1e+15",
    ),
    "a sample rate of text": (
        with_exif(SAMPLE_RATE="8000; rm -rf /"),
        "FILE: EXIF tag 11000 (SAMPLE_RATE): found '8000; rm -rf /', wanted a number",
    ),
    "an hour of sound": (
        with_exif((400_000, 16), NUM_FREQUENCIES=16, PADDED_DURATION_MS=400),
        "FILE: found 400000 columns of 1601 frequency bins, wanted at most 167667 columns: cut the image",
    ),
    "a window beyond all numbers": (
        with_text(n_fft="1e300"),
        "FILE: text chunk soundaug.n_fft: found '1e300', wanted a number from 0 to 1e+20",
    ),
    "a hop of no number": (
        with_text(hop_length="nan"),
        "FILE: text chunk soundaug.hop_length: found 'nan', wanted a number from 0 to 1e+20",
    ),
    "a level beyond all sound": (
        with_text(reference_power="1e300"),
        "FILE: text chunk soundaug.reference_power: found '1e300', wanted a number from 0 to 1e+20",
    ),
    "a level of 5,000 digits": (
        with_text(reference_power="1" * 5000),
        "FILE: text chunk soundaug.reference_power: found '1111111111111111111111111111111111111...11111111111111111111111111111111111111', wanted a number from 0 to 1e+20",
    ),
    "bands beyond the memory": (
        with_text(n_mels=str(2**19), n_fft=str(2**20)),
        "FILE: n_mels: found 524288 with 524289 frequency bins, wanted at most 16777216 filter weights",
    ),
    "no file": (lambda path: None, "FILE: not there, wanted a spectrogram image"),
}


def resumed(path: Path) -> None:
    load_checkpoint(path, {"network": nn.Linear(2, 1)}, torch.Generator())


READERS: list[tuple[Rows, str, Callable[[Path], object]]] = [
    (AUDIO, "a.wav", read_sound),
    (TABLES, "clips.csv", read_clips),
    (EXCLUDED, "excluded.csv", read_excluded),
    (PAIRS, "pairs.csv", read_pairs),
    (JSON, "summary.json", read_json),
    (ARCHIVES, "a.tar.gz", lambda path: extract_corpus(path, path.parent / "raw")),
    (PARAMS, "params.yaml", load_params),
    (CHECKPOINTS, "checkpoint.pt", resumed),
    (PICKLES, "weights.bin", lambda path: read_tensors(path, "safetensors")),
    (FEATURES, "fold1.npz", ClipSet.load),
    (NETWORKS, "unet", lambda path: load_network(path, UNETS)),
    (SCHEDULES, "scheduler_config.json", load_schedule),
    (CODECS, "generator", load_codec),
    (CLASSIFIERS, "model.safetensors", lambda path: load_classifier(path, SETTINGS.classifier, SETTINGS.features, 10)),
    (ENCODERS, "encoder", lambda path: load_encoder(path, SETTINGS.features)),
    (SELECTORS, "selector", lambda path: load_selector(path, SETTINGS.features, 10)),
    (IMAGES, "a.png", lambda path: sound_of(open_image(path), seed=0, iterations=1)),
]
CASES = [
    pytest.param(name, content, read, line, id=f"{name}: {what}")
    for rows, name, read in READERS
    for what, (content, line) in rows.items()
]


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(("name", "content", "read", "line"), CASES)
def test_one_line_and_nothing_written(
    name: str,
    content: bytes | Callable[[Path], object],
    read: Callable[[Path], object],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "given" / name
    path.parent.mkdir()
    monkeypatch.chdir(tmp_path)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content(path)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as raised:
        run_stage(lambda: read(path))
    told = capsys.readouterr().err.replace(str(path), "FILE")
    assert raised.value.code == 1
    wanted = re.escape(f"error: {line}\n").replace(re.escape("(...)"), r"\(.+\)")
    assert re.fullmatch(wanted, told), told
    assert set(tmp_path.rglob("*")) <= before


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 60
