"""What lies in a run directory, against what its manifest lists: nothing less, nothing else, nothing hidden.

The directory may come from anybody: links are never followed, and only regular files are opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pipeline.errors import PipelineError
from pipeline.files import read_json, sha256_of
from pipeline.runs.layout import LOCK, MANIFEST
from pipeline.runs.manifest import NOT_LISTED

_MANIFEST = TypeAdapter(dict[str, str])


@dataclass(frozen=True, slots=True)
class Listing:
    """A directory's content.

    Attributes:
        manifest: sha256 by path, as the manifest lists them.
        files: sha256 by path of every regular file that a manifest would list.
        strange: a line for each entry that no finished run has.
    """

    manifest: dict[str, str]
    files: dict[str, str]
    strange: tuple[str, ...]

    def problems(self) -> list[str]:
        """A line for each difference between directory and manifest."""
        return [
            *(f"missing: {path}" for path in self.manifest if path not in self.files),
            *(f"changed: {path}" for path, digest in self.manifest.items() if self.files.get(path, digest) != digest),
            *(f"not in the manifest: {path}" for path in self.files if path not in self.manifest),
            *self.strange,
        ]


def listing(directory: Path) -> Listing:
    """Read a directory and its manifest.

    Raises:
        PipelineError: the manifest is damaged.
    """
    files, strange = {}, []
    for path, entry in sorted(_entries(directory, "")):
        if entry.is_symlink():
            strange.append(f"a link: {path}")
        elif not entry.is_file():
            strange.append(f"no regular file: {path}")
        elif path == LOCK and entry.stat().st_size == 0:
            continue
        elif any(part.startswith(".") for part in path.split("/")):
            strange.append(f"hidden: {path}")
        elif path not in NOT_LISTED:
            files[path] = sha256_of(directory / path)
    return Listing(_manifest(directory), files, tuple(strange))


def _manifest(directory: Path) -> dict[str, str]:
    path = directory / MANIFEST
    value = read_json(path)
    try:
        return _MANIFEST.validate_python(value, strict=True)
    except ValidationError as error:
        raise PipelineError(f"{path} is damaged: restore it, or delete {path.parent} and start again") from error


def _entries(directory: Path, below: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything that is no folder, by its path with forward slashes."""
    with os.scandir(directory) as entries:
        for entry in entries:
            path = f"{below}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(directory / entry.name, f"{path}/")
            else:
                yield path, entry
