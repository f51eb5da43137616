"""Instructions that our C firmware takes for a network on a core: what its kernels' loops count, times fitted weights.

    instructions(step) = sum over the terms of its kernel: how often a loop's body runs * instructions of the body

The terms follow the loops of `export/runtime/`; their weights are non-negative least squares, by relative error, over
the layers of random subnets and the operators of random graphs on emulated cores (GCC 12, -O2). They are instructions,
not cycles: dual issue, wait states and caches lie between the two. Not known beforehand, and worth up to 5 %: whether a
layer's output fills int8, which saves its clamp.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod

from hardware_profiles.cores import InstructionSet, compiled_for
from hardware_profiles.cost.ops import OpSpec
from hardware_profiles.firmware.instruction_weights import WEIGHTS
from hardware_profiles.firmware.plan import FirmwarePlan, plan_firmware


def instructions(ops: Sequence[OpSpec], core: str, instruction_set: InstructionSet) -> int:
    """Of one inference of an int8 network, to within a few percent.

    Args:
        ops: in execution order.
        instruction_set: of the core, see `hardware_profiles.firmware.instruction_set`.

    Raises:
        KeyError: no weights for a kernel that the network needs.
    """
    unknown = [op.op for op in ops if op.kind == "unknown"]
    if unknown:
        raise KeyError(f"unknown: {', '.join(unknown)}")
    return round(sum(instructions_of_operators(ops, core, instruction_set)))


def instructions_of_operators(
    ops: Sequence[OpSpec], core: str, instruction_set: InstructionSet, plan: FirmwarePlan | None = None
) -> tuple[float, ...]:
    """Instructions of each operator; those of an ADD that a convolution's epilogue does are the convolution's.

    An operator of unknown kind has 0, and the footprint names it.

    Args:
        plan: of these operators, where it is known already.

    Raises:
        KeyError: no weights for a kernel that the network needs.
    """
    plan = plan or plan_firmware(ops, instruction_set)
    weights = WEIGHTS[compiled_for(core, instruction_set)]
    found = [0.0] * len(ops)
    for step, (kernel, terms) in zip(plan.steps, _steps(ops, plan, instruction_set), strict=True):
        if ops[step.op].kind == "unknown":
            continue
        found[step.op] = sum(w * t for w, t in zip(weights[kernel], terms, strict=True))
    return tuple(found)


def steps(ops: Sequence[OpSpec], instruction_set: InstructionSet) -> list[tuple[str, tuple[float, ...]]]:
    """Each step's kernel and its terms, in execution order."""
    return _steps(ops, plan_firmware(ops, instruction_set), instruction_set)


def _steps(
    ops: Sequence[OpSpec], plan: FirmwarePlan, instruction_set: InstructionSet
) -> list[tuple[str, tuple[float, ...]]]:
    return [_terms(ops[step.op], step.add is not None, instruction_set) for step in plan.steps]


def _terms(op: OpSpec, adds: bool, instruction_set: InstructionSet) -> tuple[str, tuple[float, ...]]:
    if op.kind in ("conv", "fully_connected"):
        return "conv", _conv(op, adds, instruction_set)
    if op.kind == "depthwise_conv":
        return _depthwise(op, instruction_set)
    kind = "activation" if op.kind == "quantize" else op.kind  # a table of 256, too
    elements = max(prod(op.output.shape), *(prod(tensor.shape) for tensor in op.inputs))
    return kind, (elements, op.output.shape[-1], 1)


def _conv(op: OpSpec, adds: bool, instruction_set: InstructionSet) -> tuple[float, ...]:
    """Blocks of pixels x pairs of channels x steps; requantized outputs; gathered windows; pixels."""
    channels = op.output.shape[-1]
    pixels = prod(op.output.shape) // channels
    depth = op.weights // channels
    outputs, pairs = pixels * channels, 2 * ceil(channels / 2)
    pointwise = op.kind == "fully_connected" or op.kernel_hw == op.stride_hw == (1, 1)
    rest = (outputs * adds, pixels, 1)
    if instruction_set == "dsp":
        blocks, words = ceil(pixels / 4), 4 * ceil(depth / 4)
        loose = op.inputs[0].shape[-1] % 4 != 0  # gathered byte by byte
        row, rows = depth // op.kernel_hw[0], pixels * op.kernel_hw[0]
        gathered = (0, 0, 0, rows * row) if loose else (rows * (row // 16), rows * (row % 16 // 4), rows, 0)
        return (blocks * pairs * words, blocks * pairs, outputs, *gathered, *rest)
    if instruction_set == "mve":
        blocks = ceil(pixels / 3)
        return (blocks * pairs * ceil(depth / 16), blocks * pairs, outputs, pixels * depth * (not pointwise), *rest)
    blocks = 2 * ceil(pixels / 2)
    window = pixels * prod(op.kernel_hw) * (not pointwise)
    return (blocks * pairs * depth, blocks * pairs, outputs, pixels * depth * (not pointwise), window, *rest)


def _depthwise(op: OpSpec, instruction_set: InstructionSet) -> tuple[str, tuple[float, ...]]:
    (kernel, width), (stride, _) = op.kernel_hw, op.stride_hw
    _, out_h, out_w, channels = op.output.shape
    _, in_h, in_w, _ = op.inputs[0].shape
    rows = (out_h - 1) * stride + kernel
    pixels = out_h * out_w
    if instruction_set == "dsp" and kernel == width and kernel in (3, 5, 7) and stride in (1, 2):
        fours = ceil(out_w / 4)
        plane = rows * (4 * fours * stride + kernel - 1)
        inside, lines = channels * in_h * in_w, channels * out_h
        terms = (lines * fours, lines * out_w, lines, channels * plane, inside, channels, 1)
        return f"depthwise {kernel} stride {stride}", terms
    if instruction_set == "mve":
        fours = ceil(channels / 4)
        return "depthwise", (pixels * kernel * width * fours, pixels * fours, pixels * kernel, pixels, channels, 1)
    plane = rows * ((out_w - 1) * stride + width)
    outputs = pixels * channels
    return "depthwise", (outputs * kernel * width, outputs, outputs * kernel, channels * plane, channels, 1)
