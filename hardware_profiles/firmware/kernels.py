"""The kernels, fastest first: an operator gets the first that its core can run and that does it."""

from __future__ import annotations

from collections.abc import Mapping

from hardware_profiles.cores import InstructionSet
from hardware_profiles.cost.ops import OpKind, OpSpec
from hardware_profiles.firmware.conv import CONV_C, CONV_DSP, CONV_HOST, CONV_MVE, FC_DSP
from hardware_profiles.firmware.depthwise import (
    DEPTHWISE_C,
    DEPTHWISE_DSP,
    DEPTHWISE_HOST,
    DEPTHWISE_MVE,
    DEPTHWISE_TAPS_DSP,
)
from hardware_profiles.firmware.elementwise import ADD_C, ADD_DSP, ADD_HOST, ADD_MVE, LOOKUP, MUL
from hardware_profiles.firmware.kernel import Kernel
from hardware_profiles.firmware.layout import Layout
from hardware_profiles.firmware.pool import AVERAGE_POOL, MAX_POOL, MEAN
from hardware_profiles.firmware.rows import COPY_ROWS, PAD, SOFTMAX

KERNELS: Mapping[OpKind, tuple[Kernel, ...]] = {
    "conv": (CONV_HOST, CONV_MVE, FC_DSP, CONV_DSP, CONV_C),
    "depthwise_conv": (DEPTHWISE_HOST, DEPTHWISE_MVE, *DEPTHWISE_DSP, DEPTHWISE_TAPS_DSP, DEPTHWISE_C),
    "fully_connected": (CONV_HOST, CONV_MVE, FC_DSP, CONV_DSP, CONV_C),
    "add": (ADD_HOST, ADD_MVE, ADD_DSP, ADD_C),
    "mul": (MUL,),
    "mean": (MEAN,),
    "avg_pool": (AVERAGE_POOL,),
    "max_pool": (MAX_POOL,),
    "pad": (PAD,),
    "concat": (COPY_ROWS,),
    "softmax": (SOFTMAX,),
    "activation": (LOOKUP,),
    "quantize": (LOOKUP,),
    "reshape": (),
    "unknown": (),
}


def candidates(instruction_set: InstructionSet, op: OpSpec) -> tuple[Kernel, ...]:
    """The kernels that may do an operator, by its shapes: the first does, unless its numbers forbid it."""
    return tuple(k for k in KERNELS[op.kind] if k.needs in ("scalar", instruction_set) and k.fits(op))


def kernel_for(instruction_set: InstructionSet, op: OpSpec, layout: Layout) -> Kernel:
    """The kernel of a layer, by its shapes and its numbers."""
    return next(kernel for kernel in candidates(instruction_set, op) if kernel.refuses(layout) is None)


def plain_reason(instruction_set: InstructionSet, op: OpSpec, layout: Layout) -> str | None:
    """Why a layer runs in portable C though its core has a faster kernel of its kind; None where it does not."""
    faster = [kernel for kernel in KERNELS[op.kind] if kernel.needs == instruction_set != "scalar"]
    if not faster or kernel_for(instruction_set, op, layout).needs != "scalar":
        return None
    if fitting := [kernel for kernel in faster if kernel.fits(op)]:
        return fitting[0].refuses(layout)
    (h, w), (down, right), (dilated_h, dilated_w) = op.kernel_hw, op.stride_hw, op.dilation_hw
    dilation = f", dilated {dilated_h}x{dilated_w}" if op.dilation_hw != (1, 1) else ""
    channels = f"{op.inputs[0].shape[-1]} to {op.output.shape[-1]} channels"
    return f"no fast kernel is {h}x{w} of stride {down}x{right}{dilation} from {channels}"


def scratch_bytes(op: OpSpec, instruction_set: InstructionSet) -> int:
    """Arena that an operator's kernel needs for itself, whichever its numbers leave."""
    return max((kernel.scratch(op) for kernel in candidates(instruction_set, op)), default=0)
