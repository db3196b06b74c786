"""UrbanSound8K from the network: a download that goes on where it broke off, its MD5, and safe extraction."""

import hashlib
import os
import re
import shutil
import tarfile
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, cast
from urllib.parse import urlsplit

import requests
import urllib3
from tqdm import tqdm

from soundaug.params import Data
from soundaug.running.errors import StudyError
from soundaug.running.foreign import reading
from soundaug.running.outputs import room_for
from soundaug.sources.corpus import TABLE, is_inside, is_plain

ARCHIVE = "UrbanSound8K.tar.gz"
TRIES = 5  # without a new byte in between
TIMEOUT_SECONDS = (20.0, 60.0)  # to connect, and between two packets
CHUNK_BYTES = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
BYTES = "[0-9]{1,18}"  # a number of bytes in a header; longer ones are none
MOST_UNPACKED = 2**36  # bytes, ten times the corpus: an archive that unpacks to more is made to fill the disk
BUSY = (408, 425, 429, 500, 502, 503, 504)  # HTTP statuses that a later try may not meet


class _Interrupted(Exception):
    """The connection broke or the server is busy: worth another try."""


def fetch_urbansound8k(data: Data, downloads: Path, folder: Path) -> None:
    """Make ``folder`` the corpus of the user's own archive in data.root if there is one, else of the download.

    ``downloads`` keeps the archive, or what there is of it. Raises StudyError as the functions below do.
    """
    archive = Path(data.root) / ARCHIVE
    if archive.is_file():
        check_archive(archive, data.download.md5)
    else:
        archive = fetch_archive(data.download.url, data.download.md5, downloads)
    extract_corpus(archive, folder)


def fetch_archive(url: str, md5: str, folder: Path, wait_seconds: float = 1.0) -> Path:
    """Download ``url`` into ``folder`` and return the archive, whose MD5 was checked.

    A broken connection is taken up again after ``wait_seconds``, then twice as long and so on; what was read so far
    stays in a ``.part`` file, so that another run goes on from there too. An archive that is already there is used.

    Raises StudyError naming the URL when there is no network, on HTTP errors, on a web page in the archive's place, and
    on a wrong MD5 (the file is removed).
    """
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / ARCHIVE
    if archive.is_file():
        if _md5(archive) == md5:
            return archive
        archive.unlink()
    # A part of another archive must not be continued: its name holds the MD5 that is wanted.
    part = folder / f"{ARCHIVE}.{md5[:8]}.part"
    _download(url, part, wait_seconds)
    found = _md5(part)
    if found != md5:
        part.unlink()
        raise StudyError(f"{url}: found an archive of MD5 {found}, wanted {md5} (data.download.md5); it was removed")
    part.replace(archive)
    return archive


def check_archive(archive: Path, md5: str) -> None:
    """Raise StudyError when the MD5 of the user's own copy of the archive is another."""
    found = _md5(archive)
    if found != md5:
        raise StudyError(f"{archive}: found MD5 {found}, wanted {md5} (data.download.md5)")


def extract_corpus(archive: Path, folder: Path) -> None:
    """Extract the archive's corpus (metadata/, audio/, and what lies beside them) as ``folder``, whole or not at all.

    Raises StudyError for a broken archive, one without UrbanSound8K's table, and one whose members are anything but
    files and folders that stay inside.
    """
    unpacked = folder.with_name(f"{folder.name}.unpacked")
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir(parents=True)
    try:
        _extract(archive, unpacked)
        tops = [top for top in (unpacked, *sorted(unpacked.iterdir())) if (top / TABLE).is_file()]
        if not tops:
            raise StudyError(f"{archive}: found no {TABLE} in it, wanted UrbanSound8K's archive")
        Path.replace(tops[0], folder)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def _extract(archive: Path, folder: Path) -> None:
    left = MOST_UNPACKED
    with (
        reading(archive, "a broken archive", "a whole .tar.gz"),
        archive.open("rb") as packed,
        _reading(packed, "extract") as read,
        tarfile.open(mode="r:gz", fileobj=read) as tar,
    ):
        for member in tar:
            if not is_inside(member.name) or not is_plain(member.name):
                raise StudyError(
                    f"{archive}: found the member {member.name!r}, wanted members that stay in their folder"
                )
            if not (member.isfile() or member.isdir()) or member.issparse():
                raise StudyError(f"{archive}: found {member.name!r}, a link or device, wanted files and folders only")
            left -= member.size
            if left < 0:
                raise StudyError(
                    f"{archive}: found more than {MOST_UNPACKED // 2**30} GiB in it, wanted UrbanSound8K's archive"
                )
            # Contents alone, by hand: no owner, no mode, and tarfile's filters came with Python 3.11.4.
            target = folder / member.name
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with cast(IO[bytes], tar.extractfile(member)) as content, target.open("wb") as file:
                shutil.copyfileobj(content, file)


def _download(url: str, part: Path, wait_seconds: float) -> None:
    """Read ``url`` into ``part``, from its end on, over as many connections as it takes."""
    failures = 0
    while True:
        before = _size(part)
        try:
            _read_on(url, part)
            return
        except _Interrupted as error:
            failures = 1 if _size(part) > before else failures + 1
            if failures >= TRIES:
                raise StudyError(
                    f"{url}: {error} ({TRIES} tries), wanted a connection; run the same command to go on"
                ) from None
            time.sleep(wait_seconds * 2 ** (failures - 1))


def _read_on(url: str, part: Path) -> None:
    """One connection: append to ``part`` what it lacks. Raises _Interrupted when the rest did not come."""
    size = _size(part)
    # identity: a server that declares a .tar.gz as gzip-encoded content must not have it unpacked on the way.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={size}-"} if size else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
            total = _expected(url, response, part, size)
            if total == size > 0:
                return
            _append(url, response, part, total)
    except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
        raise _Interrupted(f"found no connection ({_reason(error)})") from None
    except requests.exceptions.InvalidSchema as error:
        target = _reason(error).rpartition(" for ")[2]
        raise StudyError(f"{url}: found a redirect to {target}, wanted http or https") from None
    except requests.RequestException as error:
        raise StudyError(f"{url}: found {_reason(error).rstrip('.')}, wanted the archive's address") from None


def _expected(url: str, response: requests.Response, part: Path, size: int) -> int | None:
    """Check the answer to a request for the bytes from ``size`` on; the archive's whole size if it is told."""
    status, content_range = response.status_code, response.headers.get("Content-Range", "")
    found = re.fullmatch(rf"bytes (?:({BYTES})-{BYTES}|\*)/({BYTES}|\*)", content_range)
    total = int(found[2]) if found and found[2] != "*" else None
    if status in BUSY:
        raise _Interrupted(f"found HTTP status {status}")
    if status == 416 and size:
        if total == size:
            return total
        part.unlink()  # longer than the archive: of another one
        raise _Interrupted("found the download longer than the archive, it was removed")
    if status == 206 and size:
        if found is None or found[1] != str(size):
            part.unlink()
            raise _Interrupted(f"found the answer {content_range!r} to a request from byte {size}")
    elif status == 200:
        length = response.headers.get("Content-Length", "")
        total = int(length) if re.fullmatch(BYTES, length) else None
        if total != size:
            part.unlink(missing_ok=True)  # the server does not go on from the middle: all of it comes again
    else:
        raise StudyError(
            f"{url}: found HTTP status {status} ({response.reason}), wanted the archive (data.download.url)"
        )
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise _web_page(url)
    return total


def _append(url: str, response: requests.Response, part: Path, total: int | None) -> None:
    """Write the answer's body to ``part``, flushed as it comes; raises _Interrupted when it ends before ``total``."""
    size = _size(part)
    bar = tqdm(total=total, initial=size, unit="B", unit_scale=True, desc=_file_name(url), disable=None)
    with bar, room_for(part), part.open("ab") as file:
        for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
            if file.tell() == 0 and chunk[:2] != GZIP_MAGIC[: len(chunk)]:
                raise _web_page(url)
            file.write(chunk)
            bar.update(len(chunk))
    if total is not None and _size(part) < total:
        raise _Interrupted(f"found {_size(part)} bytes of {total}")
    if _size(part) == 0:
        raise _Interrupted("found an empty answer")


def _web_page(url: str) -> StudyError:
    return StudyError(f"{url}: found a web page or text, wanted a .tar.gz archive (data.download.url)")


def _file_name(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2] or ARCHIVE


def _reason(error: BaseException) -> str:
    """The innermost cause of what requests and urllib3 wrap several times."""
    cause: object = error.args[0] if error.args else error
    return str(getattr(cause, "reason", None) or cause)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file, _reading(file, "check") as read:
        while chunk := read.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _reading(file: IO[bytes], label: str) -> AbstractContextManager[IO[bytes]]:
    """``file`` with a bar that its reading moves on."""
    size = os.fstat(file.fileno()).st_size
    reading = tqdm.wrapattr(file, "read", total=size, desc=label, unit="B", unit_scale=True, disable=None)
    return cast(AbstractContextManager[IO[bytes]], reading)
