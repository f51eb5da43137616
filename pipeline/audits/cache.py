"""Arrays on disk under a size cap: corrupted images and predictions, each named by a hash of what it depends on.

An entry is an .npy file with the SHA-256 of its bytes behind it, checked at every use. The least recently used go when
the cap is reached. A cache may vanish or be full at any time: what can't be kept is computed again.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.files import remove_partial, write_bytes

log = logging.getLogger(__name__)

_DIGEST_BYTES = 32
_ALIVE_SECONDS = 86_400  # no entry takes a day to write


@dataclass(frozen=True, slots=True)
class Cache:
    """A directory of arrays.

    Attributes:
        limit_bytes: of all entries together; 0 keeps nothing.
    """

    root: Path
    limit_bytes: int
    _warned: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    def load(self, key: str) -> npt.NDArray[Any] | None:
        """The array of that name, or None where it is absent or damaged (then it is deleted)."""
        path = self._path(key)
        try:
            content = path.read_bytes()
            body, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
            if hashlib.sha256(body).digest() == digest:
                os.utime(path)
                array: npt.NDArray[Any] = np.load(io.BytesIO(body), allow_pickle=False)
                return array
        except OSError:
            return None
        log.warning("%s is damaged and is made again", path)
        path.unlink(missing_ok=True)
        return None

    def save(self, key: str, array: npt.NDArray[Any]) -> None:
        """Keep an array; where that fails, warn and go on."""
        if array.nbytes > self.limit_bytes:
            return
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        content = buffer.getvalue()
        try:
            self._make_room(len(content) + _DIGEST_BYTES)
            write_bytes(self._path(key), content + hashlib.sha256(content).digest())
        except OSError as error:
            reason = error.strerror or str(error)
            if reason not in self._warned:  # once, not for each of hundreds of entries
                self._warned.add(reason)
                log.warning("%s can't be kept (%s); it will be computed again", self.root, reason)

    def _path(self, key: str) -> Path:
        return self.root / f"{key}.npy"

    def _make_room(self, needed: int) -> None:
        """Delete the least recently used entries until `needed` bytes are free under the cap."""
        remove_partial(self.root, older_than=_ALIVE_SECONDS)
        entries = []
        for path in self.root.glob("*.npy"):
            try:
                status = path.stat()
            except FileNotFoundError:  # another process was quicker
                continue
            entries.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total + needed <= self.limit_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size
