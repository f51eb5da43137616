"""What is installed with the product: licences that let it be used, and versions that were declared."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pipeline.trust.environment import canonical, licence_of

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
SHIPPED = ("train", "firmware", "trust")  # extras that users install; the others are for our tests

PERMISSIVE = re.compile(
    r"\b(Apache|MIT|BSD|0BSD|ISC|PSF|Python Software Foundation|Unlicense|CC0|MPL|Mozilla|Public domain)\b",
    re.IGNORECASE,
)
COPYLEFT = re.compile(r"\b(A?GPL|LGPL|GNU)", re.IGNORECASE)
# why a package may be here although its metadata state no permissive licence
KNOWN = {
    "moocore": "LGPL-2.1-or-later: pymoo's indicators, used as a library, unchanged; nothing of it is in what we ship",
    "graphemeu": "MIT, as its repository states",
    "sigstore-models": "Apache-2.0, as its repository states",
    "tflite-micro": "Apache-2.0, as its repository states",
    "cuda-toolkit": "NVIDIA's, which torch's GPU build for Linux brings; its CPU build has none",
    "nvidia": "as above",
}


def shipped_requirements() -> list[Requirement]:
    lines = [*PROJECT["dependencies"], *(line for extra in SHIPPED for line in EXTRAS[extra])]
    return [Requirement(line) for line in lines]


def closure() -> dict[str, set[str]]:
    """Every package that the product and its extras bring, and the packages that want it."""
    found: dict[str, set[str]] = {}
    waiting = [(requirement, "flatnas-deploy") for requirement in shipped_requirements()]
    while waiting:
        requirement, wanted_by = waiting.pop()
        name = canonical(requirement.name)
        found.setdefault(name, set()).add(wanted_by)
        if len(found[name]) > 1:
            continue
        try:
            lines = distribution(name).requires or ()
        except PackageNotFoundError:
            continue
        for line in lines:
            needed = Requirement(line)
            if any(needed.marker is None or needed.marker.evaluate({"extra": e}) for e in ("", *requirement.extras)):
                waiting.append((needed, name))
    return found


def test_every_package_that_comes_along_may_be_used() -> None:
    unknown = []
    for name in closure():
        try:
            licence = licence_of(distribution(name))
        except PackageNotFoundError:  # of another system
            continue
        allowed = PERMISSIVE.search(licence) and not COPYLEFT.search(licence)
        if not allowed and name not in KNOWN and name.partition("-")[0] not in KNOWN:
            unknown.append(f"{name}: '{licence}', wanted by {', '.join(sorted(closure()[name]))}")
    assert unknown == []


@pytest.mark.parametrize("requirement", shipped_requirements(), ids=lambda requirement: requirement.name)
def test_what_is_installed_is_what_was_declared(requirement: Requirement) -> None:
    if requirement.marker is not None and not requirement.marker.evaluate():
        pytest.skip("of another system")
    try:
        version = distribution(requirement.name).version
    except PackageNotFoundError:
        pytest.skip("an extra that is not installed")
    assert requirement.specifier.contains(version, prereleases=True)


def test_every_dependency_says_the_least_version_that_it_needs() -> None:
    without = [requirement.name for requirement in shipped_requirements() if not requirement.specifier]
    assert without == ["tflite-micro"]  # has development versions alone


CONSTRAINTS = Path(__file__).parent.parent / "constraints" / f"{PROJECT['version']}.txt"


def constrained() -> dict[str, tuple[str, list[str]]]:
    """Version and hashes by package, as the release was tested."""
    lines = CONSTRAINTS.read_text().replace("\\\n", " ").splitlines()
    found = {}
    for line in (line for line in lines if line and not line.startswith("#")):
        name, version = line.split()[0].split("==")
        found[canonical(name.partition("[")[0])] = version, re.findall(r"--hash=sha256:[0-9a-f]{64}(?!\S)", line)
    return found


def test_a_release_names_what_it_was_tested_with_by_version_and_hash() -> None:
    pinned = constrained()
    for requirement in shipped_requirements():
        version, _ = pinned[canonical(requirement.name)]
        assert requirement.specifier.contains(version), requirement
    assert [name for name, (_, hashes) in pinned.items() if not hashes] == []


def test_nothing_comes_along_that_a_release_does_not_name() -> None:
    missing = [name for name in closure() if name not in constrained() and _installed(name)]
    assert missing == []


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
