"""The pictures of an audit: clean test images, and each of them under every corruption and severity.

Corrupted pictures are read from the official archive where one is given, else generated: the random numbers of a
picture depend on seed, corruption, severity and its index alone, so that any subset equals the same rows of the whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from flatnas.corruptions import SEVERITIES, TableName, corrupt, severity_table
from pipeline.audits.cache import Cache
from pipeline.runs.code import code_sha256

Pixels = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Variant = tuple[str, int]
"""A corruption's name and its severity."""
CLEAN: Variant = ("clean", 0)
# raised when a table's bytes change: audits before and after can't be compared
_GENERATORS: dict[TableName, int] = {"cifar10-c": 1, "tiny-imagenet-c": 2, "imagenet-c": 2}
_BLOCK_PIXELS = 2**20  # corrupted between two signs of life: 1,024 pictures of 32 x 32
_LIBRARIES = ("numpy", "scipy", "opencv-python-headless", "pillow")  # whose arithmetic decides the last bit


def variants(corruptions: tuple[str, ...] | list[str]) -> list[Variant]:
    """Clean first, then the five severities of each corruption in turn."""
    return [CLEAN, *((name, severity) for name in corruptions for severity in SEVERITIES)]


@dataclass(frozen=True, slots=True)
class OfficialFiles:
    """The official corrupted pictures.

    Attributes:
        source: folder or .tar of CIFAR-10-C's layout.
        identity: what names their content.
    """

    source: Path
    identity: str


@dataclass(frozen=True, eq=False)
class AuditImages:
    """Clean pictures and where their corrupted forms come from.

    Attributes:
        clean: the whole test set, shape (N, H, W, 3).
        official: where corrupted pictures are read; None to generate them.
        cache: of generated pictures.
    """

    clean: Pixels
    seed: int
    official: OfficialFiles | None
    cache: Cache

    @property
    def source(self) -> Literal["official", "generated"]:
        """`official` or `generated`, as reports say it."""
        return "generated" if self.official is None else "official"

    @cached_property
    def digest(self) -> str:
        """A hash that names the pictures: audits of the same ones can be compared, whichever version made them."""
        found = hashlib.sha256(repr((self.clean.shape, self.source)).encode())
        found.update(np.ascontiguousarray(self.clean).data)
        if self.official is None:
            generator = _GENERATORS[severity_table(min(self.clean.shape[1:3]))]
            found.update(repr((generator, self.seed, [version(name) for name in _LIBRARIES])).encode())
        else:
            found.update(self.official.identity.encode())
        return found.hexdigest()

    @cached_property
    def _made_by(self) -> str:
        """A hash of what names the pictures, and of the code that makes them."""
        return hashlib.sha256(f"{self.digest} {code_sha256('flatnas.corruptions')}".encode()).hexdigest()[:32]

    def key(self, variant: Variant, indices: Ints) -> str:
        """A name for these pictures in a cache."""
        whole = len(indices) == len(self.clean)
        which = "all" if whole else hashlib.sha256(indices.astype("<i8").tobytes()).hexdigest()[:16]
        return f"{variant[0]}-{variant[1]}-{self._made_by}-{which}"

    def pictures(self, variant: Variant, indices: Ints, alive: Callable[[], None] = lambda: None) -> Pixels:
        """The pictures at `indices` (ascending) under a corruption, shape (n, H, W, 3).

        Args:
            alive: called now and then while they are made, which may take minutes.
        """
        indices = np.asarray(indices, np.int64)
        name, severity = variant
        if variant == CLEAN:
            return np.ascontiguousarray(self.clean[indices])
        if self.official is not None:
            from flatnas.data.cifar_c import read_corrupted

            return read_corrupted(self.official.source, name, severity, indices, len(self.clean))
        whole = self.cache.load(self.key(variant, np.arange(len(self.clean))))
        if whole is not None:
            taken: Pixels = whole[indices]
            return taken
        part = self.cache.load(self.key(variant, indices))
        if part is None:
            part = np.empty((len(indices), *self.clean.shape[1:]), np.uint8)
            step = max(1, _BLOCK_PIXELS // (part.shape[1] * part.shape[2]))
            for start in range(0, len(indices), step):
                block = indices[start : start + step]
                part[start : start + step] = corrupt(self.clean[block], name, severity, block, self.seed)
                alive()
            self.cache.save(self.key(variant, indices), part)
        return part

    def to_json(self, clean_file: Path) -> dict[str, Any]:
        """For the worker process, which finds the clean pictures in `clean_file` (.npy)."""
        return {
            "clean": str(clean_file),
            "digest": self.digest,
            "seed": self.seed,
            "official": None if self.official is None else [str(self.official.source), self.official.identity],
            "cache": [str(self.cache.root), self.cache.limit_bytes],
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> AuditImages:
        """The reverse of `to_json`; the clean pictures are mapped, not loaded."""
        root, limit_bytes = value["cache"]
        official = (
            None if value["official"] is None else OfficialFiles(Path(value["official"][0]), value["official"][1])
        )
        clean = np.load(value["clean"], mmap_mode="r")
        images = AuditImages(clean, value["seed"], official, Cache(Path(root), limit_bytes))
        images.__dict__["digest"] = value["digest"]  # what the parent has hashed already
        return images
