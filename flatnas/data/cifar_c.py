"""The official CIFAR-10-C and CIFAR-100-C: read from the .tar as it is, or from the folder of .npy files in it.

Hendrycks & Dietterich 2019, https://zenodo.org/records/2535967 and https://zenodo.org/records/3555552. Each of the 19
.npy files holds the 10,000 test pictures five times, severity 1 first; `labels.npy` repeats the labels likewise. The
archive is not compressed, so a picture is read from its place in it: nothing is extracted, and no file is loaded whole.
"""

from __future__ import annotations

import hashlib
import tarfile
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from flatnas.data.cifar import data_directories
from flatnas.data.published import Published
from flatnas.errors import DataError

SEVERITIES = 5
CIFAR10_C_MD5: Mapping[str, str] = {
    "brightness": "0a81ef75e0b523c3383219c330a85d48",
    "contrast": "3c8262171c51307f916c30a3308235a8",
    "defocus_blur": "7d1322666342a0702b1957e92f6254bc",
    "elastic_transform": "9421657c6cd452429cf6ce96cc412b5f",
    "fog": "7b397314b5670f825465fbcd1f6e9ccd",
    "frost": "31f6ab3bce1d9934abfb0cc13656f141",
    "gaussian_blur": "c33370155bc9b055fb4a89113d3c559d",
    "gaussian_noise": "ecaf8b9a2399ffeda7680934c33405fd",
    "glass_blur": "7361fb4019269e02dbf6925f083e8629",
    "impulse_noise": "2090e01c83519ec51427e65116af6b1a",
    "jpeg_compression": "2b9cc4c864e0193bb64db8d7728f8187",
    "labels": "c439b113295ed5254878798ffe28fd54",
    "motion_blur": "fffa5f852ff7ad299cfe8a7643f090f4",
    "pixelate": "0f14f7e2db14288304e1de10df16832f",
    "saturate": "1cfae0964219c5102abbb883e538cc56",
    "shot_noise": "3a7239bb118894f013d9bf1984be7f11",
    "snow": "bb238de8555123da9c282dea23bd6e55",
    "spatter": "8a5a3903a7f8f65b59501a6093b4311e",
    "speckle_noise": "ef00b87611792b00df09c0b0237a1e30",
    "zoom_blur": "6ea8e63f1c5cdee1517533840641641b",
}


@dataclass(frozen=True, slots=True)
class Archive:
    """One of the two archives.

    Attributes:
        folder: its name, and the name of the folder inside; the archive is `folder`.tar.
        files_md5: of the .npy files inside, where they are published.
    """

    folder: str
    published: Published
    files_md5: Mapping[str, str]


# Of CIFAR-10-C size and SHA-256 as TensorFlow Datasets 1.0 lists them (url_checksums/cifar10_corrupted.txt); of
# CIFAR-100-C size and MD5 as its record tells them.
ARCHIVES: Mapping[str, Archive] = {
    "cifar10": Archive(
        "CIFAR-10-C",
        Published(
            "https://zenodo.org/records/2535967/files/CIFAR-10-C.tar",
            2_918_471_680,
            "c72763e101c723b7c507b96205f7e938912a5d587376173b825850cf3cb876a7",
        ),
        CIFAR10_C_MD5,
    ),
    "cifar100": Archive(
        "CIFAR-100-C",
        Published(
            "https://zenodo.org/records/3555552/files/CIFAR-100-C.tar",
            2_918_473_216,
            "11f0ed0f1191edbf9fa23466ae6021d3",
            "md5",
        ),
        {},
    ),
}


def find_corrupted(dataset: str, data_dir: Path | None = None, cache_dir: Path | None = None) -> Path | None:
    """The folder or .tar of a data set's corrupted form, in the first directory that holds it; None where none does."""
    archive = ARCHIVES.get(dataset)
    if archive is None:
        return None
    for directory in data_directories(data_dir, cache_dir):
        for path in (directory / archive.folder, directory / f"{archive.folder}.tar"):
            if path.exists():
                return path
    return None


def check_corrupted(
    source: Path, dataset: str, corruptions: Sequence[str], files_md5: Mapping[str, str] | None = None
) -> None:
    """Verify the files of these corruptions, as a stream.

    Args:
        files_md5: in place of the published digests.

    Raises:
        DataError: a file is missing, or its digest or shape is not the published one.
    """
    expected = ARCHIVES[dataset].files_md5 if files_md5 is None else files_md5
    for name in corruptions:
        with _opened(source, name) as (file, size_bytes, where):
            if name in expected:
                _verify(file, size_bytes, expected[name], where, source)
                file.seek(where.start)
            _header(file, size_bytes, where, source)


def identity(source: Path, dataset: str) -> str:
    """What names the content of files that `check_corrupted` has passed, on this machine or another.

    The published digests, where each file is checked against its own; else the place and the time of its last change.
    """
    published = ARCHIVES[dataset].files_md5
    if published:
        return hashlib.sha256(repr(sorted(published.items())).encode()).hexdigest()
    return f"{source.resolve()} {source.stat().st_mtime_ns}"


def check_labels(source: Path, labels: npt.NDArray[np.int64]) -> None:
    """Verify that the pictures are in the order of this test set, as `labels.npy` tells.

    Raises:
        DataError: they are not, or the file is missing or damaged.
    """
    with _opened(source, "labels") as (file, size_bytes, where):
        try:
            _shape, _order, dtype = _array_header(file, size_bytes)
            found = np.frombuffer(file.read(where.start + size_bytes - file.tell()), dtype)
        except (ValueError, EOFError, OSError) as error:
            raise DataError(f"{where.name} is no .npy file or cut off; {_mend(source)}") from error
        if not np.array_equal(found, np.tile(labels, SEVERITIES)):
            raise DataError(f"{where.name} does not hold the labels of the test set, five times; {_mend(source)}")


def read_corrupted(
    source: Path, name: str, severity: int, indices: npt.NDArray[np.int64], count: int
) -> npt.NDArray[np.uint8]:
    """The test pictures at `indices` under a corruption, shape (n, H, W, 3).

    Args:
        count: pictures in the test set; the file holds them five times.

    Raises:
        DataError: the file is missing, cut off, or of another shape.
    """
    with _opened(source, name) as (file, size_bytes, where):
        shape, data_start = _header(file, size_bytes, where, source)
        if shape[0] != SEVERITIES * count:
            raise DataError(f"{where.name} holds {shape[0]:,} pictures; {SEVERITIES} x {count:,} were expected")
        if data_start + int(np.prod(shape)) > where.start + size_bytes:
            raise DataError(f"{where.name} is cut off; {_mend(source)}")
        try:
            pixels = np.memmap(file, np.uint8, "r", data_start, shape)
        except (OSError, ValueError) as error:
            raise DataError(f"{where.name} is cut off ({error}); {_mend(source)}") from error
        return np.ascontiguousarray(pixels[(severity - 1) * count + indices])


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a file's bytes are: how to call it, and the offset at which it starts."""

    name: str
    start: int


@contextmanager
def _opened(source: Path, name: str) -> Iterator[tuple[IO[bytes], int, _Place]]:
    """One .npy file of the folder or archive: (file at its first byte, its size, its place)."""
    path, start, size_bytes = source, 0, 0
    try:
        if source.is_dir():
            path = source / f"{name}.npy"
            size_bytes = path.stat().st_size
        else:
            start, size_bytes = _member(source, name)
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"{path} can't be read ({error.strerror}); {_mend(source)}") from error
    with file:
        file.seek(start)
        yield file, size_bytes, _Place(str(path) if source.is_dir() else f"{source}:{name}.npy", start)


def _member(archive: Path, name: str) -> tuple[int, int]:
    """(offset, size) of `name`.npy in the archive: in the folder of the archive's name, or at the top."""
    wanted = {f"{prefix}{name}.npy" for prefix in ("", "./", f"{archive.stem}/", f"./{archive.stem}/")}
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                if member.name in wanted and member.isfile() and not member.issparse():
                    return member.offset_data, member.size
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise DataError(f"{archive} is cut off or damaged: {' '.join(str(error).split())}; {_mend(archive)}") from error
    raise DataError(f"{archive} lacks {name}.npy; {_mend(archive)}")


def _header(file: IO[bytes], size_bytes: int, where: _Place, source: Path) -> tuple[tuple[int, ...], int]:
    """(shape, offset of the first pixel) of an .npy file of pictures."""
    try:
        shape, fortran, dtype = _array_header(file, size_bytes)
    except (ValueError, EOFError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{where.name} is no .npy file or cut off ({reason}); {_mend(source)}") from error
    if dtype != np.uint8 or fortran or len(shape) != 4 or shape[3] != 3:
        raise DataError(f"{where.name} holds {dtype} {shape}; uint8 (N, H, W, 3) was expected")
    return shape, file.tell()


def _array_header(file: IO[bytes], size_bytes: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """(shape, Fortran order, type) of an .npy file; `file` stands behind the header then.

    Raises:
        ValueError: it is no header, or runs past the file's `size_bytes` into whatever follows it in the archive.
    """
    end = file.tell() + size_bytes
    version = np.lib.format.read_magic(file)
    read: Any = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = read(file)
    except (SyntaxError, tokenize.TokenError) as error:
        raise ValueError("the header is damaged") from error
    if file.tell() > end:
        raise ValueError("the header is not all there")
    return shape, fortran, dtype


def _verify(file: IO[bytes], size_bytes: int, expected: str, where: _Place, source: Path) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    left = size_bytes
    while left and (chunk := file.read(min(left, 1 << 20))):
        digest.update(chunk)
        left -= len(chunk)
    if digest.hexdigest() != expected:
        raise DataError(
            f"{where.name} is damaged: {size_bytes - left:,} bytes with MD5 {digest.hexdigest()}, expected {expected}; "
            f"{_mend(source)}"
        )


def _mend(source: Path) -> str:
    return f"delete {source} and run 'pipeline data fetch', or audit with --source generated"
