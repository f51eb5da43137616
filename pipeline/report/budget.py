"""A footprint beside its budget, and what a gate asks: the rows that page, card and terminal all show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.audits.result import Gate
from pipeline.report.quantities import count, interval_ms, milliseconds, percent, plain, points, size
from pipeline.report.run_report import RunReport


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """One resource.

    Attributes:
        resource: its name for people.
        used: what the network needs, with unit.
        limit: what the target allows, with unit.
        share: used / limit.
        whisker: low and high end of an estimate's interval as shares of the limit; None where the value is exact.
        note: the interval in words, or nothing.
    """

    resource: str
    used: str
    limit: str
    share: float
    whisker: tuple[float, float] | None = None
    note: str = ""

    @property
    def fits(self) -> bool:
        """Whether the limit is kept; of an estimate, its middle counts."""
        return self.share <= 1


def budget_rows(report: RunReport) -> list[BudgetRow]:
    """Params, MACs, flash, peak SRAM and latency of the shipped network against the target's limits."""
    has, limit = report.footprint, report.budget
    ms = has.latency_ms
    return [
        BudgetRow("parameters", count(has.params), count(limit["params"]), has.params / limit["params"]),
        BudgetRow("MACs", count(has.macs), count(limit["macs"]), has.macs / limit["macs"]),
        BudgetRow("flash", size(has.flash_bytes), size(limit["flash_bytes"]), has.flash_bytes / limit["flash_bytes"]),
        BudgetRow("peak SRAM", size(has.sram_bytes), size(limit["sram_bytes"]), has.sram_bytes / limit["sram_bytes"]),
        BudgetRow(
            "latency",
            milliseconds(ms.mid),
            milliseconds(limit["latency_ms"]),
            ms.mid / limit["latency_ms"],
            (ms.low / limit["latency_ms"], ms.high / limit["latency_ms"]),
            interval_ms(ms.low, ms.high),
        ),
    ]


def measured(gate: Gate) -> str:
    """A gate's value in its unit, and what it is about: `1: scratched`, `83.40 %`, `−0.12 points`."""
    return _in_unit(gate, gate.value) + (f": {gate.note}" if gate.note else "")


def requirement(gate: Gate) -> str:
    """What a gate asks: `≤ 1.00 points`, `≥ 88.00 %`, `> 33.33 %`; `0` where nothing may be."""
    limit = _in_unit(gate, gate.limit).removeprefix("+")
    if gate.asks == "at most":
        return limit if gate.unit == "count" and gate.limit == 0 else f"≤ {limit}"
    return f"{'≥' if gate.asks == 'at least' else '>'} {limit}"


def failures(gates: Sequence[Gate]) -> list[str]:
    """A line for each gate that failed."""
    return [f"{gate.name} is {measured(gate)}, must be {requirement(gate)}" for gate in gates if not gate.passed]


def _in_unit(gate: Gate, value: float) -> str:
    if gate.unit == "share":
        return percent(value, 2)
    return f"{points(value, 2)} points" if gate.unit == "points" else plain(value)
