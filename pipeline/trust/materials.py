"""What a run was made of: data, starting weights, packages, tools; each with its digest or version and its licence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pipeline.runs.layout import ENVIRONMENT, LABELS, SUPERNET
from pipeline.trust.environment import Environment, Package, canonical
from pipeline.trust.finished import FinishedRun, parsed

Kind = Literal["data", "weights", "package", "interpreter", "tool"]

NOT_STATED = "not stated"
# As the makers state it. CIFAR: https://www.cs.toronto.edu/~kriz/cifar.html asks for citation and states no licence.
# Digits: https://archive.ics.uci.edu/dataset/80, read 2026-07.
DATA_LICENCES = {"cifar10": NOT_STATED, "cifar100": NOT_STATED, "digits": "CC-BY-4.0"}
WEIGHTS_LICENCE = "Apache-2.0"  # of what this package ships


@dataclass(frozen=True, slots=True)
class Material:
    """One thing that went into a run.

    Attributes:
        sha256: of its bytes; None where it is known by its version alone.
        version: None where it is known by its bytes alone.
        licence: as its maker states it; empty where we know nothing of it.
        record_sha256: of a package's installed files, as `environment.Package` has it.
    """

    kind: Kind
    name: str
    sha256: str | None = None
    version: str | None = None
    licence: str = ""
    record_sha256: str | None = None

    @property
    def purl(self) -> str | None:
        """A package's URL (https://github.com/package-url/purl-spec)."""
        return f"pkg:pypi/{self.name}@{self.version}" if self.kind == "package" else None


def materials(run: FinishedRun) -> list[Material]:
    """Everything that a run was made of, data first."""
    return [*_data_and_weights(run), *_software(run), *_tools(run)]


def data_licence(run: FinishedRun) -> str:
    """Of the pictures that the weights were trained on."""
    return DATA_LICENCES.get(run.config.data.dataset, NOT_STATED)


def _data_and_weights(run: FinishedRun) -> Iterator[Material]:
    outputs = run.outputs()
    yield Material("data", f"data set {run.report.dataset.name}", run.report.dataset.sha256, licence=data_licence(run))
    if SUPERNET in outputs:
        licence = "" if run.config.supernet.supernet else WEIGHTS_LICENCE
        yield Material("weights", "supernet", outputs[SUPERNET], licence=licence)
    if LABELS in outputs:
        licence = WEIGHTS_LICENCE if run.report.teacher == "shipped" else ""
        yield Material("weights", "a teacher's soft labels", outputs[LABELS], licence=licence)


def _software(run: FinishedRun) -> Iterator[Material]:
    """All that was installed; of runs of version 0.1 what `run.json` names."""
    versions = run.made_by()
    if ENVIRONMENT in run.files:
        found = parsed(run.directory, ENVIRONMENT, Environment)
        python, packages = found.python, found.packages
    else:
        python = versions.get("python", "")
        others = sorted(versions.keys() - {"python", "machine", "threads", "cores"})
        packages = tuple(Package(canonical(name), versions[name]) for name in others)
    yield Material("interpreter", "Python", version=python, licence="PSF-2.0")
    for package in packages:
        yield Material(
            "package", package.name, None, package.version, package.licence, record_sha256=package.record_sha256
        )


def _tools(run: FinishedRun) -> Iterator[Material]:
    """Compiler, emulator and references behind the firmware's proof; what has no version is our own."""
    cores = run.report.firmware.cores if run.report.firmware else []
    told = [tool for core in cores for tool in (core.compiler, core.emulator, *core.references)]
    for tool in dict.fromkeys(told):
        if match := re.fullmatch(r"(\D+) (\d.*)", tool):
            yield Material("tool", match[1], version=match[2])
