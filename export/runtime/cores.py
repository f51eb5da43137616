"""Cores that firmware is built for, and the boards that emulate them.

Boards: QEMU's mps2 and mps3 documentation, https://www.qemu.org/docs/master/system/arm/mps2.html. QEMU has no
Cortex-M0+: its code, a subset of the M3's, runs on the M3 board.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Board:
    """A board of QEMU: where its memories lie."""

    machine: str
    flash_origin: int = 0x0000_0000
    flash_bytes: int = 4 << 20
    ram_origin: int = 0x2000_0000
    ram_bytes: int = 4 << 20


@dataclass(frozen=True, slots=True)
class Core:
    """A core as compilers and emulators know it.

    Attributes:
        gcc: flags that choose it.
        zig: its name for `-mcpu`.
        unicorn: its model there, None where Unicorn can't run its instructions.
    """

    gcc: tuple[str, ...]
    zig: str
    board: Board
    unicorn: str | None = None


_M3_BOARD = Board("mps2-an385")

CORES: Mapping[str, Core] = {
    "cortex-m0plus": Core(("-mcpu=cortex-m0plus",), "cortex_m0plus", _M3_BOARD, "UC_CPU_ARM_CORTEX_M3"),
    "cortex-m3": Core(("-mcpu=cortex-m3",), "cortex_m3", _M3_BOARD, "UC_CPU_ARM_CORTEX_M3"),
    "cortex-m4": Core(("-mcpu=cortex-m4",), "cortex_m4", Board("mps2-an386"), "UC_CPU_ARM_CORTEX_M4"),
    "cortex-m7": Core(("-mcpu=cortex-m7",), "cortex_m7", Board("mps2-an500"), "UC_CPU_ARM_CORTEX_M7"),
    "cortex-m33": Core(
        ("-mcpu=cortex-m33",),
        "cortex_m33+dsp",
        Board("mps2-an505", 0x1000_0000, 2 << 20, 0x3800_0000, 2 << 20),
        "UC_CPU_ARM_CORTEX_M33",
    ),
    "cortex-m55": Core(
        ("-mcpu=cortex-m55", "-mfloat-abi=hard"),
        "cortex_m55+mve",
        Board("mps3-an547", 0x0000_0000, 512 << 10, 0x2000_0000, 512 << 10),
    ),
}
