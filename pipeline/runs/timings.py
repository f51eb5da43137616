"""`timings.json`: what a run took on this computer. It stands outside the manifest, as no two runs agree on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from export.run.host_latency import HostLatency
from pipeline.provenance import cpu_name
from pipeline.runs.layout import TIMINGS
from pipeline.values import read_value, write_value


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds of each stage, and how long a mobile target's files take here."""

    cpu: str
    stages: dict[str, float] = field(default_factory=dict)
    host_latency: tuple[HostLatency, ...] = ()


def read_timings(directory: Path) -> Timings:
    """Of a run; empty where it has none.

    Raises:
        PipelineError: the file is damaged.
    """
    path = directory / TIMINGS
    return read_value(Timings, path) if path.is_file() else Timings(cpu_name())


def add_stage(directory: Path, stage: str, seconds: float) -> None:
    """Remember how long a stage took."""
    timings = read_timings(directory)
    write_value(directory / TIMINGS, replace(timings, stages={**timings.stages, stage: round(seconds, 1)}))


def add_host_latency(directory: Path, rows: Sequence[HostLatency]) -> None:
    """Remember how long files take on this computer."""
    write_value(directory / TIMINGS, replace(read_timings(directory), host_latency=tuple(rows)))
