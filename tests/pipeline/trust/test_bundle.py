"""Bundles: the same bytes from every copy of a run, and nothing in a zip that harms."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import pipeline
from pipeline.errors import PipelineError
from pipeline.files import sha256_of
from pipeline.models import released_models
from pipeline.trust import bundle as bundles

pytest.importorskip("cyclonedx")
ROOT = Path(__file__).parents[3]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(pipeline, [str(a) for a in arguments], standalone_mode=False)


@pytest.fixture
def bundle(run: Path) -> Path:
    out = run.parent / "run.zip"
    assert call("bundle", run, "--out", out).exception is None
    return out


def test_two_clones_paths_caches_umasks_and_times_give_the_same_bytes(tmp_path: Path) -> None:
    digests = set()
    for name, umask, order in (("one", 0o022, False), ("another/much/deeper", 0o077, True)):
        clone = tmp_path / name / "models" / "cifar10-resnet8-budget"
        source = released_models()["cifar10-resnet8-budget"]
        for path in sorted(source.rglob("*"), reverse=order):
            if path.is_file():
                (clone / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, clone / path.relative_to(source))
                os.utime(clone / path.relative_to(source), (umask, umask))
        (clone / "timings.json").write_text(f'{{"audit": {umask}}}')
        home = tmp_path / name / "home"
        home.mkdir()
        subprocess.run(
            [sys.executable, "-m", "pipeline", "bundle", str(clone), "--out", "model.zip"],
            cwd=home,
            env={k: v for k, v in os.environ.items() if not k.startswith("PIPELINE")}
            | {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "TZ": name[:3], "PYTHONHASHSEED": str(umask)}
            | {"PYTHONPATH": str(ROOT)},
            umask=umask,
            check=True,
            capture_output=True,
        )
        digests.add(sha256_of(home / "model.zip"))
    assert len(digests) == 1


def test_a_bundle_holds_the_manifests_files_and_the_statements_and_other_tools_read_it(run: Path, bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert names == sorted(names)
        for name in set(names) - {"sbom.cdx.json", "provenance.intoto.json"}:
            assert archive.read(name) == (run / name).read_bytes()
    files = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert set(names) == files | {"sbom.cdx.json", "provenance.intoto.json"}
    verified = call("verify", bundle)
    assert (verified.return_value, verified.exception) == (0, None)


def test_a_signed_run_stays_signed_in_its_bundle(run: Path, keys: Any) -> None:
    assert call("sign", run, "--key", keys.private).exception is None
    out = run.parent / "signed.zip"
    assert call("bundle", run, "--out", out).exception is None
    assert call("verify", out, "--key", keys.public).return_value == 0
    shutil.unpack_archive(out, run.parent / "unpacked")
    assert call("verify", run.parent / "unpacked", "--key", keys.public).return_value == 0


def rewritten(bundle: Path, change: Callable[[dict[str, bytes]], object]) -> None:
    """The same zip with other files in it, as our own code writes it."""
    with zipfile.ZipFile(bundle) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    change(content)
    work = bundle.parent / "rewritten"
    for name, data in content.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(data)
    bundles._write_zip({name: work / name for name in content}, bundle)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda files: files.update({"model/model.json": b"{}"}), "changed: model/model.json"),
        (lambda files: files.pop("report.html"), "missing: report.html"),
        (lambda files: files.update({"a.txt": b""}), "not in the manifest: a.txt"),
        (lambda files: files.update({".hidden": b""}), "hidden: .hidden"),
        (lambda files: files.update({"sbom.cdx.json": b"{}"}), "sbom.cdx.json is not as 'pipeline sign' writes it"),
        (
            lambda files: files.update(
                {"provenance.intoto.json": files["provenance.intoto.json"].replace(b"c5fcfa", b"000000")}
            ),
            "provenance.intoto.json: is about other files than these",
        ),
    ],
)
def test_a_changed_bundle_is_found_out(change: Callable[[dict[str, bytes]], object], line: str, bundle: Path) -> None:
    rewritten(bundle, change)
    verified = call("verify", bundle)
    assert verified.exception is None
    assert verified.return_value == 1
    assert line in verified.stdout.splitlines()


@pytest.mark.parametrize(
    "alter",
    [
        lambda path: path.write_bytes(b"#!/bin/sh\n" + path.read_bytes()),
        lambda path: zipfile.ZipFile(path, "a").__setattr__("comment", b"certified"),
        lambda path: subprocess.run(["touch", path], check=True),
    ],
    ids=["a script before it", "a comment", "untouched"],
)
def test_bytes_beside_the_files_are_found_out(alter: Callable[[Path], object], bundle: Path) -> None:
    before = bundle.read_bytes()
    alter(bundle)
    verified = call("verify", bundle)
    found = "run.zip is not as 'pipeline bundle' writes these files" in verified.stdout.splitlines()
    assert found == (bundle.read_bytes() != before)


def with_entry(name: str, data: bytes = b"x", mode: int = stat.S_IFREG | 0o644) -> Callable[[Path], None]:
    """One more entry, whatever its name and kind."""

    def add(path: Path) -> None:
        with zipfile.ZipFile(path, "a") as archive:
            entry = zipfile.ZipInfo(name)
            entry.filename = name  # as it is: ZipInfo cuts at a zero byte
            entry.create_system, entry.external_attr = 3, mode << 16
            archive.writestr(entry, data)

    return add


def bomb(path: Path) -> None:
    """600 MB of zeros in 600 kB."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros", "w") as target:
        for _ in range(600):
            target.write(bytes(1_000_000))


def lying_bomb(path: Path) -> None:
    """2 MB of zeros that claim to be 10 bytes, in the local header and the directory."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(2_000_000))
    size = (2_000_000).to_bytes(4, "little")
    content = path.read_bytes()
    assert content.count(size) == 2
    path.write_bytes(content.replace(size, (10).to_bytes(4, "little")))


def many(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        for index in range(10_001):
            archive.writestr(f"f{index}", b"")


def twice(path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        with_entry("report.json")(path)


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (with_entry("../outside"), "has a file at '../outside', which is no path of a run"),
        (with_entry("/etc/outside"), "has a file at '/etc/outside'"),
        (with_entry("model/../../outside"), "has a file at 'model/../../outside'"),
        (with_entry("C:\\outside"), "which is no path of a run"),
        (with_entry("model//x"), "has a file at 'model//x'"),
        (with_entry("a\x1b[31mb"), "which is no path of a run"),
        (with_entry("folder/"), "has a file at 'folder/'"),
        (with_entry("link", b"/etc/passwd", stat.S_IFLNK | 0o777), "'link' is no regular file"),
        (twice, "has two files 'report.json'"),
        (with_entry("REPORT.json"), "has two files 'REPORT.json'"),
        (with_entry("report.json/x"), "'report.json/x' lies in a file"),
        (bomb, "bytes, more than any run: 536,870,912"),
        (lying_bomb, "is no bundle, or a damaged one"),
        (many, "files, more than any run: 10,000"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "is no bundle, or a damaged one: File is not a zip"),
        (lambda path: path.write_bytes(b""), "is no bundle, or a damaged one"),
    ],
)
def test_a_zip_that_could_harm_is_refused(alter: Callable[[Path], object], message: str, bundle: Path) -> None:
    alter(bundle)
    before = set(bundle.parent.rglob("*"))
    result = call("verify", bundle)
    assert isinstance(result.exception, PipelineError), result.exception
    assert message in str(result.exception)
    assert set(bundle.parent.rglob("*")) == before
    assert not (bundle.parents[1] / "outside").exists()


def test_a_flipped_bit_in_a_zip_is_refused(bundle: Path) -> None:
    content = bytearray(bundle.read_bytes())
    content[len(content) // 2] ^= 1
    bundle.write_bytes(bytes(content))
    assert "Bad CRC-32" in str(call("verify", bundle).exception)


def test_a_bundle_that_cannot_be_written_leaves_nothing(run: Path) -> None:
    (run.parent / "file").write_text("")
    out = run.parent / "file" / "model.zip"
    assert f"can't write {out}" in str(call("bundle", run, "--out", out).exception)
    assert "a bundle's name ends in .zip" in str(call("bundle", run, "--out", "model.tar").exception)
