"""Cycles that a core takes per instruction of our firmware, bounded from published figures; never measured on silicon.

manual      Arm's table of cycles per instruction times the instructions that our kernels ran, on Unicorn, for
            ResNet8, MLPerf Tiny's keyword spotting and visual wake words and six random subnets: at zero wait states.
            A million instructions of start-up are in the counts; on Cortex-M4 the smallest subnet, 1.97, is left out,
            as start-up is near half of its count
CMSIS-NN    cycles of MLPerf Tiny's ResNet8 with CMSIS-NN, over the 29.78 M instructions that TFLite Micro with
            CMSIS-NN takes for it on an emulated Cortex-M4 (docs/firmware.md); other versions and wrappers than those
            of the results, so that this is a bound and no measurement
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CyclesPerInstruction:
    """The least and the most of a core, and where they come from.

    Attributes:
        date: when the source was read, ISO 8601.
    """

    low: float
    high: float
    source: str
    date: str

    @property
    def mid(self) -> float:
        """The geometric mean: either end is as far off."""
        return math.sqrt(self.low * self.high)


CYCLES_PER_INSTRUCTION: Mapping[str, CyclesPerInstruction] = {
    "cortex-m0plus": CyclesPerInstruction(
        1.34,
        1.8,
        "Cortex-M0+ Technical Reference Manual DDI 0484C, table 3-1, with the one-cycle multiplier: 1.346 to "
        "1.376; a third above is allowed for flash with wait states: our choice, no published figure",
        "2026-11-24",
    ),
    "cortex-m3": CyclesPerInstruction(
        1.24,
        2.0,
        "Cortex-M3 Technical Reference Manual DDI 0337I, table 3-1: 1.246 with every load pipelined and one cycle "
        "to refill the pipeline, 1.973 with none and three; no published result of this core",
        "2026-11-24",
    ),
    "cortex-m4": CyclesPerInstruction(
        1.15,
        1.75,
        "CMSIS-NN, MLPerf Tiny v1.0 and v1.1: 1.15 (NUMAKER-M467HJ) to 1.57 (NUCLEO-L4R5ZI); the timings of DDI "
        "0337I with the multiplications in one cycle, as on this core: 1.16 to 1.74",
        "2026-11-24",
    ),
    "cortex-m7": CyclesPerInstruction(
        0.57,
        1.26,
        "Cortex-M4's, times the 0.50 to 0.72 that networks of the same compilers take on Cortex-M7 (MLPerf Tiny "
        "v0.7 to v1.2); no published result with CMSIS-NN",
        "2026-11-24",
    ),
    "cortex-m33": CyclesPerInstruction(
        0.95,
        1.75,
        "CMSIS-NN, MLPerf Tiny v0.7 to v1.1: 1.36 (nRF5340-DK) to 1.65 (EK-RA6M4); the low end is Cortex-M4's "
        "times the 0.83 that networks of the same compilers take here",
        "2026-11-24",
    ),
    "cortex-m55": CyclesPerInstruction(
        0.83,
        2.0,
        "no published figure of this core: the low end is Cortex-M85's with CMSIS-NN (MLPerf Tiny v1.2, EK-RA8D1, "
        "over the 4.91 M instructions of a Cortex-M55), the high end two cycles for each instruction, as Helium "
        "does two beats a cycle",
        "2026-11-24",
    ),
}
