"""Fit: one network against one target, as `pipeline fit --json` prints it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict

from hardware_profiles.cost.libraries import is_accelerated, library_of, unaccelerated, uncounted
from hardware_profiles.cost.ops import OpSpec
from hardware_profiles.footprint import (
    Plan,
    excess,
    footprint,
    latencies_on,
    needs,
    op_costs,
    plan_for,
    predicted_instructions,
    violations,
)
from hardware_profiles.profile import HardwareProfile
from hardware_profiles.suggestions import suggestions
from pipeline.errors import PipelineError
from pipeline.results import BudgetRecord, Latency


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FitFootprint(_Record):
    """What the network needs; of the latency an interval, whose middle is judged."""

    params: int
    macs: int
    flash_bytes: int
    sram_bytes: int
    latency_ms: Latency


class FitViolation(_Record):
    """A budget that is broken."""

    resource: str
    needs: float
    has: float


class PeakOp(_Record):
    """The operator with the most activations alive."""

    op: str
    name: str
    live_bytes: int


class FitSuggestion(_Record):
    """A change, computed by lowering the changed network again: what it saves of each resource, and whether it does."""

    change: str
    saves: dict[str, float]
    fits: bool


class FitOperator(_Record):
    """One operator's share; `live_bytes` are the arena's tensors alive while it runs."""

    op: str
    name: str
    macs: int
    params: int
    live_bytes: int
    latency_ms: Latency
    accelerated: bool


class Fit(_Record):
    """The answer for one target.

    Attributes:
        fits: the runtime runs it, every budget is met, and every cost is known.
        complete: the runtime runs it and no operator's cost is unknown; else the footprint is too low.
        headroom: budget less need of each resource, negative where it is broken.
        excess: need / budget - 1 of each resource.
        obstacles: why a runtime of the target can't run it, by runtime. Where it is the one counted, the costs are
            those of what is known, and a lower bound at best.
        unaccelerated: operators that run on reference C, by name.
        unknown: operators of unknown cost, by name.
        uncounted: what the footprint lacks though the device needs it, in words; empty where it is whole.
        instructions: that our firmware is predicted to take for one inference; null for other runtimes.
    """

    target: str
    fits: bool
    runtime: str
    footprint: FitFootprint
    budget: BudgetRecord
    headroom: dict[str, float]
    excess: dict[str, float]
    violations: list[FitViolation]
    peak_op: PeakOp
    obstacles: dict[str, str]
    unaccelerated: list[str]
    unknown: list[str]
    complete: bool
    uncounted: list[str]
    instructions: int | None
    suggestions: list[FitSuggestion]
    operators: list[FitOperator]


def fit_target(
    ops: Sequence[OpSpec],
    profile: HardwareProfile,
    runtime: str | None = None,
    file_bytes: int | None = None,
    *,
    obstacles: Mapping[str, str] = MappingProxyType({}),
    per_operator: bool = False,
) -> Fit:
    """The verdict for one target.

    Args:
        runtime: the first that can run the network when None, see `default_runtime`.
        obstacles: why a runtime can't run the network, for those that can't (`export.runs_on`).
        file_bytes: size of the model's file; its flash is estimated when None.
        per_operator: list each operator's share, too.

    Raises:
        PipelineError: the runtime is not one of the target's, or nothing is computed.
    """
    if not ops:
        raise PipelineError("the model has no operator that computes: there is nothing to fit")
    runtime = runtime or default_runtime(profile, obstacles)
    if runtime not in profile.runtimes:
        has = ", ".join(profile.runtimes)
        raise PipelineError(f"runtime '{runtime}' does not run on '{profile.name}', which has {has}")
    plan = plan_for(ops, profile, runtime)
    cost = footprint(ops, profile, runtime=runtime, file_bytes=file_bytes, plan=plan)
    over = violations(cost, profile.budget)
    peak = next(row for row in op_costs(ops, plan) if row.peak)
    ms, needed = cost.latency_ms, needs(cost)
    complete = runtime not in obstacles and not cost.unknown
    changes = suggestions(ops, profile, cost, file_bytes=file_bytes) if over and complete else ()
    return Fit(
        target=profile.name,
        fits=not over and complete,
        runtime=runtime,
        footprint=FitFootprint(
            params=cost.params,
            macs=cost.macs,
            flash_bytes=cost.flash_bytes,
            sram_bytes=cost.sram_bytes,
            latency_ms=Latency(low=ms.low, mid=ms.mid, high=ms.high),
        ),
        budget=BudgetRecord(**profile.budget.model_dump()),
        headroom={resource: getattr(profile.budget, resource) - value for resource, value in needed.items()},
        excess=dict(excess(cost, profile.budget)),
        violations=[FitViolation(resource=v.resource, needs=v.needs, has=v.has) for v in over],
        peak_op=PeakOp(op=peak.op, name=peak.name, live_bytes=peak.live_bytes),
        obstacles={name: reason for name, reason in obstacles.items() if name in profile.runtimes},
        unaccelerated=list(unaccelerated(ops, profile.core, runtime)),
        unknown=sorted(set(cost.unknown)),
        complete=complete,
        uncounted=list(uncounted(ops, profile.core, runtime)),
        instructions=predicted_instructions(profile, ops, plan) if complete else None,
        suggestions=[FitSuggestion(change=s.change, saves=dict(s.saves), fits=s.fits) for s in changes],
        operators=_operators(ops, profile, runtime, plan) if per_operator else [],
    )


def default_runtime(profile: HardwareProfile, obstacles: Mapping[str, str]) -> str:
    """The profile's own runtime, or the target's next one where that can't run the network and the next one can."""
    runtimes = (profile.runtime, *profile.runtimes)
    return next((runtime for runtime in runtimes if runtime not in obstacles), profile.runtime)


def _operators(ops: Sequence[OpSpec], profile: HardwareProfile, runtime: str, plan: Plan) -> list[FitOperator]:
    library = library_of(profile.core, runtime)
    shares = []
    costs, latencies = op_costs(ops, plan), latencies_on(profile, ops, runtime, plan)
    for op, row, ms in zip(ops, costs, latencies, strict=True):
        shares.append(
            FitOperator(
                op=row.op,
                name=row.name,
                macs=row.macs,
                params=row.params,
                live_bytes=row.live_bytes,
                latency_ms=Latency(low=ms.low, mid=ms.mid, high=ms.high),
                accelerated=is_accelerated(op, library),
            )
        )
    return shares
