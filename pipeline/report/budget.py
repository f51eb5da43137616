"""A footprint beside its budget, and what a gate asks: the rows that page, card and terminal all show."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.report.quantities import count, interval_ms, milliseconds, plain, size
from pipeline.results import Gate, RunReport


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
        BudgetRow("parameters", count(has.params), count(limit.params), has.params / limit.params),
        BudgetRow("MACs", count(has.macs), count(limit.macs), has.macs / limit.macs),
        BudgetRow("flash", size(has.flash_bytes), size(limit.flash_bytes), has.flash_bytes / limit.flash_bytes),
        BudgetRow("peak SRAM", size(has.sram_bytes), size(limit.sram_bytes), has.sram_bytes / limit.sram_bytes),
        BudgetRow(
            "latency",
            milliseconds(ms.mid),
            milliseconds(limit.latency_ms),
            ms.mid / limit.latency_ms,
            (ms.low / limit.latency_ms, ms.high / limit.latency_ms),
            interval_ms(ms.low, ms.high),
        ),
    ]


def requirement(gate: Gate) -> str:
    """What a gate asks: `≤ 0.01` or `≥ 0.88`.

    The side follows from value, limit and outcome; it is left out where value and limit are equal.
    """
    if gate.value == gate.limit:
        return plain(gate.limit)
    return f"{'≤' if (gate.value < gate.limit) == gate.passed else '≥'} {plain(gate.limit)}"
