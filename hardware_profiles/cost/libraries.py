"""What the kernels of a library cost on a core, and which operators they cover.

The typical costs of `cmsis-nn` and `compiled` on Cortex-M0+, M4, M7, M33 and M85 are least squares, in logarithms,
over 210 closed-division results of MLPerf Tiny v0.7 to v1.3 on these cores: four networks that differ in their shares
of dense, pointwise, depthwise and fully connected MACs. The spread holds those results and leaves a margin, the wider
the fewer boards there are. Elsewhere each row says what it is derived from. tests/hardware_profiles holds the results,
fits the costs again, and checks the intervals against boards and stacks that the fit has not seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import get_args

from hardware_profiles.cores import CORES
from hardware_profiles.cost.ops import OpKind, OpSpec


@dataclass(frozen=True, slots=True)
class KernelCycles:
    """Typical cycles of one core's kernels.

    Attributes:
        stem, conv, pointwise, depthwise, fully_connected: per MAC; `stem` is a convolution of at most 4 channels.
        output: per element that a kernel with MACs writes: requantization and loop overhead.
        element: per element read or written, whichever are more, of operators without MACs.
    """

    stem: float
    conv: float
    pointwise: float
    depthwise: float
    fully_connected: float
    output: float
    element: float


@dataclass(frozen=True, slots=True)
class CoreKernels:
    """A library of kernels on one core.

    Attributes:
        fast: of the operators that the library accelerates.
        fast_spread: least and most, as factors of the typical cost.
        reference: of all others: plain C.
        source: where the numbers come from.
    """

    fast: KernelCycles
    fast_spread: tuple[float, float]
    reference: KernelCycles
    reference_spread: tuple[float, float]
    source: str


def _compiled(cost: KernelCycles, spread: tuple[float, float], source: str) -> CoreKernels:
    """Kernels of a code generator: it has one for every operator."""
    return CoreKernels(cost, spread, cost, spread, source)


# TFLite Micro's reference kernels took 8.69 instructions per MAC for ResNet8 on a Cortex-M7 (measured with GCC 12) and
# 11 times CMSIS-NN's time for a depthwise-separable net on an STM32H743 (TinyEngine's README). Per element, ESP-NN's
# README has 44 to 174 ticks for plain C; its hard-swish takes 56.
_REFERENCE_M = KernelCycles(11, 11, 12, 20, 11, 25, 60)
_REFERENCE_SPREAD = (0.5, 2.0)


def _scaled(cost: KernelCycles, factor: float) -> KernelCycles:
    parts = (cost.stem, cost.conv, cost.pointwise, cost.depthwise, cost.fully_connected, cost.output, cost.element)
    return KernelCycles(*(round(part * factor, 3) for part in parts))


# ESP-NN's README: a person detector of 7.2 M MACs takes 2300 ms at 240 MHz (ESP32-S3) and 3355 ms at 160 MHz (C3)
# without its kernels: 75 cycles per MAC in either case, far more than a single kernel's plain C.
_REFERENCE_ESP = KernelCycles(70, 70, 70, 100, 20, 30, 120)
_ESP_SPREAD = (0.3, 1.5)

_M0PLUS = KernelCycles(8.7, 7.7, 11.4, 21, 10.3, 48, 38)  # fitted to HALE's results
_M4 = KernelCycles(4.4, 3.0, 2.8, 5.7, 3.7, 17, 14)  # fitted to the results with CMSIS-NN
_A72 = KernelCycles(0.4, 0.2, 0.16, 0.8, 0.3, 0.5, 1)

KERNELS: Mapping[tuple[str, str], CoreKernels] = {
    ("cortex-m0plus", "cmsis-nn"): CoreKernels(
        _scaled(_M0PLUS, 1.25),
        (0.6, 1.9),
        _scaled(_REFERENCE_M, 1.6),
        _REFERENCE_SPREAD,
        "no publication with CMSIS-NN on this core: a quarter above HALE's results, and a wide spread",
    ),
    ("cortex-m3", "cmsis-nn"): CoreKernels(
        KernelCycles(6.0, 4.7, 5.8, 12.4, 5.4, 28, 23),
        (0.6, 1.8),
        _scaled(_REFERENCE_M, 1.1),
        _REFERENCE_SPREAD,
        "no publication on this core: a tenth above plain C on Cortex-M4 (MLPerf Tiny v0.5 to v1.1, TFLite Micro 2.3 "
        "and microTVM native, NUCLEO-L4R5ZI), since CMSIS-NN has plain C only where there are no DSP instructions",
    ),
    ("cortex-m4", "cmsis-nn"): CoreKernels(
        _M4,
        (0.65, 1.4),
        _REFERENCE_M,
        _REFERENCE_SPREAD,
        "MLPerf Tiny v1.0 and v1.1, NUCLEO-L4R5ZI and NUMAKER-M467HJ: microTVM and ONNC with CMSIS-NN, 20 results",
    ),
    ("cortex-m7", "cmsis-nn"): CoreKernels(
        KernelCycles(2.6, 1.75, 1.5, 3.1, 2.0, 11, 9),
        (0.6, 2.0),
        _scaled(_REFERENCE_M, 0.65),
        _REFERENCE_SPREAD,
        "no MLPerf Tiny result with CMSIS-NN: Cortex-M4's times what compiled networks take on M7 compared with M4 "
        "(0.50 to 0.72); TinyEngine's README has 3.8 to 4.6 cycles per MAC for MCUNet with CMSIS-NN on an STM32H743",
    ),
    ("cortex-m33", "cmsis-nn"): CoreKernels(
        KernelCycles(3.6, 3.3, 3.0, 5.7, 3.1, 20, 16),
        (0.75, 1.35),
        _REFERENCE_M,
        _REFERENCE_SPREAD,
        "MLPerf Tiny v0.7 to v1.1, EK-RA6M4 (TFLite Micro with CMSIS-NN) and nRF5340-DK (microTVM with CMSIS-NN), "
        "12 results",
    ),
    ("cortex-m55", "cmsis-nn"): CoreKernels(
        KernelCycles(0.65, 0.3, 0.22, 1.95, 0.9, 16.7, 4),
        (0.5, 1.6),
        _scaled(_REFERENCE_M, 0.8),
        _REFERENCE_SPREAD,
        "ExecuTorch issue 17651, MobileNetV2 on an Alif E8: stem 1.27, depthwise 3.8, pointwise 0.39 (96 channels) to "
        "1.26 (16 channels) cycles per MAC; ResNet8 takes 4.91 M instructions, 0.39 per MAC (measured with GCC 12)",
    ),
    ("cortex-m85", "cmsis-nn"): CoreKernels(
        KernelCycles(0.76, 0.27, 0.47, 1.25, 0.93, 4.7, 2.7),
        (0.6, 1.7),
        _scaled(_REFERENCE_M, 0.5),
        _REFERENCE_SPREAD,
        "MLPerf Tiny v1.2, EK-RA8D1 (TFLite Micro with CMSIS-NN), 4 results of one board",
    ),
    ("xtensa-lx7", "esp-nn"): CoreKernels(
        KernelCycles(5.1, 0.5, 0.28, 1.6, 1.3, 33, 40),
        (0.7, 1.5),
        _REFERENCE_ESP,
        _ESP_SPREAD,
        "ESP-NN's README, April 2026, ESP32-S3: pointwise of 16 and 64 channels, stem, depthwise 3x3 and 5x5, fully "
        "connected, addition; its person detector takes 47 to 54 ms, where these say 49",
    ),
    ("rv32imc", "esp-nn"): CoreKernels(
        _scaled(_M0PLUS, 0.68),
        (0.6, 1.6),
        _REFERENCE_ESP,
        _ESP_SPREAD,
        "ESP-NN's README, April 2026, ESP32-C3: its person detector takes 426 ms at 160 MHz, 0.68 of what Cortex-M0+'s "
        "kernels would; one result only",
    ),
    ("cortex-m0plus", "compiled"): _compiled(
        _M0PLUS,
        (0.75, 1.3),
        "MLPerf Tiny v1.1 and v1.2, NUCLEO-G0B1RE: HALE, 8 results of one board",
    ),
    ("cortex-m3", "compiled"): _compiled(
        KernelCycles(6.0, 4.7, 5.8, 12.4, 5.4, 28, 23),
        (0.5, 1.5),
        "no publication on this core: as the row with CMSIS-NN; generated C took 2.89 instructions per MAC (ResNet8)",
    ),
    ("cortex-m4", "compiled"): _compiled(
        KernelCycles(2.9, 1.8, 2.2, 4.9, 2.8, 11, 9),
        (0.5, 1.6),
        "MLPerf Tiny v0.7 to v1.3, NUCLEO-L4R5ZI and CY8CPROTO-062-4343W: X-CUBE-AI, Plumerai, HALE, 66 results",
    ),
    ("cortex-m7", "compiled"): _compiled(
        KernelCycles(1.8, 1.1, 1.1, 2.6, 1.55, 7.8, 6),
        (0.55, 1.7),
        "MLPerf Tiny v0.7 to v1.2, NUCLEO-H7A3ZI-Q and DISCO-F746NG: X-CUBE-AI, Plumerai, HALE, 59 results",
    ),
    ("cortex-m33", "compiled"): _compiled(
        KernelCycles(2.7, 1.4, 1.5, 3.2, 2.35, 8.3, 7),
        (0.6, 1.7),
        "MLPerf Tiny v0.7 to v1.3, NUCLEO-U575ZI-Q, B-U585I-IOT02A and NUCLEO-U385RG-Q: X-CUBE-AI, Plumerai, HALE, "
        "41 results",
    ),
    ("cortex-m55", "compiled"): _compiled(
        KernelCycles(0.9, 0.6, 0.6, 2.5, 1.2, 17, 6),
        (0.5, 2.0),
        "no publication: generated C with Helium took 0.45 to 0.77 instructions per MAC (ResNet8, GCC and clang)",
    ),
    ("cortex-m85", "compiled"): _compiled(
        KernelCycles(0.9, 0.5, 0.6, 1.8, 1.2, 8, 4),
        (0.5, 2.0),
        "no publication: between the row with CMSIS-NN and Cortex-M55's",
    ),
    ("cortex-a53", "xnnpack"): CoreKernels(
        _scaled(_A72, 1.7),
        (0.6, 2.5),
        _scaled(_A72, 5.1),
        (0.6, 2.5),
        "XNNPACK's README, February 2022, Raspberry Pi 3+ at 1.4 GHz: INT8 MobileNet v1 46 ms and v2 30 ms on four "
        "cores, taken as 2 to 4 times that on one",
    ),
    ("cortex-a72", "xnnpack"): CoreKernels(
        _A72,
        (0.6, 2.5),
        _scaled(_A72, 3),
        (0.6, 2.5),
        "XNNPACK's README, February 2022, Raspberry Pi 4: INT8 MobileNet v1 24 ms and v2 17 ms on four cores, taken as "
        "2 to 4 times that on one; float takes 2.7 to 3.2 times as long; per MAC, small nets take up to twice as long "
        "(TensorFlow Lite's hosted models on a Pixel 3)",
    ),
    ("cortex-a76", "xnnpack"): CoreKernels(
        _scaled(_A72, 0.5),
        (0.4, 2.5),
        _scaled(_A72, 1.5),
        (0.4, 2.5),
        "no publication: half of Cortex-A72's cycles, since the dot product instruction multiplies four times as much",
    ),
    ("cortex-x1", "xnnpack"): CoreKernels(
        _scaled(_A72, 0.4),
        (0.4, 2.5),
        _scaled(_A72, 1.2),
        (0.4, 2.5),
        "no publication: a little below Cortex-A76's",
    ),
}

# Operators with a kernel of their own. CMSIS-NN has none for hard-swish, sigmoid, mean and requantization, nor a
# multiplication that broadcasts; TFLite Micro then runs its reference kernel.
_CMSIS_NN = {
    "conv",
    "depthwise_conv",
    "fully_connected",
    "add",
    "mul",
    "avg_pool",
    "max_pool",
    "pad",
    "softmax",
    "reshape",
    "concat",
}
ACCELERATED: Mapping[str, frozenset[str]] = {
    "cmsis-nn": frozenset(_CMSIS_NN),
    "esp-nn": frozenset(_CMSIS_NN - {"pad"} | {"RELU6"}),
    "compiled": frozenset(get_args(OpKind)) - {"unknown"},
    "xnnpack": frozenset(get_args(OpKind)) - {"unknown"},
}
_COPIES = ("reshape", "concat", "pad")  # as fast for floats
# `arena_used_bytes()` of TFLite Micro on an emulated Cortex-M7, with CMSIS-NN less without: 54,996 - 54,340.
_CMSIS_NN_SCRATCH = (
    "SRAM for the scratch buffers of CMSIS-NN's kernels: 656 bytes for MLPerf Tiny's ResNet8 (measured), up to "
    "about 12 kB for a 7x7 depthwise convolution (estimated)"
)


def library_of(core: str, runtime: str) -> str:
    """The library of kernels that a runtime uses on a core: a key of `KERNELS` together with the core.

    Raises:
        ValueError: the runtime does not run there.
    """
    library = CORES[core].libraries.get(runtime)
    if library is None:
        raise ValueError(f"runtime '{runtime}' does not run on {core}")
    return library


def is_accelerated(op: OpSpec, library: str) -> bool:
    """Whether the library has a kernel of its own for this operator: int8, and no broadcasting."""
    kinds = ACCELERATED[library]
    if op.kind not in kinds and op.op not in kinds:
        return False
    if op.kind in _COPIES:
        return True
    if op.output.itemsize != 1 or op.weight_itemsize != 1:
        return False
    broadcasts = op.kind in ("add", "mul") and any(tensor.shape != op.output.shape for tensor in op.inputs)
    return not broadcasts or library in ("xnnpack", "compiled")


def unaccelerated(ops: Iterable[OpSpec], core: str, runtime: str) -> tuple[str, ...]:
    """The names of the operators, each once, that run on reference C though their cost is known."""
    library = library_of(core, runtime)
    return tuple(sorted({op.op for op in ops if op.kind != "unknown" and not is_accelerated(op, library)}))


def uncounted(ops: Iterable[OpSpec], core: str, runtime: str) -> tuple[str, ...]:
    """What a footprint lacks though the device needs it, in words; empty where it is whole."""
    library = library_of(core, runtime)
    weighted = any(op.weights and is_accelerated(op, library) for op in ops)
    return (_CMSIS_NN_SCRATCH,) if library == "cmsis-nn" and weighted else ()
