"""CIFAR-10 and CIFAR-100 from the official binary files: no pickle, every file checked against its published MD5.

A record is a label byte (CIFAR-100: a coarse and a fine one), then 1024 red, 1024 green and 1024 blue bytes of a 32x32
image (Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html). An archive is read as a stream: nothing is
extracted to disk, and only members with the expected names are looked at.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from lzma import LZMAError
from pathlib import Path

import numpy as np

from flatnas.data import decoded_cache
from flatnas.data.dataset import Dataset, Images, split_indices
from flatnas.errors import DataError, MissingDataError

log = logging.getLogger(__name__)

FOLDER = "cifar-10-batches-bin"
ARCHIVES = ("cifar-10-binary.tar.gz", "cifar-10-binary.tar.xz", "cifar-10-binary.tar")
MD5: Mapping[str, str] = {  # five training files, then the test file
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
}
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
VAL_SHARE = 0.1
VAL_INDICES_SHA256 = "7957d060fcc34aefa5a43c70e31433927db55526494f67a9f7da553059be6767"  # as little-endian int64
_PIXEL_BYTES = 3 * 32 * 32
_LARGEST_MEMBER_BYTES = 256 << 20  # CIFAR-100's train.bin has 154 MB; more is neither data set


@dataclass(frozen=True, slots=True)
class Release:
    """A data set as its site publishes it.

    Attributes:
        name: as `--dataset` knows it.
        title: for people.
        folder: of the .bin files.
        archives: names that the archive may have.
        md5: of the .bin files, the training files in order, then the test file, which holds a sixth of all images.
        label_bytes: of a record; the last one counts.
    """

    name: str
    title: str
    folder: str
    archives: tuple[str, ...]
    md5: Mapping[str, str]
    class_names: tuple[str, ...]
    label_bytes: int

    def mend(self, to_delete: Path) -> str:
        """What to do about damaged files."""
        return f"delete {to_delete} and run 'pipeline data fetch {self.name}'"


CIFAR10 = Release("cifar10", "CIFAR-10", FOLDER, ARCHIVES, MD5, CLASS_NAMES, label_bytes=1)


def user_cache() -> Path:
    """The user's cache directory: where `pipeline data fetch` puts data, and where archives are decoded once."""
    from platformdirs import user_cache_path

    return user_cache_path("flatnas-deploy")


def load_cifar10(
    data_dir: Path | None = None, *, md5: Mapping[str, str] = MD5, cache_dir: Path | None = None
) -> Dataset:
    """CIFAR-10: 45,000 training, 5,000 validation and 10,000 test images; the split is fixed (`flatnas.data.dataset`).

    Args:
        data_dir: searched before the directory `PIPELINE_DATA` and the cache.
        md5: expected digest of each file, the training files in order, then the test file; all of one size.
        cache_dir: in place of the user's cache directory.

    Raises:
        MissingDataError: none of the directories holds it.
        DataError: a file is damaged.
    """
    return load_release(replace(CIFAR10, md5=md5), data_dir, cache_dir)


def load_release(release: Release, data_dir: Path | None = None, cache_dir: Path | None = None) -> Dataset:
    """A data set of the CIFAR family; arguments and errors as of `load_cifar10`."""
    cache_dir, md5 = cache_dir or user_cache(), release.md5
    source = find_release(release, data_dir, cache_dir)
    if source.is_dir():
        everything = decode(read_folder(source, md5, release), release.label_bytes)
    else:
        everything = _from_archive(source, release, cache_dir)
    test_images = len(everything) // 6
    test = everything.take(slice(len(everything) - test_images, None))
    training_labels = everything.labels[:-test_images]
    rest, picked = split_indices(training_labels, VAL_SHARE)
    if md5 == MD5 and hashlib.sha256(picked.astype("<i8").tobytes()).hexdigest() != VAL_INDICES_SHA256:
        # numpy promises no constant stream (NEP 19); another split would put trained-on images into validation
        raise DataError(
            f"numpy {np.__version__} draws another validation split of CIFAR-10 than the one kept from the shipped "
            "supernets; install numpy 2.4 and report this"
        )
    digest = hashlib.sha256("".join(md5.values()).encode()).hexdigest()  # the content, since each file was verified
    return Dataset(release.name, release.class_names, everything.take(rest), everything.take(picked), test, digest)


def data_directories(data_dir: Path | None = None, cache_dir: Path | None = None) -> list[Path]:
    """Where data are looked for, in this order: `data_dir`, what `PIPELINE_DATA` names, the user's cache."""
    named = os.environ.get("PIPELINE_DATA")
    return [*([data_dir] if data_dir else []), *([Path(named)] if named else []), cache_dir or user_cache()]


def find_release(release: Release, data_dir: Path | None = None, cache_dir: Path | None = None) -> Path:
    """The folder of .bin files or the archive of them, in the first directory that holds either.

    Raises:
        MissingDataError: neither `data_dir` nor `PIPELINE_DATA` nor the cache holds one.
    """
    directories = data_directories(data_dir, cache_dir)
    for directory in directories:
        if any((directory / name).is_file() for name in release.md5):
            return directory
        if (directory / release.folder).is_dir():
            return directory / release.folder
        for name in release.archives:
            if (directory / name).is_file():
                return directory / name
    raise MissingDataError(
        f"{release.title} was not found in {', '.join(map(str, directories))}: "
        f"run 'pipeline data fetch {release.name}', "
        f"or name with --data-dir a directory that holds {release.folder}/ or {release.archives[0]}"
    )


def read_folder(folder: Path, md5: Mapping[str, str] = MD5, release: Release = CIFAR10) -> dict[str, bytes]:
    """The verified content of each file of `md5`.

    Raises:
        DataError: a file is missing, unreadable or damaged.
    """
    contents = {}
    for name, digest in md5.items():
        try:
            contents[name] = (folder / name).read_bytes()
        except OSError as error:
            raise DataError(
                f"{folder / name} can't be read ({error.strerror}); {release.mend(folder / '*.bin')}"
            ) from error
        _verify(contents[name], digest, folder / name, release.mend(folder / "*.bin"))
    return contents


def read_archive(archive: Path, release: Release = CIFAR10) -> dict[str, bytes]:
    """The verified content of each file of the release, from the archive's top level or from the release's folder.

    Raises:
        DataError: the archive is cut off or damaged, lacks a file, or holds a damaged one.
    """
    md5, prefixes = release.md5, ("", "./", f"{release.folder}/", f"./{release.folder}/")
    expected = {prefix + name: name for name in md5 for prefix in prefixes}
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = expected.get(member.name)
                if name is None or name in contents or not member.isfile() or member.size > _LARGEST_MEMBER_BYTES:
                    continue
                stream = tar.extractfile(member)
                contents[name] = stream.read() if stream else b""
                _verify(contents[name], md5[name], Path(f"{archive}:{member.name}"), release.mend(archive))
                if len(contents) == len(md5):
                    return {name: contents[name] for name in md5}
    except (tarfile.TarError, EOFError, LZMAError, zlib.error, OSError, ValueError, OverflowError) as error:
        size = f"{archive.stat().st_size:,} bytes" if archive.exists() else "gone"
        reason = " ".join(str(error).split())  # tarfile's has a line per compression it tried
        raise DataError(f"{archive} ({size}) is cut off or damaged: {reason}; {release.mend(archive)}") from error
    missing = [name for name in md5 if name not in contents]
    raise DataError(f"{archive} lacks {', '.join(missing)}; {release.mend(archive)}")


def decode(contents: Mapping[str, bytes], label_bytes: int = 1) -> Images:
    """All images of these files of records, in the files' order."""
    record_bytes = label_bytes + _PIXEL_BYTES
    total = sum(len(content) for content in contents.values()) // record_bytes
    pixels, labels = np.empty((total, 32, 32, 3), np.uint8), np.empty(total, np.int64)
    start = 0
    for content in contents.values():
        records = np.frombuffer(content, np.uint8).reshape(-1, record_bytes)
        end = start + len(records)
        labels[start:end] = records[:, label_bytes - 1]
        pixels[start:end] = records[:, label_bytes:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        start = end
    return Images(pixels, labels)


def _verify(content: bytes, md5: str, path: Path, mend: str) -> None:
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(f"{path} is damaged: {len(content):,} bytes with MD5 {found}, expected {md5}; {mend}")


def _from_archive(archive: Path, release: Release, cache_dir: Path) -> Images:
    """Decoded images; kept by the archive's own digest, as decompressing takes seconds."""
    try:
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    except OSError as error:
        raise DataError(f"{archive} can't be read ({error.strerror})") from error
    digest.update("".join(release.md5.values()).encode())
    entry = cache_dir / "decoded" / digest.hexdigest()[:16]
    images = decoded_cache.load(entry)
    if images is None:
        log.info("reading %s; this takes some seconds, once", archive)
        images = decode(read_archive(archive, release), release.label_bytes)
        decoded_cache.store(entry, images)
    return images
