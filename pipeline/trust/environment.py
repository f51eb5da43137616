"""Every installed package, as a run records it: name, version, licence, and a hash of what its wheel installed.

pip keeps no hash of a wheel, but each wheel's own list of its files and their hashes (RECORD,
https://packaging.python.org/en/latest/specifications/recording-installed-packages/). The hash here is of that list
without what pip adds or writes anew for a place (scripts, compiled files, notes of its own), so that one wheel has one
hash wherever it is installed.
"""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions

_OF_THE_PLACE = ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json")
_CLASSIFIER = "License :: OSI Approved :: "
_LONGEST_LICENCE = 80  # characters: some packages put the whole text there


@dataclass(frozen=True, slots=True)
class Package:
    """An installed distribution.

    Attributes:
        licence: as its maker states it; empty where nothing short is stated.
        record_sha256: of the files that its wheel installed; None where there is no such list, as for a checkout.
    """

    name: str
    version: str
    licence: str = ""
    record_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Environment:
    """What a run ran in."""

    python: str
    system: str
    machine: str
    packages: tuple[Package, ...]


def environment() -> Environment:
    """The interpreter and its packages, by name."""
    found: dict[str, Package] = {}
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if name and (key := canonical(name)) not in found:  # the first on the path is the one that is imported
            licence, digest = licence_of(distribution), record_sha256_of(distribution)
            found[key] = Package(key, distribution.version, licence, digest)
    packages = tuple(found[name] for name in sorted(found))
    return Environment(platform.python_version(), platform.system(), platform.machine(), packages)


def canonical(name: str) -> str:
    """A package's name as registries compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence_of(distribution: Distribution) -> str:
    """As its maker states it, in a line; empty where nothing short is stated."""
    metadata = distribution.metadata
    for expression in metadata.get_all("License-Expression") or ():
        return str(expression)
    classifiers = [c for c in metadata.get_all("Classifier") or () if c.startswith(_CLASSIFIER)]
    if classifiers:
        return " AND ".join(c.removeprefix(_CLASSIFIER) for c in classifiers)
    stated = " ".join(metadata.get_all("License") or ()).strip()
    return stated if len(stated) <= _LONGEST_LICENCE and "\n" not in stated else ""


def record_sha256_of(distribution: Distribution) -> str | None:
    """Hash of the files that its wheel installed; None where there is no list of them, as for a checkout."""
    if distribution.read_text("RECORD") is None or '"editable": true' in (
        distribution.read_text("direct_url.json") or ""
    ):
        return None
    lines = sorted(_installed_files(distribution))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _installed_files(distribution: Distribution) -> Iterator[str]:
    for path in distribution.files or ():
        if path.hash is not None and path.parts[0] != ".." and path.name not in _OF_THE_PLACE:
            yield f"{path.as_posix()} {path.hash.mode}={path.hash.value}"
