"""A run in one file: a zip whose bytes depend on its content alone, and that is read without trusting it.

Entries are sorted and stored uncompressed, with one date and one mode: zip tools and versions of zlib compress
differently. What is read must be exactly what would be written, so a bundle has no room for anything else.
"""

from __future__ import annotations

import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from pipeline.errors import PipelineError
from pipeline.files import sha256_of, write_file
from pipeline.runs.layout import MANIFEST, PROVENANCE, SBOM, SIGNATURE
from pipeline.trust.finished import read_finished
from pipeline.trust.listing import Listing
from pipeline.trust.statements import statements

MAX_BYTES = 1 << 29  # of all files together; the largest run of ours has a hundredth
MAX_FILES = 10_000
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold
_MODE = stat.S_IFREG | 0o644
_PIECE = 1 << 20


def write_bundle(directory: Path, found: Listing, out: Path) -> None:
    """Write a finished run as one file: what its manifest lists, the manifest, SBOM, provenance and signature.

    Args:
        found: the directory's content, without problems.
        out: the zip; written whole or not at all.

    Raises:
        PipelineError: a run without statements, and the library of SBOMs is missing.
    """
    beside = [path for path in (SBOM, PROVENANCE, SIGNATURE) if (directory / path).is_file()]
    made: Mapping[str, bytes] = {}
    if SIGNATURE not in beside:  # a signature is about the statements that are there
        made = statements(read_finished(directory, found.files))
    with tempfile.TemporaryDirectory() as work:
        for path, content in made.items():
            (Path(work) / path).write_bytes(content)
        sources = {path: directory / path for path in (*found.files, MANIFEST, *beside)}
        _write_zip(sources | {path: Path(work) / path for path in made}, out)


def _write_zip(sources: Mapping[str, Path], out: Path) -> None:
    with write_file(out) as stream, ZipFile(stream, "w", ZIP_STORED) as bundle:
        for path in sorted(sources):
            entry = ZipInfo(path, _DATE)
            entry.create_system, entry.external_attr = 3, _MODE << 16  # 3: Unix, whose modes these are
            entry.file_size = sources[path].stat().st_size
            with sources[path].open("rb") as source, bundle.open(entry, "w") as target:
                shutil.copyfileobj(source, target, _PIECE)


@contextmanager
def opened_bundle(bundle: Path) -> Iterator[tuple[Path, list[str]]]:
    """The files of a bundle in a directory that goes with the context, and a line for what no bundle of ours has.

    Raises:
        PipelineError: it is no zip, or one that could harm: paths that lead outside, links, names that fall together,
            more bytes than a run has.
    """
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / bundle.stem
        root.mkdir()
        try:
            with ZipFile(bundle) as archive:
                for entry in _harmless(archive, bundle):
                    path = root / entry.filename
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(entry) as source, path.open("xb") as target:  # no more bytes than it promises
                        shutil.copyfileobj(source, target, _PIECE)
        except OSError as error:
            raise PipelineError(f"{bundle} can't be read: {error.strerror or error}") from error
        except (BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
            raise PipelineError(f"{bundle} is no bundle, or a damaged one: {error}") from error
        yield root, _more_than_content(bundle, root, Path(directory))


def _harmless(archive: ZipFile, bundle: Path) -> list[ZipInfo]:
    """The entries of a zip that can be written below a directory."""
    entries = archive.infolist()
    if len(entries) > MAX_FILES:
        raise PipelineError(f"{bundle} has {len(entries):,} files, more than any run: {MAX_FILES:,}")
    if (size := sum(entry.file_size for entry in entries)) > MAX_BYTES:
        raise PipelineError(f"{bundle} holds {size:,} bytes, more than any run: {MAX_BYTES:,}")
    taken: set[str] = set()
    for entry in entries:
        name, kind = entry.filename, stat.S_IFMT(entry.external_attr >> 16)
        parts = name.split("/")
        if not name.isprintable() or "\\" in name or ":" in name or any(part in ("", ".", "..") for part in parts):
            raise PipelineError(f"{bundle} has a file at '{name}', which is no path of a run")
        if kind not in (0, stat.S_IFREG):
            raise PipelineError(f"{bundle}: '{name}' is no regular file")
        if name.casefold() in taken:
            raise PipelineError(f"{bundle} has two files '{name}'")
        taken.add(name.casefold())
    if folder := next((p for p in taken for above in PurePosixPath(p).parents if str(above) in taken), None):
        raise PipelineError(f"{bundle}: '{folder}' lies in a file")
    return entries


def _more_than_content(bundle: Path, root: Path, work: Path) -> list[str]:
    """A line where the zip is another than its content makes: bytes before, between or behind, comments, dates."""
    again = work / "again.zip"
    _write_zip({path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}, again)
    if sha256_of(again) == sha256_of(bundle):
        return []
    return [f"{bundle.name} is not as 'pipeline bundle' writes these files"]
