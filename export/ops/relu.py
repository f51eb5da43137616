"""RELU, RELU6, RELU_0_TO_1: values clipped, TFLite's reference/integer_ops and kernels/activations.cc.

ONNX's Relu and Clip are fused into the operator before them where TFLite can; a clip that int8 saturates at by itself
is no operator at all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from export.graph import Activation, ExportError, Graph, Node, QParams
from export.onnx_graph import clip_bounds
from export.ops.fixed_point import quantize_multiplier
from export.ops.integers import ends, requantize, scale, zero_point
from export.ops.lookup import lower_lookup
from export.ops.onnx_reader import OnnxReader
from export.ops.onnx_writer import OnnxWriter, function, layer
from export.ops.operator import Compute, OnnxForm, Operator
from export.ops.shapes import same

_FUSED: dict[tuple[float, float], Activation] = {
    (0, np.inf): "RELU",
    (0, 6): "RELU6",
    (-1, 1): "RELU_N1_TO_1",
    (-np.inf, np.inf): "NONE",
}


def _prepare_relu(graph: Graph, node: Node) -> Compute:
    x, y = ends(graph, node)
    m, shift = quantize_multiplier(scale(x) / scale(y))
    bounds = (max(-128, zero_point(y)), 127)
    return lambda value: requantize(value.astype(np.int64) - zero_point(x), m, shift, zero_point(y), bounds)


def _prepare_relu6(graph: Graph, node: Node) -> Compute:
    x, y = ends(graph, node)
    if (scale(x), zero_point(x)) != (scale(y), zero_point(y)):
        raise ExportError(f"node '{node.name}' (RELU6): its input and output must share one quantization")
    six = zero_point(x) + int(np.floor(np.float32(6) / np.float32(scale(x)) + np.float32(0.5)))
    return lambda value: np.clip(value, max(-128, zero_point(x)), min(127, six)).astype(np.int8)


def _read_bounds(reader: OnnxReader, node: Any, low: float, high: float) -> None:
    x, y = reader.root(node.input[0]), reader.root(node.output[0])
    q = reader.qparams.get(y)
    activation = _FUSED.get((low, high))
    if activation is None and q is not None and _saturates(q, low, high):
        activation = "NONE"
    if activation is None and (low, high) != (0, 1):
        raise ExportError(
            f"node '{node.name}' (Clip): the bounds {low} and {high} are not supported; "
            "0 and 6, -1 and 1, and 0 and infinity are"
        )
    before = reader.fusable(x, node)
    if before is None or activation is None:
        if activation == "NONE":
            raise ExportError(f"node '{node.name}' (Clip): its bounds {low} and {high} can't be exported here")
        reader.append(activation or "RELU_0_TO_1", node, [reader.row(node.input[0], node)])
        return
    del reader.tensors[x]
    reader.nodes[before] = replace(
        reader.nodes[before],
        outputs=(reader.activation(y, node),),
        options=replace(reader.nodes[before].options, activation=activation),
    )


def _saturates(q: QParams, low: float, high: float) -> bool:
    """Whether no int8 value of a tensor lies outside these bounds, but for a rounding of its scale."""
    step, zero = float(q.scale.item()), int(q.zero_point.item())
    slack = 0.01 * step
    return step * (-128 - zero) >= low - slack and step * (127 - zero) <= high + slack


def _write_relu6(writer: OnnxWriter, name: str, x: str) -> str:
    if not any(i.name == "zero" for i in writer.initializers):
        writer.constant("zero", np.float32(0))
        writer.constant("six", np.float32(6))
    return writer.add("Clip", name, [x, "zero", "six"])


RELU = Operator(
    name="RELU",
    kind="activation",
    shapes=same,
    int8_version=2,
    prepare=_prepare_relu,
    lower=lower_lookup(_prepare_relu),
    tflm=("Relu", "RELU", "activations"),
    onnx={
        "Relu": OnnxForm(
            read=lambda reader, node: _read_bounds(reader, node, 0.0, np.inf),
            quantized="clip",
            fake=lambda node, graph, inputs: inputs[0].relu(),
            homogeneous=True,
        )
    },
    layers={"ReLU": layer("Relu")},
    functions={"relu": function("Relu")},
)
RELU6 = Operator(
    name="RELU6",
    kind="activation",
    shapes=same,
    int8_version=2,
    prepare=_prepare_relu6,
    lower=lower_lookup(_prepare_relu6),
    tflm=("Relu6", "RELU6", "activations"),
    onnx={
        "Clip": OnnxForm(
            read=lambda reader, node: _read_bounds(reader, node, *clip_bounds(reader.graph, node)),
            quantized="clip",
            fake=lambda node, graph, inputs: inputs[0].clamp(*clip_bounds(graph, node)),
        )
    },
    layers={"ReLU6": lambda writer, name, x, layer: _write_relu6(writer, name, x)},
    functions={"relu6": lambda writer, node, inputs: _write_relu6(writer, node.name, inputs[0])},
)
# float only; a hard-sigmoid is folded into the layer before it, whose clip this is (export.passes.canonical)
RELU_0_TO_1 = Operator(
    name="RELU_0_TO_1",
    kind="activation",
    shapes=same,
    layers={"Hardsigmoid": layer("HardSigmoid", alpha=1 / 6, beta=0.5)},
    functions={"hardsigmoid": function("HardSigmoid", alpha=1 / 6, beta=0.5)},
)
