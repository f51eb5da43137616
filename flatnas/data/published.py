"""A file as its publisher, or somebody who fetched it from there, describes it: what a download must be."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Published:
    """Where a file is, and what it is.

    Attributes:
        digest: hex.
        algorithm: SHA-256, or MD5 where nobody has published another.
    """

    url: str
    size_bytes: int
    digest: str
    algorithm: Literal["sha256", "md5"] = "sha256"

    def is_at(self, path: Path) -> bool:
        """Whether a file is there and is this one."""
        return path.is_file() and path.stat().st_size == self.size_bytes and self.digest_of(path) == self.digest

    def digest_of(self, path: Path) -> str:
        """A file's digest by the algorithm."""
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.new(self.algorithm, usedforsecurity=False)).hexdigest()
