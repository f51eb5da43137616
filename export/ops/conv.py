"""CONV_2D: sums over windows of all channels, TFLite's kernels/internal/reference/integer_ops/conv.h.

ONNX's Conv is this, or DEPTHWISE_CONV_2D where each group has one input channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from export.graph import Array, ExportError, Graph, Node, Options, Tensor
from export.onnx_graph import OnnxGraph, attributes
from export.ops.integers import constant, ends, exact_float, taps, zero_point
from export.ops.layer import Context, Layer, window_geometry
from export.ops.onnx_reader import OnnxReader, pair
from export.ops.onnx_writer import OnnxWriter
from export.ops.operator import Compute, OnnxForm, Operator, Values
from export.ops.shapes import Shape, feature_map, refuse, window
from export.ops.weighted import (
    check_weights,
    int8_weights,
    kernel_hw,
    lower_weighted,
    read_bias,
    read_weights,
    requantization,
)
from export.ops.windows import read_padding, torch_pads


def _shapes(node: Node, inputs: Sequence[Tensor]) -> list[Shape]:
    shape, w = feature_map(node, inputs[0]), inputs[1]
    kernel = kernel_hw(node, w)
    if w.shape[3] != shape[3]:
        if shape[3] % w.shape[3] == 0 and w.shape[0] % (shape[3] // w.shape[3]) == 0:
            refuse(node, f"it has {shape[3] // w.shape[3]} groups; grouped convolutions are supported as depthwise")
        refuse(node, f"its weights {w.shape} read {w.shape[3]} channels, and its input has {shape[3]}")
    check_weights(node, inputs, w.shape[0], axis=0)
    return window(node, shape, kernel, w.shape[0])


def _prepare(graph: Graph, node: Node) -> Compute:
    x, y = ends(graph, node)
    weights = constant(graph, node, 1)
    finish = requantization(graph, node, len(weights))
    real = exact_float(weights, (1, 2, 3))
    by_tap = np.ascontiguousarray(weights.transpose(1, 2, 3, 0), real)

    def run(value: Array) -> Array:
        sums: Any = 0
        for i, j, seen in taps(node, value.astype(real) - real(zero_point(x)), 0):
            sums = sums + seen.reshape(-1, seen.shape[3]) @ by_tap[i, j]
        return finish(sums).reshape(len(value), *y.shape[1:])

    return run


def _read(reader: OnnxReader, node: Any) -> None:
    given = attributes(node)
    weights, groups = read_weights(reader, node), int(given.get("group", 1))
    if weights.ndim != 4:
        raise ExportError(f"node '{node.name}' (Conv): only two-dimensional convolutions are supported")
    depthwise = groups > 1
    if depthwise and weights.shape[1] != 1:
        raise ExportError(f"node '{node.name}' (Conv): grouped convolutions other than depthwise are not supported")
    x = reader.activation(node.input[0], node)
    kernel, stride = (weights.shape[2], weights.shape[3]), pair(given.get("strides", (1, 1)))
    dilation = pair(given.get("dilations", (1, 1)))
    padding, x = read_padding(reader, node, x, kernel, stride, dilation)
    axes, channel_axis = ((1, 2, 3, 0), 3) if depthwise else ((0, 2, 3, 1), 0)
    w = reader.quantized_constant(node.input[1], weights.transpose(axes), channel_axis)
    options = Options(kernel, stride, dilation, weights.shape[0] // groups if depthwise else 1, padding)
    op = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    reader.append(op, node, [x, w, read_bias(reader, node, weights.shape[0])], options)


def _fake(node: Any, graph: OnnxGraph, inputs: list[Values]) -> Values:
    from torch.nn import functional

    x, weights, bias = inputs
    given = attributes(node)
    x = functional.pad(x, torch_pads(given))
    strides, dilations = given.get("strides", (1, 1)), given.get("dilations", (1, 1))
    return functional.conv2d(x, weights, bias, tuple(strides), 0, tuple(dilations), given.get("group", 1))


def _write_layer(writer: OnnxWriter, name: str, x: str, layer: Any) -> str:
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        raise ExportError(
            f"layer '{name}' pads with mode '{layer.padding_mode}' and '{layer.padding}'; "
            "only zeros by numbers can be exported"
        )
    top, left, bottom, right = writer.pads.get(x, (0, 0, 0, 0))
    h, w = layer.padding
    source = writer.names.get(f"unpadded {x}", x)
    inputs = [source, writer.constant(f"{name}.weight", layer.weight.detach().numpy())]
    if layer.bias is not None:
        inputs.append(writer.constant(f"{name}.bias", layer.bias.detach().numpy()))
    return writer.add(
        "Conv",
        name,
        inputs,
        kernel_shape=list(layer.kernel_size),
        strides=list(layer.stride),
        pads=[top + h, left + w, bottom + h, right + w],
        dilations=list(layer.dilation),
        group=layer.groups,
    )


def _write_batch_norm(writer: OnnxWriter, name: str, x: str, layer: Any) -> str:
    """Folded into the convolution before it when the file is read (export.passes.canonical)."""
    values = {"weight": layer.weight, "bias": layer.bias, "mean": layer.running_mean, "variance": layer.running_var}
    constants = [writer.constant(f"{name}.{part}", value.detach().numpy()) for part, value in values.items()]
    return writer.add("BatchNormalization", name, [x, *constants], epsilon=layer.eps)


def _lower(context: Context, node: Node) -> Layer:
    weights = int8_weights(context.graph, node, 4)
    geometry = window_geometry(context.graph, node)
    return lower_weighted(context, node, geometry, weights.reshape(len(weights), -1))


CONV_2D = Operator(
    name="CONV_2D",
    kind="conv",
    inputs=(2, 3),
    shapes=_shapes,
    own_types=True,
    weights_axis=0,
    fuses=True,
    options="Conv2DOptions",
    int8_version=3,
    hybrid_version=5,
    prepare=_prepare,
    lower=_lower,
    tflm=("Conv2D", "CONV_2D_INT8", "conv"),
    onnx={"Conv": OnnxForm(read=_read, quantized="weighted", fake=_fake)},
    layers={"Conv2d": _write_layer, "BatchNorm2d": _write_batch_norm},
)
