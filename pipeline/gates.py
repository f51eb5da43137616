"""Gates: the conditions of a verdict. A run has a fixed set; `audit` takes its limits from the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hardware_profiles.footprint import Violation
from pipeline.results import Accuracy, Delta, FirmwareRecord, Gate, ParityRecord, Robustness

MAX_ACCURACY_LOSS = 0.01  # of int8 against float
MAX_DELTA = 0.02  # upper end of the interval of int8's corruption error minus float's


def run_gates(
    violations: Sequence[Violation],
    accuracy: Accuracy,
    robustness: Robustness,
    parity: Sequence[ParityRecord],
    firmware: FirmwareRecord | None,
) -> list[Gate]:
    """The gates of `pipeline run`; firmware has one where it was emulated."""
    loss = accuracy.float - accuracy.tflite_int8
    beyond = sum(not row.holds for row in parity)
    differ = [core.mismatches for core in firmware.cores] if firmware else []
    proved = [Gate(name="firmware (inputs that differ)", limit=0, value=sum(differ), passed=not any(differ))]
    return [
        Gate(name="fits the budget (resources over)", limit=0, value=len(violations), passed=not violations),
        _at_most("accuracy lost to int8", loss, MAX_ACCURACY_LOSS),
        _at_most("corruption error added by int8 (upper end)", robustness.delta.ci95[1], MAX_DELTA),
        Gate(name="parity (runtimes out of bounds)", limit=0, value=beyond, passed=beyond == 0),
        *(proved if differ else []),
    ]


def audit_gates(
    accuracy: float,
    mce: float | None,
    delta: Delta | None,
    per_corruption: Mapping[str, Sequence[float]],
    *,
    min_accuracy: float | None,
    max_mce: float | None,
    max_delta: float | None,
    max_error: Mapping[str, float],
) -> list[Gate]:
    """The gates of `pipeline audit`: those whose limit was given. A value that is unknown fails its gate."""
    gates = []
    if min_accuracy is not None:
        gates.append(Gate(name="accuracy", limit=min_accuracy, value=accuracy, passed=accuracy >= min_accuracy))
    if max_mce is not None and mce is not None:
        gates.append(_at_most("mCE", mce, max_mce))
    if max_delta is not None and delta is not None:
        gates.append(_at_most("delta (upper end)", delta.ci95[1], max_delta))
    for name, limit in max_error.items():
        gates.append(_at_most(f"error under {name}", sum(per_corruption[name]) / len(per_corruption[name]), limit))
    return gates


def _at_most(name: str, value: float, limit: float) -> Gate:
    return Gate(name=name, limit=limit, value=value, passed=value <= limit)
