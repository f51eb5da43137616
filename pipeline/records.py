"""Subnets that were measured, between the values that flow in memory and the records that files hold."""

from __future__ import annotations

from flatnas.search.measured import Flatness, Measured
from flatnas.search.search import Evaluation
from flatnas.space.arch import Arch
from hardware_profiles.cost.latency import Interval
from hardware_profiles.footprint import Footprint
from pipeline.results import (
    EvaluationRecord,
    FlatnessRecord,
    FootprintRecord,
    Latency,
    MeasuredRecord,
)


def footprint_record(cost: Footprint) -> FootprintRecord:
    """A footprint as files hold it."""
    return FootprintRecord(
        runtime=cost.runtime,
        params=cost.params,
        macs=cost.macs,
        flash_bytes=cost.flash_bytes,
        sram_bytes=cost.sram_bytes,
        latency_ms=Latency(low=cost.latency_ms.low, mid=cost.latency_ms.mid, high=cost.latency_ms.high),
    )


def measured_record(measured: Measured) -> MeasuredRecord:
    """What was measured of a subnet, as files hold it."""
    flatness = [FlatnessRecord(perturbation=f.perturbation, r=f.r, ci95=(f.low, f.high)) for f in measured.flatness]
    return MeasuredRecord(
        arch=measured.arch.to_json(),
        clean_error=measured.clean_error,
        flatness=flatness,
        corrupted_error=measured.corrupted_error,
    )


def read_measured(line: str) -> Measured:
    """The inverse of `measured_record` for one line of JSON.

    Raises:
        ValueError: the line is cut off or of another schema.
    """
    return _measured(MeasuredRecord.model_validate_json(line))


def evaluation_record(evaluation: Evaluation) -> EvaluationRecord:
    """A line of `evaluations.jsonl`."""
    measured = measured_record(evaluation.measured)
    return EvaluationRecord(**measured.model_dump(), footprint=footprint_record(evaluation.footprint))


def read_evaluation(line: str) -> Evaluation:
    """The inverse of `evaluation_record` for one line of JSON.

    Raises:
        ValueError: the line is cut off or of another schema.
    """
    record = EvaluationRecord.model_validate_json(line)
    f = record.footprint
    latency = Interval(f.latency_ms.low, f.latency_ms.mid, f.latency_ms.high)
    cost = Footprint(f.params, f.macs, f.flash_bytes, f.sram_bytes, latency, f.runtime)
    return Evaluation(_measured(record), cost)


def _measured(record: MeasuredRecord) -> Measured:
    flatness = tuple(Flatness(f.perturbation, f.r, *f.ci95) for f in record.flatness)
    return Measured(Arch.from_json(record.arch), record.clean_error, flatness, record.corrupted_error)
