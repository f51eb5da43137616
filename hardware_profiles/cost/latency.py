"""Milliseconds of a network on a core, always as an interval.

    cycles(op) = MACs * cycles per MAC(kernel) + elements * cycles per element

Kernel costs are in `libraries.KERNELS`, per core and per library of kernels. An operator that the library does not
accelerate runs on reference C, an order of magnitude slower: a hard-swish or a squeeze-excite gate costs more than its
MACs say. The interval is what published measurements of the same core and library leave open. Flash wait states,
caches, external memory and other work on the core are not in it but where the measured boards had them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from hardware_profiles.cost.libraries import KERNELS, KernelCycles, is_accelerated, library_of
from hardware_profiles.cost.ops import OpSpec, macs

_FEW_CHANNELS = 4  # an input of at most so many channels leaves SIMD lanes of a convolution empty


@dataclass(frozen=True, slots=True)
class Interval:
    """A quantity between two bounds, and its middle estimate."""

    low: float
    mid: float
    high: float

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.low + other.low, self.mid + other.mid, self.high + other.high)

    def times(self, factor: float) -> Interval:
        """Scaled by a factor."""
        return Interval(self.low * factor, self.mid * factor, self.high * factor)


def total(intervals: Iterable[Interval]) -> Interval:
    """The sum, bound by bound."""
    return sum(intervals, Interval(0, 0, 0))


def cycles(op: OpSpec, core: str, runtime: str) -> Interval:
    """Cycles of one operator; those of an unknown kind count their elements only, and the footprint says so."""
    return _interval([op], core, runtime)


def latency_ms(ops: Iterable[OpSpec], core: str, runtime: str, clock_hz: int) -> Interval:
    """Milliseconds of a whole network on one core.

    Raises:
        ValueError: the runtime does not run on that core.
    """
    return _interval(ops, core, runtime).times(1e3 / clock_hz)


def _interval(ops: Iterable[OpSpec], core: str, runtime: str) -> Interval:
    library = library_of(core, runtime)
    row = KERNELS[core, library]
    fast = slow = 0.0
    for op in ops:
        if is_accelerated(op, library):
            fast += _typical(op, row.fast)
        else:
            slow += _typical(op, row.reference)
    (least, most), (slow_least, slow_most) = row.fast_spread, row.reference_spread
    return Interval(fast * least + slow * slow_least, fast + slow, fast * most + slow * slow_most)


def _typical(op: OpSpec, cost: KernelCycles) -> float:
    written = prod(op.output.shape)
    if op.kind == "conv":
        if op.inputs[0].shape[-1] <= _FEW_CHANNELS:
            per_mac = cost.stem
        else:
            per_mac = cost.pointwise if op.kernel_hw == (1, 1) else cost.conv
    elif op.kind == "depthwise_conv":
        per_mac = cost.depthwise
    elif op.kind == "fully_connected":
        per_mac = cost.fully_connected
    else:
        return cost.element * max(written, *(prod(tensor.shape) for tensor in op.inputs))
    return macs(op) * per_mac + written * cost.output
