"""Decoded images on disk: a folder with `pixels.npy`, `labels.npy` and the hash of both files.

A cache may vanish, be cut off or be read-only at any time. So an entry is checked before it is used, appears at once
under its name or not at all, and failing to write one is no error.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from pathlib import Path

import numpy as np

from flatnas.data.dataset import Images

log = logging.getLogger(__name__)

_FILES, _HASH = ("pixels.npy", "labels.npy"), "files.sha256"


def load(entry: Path) -> Images | None:
    """The images of an entry, or None where there is none or it is damaged (then it is deleted)."""
    if not entry.is_dir():
        return None
    try:
        if (entry / _HASH).read_text() == _files_sha256(entry):  # before numpy reads what a damaged header may say
            return Images(*(np.load(entry / name, allow_pickle=False) for name in _FILES))
    except (OSError, ValueError):
        pass
    log.warning("%s is damaged and is made again", entry)
    shutil.rmtree(entry, ignore_errors=True)
    return None


def store(entry: Path, images: Images) -> None:
    """Write an entry; where that fails, warn and go on."""
    partial: Path | None = None
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=entry.parent))
        np.save(partial / "pixels.npy", images.pixels_nhwc, allow_pickle=False)
        np.save(partial / "labels.npy", images.labels, allow_pickle=False)
        (partial / _HASH).write_text(_files_sha256(partial))
        partial.rename(entry)
    except OSError as error:
        if not entry.is_dir():  # else another process was quicker
            log.warning("decoded images can't be kept in %s (%s); the next start takes as long", entry.parent, error)
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def _files_sha256(entry: Path) -> str:
    digests = []
    for name in _FILES:
        with (entry / name).open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return " ".join(digests)
