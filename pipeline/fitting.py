"""Fit: one network against one target, as `pipeline fit --json` prints it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from hardware_profiles.cores import InstructionSet, instruction_set
from hardware_profiles.cost.latency import Interval
from hardware_profiles.cost.libraries import is_accelerated, library_of, unaccelerated, uncounted
from hardware_profiles.cost.ops import OpSpec
from hardware_profiles.footprint import (
    Footprint,
    Plan,
    Violation,
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
from hardware_profiles.suggestions import Suggestion, suggestions
from pipeline.errors import PipelineError


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakOp:
    """The operator with the most activations alive."""

    op: str
    name: str
    live_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FitShrink:
    """Channels that no output depends on: what the network needs less of without them, and whether it fits then.

    Attributes:
        counted: the answer is about the network without them, as our firmware leaves them out by itself; else
            `pipeline shrink` writes a file without them.
    """

    removed_channels: int
    saves: Mapping[str, float]
    fits: bool
    counted: bool


@dataclass(frozen=True, slots=True)
class PlainLayer:
    """A layer of our firmware in portable C though the core has a faster kernel of its kind, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOperator:
    """One operator's share; `live_bytes` are the arena's tensors alive while it runs."""

    op: str
    name: str
    macs: int
    params: int
    live_bytes: int
    latency_ms: Interval
    accelerated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
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
        shrink: null where every channel reaches an output.
        plain: layers of our firmware that no fast kernel takes; of other runtimes, see `unaccelerated`.
    """

    target: str
    fits: bool
    runtime: str
    footprint: Footprint
    budget: Mapping[str, int | float]
    headroom: Mapping[str, float]
    excess: Mapping[str, float]
    violations: tuple[Violation, ...]
    peak_op: PeakOp
    obstacles: Mapping[str, str]
    unaccelerated: tuple[str, ...]
    unknown: tuple[str, ...]
    complete: bool
    uncounted: tuple[str, ...]
    instructions: int | None
    shrink: FitShrink | None
    plain: tuple[PlainLayer, ...]
    suggestions: tuple[Suggestion, ...]
    operators: tuple[FitOperator, ...]


@dataclass(frozen=True, slots=True)
class Smaller:
    """A network without the channels that no output depends on.

    Attributes:
        removed_channels: how many there were.
        file_bytes: size of its file, as for the whole network.
    """

    ops: Sequence[OpSpec]
    removed_channels: int
    file_bytes: int | None = None


def fit_target(
    ops: Sequence[OpSpec],
    profile: HardwareProfile,
    runtime: str | None = None,
    file_bytes: int | None = None,
    *,
    obstacles: Mapping[str, str] = MappingProxyType({}),
    per_operator: bool = False,
    smaller: Smaller | None = None,
    plain: Mapping[InstructionSet, Sequence[PlainLayer]] = MappingProxyType({}),
) -> Fit:
    """The verdict for one target.

    Args:
        runtime: the first that can run the network when None, see `default_runtime`.
        obstacles: why a runtime can't run the network, for those that can't (`export.runs_on`).
        file_bytes: size of the model's file; its flash is estimated when None.
        per_operator: list each operator's share, too.
        smaller: the network without dead channels, where it has some.
        plain: layers of the firmware in portable C, by what the core runs.

    Raises:
        PipelineError: the runtime is not one of the target's, or nothing is computed.
    """
    if not ops:
        raise PipelineError("the model has no operator that computes: there is nothing to fit")
    runtime = runtime or default_runtime(profile, obstacles)
    if runtime not in profile.runtimes:
        has = ", ".join(profile.runtimes)
        raise PipelineError(f"runtime '{runtime}' does not run on '{profile.name}', which has {has}")
    shrink = None if smaller is None else _shrink(ops, smaller, profile, runtime, file_bytes)
    if smaller is not None and runtime == "firmware":
        ops, file_bytes = smaller.ops, smaller.file_bytes
    plan = plan_for(ops, profile, runtime)
    cost = footprint(ops, profile, runtime=runtime, file_bytes=file_bytes, plan=plan)
    over = violations(cost, profile.budget)
    peak = next(row for row in op_costs(ops, plan) if row.peak)
    needed = needs(cost)
    complete = runtime not in obstacles and not cost.unknown
    changes = suggestions(ops, profile, cost, file_bytes=file_bytes) if over and complete else ()
    return Fit(
        target=profile.name,
        fits=not over and complete,
        runtime=runtime,
        footprint=cost,
        budget=profile.budget.model_dump(),
        headroom={resource: getattr(profile.budget, resource) - value for resource, value in needed.items()},
        excess=dict(excess(cost, profile.budget)),
        violations=tuple(over),
        peak_op=PeakOp(op=peak.op, name=peak.name, live_bytes=peak.live_bytes),
        obstacles={name: reason for name, reason in obstacles.items() if name in profile.runtimes},
        unaccelerated=unaccelerated(ops, profile.core, runtime),
        unknown=tuple(sorted(set(cost.unknown))),
        complete=complete,
        uncounted=uncounted(ops, profile.core, runtime),
        instructions=predicted_instructions(profile, ops, plan) if complete else None,
        shrink=shrink,
        plain=_plain(profile, plain) if runtime == "firmware" else (),
        suggestions=tuple(changes),
        operators=_operators(ops, profile, runtime, plan) if per_operator else (),
    )


def _shrink(
    ops: Sequence[OpSpec], smaller: Smaller, profile: HardwareProfile, runtime: str, file_bytes: int | None
) -> FitShrink:
    whole = needs(footprint(ops, profile, runtime=runtime, file_bytes=file_bytes))
    cost = footprint(smaller.ops, profile, runtime=runtime, file_bytes=smaller.file_bytes)
    return FitShrink(
        removed_channels=smaller.removed_channels,
        saves={resource: whole[resource] - value for resource, value in needs(cost).items()},
        fits=not violations(cost, profile.budget),
        counted=runtime == "firmware",
    )


def _plain(profile: HardwareProfile, plain: Mapping[InstructionSet, Sequence[PlainLayer]]) -> tuple[PlainLayer, ...]:
    kernels = instruction_set(profile.core, profile.features)
    return tuple(plain.get(kernels, ())) if kernels else ()


def default_runtime(profile: HardwareProfile, obstacles: Mapping[str, str]) -> str:
    """The profile's own runtime, or the target's next one where that can't run the network and the next one can."""
    runtimes = (profile.runtime, *profile.runtimes)
    return next((runtime for runtime in runtimes if runtime not in obstacles), profile.runtime)


def _operators(ops: Sequence[OpSpec], profile: HardwareProfile, runtime: str, plan: Plan) -> tuple[FitOperator, ...]:
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
                latency_ms=ms,
                accelerated=is_accelerated(op, library),
            )
        )
    return tuple(shares)
