"""The two statements that go with a run: what it was made of (SBOM), and how (provenance)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from pipeline.files import write_bytes
from pipeline.runs.layout import PROVENANCE, SBOM
from pipeline.trust.finished import FinishedRun
from pipeline.trust.provenance import provenance
from pipeline.trust.sbom import sbom


def statements(run: FinishedRun) -> dict[str, bytes]:
    """Both, by the path that each has in a run directory.

    Raises:
        PipelineError: the library of SBOMs is missing.
    """
    return {SBOM: sbom(run), PROVENANCE: provenance(run)}


def write_statements(run: FinishedRun, directory: Path) -> None:
    """Put both into a directory, in place of those that are there."""
    for path, content in statements(run).items():
        write_bytes(directory / path, content)


def _files_of_sbom(value: Any) -> dict[str, str]:
    return {file["name"]: file["hashes"][0]["content"] for file in value["metadata"]["component"]["components"]}


def _files_of_provenance(value: Any) -> dict[str, str]:
    files = chain(value["subject"], value["predicate"]["runDetails"]["byproducts"])
    return {file["name"]: file["digest"]["sha256"] for file in files}


# the files that a statement is about, sha256 by path; of one that may be anybody's
STATEMENTS: Mapping[str, Callable[[Any], dict[str, str]]] = {SBOM: _files_of_sbom, PROVENANCE: _files_of_provenance}
