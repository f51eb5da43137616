"""The files of a finished directory, known by their sha256: `manifest.json` says that it is finished."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.files import sha256_of, write_json
from pipeline.runs.layout import MANIFEST, PLACES, PROVENANCE, SBOM, SIGNATURE, TIMINGS

NOT_LISTED = frozenset((MANIFEST, TIMINGS, PLACES, SIGNATURE, SBOM, PROVENANCE))


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of a run directory: its path there, with forward slashes, and its content's hash."""

    path: str
    sha256: str


def artifacts_in(directory: Path) -> list[Artifact]:
    """Every finished file below a directory, sorted by path; hidden (unfinished) ones and `NOT_LISTED` left out."""
    files = sorted(p.relative_to(directory) for p in directory.rglob("*") if p.is_file())
    kept = [p for p in files if not any(part.startswith(".") for part in p.parts) and p.as_posix() not in NOT_LISTED]
    return [Artifact(p.as_posix(), sha256_of(directory / p)) for p in kept]


def write_manifest(directory: Path) -> None:
    """Say that a directory is finished, and what its files are."""
    write_json(directory / MANIFEST, {a.path: a.sha256 for a in artifacts_in(directory)})


def unfinish(directory: Path) -> None:
    """Take a directory's manifest away, before its files change."""
    (directory / MANIFEST).unlink(missing_ok=True)
