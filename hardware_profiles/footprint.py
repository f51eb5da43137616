"""Footprint: what a network costs on a target, from its operators alone; and which budgets it breaks.

params        weights + biases
flash_bytes   the TFLite file: weights, int32 biases, scales, and the flatbuffer's structure; of our firmware, its code
              and packed constants
sram_bytes    the planned arena, and the runtime's own state beside it
latency_ms    an interval, see hardware_profiles.cost.latency; of our firmware, its instructions times cycles per
              instruction
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hardware_profiles.cores import InstructionSet, instruction_set
from hardware_profiles.cost.cycles_per_instruction import CYCLES_PER_INSTRUCTION
from hardware_profiles.cost.latency import Interval, latency_ms, total
from hardware_profiles.cost.memory import ORDERS, TFLM_ORDER, MemoryPlan, plan_memory
from hardware_profiles.cost.ops import OpSpec, macs, params
from hardware_profiles.firmware.flash import firmware_flash
from hardware_profiles.firmware.instructions import instructions
from hardware_profiles.firmware.plan import FirmwarePlan, plan_firmware
from hardware_profiles.profile import Budget, HardwareProfile

RESOURCES = tuple(Budget.model_fields)

# Structure of the flatbuffers that export.write.to_tflite writes, a close upper bound: on 47 subnets of
# all spaces, with distinct biases, it was 41 to 717 bytes more than the file's own.
_FILE_BYTES, _OPERATOR_BYTES, _WEIGHTED_OPERATOR_BYTES, _PAD_BYTES = 1360, 85, 106, 84
# An int64 zero point by each channel's scale, always 0: one vector serves all weights of as many channels.
_ZERO_POINT_BYTES, _VECTOR_BYTES = 8, 90

# TFLite Micro's own state beside the arena on a 32-bit core. ResNet8 (16 operators, 346 output channels) used 54,340
# bytes of which 49,152 were the arena; a multiplier and a shift per channel make 2,768 of the other 5,188.
_TFLM_BYTES, _TFLM_OPERATOR_BYTES, _TFLM_CHANNEL_BYTES = 800, 102, 8
_LITERT_BYTES = 1 << 20  # interpreter and XNNPACK workspace of a small model; mobile budgets are far above it


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a network costs.

    Attributes:
        runtime: whose costs these are.
        unknown: operators whose cost is not known; the other numbers then are too low, and the answer is incomplete.
    """

    params: int
    macs: int
    flash_bytes: int
    sram_bytes: int
    latency_ms: Interval
    runtime: str
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Violation:
    """A budget that a network breaks: what it needs and what it has."""

    resource: str
    needs: float
    has: float


@dataclass(frozen=True, slots=True)
class OpCost:
    """One operator's share, for reports; `live_bytes` are the arena's tensors alive while it runs."""

    op: str
    name: str
    macs: int
    params: int
    live_bytes: int
    peak: bool


Plan = FirmwarePlan | MemoryPlan


def plan_for(ops: Sequence[OpSpec], profile: HardwareProfile, runtime: str) -> Plan:
    """The plan that a network's costs on a target follow from, made once for all of them."""
    if runtime == "firmware":
        return plan_firmware(ops, _kernels(profile))
    return plan_memory(ops, (TFLM_ORDER,) if runtime == "tflm" else ORDERS)


def footprint(
    ops: Sequence[OpSpec],
    profile: HardwareProfile,
    *,
    runtime: str | None = None,
    file_bytes: int | None = None,
    plan: Plan | None = None,
) -> Footprint:
    """The cost of a network on a target.

    Args:
        ops: in execution order.
        runtime: `firmware`, `tflm` or `litert`; the profile's own when None.
        file_bytes: size of the model's file once it exists; else its flash is estimated, a close upper bound.
        plan: of these operators, where it is known already.
    """
    runtime = runtime or profile.runtime
    plan = plan or plan_for(ops, profile, runtime)
    if isinstance(plan, FirmwarePlan):
        flash = firmware_flash(ops, plan, profile.core, _kernels(profile)).total
        sram = plan.memory.peak_bytes
        latency = total(latencies_on(profile, ops, runtime, plan))
    else:
        flash = flatbuffer_bytes(ops) if file_bytes is None else file_bytes
        sram = plan.peak_bytes + runtime_state_bytes(ops, runtime)
        latency = _as_measured(profile, latency_ms(ops, profile.core, runtime, profile.clock_hz))
    return Footprint(
        params=sum(params(op) for op in ops),
        macs=sum(macs(op) for op in ops),
        flash_bytes=flash,
        sram_bytes=sram,
        latency_ms=latency,
        runtime=runtime,
        unknown=tuple(op.op for op in ops if op.kind == "unknown"),
    )


def _kernels(profile: HardwareProfile) -> InstructionSet:
    kernels = instruction_set(profile.core, profile.features)
    if kernels is None:
        raise ValueError(f"runtime 'firmware' does not run on {profile.core}")
    return kernels


def latencies_on(profile: HardwareProfile, ops: Sequence[OpSpec], runtime: str, plan: Plan) -> tuple[Interval, ...]:
    """Each operator's share of the latency, in milliseconds, by the target's own measurement where it has one.

    Of our firmware it is its predicted instructions times the core's cycles per instruction; of other runtimes, what
    published results of their kernels say.

    Args:
        plan: of these operators, from `plan_for`.
    """
    if not isinstance(plan, FirmwarePlan):
        return tuple(_as_measured(profile, latency_ms([op], profile.core, runtime, profile.clock_hz)) for op in ops)
    ms, per = 1e3 / profile.clock_hz, CYCLES_PER_INSTRUCTION[profile.core]
    shares = (
        Interval(n * per.low * ms, n * per.mid * ms, n * per.high * ms)
        for n in instructions(ops, plan, profile.core, _kernels(profile))
    )
    return tuple(_as_measured(profile, share) for share in shares)


def predicted_instructions(profile: HardwareProfile, ops: Sequence[OpSpec], plan: Plan) -> int | None:
    """Instructions that our firmware takes for one inference; None of another runtime's plan."""
    if not isinstance(plan, FirmwarePlan):
        return None
    return round(sum(instructions(ops, plan, profile.core, _kernels(profile))))


def _as_measured(profile: HardwareProfile, estimate: Interval) -> Interval:
    if profile.measured_latency is None:
        return estimate
    low, mid, high = profile.measured_latency
    return Interval(estimate.mid * low, estimate.mid * mid, estimate.mid * high)


def op_costs(ops: Sequence[OpSpec], plan: Plan) -> tuple[OpCost, ...]:
    """Each operator's MACs, parameters and live activations, in execution order, under a plan from `plan_for`."""
    live = plan.live_bytes(len(ops)) if isinstance(plan, FirmwarePlan) else plan.live_bytes
    peak = live.index(max(live))
    return tuple(
        OpCost(op.op, op.output.name, macs(op), params(op), nbytes, peak=i == peak)
        for i, (op, nbytes) in enumerate(zip(ops, live, strict=True))
    )


def flatbuffer_bytes(ops: Sequence[OpSpec]) -> int:
    """Upper bound of the TFLite file of these operators."""
    data = sum(op.weights * op.weight_itemsize + 4 * op.biases + 4 * op.channel_scales for op in ops)
    widths = {op.channel_scales for op in ops if op.channel_scales}
    data += sum(_ZERO_POINT_BYTES * channels + _VECTOR_BYTES for channels in widths)
    weighted, padded = sum(op.weights > 0 for op in ops), sum(op.kind == "pad" for op in ops)
    structure = _OPERATOR_BYTES * len(ops) + _WEIGHTED_OPERATOR_BYTES * weighted + _PAD_BYTES * padded
    return data + _FILE_BYTES + structure


def runtime_state_bytes(ops: Sequence[OpSpec], runtime: str) -> int:
    """SRAM of the runtime itself, beside the arena of activations."""
    if runtime == "litert":
        return _LITERT_BYTES
    channels = sum(op.channel_scales for op in ops)
    return _TFLM_BYTES + _TFLM_OPERATOR_BYTES * len(ops) + _TFLM_CHANNEL_BYTES * channels


def needs(cost: Footprint) -> Mapping[str, float]:
    """What a footprint holds against each budget; of the latency, the middle of its interval."""
    return {
        "params": cost.params,
        "macs": cost.macs,
        "flash_bytes": cost.flash_bytes,
        "sram_bytes": cost.sram_bytes,
        "latency_ms": cost.latency_ms.mid,
    }


def excess(cost: Footprint, budget: Budget) -> Mapping[str, float]:
    """needs / budget - 1 of each resource: at most 0 where it fits."""
    return {resource: value / getattr(budget, resource) - 1 for resource, value in needs(cost).items()}


def violations(cost: Footprint, budget: Budget) -> tuple[Violation, ...]:
    """The budgets that a footprint breaks, in the order of `RESOURCES`."""
    over = excess(cost, budget)
    return tuple(Violation(r, needs(cost)[r], getattr(budget, r)) for r in RESOURCES if over[r] > 0)
