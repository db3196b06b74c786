"""The download against a server on this machine that breaks off, refuses and lies; the archive against bad members."""

import gzip
import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from soundaug.running.errors import StudyError
from soundaug.sources.download import ARCHIVE, check_archive, extract_corpus, fetch_archive

BODY = b"\x1f\x8b" + bytes(range(256)) * 4000  # 1,024,002 bytes that begin as gzip does
MD5 = hashlib.md5(BODY).hexdigest()
HALF = 500_000


class Server(ThreadingHTTPServer):
    """Serves BODY at any path; the attributes say how it misbehaves. ``asked`` has each request's Range."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[str | None] = []
        self.body = BODY
        self.ranges = True
        self.breaks = 0  # answers that stop after HALF bytes
        self.busy = 0  # answers of status 503
        self.status = 200
        self.wrong_start = False
        self.told_length = True
        self.headers: dict[str, str] = {}

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of the game."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{ARCHIVE}"


class Answer(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        server, asked = self.server, self.headers.get("Range")
        server.asked.append(asked)
        if server.busy > 0:
            server.busy -= 1
            self.send_error(503)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and server.ranges else 0
        status, body, headers = server.status, server.body[start:], dict(server.headers)
        if start >= len(server.body):
            status, body, headers = 416, b"", {"Content-Range": f"bytes */{len(server.body)}"}
        elif start:
            shown = 0 if server.wrong_start else start
            status = 206
            headers["Content-Range"] = f"bytes {shown}-{len(server.body) - 1}/{len(server.body)}"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if server.told_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.breaks > 0:
            server.breaks -= 1
            body = body[:HALF]
        self.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def part_of(folder: Path, md5: str = MD5) -> Path:
    return folder / f"{ARCHIVE}.{md5[:8]}.part"


def test_downloads_once(server: Server, tmp_path: Path) -> None:
    archive = fetch_archive(server.url, MD5, tmp_path / "new")
    assert archive == tmp_path / "new" / ARCHIVE
    assert archive.read_bytes() == BODY
    assert fetch_archive(server.url, MD5, tmp_path / "new") == archive
    assert server.asked == [None]
    assert list((tmp_path / "new").iterdir()) == [archive]


def test_a_broken_connection_is_taken_up_where_it_ended(server: Server, tmp_path: Path) -> None:
    server.breaks = 2
    assert fetch_archive(server.url, MD5, tmp_path, wait_seconds=0.0).read_bytes() == BODY
    assert server.asked == [None, f"bytes={HALF}-", f"bytes={2 * HALF}-"]


def test_another_run_goes_on_from_the_part(server: Server, tmp_path: Path) -> None:
    part_of(tmp_path).write_bytes(BODY[:1000])
    assert fetch_archive(server.url, MD5, tmp_path).read_bytes() == BODY
    assert server.asked == ["bytes=1000-"]


def test_a_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    server.ranges, server.breaks = False, 1
    assert fetch_archive(server.url, MD5, tmp_path, wait_seconds=0.0).read_bytes() == BODY
    assert server.asked == [None, f"bytes={HALF}-"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_part_that_is_whole_is_not_read_again(server: Server, tmp_path: Path, ranges: bool) -> None:
    server.ranges = ranges
    part_of(tmp_path).write_bytes(BODY)
    assert fetch_archive(server.url, MD5, tmp_path).read_bytes() == BODY
    assert server.asked == [f"bytes={len(BODY)}-"]


def test_a_part_that_is_too_long_is_dropped(server: Server, tmp_path: Path) -> None:
    part_of(tmp_path).write_bytes(BODY + b"more")
    assert fetch_archive(server.url, MD5, tmp_path, wait_seconds=0.0).read_bytes() == BODY
    assert server.asked == [f"bytes={len(BODY) + 4}-", None]


def test_a_range_that_was_not_asked_for_is_dropped(server: Server, tmp_path: Path) -> None:
    server.wrong_start = True
    part_of(tmp_path).write_bytes(BODY[:1000])
    assert fetch_archive(server.url, MD5, tmp_path, wait_seconds=0.0).read_bytes() == BODY
    assert server.asked == ["bytes=1000-", None]


def test_busy_servers_are_asked_again(server: Server, tmp_path: Path) -> None:
    server.busy = 3
    assert fetch_archive(server.url, MD5, tmp_path, wait_seconds=0.0).read_bytes() == BODY
    assert len(server.asked) == 4


def test_gives_up_after_five_tries_without_a_byte(server: Server, tmp_path: Path) -> None:
    server.busy = 99
    wanted = f"{server.url}: found HTTP status 503 (5 tries), wanted a connection; run the same command to go on"
    with pytest.raises(StudyError, match=f"^{re.escape(wanted)}$"):
        fetch_archive(server.url, MD5, tmp_path, wait_seconds=0.0)
    assert len(server.asked) == 5


def test_gzip_declared_as_content_encoding_is_left_packed(server: Server, tmp_path: Path) -> None:
    server.body = gzip.compress(b"data" * 1000)
    server.headers = {"Content-Encoding": "gzip", "Content-Type": "application/x-tar"}
    archive = fetch_archive(server.url, hashlib.md5(server.body).hexdigest(), tmp_path)
    assert archive.read_bytes() == server.body


def test_an_unknown_length_is_no_hindrance(server: Server, tmp_path: Path) -> None:
    server.told_length = False
    assert fetch_archive(server.url, MD5, tmp_path).read_bytes() == BODY


def test_wrong_md5_removes_the_download(server: Server, tmp_path: Path) -> None:
    other = "0" * 32
    with pytest.raises(StudyError) as error:
        fetch_archive(server.url, other, tmp_path)
    assert str(error.value) == (
        f"{server.url}: found an archive of MD5 {MD5}, wanted {other} (data.download.md5); it was removed"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_has_changed_is_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / ARCHIVE).write_bytes(b"other")
    assert fetch_archive(server.url, MD5, tmp_path).read_bytes() == BODY


@pytest.mark.parametrize(
    "headers", [{"Content-Type": "text/html; charset=utf-8"}, {"Content-Type": "application/gzip"}]
)
def test_a_web_page_is_told(server: Server, tmp_path: Path, headers: dict[str, str]) -> None:
    server.body, server.headers = b"<!doctype html><p>Log in", headers
    with pytest.raises(StudyError) as error:
        fetch_archive(server.url, MD5, tmp_path)
    assert str(error.value) == f"{server.url}: found a web page or text, wanted a .tar.gz archive (data.download.url)"
    assert not any(file.stat().st_size for file in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("status", "headers", "message"),
    [
        (404, {}, "found HTTP status 404 (Not Found), wanted the archive (data.download.url)"),
        (403, {}, "found HTTP status 403 (Forbidden), wanted the archive (data.download.url)"),
        (
            302,
            {"Location": "file:///etc/hostname"},
            "found a redirect to 'file:///etc/hostname', wanted http or https",
        ),
        (302, {"Location": "/again"}, "found Exceeded 30 redirects, wanted the archive's address"),
    ],
)
def test_refusals_and_redirects(
    server: Server, tmp_path: Path, status: int, headers: dict[str, str], message: str
) -> None:
    server.status, server.headers = status, headers
    with pytest.raises(StudyError) as error:
        fetch_archive(server.url, MD5, tmp_path)
    assert str(error.value) == f"{server.url}: {message}"
    assert list(tmp_path.iterdir()) == []


def test_redirect_to_http_is_followed(server: Server, tmp_path: Path) -> None:
    hop = Server()
    hop.status, hop.headers = 302, {"Location": server.url}
    threading.Thread(target=hop.handle_request, daemon=True).start()
    assert fetch_archive(hop.url, MD5, tmp_path).read_bytes() == BODY
    hop.server_close()


def test_no_network(tmp_path: Path) -> None:
    closed = Server()
    closed.server_close()
    with pytest.raises(StudyError) as error:
        fetch_archive(closed.url, MD5, tmp_path, wait_seconds=0.0)
    assert str(error.value).startswith(f"{closed.url}: found no connection (")
    assert str(error.value).endswith(
        "Connection refused) (5 tries), wanted a connection; run the same command to go on"
    )


def test_the_users_own_archive_stays_when_it_is_another(tmp_path: Path) -> None:
    own = tmp_path / ARCHIVE
    own.write_bytes(BODY)
    check_archive(own, MD5)
    with pytest.raises(StudyError) as error:
        check_archive(own, "f" * 32)
    assert str(error.value) == f"{own}: found MD5 {MD5}, wanted {'f' * 32} (data.download.md5)"
    assert own.is_file()


def make_archive(path: Path, *members: tarfile.TarInfo | tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


TABLE = ("UrbanSound8K/metadata/UrbanSound8K.csv", b"slice_file_name\n")


@pytest.mark.parametrize("top", ["UrbanSound8K/", "", "./UrbanSound8K/"])
def test_extracts_the_corpus_whatever_its_top_folder(tmp_path: Path, top: str) -> None:
    members = [
        (top + "metadata/UrbanSound8K.csv", b"csv"),
        (top + "audio/fold1/a b.wav", b"wav"),
        (top + "README", b"r"),
    ]
    extract_corpus(make_archive(tmp_path / ARCHIVE, *members), tmp_path / "raw")
    files = {
        file.relative_to(tmp_path / "raw").as_posix(): file.read_bytes() for file in (tmp_path / "raw").rglob("*.*")
    }
    assert files == {"metadata/UrbanSound8K.csv": b"csv", "audio/fold1/a b.wav": b"wav"}
    assert (tmp_path / "raw" / "README").read_bytes() == b"r"
    assert {entry.name for entry in tmp_path.iterdir()} == {ARCHIVE, "raw"}


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (("../evil", b"x"), "found the member '../evil', wanted members that stay in their folder"),
        (
            ("UrbanSound8K/../../evil", b"x"),
            "found the member 'UrbanSound8K/../../evil', wanted members that stay in their folder",
        ),
        (("/tmp/evil", b"x"), "found the member '/tmp/evil', wanted members that stay in their folder"),
        (special("link", tarfile.SYMTYPE, "/etc"), "found 'link', a link or device, wanted files and folders only"),
        (special("link", tarfile.SYMTYPE, "here"), "found 'link', a link or device, wanted files and folders only"),
        (special("hard", tarfile.LNKTYPE, "../x"), "found 'hard', a link or device, wanted files and folders only"),
        (special("null", tarfile.CHRTYPE), "found 'null', a link or device, wanted files and folders only"),
        (special("pipe", tarfile.FIFOTYPE), "found 'pipe', a link or device, wanted files and folders only"),
    ],
)
def test_unsafe_members_stop_the_extraction(
    tmp_path: Path, member: tarfile.TarInfo | tuple[str, bytes], message: str
) -> None:
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    archive = make_archive(tmp_path / ARCHIVE, TABLE, member)
    with pytest.raises(StudyError) as error:
        extract_corpus(archive, folder / "raw")
    assert str(error.value) == f"{archive}: {message}"
    assert {entry.name for entry in tmp_path.rglob("*")} == {ARCHIVE, "deep", "er"}


@pytest.mark.parametrize("keep", [0.999, 0.5, 0.1])
def test_a_truncated_archive_is_told(tmp_path: Path, keep: float) -> None:
    noise = b"".join(hashlib.sha256(bytes([i, j])).digest() for i in range(40) for j in range(40))  # 51,200 bytes
    whole = make_archive(tmp_path / "whole.tar.gz", TABLE, ("UrbanSound8K/audio/fold1/x.wav", noise)).read_bytes()
    archive = tmp_path / ARCHIVE
    archive.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(StudyError, match=rf"^{archive}: found a broken archive \(.*\), wanted a whole .tar.gz$"):
        extract_corpus(archive, tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x1f\x8bnonsense", gzip.compress(b"no tar" * 500)])
def test_no_archive_is_told(tmp_path: Path, content: bytes) -> None:
    archive = tmp_path / ARCHIVE
    archive.write_bytes(content)
    with pytest.raises(StudyError, match=rf"^{archive}: found a broken archive \(.*\), wanted a whole .tar.gz$"):
        extract_corpus(archive, tmp_path / "raw")
    assert [entry.name for entry in tmp_path.iterdir()] == [ARCHIVE]


def test_an_archive_of_something_else_is_told(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / ARCHIVE, ("other/README", b"x"))
    with pytest.raises(StudyError) as error:
        extract_corpus(archive, tmp_path / "raw")
    assert str(error.value) == f"{archive}: found no metadata/UrbanSound8K.csv in it, wanted UrbanSound8K's archive"
    assert [entry.name for entry in tmp_path.iterdir()] == [ARCHIVE]
