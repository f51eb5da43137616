"""Flash of our C firmware: constants to the byte, code by the sizes of the kernels that a network uses.

Sizes are GCC 12's with -O2; the linker keeps a kernel once, however many layers call it. A layer whose numbers a fast
kernel can't hold gets the portable one: its code comes on top, and is not known beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hardware_profiles.cores import InstructionSet, compiled_for
from hardware_profiles.cost.ops import OpSpec
from hardware_profiles.firmware.plan import FirmwarePlan

# What a layer's kernel is told, by the fields of export/runtime/nn.h and nn_kernels.h; and the tables that some read.
_STRUCT_BYTES: Mapping[str, int] = {
    "conv": 40,
    "depthwise_conv": 40,
    "add": 20,
    "mul": 12,
    "avg_pool": 18,
    "max_pool": 18,
    "pad": 20,
    "mean": 16,
    "concat": 24,
    "softmax": 8,
}
_TABLE_BYTES: Mapping[str, int] = {"softmax": 4 * 256, "activation": 256, "quantize": 256}
_ALIGNMENT = 8  # of arrays; structs have 2 or 4
_STARTUP_BYTES = 230  # vectors, reset handler, model_input and model_output
_CALLS_BYTES, _CALL_BYTES = 30, 30.5  # model_run, and what it needs to call a layer's kernel

# Bytes of each kernel's code, helpers included, by what it is compiled for. `depthwise` is what all sizes share.
_CODE: Mapping[str, Mapping[str, int]] = {
    "armv6-m": {
        "conv": 2394,
        "depthwise": 686,
        "add": 454,
        "mul": 238,
        "avg_pool": 834,
        "max_pool": 320,
        "mean": 198,
        "softmax": 748,
    },
    "armv7-m": {
        "conv": 2028,
        "depthwise": 608,
        "add": 394,
        "mul": 230,
        "avg_pool": 288,
        "max_pool": 240,
        "mean": 174,
        "softmax": 504,
    },
    "dsp": {
        "conv": 3072,
        "depthwise": 352,
        "depthwise 3": 768,
        "depthwise 5": 876,
        "depthwise 7": 932,
        "add": 254,
        "mul": 236,
        "avg_pool": 292,
        "max_pool": 244,
        "mean": 174,
        "softmax": 512,
    },
    "mve": {
        "conv": 1684,
        "depthwise": 572,
        "add": 304,
        "mul": 254,
        "avg_pool": 310,
        "max_pool": 254,
        "mean": 184,
        "softmax": 532,
    },
}
_PORTABLE: Mapping[str, int] = {"pad": 186, "concat": 40, "activation": 28, "quantize": 28}


@dataclass(frozen=True, slots=True)
class FirmwareFlash:
    """Bytes of flash: code with startup and vectors, constants."""

    code: int
    data: int

    @property
    def total(self) -> int:
        """Both."""
        return self.code + self.data


def firmware_flash(
    ops: Sequence[OpSpec], plan: FirmwarePlan, core: str, instruction_set: InstructionSet
) -> FirmwareFlash:
    """Flash of a network's firmware.

    Args:
        ops: in execution order.
        plan: of these operators.
        instruction_set: of the core, see `hardware_profiles.firmware.instruction_set`.
    """
    sizes = {**_PORTABLE, **_CODE[compiled_for(core, instruction_set)]}
    kernels: set[str] = set()
    data = 0
    for step in reversed(plan.steps):  # as GCC lays them out
        op = ops[step.op]
        kind = "conv" if op.kind == "fully_connected" else op.kind
        for struct in (kind, "add") if step.add is not None else (kind,):
            nbytes = _STRUCT_BYTES.get(struct, 0)
            data = _aligned(data, 2 if nbytes % 4 else 4) + nbytes
        for nbytes in _arrays(op, kind, instruction_set):
            data = _aligned(data, _ALIGNMENT) + nbytes
        kernels |= {"depthwise", f"depthwise {op.kernel_hw[0]}"} if kind == "depthwise_conv" else {kind}
    calls = _CALLS_BYTES + _CALL_BYTES * len(plan.steps)
    return FirmwareFlash(round(_STARTUP_BYTES + calls + sum(sizes.get(kernel, 0) for kernel in kernels)), data)


def _arrays(op: OpSpec, kind: str, instruction_set: InstructionSet) -> Sequence[int]:
    """Bytes of a layer's arrays: shift, multiplier and bias of each channel, and weights as the kernel wants them."""
    if kind not in ("conv", "depthwise_conv"):
        return (_TABLE_BYTES[kind],) if kind in _TABLE_BYTES else ()
    channels = op.output.shape[-1]
    weights = op.weights
    if kind == "conv" and instruction_set in ("dsp", "mve"):
        steps, pairs = op.weights // channels, _aligned(channels, 2)
        weights = pairs * (_aligned(steps, 4) if instruction_set == "dsp" else steps)
        channels = pairs if instruction_set == "dsp" else channels
    return (channels, 4 * channels, 4 * channels, weights)


def _aligned(nbytes: int, to: int) -> int:
    return -(-nbytes // to) * to
