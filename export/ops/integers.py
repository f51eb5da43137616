"""What integer kernels share: scales, clipping by a fused activation, requantization, windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from export.graph import Array, ExportError, Graph, Node, Tensor
from export.ops.fixed_point import Ints, rescale
from hardware_profiles.cost.ops import same_padding

Int8s = npt.NDArray[np.int8]
Span = tuple[int, int]
UNIT = (1 / 256, -128)  # scale and zero point that TFLite asks of values from 0 to 1


def scale(tensor: Tensor) -> float:
    """The scale of an activation."""
    assert tensor.qparams is not None
    return float(tensor.qparams.scale[0])


def zero_point(tensor: Tensor) -> int:
    """The zero point of an activation."""
    assert tensor.qparams is not None
    return int(tensor.qparams.zero_point[0])


def ends(graph: Graph, node: Node) -> tuple[Tensor, Tensor]:
    """The first input and the output."""
    return graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])


def constant(graph: Graph, node: Node, index: int) -> Array:
    """The values of an input.

    Raises:
        ExportError: it is computed.
    """
    data = graph.tensor(node.inputs[index]).data
    if data is None:
        raise ExportError(f"node '{node.name}' ({node.op}): '{node.inputs[index]}' is computed, not constant")
    return data


def check_output(node: Node, y: Tensor, wanted: tuple[float, int], as_fraction: str) -> None:
    """Raises:
    ExportError: the output has another scale and zero point than TFLite's kernel writes.
    """
    if (scale(y), zero_point(y)) != wanted:
        raise ExportError(
            f"node '{node.name}' ({node.op}): its output must have scale {as_fraction} and zero point {wanted[1]}"
        )


def activation_bounds(node: Node, output: Tensor) -> Span:
    """The int8 values between which a fused activation clips.

    Raises:
        ExportError: an activation outside the set.
    """
    step, zero = np.float32(scale(output)), zero_point(output)

    def quantized(value: float) -> int:
        return zero + int(np.floor(np.float32(value) / step + np.float32(0.5)))

    match node.options.activation:
        case "NONE":
            return -128, 127
        case "RELU":
            return max(-128, zero), 127
        case "RELU6":
            return max(-128, zero), min(127, quantized(6))
        case "RELU_N1_TO_1":
            return max(-128, 2 * zero - quantized(1)), min(127, quantized(1))
        case other:
            raise ExportError(f"node '{node.name}' ({node.op}): fused activation {other} is not supported")


def requantize(sums: Ints, m: Any, shift: Any, zero: int, bounds: Span = (-128, 127)) -> Int8s:
    """Sums times a multiplier, plus the zero point, clipped."""
    return np.clip(rescale(sums, m, shift) + zero, *bounds).astype(np.int8)


def exact_float(weights: Array, axes: tuple[int, ...]) -> Any:
    """The narrower float type that holds every partial sum of weights times (x - zero point) exactly."""
    largest = 255 * int(np.abs(weights.astype(np.int64)).sum(axes).max(initial=0))
    return np.float32 if largest < 2**24 else np.float64


def taps(node: Node, x: Array, fill: Any) -> Iterator[tuple[int, int, Array]]:
    """(row, column, what that tap of the kernel sees), shape (N, output height, output width, C)."""
    o = node.options
    pads, sizes = [], []
    for size, kernel, stride, dilation in zip(x.shape[1:3], o.kernel_hw, o.stride_hw, o.dilation_hw, strict=True):
        span = (kernel - 1) * dilation + 1
        pads.append(same_padding(size, span, stride) if o.padding == "SAME" else (0, 0))
        sizes.append((size + sum(pads[-1]) - span) // stride + 1)
    padded = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
    for i in range(o.kernel_hw[0]):
        for j in range(o.kernel_hw[1]):
            top, left = i * o.dilation_hw[0], j * o.dilation_hw[1]
            rows = slice(top, top + (sizes[0] - 1) * o.stride_hw[0] + 1, o.stride_hw[0])
            columns = slice(left, left + (sizes[1] - 1) * o.stride_hw[1] + 1, o.stride_hw[1])
            yield i, j, padded[:, rows, columns]
