"""`report.json` (docs/report.md): the contract with CI and other programs.

Rates are fractions in [0, 1]; sizes are bytes; latencies milliseconds. No seconds that a run took: those are in
`timings.json`, so that two runs of one seed have the same report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from flatnas.space.arch import Arch
from hardware_profiles.footprint import Footprint, OpCost
from pipeline.audits.result import AuditResult, Gate
from pipeline.results.firmware import FirmwareProof
from pipeline.results.parity import ParityRow
from pipeline.results.quantization import Quantization
from pipeline.results.search import Search

SCHEMA = 2


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """A data set: the name of the set or its folder, the hash of its content, and how many pictures train."""

    name: str
    sha256: str
    train: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """`report.json`.

    Attributes:
        budget: the target's limits, by the names of the footprint.
        audit: the audit's own result, with the roles `int8` and `float`; accuracy has `onnx`, too.
        memory: the shipped file's operators, and what is alive in the arena while each runs.
        teacher: whose soft labels the trainings followed.
    """

    schema: int = SCHEMA
    target: str
    dataset: DatasetFacts
    seed: int
    arch: Arch
    footprint: Footprint
    budget: Mapping[str, int | float]
    fits: bool
    uncounted: tuple[str, ...]
    teacher: Literal["shipped", "trained"] | None
    search: Search
    quantization: Quantization
    audit: AuditResult
    parity: tuple[ParityRow, ...]
    firmware: FirmwareProof | None
    memory: tuple[OpCost, ...]
    gates: tuple[Gate, ...]
    passed: bool
    warnings: tuple[str, ...]
    artifacts: Mapping[str, str]
