"""Cycles of an operator on a core, as an interval, and from them milliseconds.

    cycles(op) = MACs * cycles per MAC(kind, core) + elements written * cycles per element(core)

Bounds come from published measurements: MLPerf Tiny v1.0 to v1.3 (ResNet8, image classification), the TinyEngine
repository's table for depthwise-separable nets on an STM32H743, ExecuTorch issue 17651 for Cortex-M55. They leave out
flash wait states and caches, which differ by board. Where nobody has published a kernel's figure the row says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hardware_profiles.ops import OpKind, OpSpec, macs


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


@dataclass(frozen=True, slots=True)
class CoreCycles:
    """Cycles per MAC of the kernels that have MACs, and per element written for everything."""

    conv: Interval
    pointwise: Interval
    depthwise: Interval
    fully_connected: Interval
    element: Interval
    source: str


CYCLES: Mapping[str, CoreCycles] = {
    "cortex-m0plus": CoreCycles(
        conv=Interval(6, 7.8, 12),
        pointwise=Interval(8, 11.7, 16),
        depthwise=Interval(12, 17.6, 26),
        fully_connected=Interval(7, 9.9, 14),
        element=Interval(15, 30, 60),
        source="MLPerf Tiny v1.2, NUCLEO-G0B1RE at 64 MHz: image classification 0.657 inf/s (12.50 M MACs: 7.79 cycles "
        "per MAC), visual wake words 0.707 (7.49 M MACs, 83 % pointwise and 11 % depthwise: 12.09), anomaly detection "
        "24.454 (fully connected: 9.91). Depthwise is taken as 1.5 pointwise; keyword spotting then is 11.9, where "
        "11.43 was measured. Elements: no publication",
    ),
    "cortex-m4": CoreCycles(
        conv=Interval(1.6, 2.6, 3.8),
        pointwise=Interval(1.2, 2.6, 4.0),
        depthwise=Interval(2.5, 6.5, 12),
        fully_connected=Interval(1.6, 2.6, 3.8),
        element=Interval(5, 10, 20),
        source="MLPerf Tiny v1.0 to v1.2, NUCLEO-L4R5ZI: 1.59 (X-CUBE-AI) to 3.74 (microTVM with CMSIS-NN) for image "
        "classification; 1.42 to 4.83 for visual wake words, which the bounds of pointwise and depthwise keep",
    ),
    "cortex-m7": CoreCycles(
        conv=Interval(0.9, 1.6, 2.6),
        pointwise=Interval(0.7, 1.8, 3.4),
        depthwise=Interval(1.6, 4.6, 10.0),
        fully_connected=Interval(0.9, 1.6, 2.6),
        element=Interval(4, 8, 16),
        source="MLPerf Tiny v1.1 and v1.2, NUCLEO-H7A3ZI-Q and DISCO-F746NG: 0.91 to 1.89 for image classification, "
        "0.89 to 1.65 for visual wake words; depthwise-separable nets 1.8 to 4.6 (TinyEngine, STM32H743 at 480 MHz)",
    ),
    "cortex-m55": CoreCycles(
        conv=Interval(0.4, 1.0, 1.3),
        pointwise=Interval(0.39, 0.8, 1.26),
        depthwise=Interval(2.5, 3.8, 5.0),
        fully_connected=Interval(0.4, 0.8, 1.3),
        element=Interval(1, 2, 5),
        source="ExecuTorch issue 17651, MobileNetV2 on an Alif E8: stem 1.27, pointwise 0.39 to 1.26, depthwise 3.8",
    ),
    "cortex-a72": CoreCycles(
        conv=Interval(0.13, 0.3, 1.0),
        pointwise=Interval(0.13, 0.3, 1.0),
        depthwise=Interval(0.5, 1.0, 3.0),
        fully_connected=Interval(0.13, 0.5, 1.0),
        element=Interval(0.2, 1, 3),
        source="lower bound: 8 int8 products per cycle of one NEON SMLAL pipe; the rest is to be measured on the board",
    ),
}


def cycles(op: OpSpec, core: str) -> Interval:
    """Cycles of one operator; those of an unknown kind count their elements only, and the footprint says so."""
    row = CYCLES[core]
    elements = 1
    for side in op.output.shape:
        elements *= side
    return _per_mac(op, row).times(macs(op)) + row.element.times(elements)


def latency_ms(ops: Iterable[OpSpec], core: str, clock_hz: int) -> Interval:
    """Milliseconds of a whole network on one core."""
    total = Interval(0, 0, 0)
    for op in ops:
        total = total + cycles(op, core)
    return total.times(1e3 / clock_hz)


def _per_mac(op: OpSpec, row: CoreCycles) -> Interval:
    kinds: Mapping[OpKind, Interval] = {
        "conv": row.pointwise if op.kernel_hw == (1, 1) else row.conv,
        "depthwise_conv": row.depthwise,
        "fully_connected": row.fully_connected,
    }
    return kinds.get(op.kind, Interval(0, 0, 0))
