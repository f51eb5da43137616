"""CIFAR-10 from the official binary archive: no pickle, every file checked against its published MD5.

A record is a label byte, then 1024 red, 1024 green and 1024 blue bytes of a 32x32 image (Krizhevsky 2009,
https://www.cs.toronto.edu/~kriz/cifar.html).
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from lzma import LZMAError
from pathlib import Path

import numpy as np

from flatnas.datasets import Dataset, Images, split_off
from flatnas.errors import DataError, MissingDataError

log = logging.getLogger(__name__)

FOLDER = "cifar-10-batches-bin"
ARCHIVES = ("cifar-10-binary.tar.gz", "cifar-10-binary.tar.xz", "cifar-10-binary.tar")
MD5: Mapping[str, str] = {
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
}
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_RECORD_BYTES = 1 + 3 * 32 * 32
_LARGEST_FILE = 64 << 20  # a .bin has 31 MB; more is no CIFAR-10


def user_cache() -> Path:
    """The user's cache directory: where `pipeline data fetch` puts data, and where archives are unpacked once."""
    from platformdirs import user_cache_path

    return user_cache_path("flatnas-deploy")


def load_cifar10(data_dir: Path | None = None, md5: Mapping[str, str] = MD5) -> Dataset:
    """CIFAR-10: 45,000 training, 5,000 validation and 10,000 test images.

    Args:
        data_dir: searched before the directory `PIPELINE_DATA` and the user's cache.
        md5: expected digest of each file.

    Raises:
        MissingDataError: none of the directories holds it.
        DataError: a file is damaged.
    """
    folder = _unpacked(find_cifar10(data_dir), md5)
    contents = {name: _verified(folder / name, digest) for name, digest in md5.items()}
    parts = [_decode(contents[name]) for name in md5]
    training = Images(np.concatenate([p.pixels_nhwc for p in parts[:-1]]), np.concatenate([p.labels for p in parts[:-1]]))
    train, val = split_off(training, 0.1)
    digest = hashlib.sha256("".join(md5.values()).encode()).hexdigest()  # the content, since each file was verified
    return Dataset("cifar10", CLASS_NAMES, train, val, parts[-1], digest)


def find_cifar10(data_dir: Path | None = None) -> Path:
    """The folder of .bin files or the archive of them, in the first directory that holds either."""
    named = data_dir or (Path(os.environ["PIPELINE_DATA"]) if os.environ.get("PIPELINE_DATA") else None)
    for directory in [named] if named else [user_cache()]:
        if (directory / next(iter(MD5))).is_file():
            return directory
        for name in (FOLDER, *ARCHIVES):
            if (directory / name).exists():
                return directory / name
    where = f"in {named}" if named else "on this machine"
    raise MissingDataError(
        f"CIFAR-10 was not found {where}: run 'pipeline data fetch cifar10', or name with --data-dir a directory that holds {FOLDER}/ or {ARCHIVES[0]}"
    )


def _verified(path: Path, md5: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} can't be read ({error.strerror}); run 'pipeline data fetch cifar10'") from error
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(f"{path} is damaged: {len(content):,} bytes with MD5 {found}, expected {md5}; fetch it again with 'pipeline data fetch cifar10'")
    return content


def _decode(content: bytes) -> Images:
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD_BYTES)
    pixels = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Images(np.ascontiguousarray(pixels), records[:, 0].astype(np.int64))


def _unpacked(source: Path, md5: Mapping[str, str]) -> Path:
    """The folder of .bin files; an archive is unpacked once into the user's cache, as it takes seconds."""
    if source.is_dir():
        return source
    status = source.stat()
    key = hashlib.sha256(f"{source.resolve()} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:16]
    folder = user_cache() / "unpacked" / key
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent))
        try:
            unpack(source, partial, md5)
            partial.replace(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def unpack(archive: Path, folder: Path, md5: Mapping[str, str] = MD5) -> None:
    """Write the expected members of an archive, and nothing else, into a folder; each is verified.

    Raises:
        DataError: the archive is cut off or damaged, or lacks a file.
    """
    missing = set(md5)
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = Path(member.name).name
                if name in missing and member.isfile() and member.size <= _LARGEST_FILE:
                    stream = tar.extractfile(member)
                    assert stream is not None
                    (folder / name).write_bytes(stream.read())
                    _verified(folder / name, md5[name])
                    missing.remove(name)
    except (tarfile.TarError, EOFError, LZMAError, zlib.error, OSError) as error:
        raise DataError(f"{archive} is cut off or damaged ({error}); fetch it again with 'pipeline data fetch cifar10'") from error
    if missing:
        raise DataError(f"{archive} lacks {', '.join(sorted(missing))}; fetch it again with 'pipeline data fetch cifar10'")
