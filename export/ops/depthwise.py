"""DEPTHWISE_CONV_2D: sums over windows of one channel, TFLite's reference/integer_ops/depthwise_conv.h.

Weights are stored as 1HWC. ONNX's form of it is a Conv of one input channel a group, see export.ops.conv.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from export.graph import Array, Graph, Node, Tensor
from export.ops.integers import constant, ends, exact_float, taps, zero_point
from export.ops.layer import Context, Layer, window_geometry
from export.ops.operator import Compute, Operator
from export.ops.shapes import Shape, feature_map, refuse, window
from export.ops.weighted import check_weights, int8_weights, kernel_hw, lower_weighted, requantization


def _shapes(node: Node, inputs: Sequence[Tensor]) -> list[Shape]:
    shape, w = feature_map(node, inputs[0]), inputs[1]
    kernel, channels = kernel_hw(node, w), w.shape[3]
    if w.shape[0] != 1 or channels % shape[3]:  # the multiplier in the options is not read by any runtime
        refuse(node, f"its weights have the shape {w.shape} and its input {shape[3]} channels")
    check_weights(node, inputs, channels, axis=3)
    return window(node, shape, kernel, channels)


def _prepare(graph: Graph, node: Node) -> Compute:
    x, y = ends(graph, node)
    weights, channels = constant(graph, node, 1), y.shape[3]
    finish = requantization(graph, node, channels)
    real = exact_float(weights, (0, 1, 2))
    by_tap = weights[0].astype(real)
    multiplier = channels // x.shape[3]

    def run(value: Array) -> Array:
        sums: Any = 0
        for i, j, seen in taps(node, value.astype(real) - real(zero_point(x)), 0):
            sums = sums + (seen if multiplier == 1 else np.repeat(seen, multiplier, axis=3)) * by_tap[i, j]
        return finish(sums)

    return run


def _lower(context: Context, node: Node) -> Layer:
    weights = int8_weights(context.graph, node, 4)[0]
    by_channel = weights.transpose(2, 0, 1).reshape(weights.shape[2], -1)
    return lower_weighted(context, node, window_geometry(context.graph, node), by_channel, adds=False)


DEPTHWISE_CONV_2D = Operator(
    name="DEPTHWISE_CONV_2D",
    kind="depthwise_conv",
    inputs=(2, 3),
    shapes=_shapes,
    own_types=True,
    weights_axis=3,
    fuses=True,
    options="DepthwiseConv2DOptions",
    int8_version=3,
    hybrid_version=6,
    prepare=_prepare,
    lower=_lower,
    tflm=("DepthwiseConv2D", "DEPTHWISE_CONV_2D_INT8", "depthwise_conv"),
)
