"""The cores: what each can have, which kernels it runs, and how firmware for it is compiled and emulated.

What a core costs stands in cost/libraries.py and cost/cycles_per_instruction.py, one row for each core: every stage
knows its profile's core, and only those that count costs may be redone when a cost changes.

Boards: QEMU's mps2 and mps3 documentation, https://www.qemu.org/docs/master/system/arm/mps2.html. QEMU has no
Cortex-M0+: its code, a subset of the M3's, runs on the M3 board.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

CoreName = Literal[
    "cortex-m0plus",
    "cortex-m3",
    "cortex-m4",
    "cortex-m7",
    "cortex-m33",
    "cortex-m55",
    "cortex-m85",
    "xtensa-lx7",
    "rv32imc",
    "cortex-a53",
    "cortex-a72",
    "cortex-a76",
    "cortex-x1",
]
Feature = Literal["dsp", "fpu", "mve", "vector", "neon", "dotprod"]
InstructionSet = Literal["scalar", "dsp", "mve", "host"]


@dataclass(frozen=True, slots=True)
class Board:
    """A board of QEMU: where its memories lie."""

    machine: str
    flash_origin: int = 0x0000_0000
    flash_bytes: int = 4 << 20
    ram_origin: int = 0x2000_0000
    ram_bytes: int = 4 << 20


@dataclass(frozen=True, slots=True)
class FirmwareCore:
    """A core as compilers and emulators know it.

    Attributes:
        gcc: flags that choose it.
        zig: its name for `-mcpu`.
        unicorn: its model there, None where Unicorn can't run its instructions.
        portable: what portable C becomes: Thumb-1 (armv6-m) or Thumb-2 (armv7-m).
    """

    gcc: tuple[str, ...]
    zig: str
    board: Board
    unicorn: str | None = None
    portable: str = "armv7-m"


@dataclass(frozen=True, slots=True)
class Core:
    """A core.

    Attributes:
        features: what it can have; a chip may leave the optional parts (DSP, FPU, MVE) out.
        libraries: of kernels, by the runtime that uses them: columns of cost/libraries.py.
        firmware: how our firmware is made for it; None where it is not.
    """

    features: tuple[Feature, ...] = ()
    libraries: Mapping[str, str] = field(default_factory=lambda: {"tflm": "cmsis-nn", "firmware": "compiled"})
    firmware: FirmwareCore | None = None


_ESP_NN, _XNNPACK = {"tflm": "esp-nn"}, {"litert": "xnnpack"}
_M3_BOARD = Board("mps2-an385")
_M33_BOARD = Board("mps2-an505", 0x1000_0000, 2 << 20, 0x3800_0000, 2 << 20)
_M55_BOARD = Board("mps3-an547", 0x0000_0000, 512 << 10, 0x2000_0000, 512 << 10)

CORES: Mapping[str, Core] = {
    "cortex-m0plus": Core(
        firmware=FirmwareCore(
            ("-mcpu=cortex-m0plus",), "cortex_m0plus", _M3_BOARD, "UC_CPU_ARM_CORTEX_M3", portable="armv6-m"
        )
    ),
    "cortex-m3": Core(firmware=FirmwareCore(("-mcpu=cortex-m3",), "cortex_m3", _M3_BOARD, "UC_CPU_ARM_CORTEX_M3")),
    "cortex-m4": Core(
        ("dsp", "fpu"),
        firmware=FirmwareCore(("-mcpu=cortex-m4",), "cortex_m4", Board("mps2-an386"), "UC_CPU_ARM_CORTEX_M4"),
    ),
    "cortex-m7": Core(
        ("dsp", "fpu"),
        firmware=FirmwareCore(("-mcpu=cortex-m7",), "cortex_m7", Board("mps2-an500"), "UC_CPU_ARM_CORTEX_M7"),
    ),
    "cortex-m33": Core(
        ("dsp", "fpu"),
        firmware=FirmwareCore(("-mcpu=cortex-m33",), "cortex_m33+dsp", _M33_BOARD, "UC_CPU_ARM_CORTEX_M33"),
    ),
    "cortex-m55": Core(
        ("dsp", "fpu", "mve"),
        firmware=FirmwareCore(("-mcpu=cortex-m55", "-mfloat-abi=hard"), "cortex_m55+mve", _M55_BOARD),
    ),
    "cortex-m85": Core(("dsp", "fpu", "mve")),
    "xtensa-lx7": Core(("fpu", "vector"), _ESP_NN),
    "rv32imc": Core((), _ESP_NN),
    "cortex-a53": Core(("fpu", "neon"), _XNNPACK),
    "cortex-a72": Core(("fpu", "neon"), _XNNPACK),
    "cortex-a76": Core(("fpu", "neon", "dotprod"), _XNNPACK),
    "cortex-x1": Core(("fpu", "neon", "dotprod"), _XNNPACK),
}

# Those that firmware is made for.
FIRMWARE_CORES: Mapping[str, FirmwareCore] = {
    name: core.firmware for name, core in CORES.items() if core.firmware is not None
}


def instruction_set(core: str, features: Collection[str]) -> InstructionSet | None:
    """Which kernels a chip runs: Helium's, the DSP extension's or portable C; None where no firmware is made for it."""
    if core not in FIRMWARE_CORES:
        return None
    return "mve" if "mve" in features else "dsp" if "dsp" in features else "scalar"


def compiled_for(core: str, instruction_set: InstructionSet) -> str:
    """Whose code a core runs: the DSP extension's, Helium's, or portable C as Thumb-1 or Thumb-2."""
    return FIRMWARE_CORES[core].portable if instruction_set == "scalar" else instruction_set
