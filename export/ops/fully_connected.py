"""FULLY_CONNECTED: rows times weights, TFLite's reference/integer_ops/fully_connected.h; flattens a map by itself."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from export.graph import ExportError, Graph, Node, Tensor
from export.onnx_graph import OnnxGraph, attributes
from export.ops.integers import constant, ends, exact_float, zero_point
from export.ops.layer import Context, Layer, check_geometry
from export.ops.onnx_reader import OnnxReader
from export.ops.onnx_writer import OnnxWriter
from export.ops.operator import Compute, OnnxForm, Operator, Values
from export.ops.shapes import Shape, refuse
from export.ops.weighted import check_weights, int8_weights, lower_weighted, read_bias, read_weights, requantization


def _shapes(node: Node, inputs: Sequence[Tensor]) -> list[Shape]:
    x, w = inputs[:2]
    if len(w.shape) != 2 or prod(x.shape) % w.shape[1]:
        refuse(node, f"its weights have the shape {w.shape}, and its input {x.shape}")
    check_weights(node, inputs, w.shape[0], axis=0)
    flat: Shape = (prod(x.shape) // w.shape[1], w.shape[0])
    return [flat, (*x.shape[:-1], w.shape[0])] if x.shape[-1] == w.shape[1] else [flat]


def _prepare(graph: Graph, node: Node) -> Compute:
    x, _ = ends(graph, node)
    weights = constant(graph, node, 1)
    finish = requantization(graph, node, len(weights))
    real = exact_float(weights, (1,))
    transposed = np.ascontiguousarray(weights.T, real)
    return lambda value: finish((value.reshape(len(value), -1).astype(real) - real(zero_point(x))) @ transposed)


def _read(reader: OnnxReader, node: Any) -> None:
    given = attributes(node)
    if given.get("alpha", 1.0) != 1.0 or given.get("beta", 1.0) != 1.0 or given.get("transA", 0):
        raise ExportError(f"node '{node.name}' (Gemm): only alpha = beta = 1 and transA = 0 are supported")
    weights = read_weights(reader, node)
    weights = weights if given.get("transB", 0) else weights.T
    if node.input[0] in reader.flattened:  # the map lies there as HWC, its weights are in the order CHW
        _, h, w, c = reader.flattened[node.input[0]]
        weights = weights.reshape(-1, c, h, w).transpose(0, 2, 3, 1).reshape(len(weights), -1)
    inputs = [reader.activation(node.input[0], node), reader.quantized_constant(node.input[1], weights, 0)]
    reader.append("FULLY_CONNECTED", node, [*inputs, read_bias(reader, node, weights.shape[0])])


def _fake(node: Any, graph: OnnxGraph, inputs: list[Values]) -> Values:
    from torch.nn import functional

    return functional.linear(*inputs)


def _write_layer(writer: OnnxWriter, name: str, x: str, layer: Any) -> str:
    weight = writer.constant(f"{name}.weight", layer.weight.detach().numpy())
    bias = np.zeros(layer.out_features) if layer.bias is None else layer.bias.detach().numpy()
    return writer.add("Gemm", name, [x, weight, writer.constant(f"{name}.bias", bias)], transB=1)


def _lower(context: Context, node: Node) -> Layer:
    """As a convolution of one pixel."""
    weights = int8_weights(context.graph, node, 2)
    c_out, steps = weights.shape
    if prod(context.graph.tensor(node.inputs[0]).shape) != steps:
        raise ExportError(f"node '{node.name}' (FULLY_CONNECTED) does more than one row; the firmware does one")
    ones = ("in_h", "in_w", "out_h", "out_w", "kernel_h", "kernel_w", "stride_h", "stride_w")
    geometry = dict.fromkeys((*ones, "dilation_h", "dilation_w"), 1)
    geometry |= {"in_c": steps, "out_c": c_out, "pad_top": 0, "pad_left": 0}
    check_geometry(node, geometry)
    return lower_weighted(context, node, geometry, weights)


FULLY_CONNECTED = Operator(
    name="FULLY_CONNECTED",
    kind="fully_connected",
    inputs=(2, 3),
    shapes=_shapes,
    own_types=True,
    weights_axis=0,
    fuses=True,
    options="FullyConnectedOptions",
    int8_version=4,
    hybrid_version=12,
    states_bias=True,
    prepare=_prepare,
    lower=_lower,
    tflm=("FullyConnected", "FULLY_CONNECTED_INT8", "fully_connected"),
    onnx={"Gemm": OnnxForm(read=_read, quantized="weighted", fake=_fake)},
    layers={"Linear": _write_layer},
)
