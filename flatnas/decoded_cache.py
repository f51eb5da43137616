"""Decoded images on disk: a folder with `pixels.npy`, `labels.npy` and the hash of both.

A cache may vanish, be cut off or be read-only at any time. So an entry is checked before it is used, appears at once
under its name or not at all, and failing to write one is no error.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path

import numpy as np

from flatnas.datasets import Images, content_sha256

log = logging.getLogger(__name__)


def load(entry: Path) -> Images | None:
    """The images of an entry, or None where there is none or it is damaged (then it is deleted)."""
    if not entry.is_dir():
        return None
    try:
        expected = (entry / "content.sha256").read_text()
        arrays = [np.load(entry / name, allow_pickle=False) for name in ("pixels.npy", "labels.npy")]
        images = Images(*arrays)
        damaged = content_sha256(images) != expected
    except (OSError, ValueError, EOFError):  # of np.load for a cut or foreign file, or of Images for a foreign array
        damaged = True
    if damaged:
        log.warning("%s is damaged and is made again", entry)
        shutil.rmtree(entry, ignore_errors=True)
        return None
    return images


def store(entry: Path, images: Images) -> None:
    """Write an entry; where that fails, warn and go on."""
    partial: Path | None = None
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=entry.parent))
        np.save(partial / "pixels.npy", images.pixels_nhwc, allow_pickle=False)
        np.save(partial / "labels.npy", images.labels, allow_pickle=False)
        (partial / "content.sha256").write_text(content_sha256(images))
        partial.rename(entry)
    except OSError as error:
        if not entry.is_dir():  # else another process was quicker
            log.warning("decoded images can't be kept in %s (%s); the next start takes as long", entry.parent, error)
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
