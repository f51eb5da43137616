"""MEAN: the mean over axes, 1 / count in the multiplier, TFLite's reference/integer_ops/mean.h.

A global average out of ONNX or torch is in export.ops.average_pool.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from export.graph import Array, ExportError, Graph, Node, Tensor
from export.ops.fixed_point import quantize_multiplier
from export.ops.integers import constant, ends, requantize, scale, zero_point
from export.ops.layer import Context, Fields, Layer
from export.ops.operator import Compute, Operator
from export.ops.shapes import Shape, constant_ints, refuse


def _shapes(node: Node, inputs: Sequence[Tensor]) -> list[Shape]:
    shape = inputs[0].shape
    axes = {int(axis) for axis in np.ravel(constant_ints(node, inputs[1]))}
    if not axes or min(axes) < -len(shape) or max(axes) >= len(shape):
        refuse(node, f"it averages axes {sorted(axes)} of the shape {shape}")
    averaged = {axis % len(shape) for axis in axes}
    kept = [1 if i in averaged else side for i, side in enumerate(shape) if node.options.keep_dims or i not in averaged]
    return [tuple(kept)]


def _multiplier(x: Tensor, y: Tensor, count: int) -> tuple[int, int]:
    """(m, shift) of s_x / s_y / count."""
    m, shift = quantize_multiplier(scale(x) / scale(y))
    fold = min(count.bit_length() - 1, 32, 31 + shift)
    return (m << fold) // count, shift - fold


def _prepare(graph: Graph, node: Node) -> Compute:
    x, y = ends(graph, node)
    axes = tuple(int(a) % len(x.shape) for a in np.ravel(constant(graph, node, 1)))
    count = int(np.prod([x.shape[a] for a in axes]))
    m, shift = _multiplier(x, y, count)

    def run(value: Array) -> Array:
        sums = value.astype(np.int64).sum(axes) - zero_point(x) * count
        return requantize(sums, m, shift, zero_point(y)).reshape(len(value), *y.shape[1:])

    return run


def _lower(context: Context, node: Node) -> Layer:
    x, y = ends(context.graph, node)
    axes = sorted(int(a) % len(x.shape) for a in np.ravel(constant(context.graph, node, 1)))
    if len(x.shape) != 4 or axes != [1, 2]:
        raise ExportError(f"node '{node.name}' (MEAN) averages axes {axes} of {x.shape}; supported: height and width")
    pixels = x.shape[1] * x.shape[2]
    m, shift = _multiplier(x, y, pixels)
    fields: Fields = {
        "pixels": pixels,
        "channels": x.shape[3],
        "multiplier": m,
        "shift": -shift,
        "in_zero": zero_point(x),
        "out_zero": zero_point(y),
    }
    return context.simple(node, "nn_mean", fields)


MEAN = Operator(
    name="MEAN",
    kind="mean",
    inputs=(2, 2),
    shapes=_shapes,
    own_types=True,
    options="ReducerOptions",
    int8_version=2,
    prepare=_prepare,
    lower=_lower,
    tflm=("Mean", "MEAN", "reduce"),
)
