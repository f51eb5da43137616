"""PAD: a border of zeros, which are the zero point's value; TFLite's reference/pad.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from export.graph import ExportError, Graph, Node, Tensor
from export.onnx_graph import OnnxGraph, attributes
from export.ops.integers import constant, ends, zero_point
from export.ops.layer import Context, Fields, Layer
from export.ops.onnx_reader import OnnxReader
from export.ops.onnx_writer import OnnxWriter
from export.ops.operator import Compute, OnnxForm, Operator, Values
from export.ops.shapes import MOST_ELEMENTS, Shape, constant_ints, refuse


def _shapes(node: Node, inputs: Sequence[Tensor]) -> list[Shape]:
    shape, amounts = inputs[0].shape, constant_ints(node, inputs[1])
    if amounts.shape != (len(shape), 2) or amounts.min() < 0 or amounts.max() > MOST_ELEMENTS:
        refuse(node, f"it pads the shape {shape} by amounts of the shape {amounts.shape}, each of which must be >= 0")
    return [tuple(side + int(before) + int(after) for side, (before, after) in zip(shape, amounts, strict=True))]


def _prepare(graph: Graph, node: Node) -> Compute:
    amounts = [(int(a), int(b)) for a, b in constant(graph, node, 1)]
    zero = zero_point(graph.tensor(node.outputs[0]))
    return lambda value: np.pad(value, amounts, constant_values=zero)


def _read(reader: OnnxReader, node: Any) -> None:
    pads, value = reader.graph.constant(node, 1), reader.graph.constant(node, 2)
    mode = attributes(node).get("mode", b"constant")
    zero = value is None or not np.any(value) or node.input[2] in reader.weight_qparams
    if pads is None or mode != b"constant" or not zero or len(pads) != 8 or pads[[0, 1, 4, 5]].any():
        raise ExportError(f"node '{node.name}' (Pad): only zeros around height and width are supported")
    amounts = reader.constant(f"{node.name}.pads", pads[[0, 4, 2, 6, 3, 7, 1, 5]].reshape(4, 2).astype(np.int32))
    reader.append("PAD", node, [reader.activation(node.input[0], node), amounts])


def _fake(node: Any, graph: OnnxGraph, inputs: list[Values]) -> Values:
    from torch.nn import functional

    pads = graph.constants[node.input[1]]
    return functional.pad(inputs[0], [int(pads[i]) for i in (3, 7, 2, 6)])


def _write_layer(writer: OnnxWriter, name: str, x: str, layer: Any) -> str:
    """Left to the convolution behind it, which pads by itself."""
    left, right, top, bottom = layer.padding
    writer.pads[name] = (top, left, bottom, right)
    writer.names[f"unpadded {name}"] = x
    return name


def _lower(context: Context, node: Node) -> Layer:
    x, y = ends(context.graph, node)
    amounts = constant(context.graph, node, 1).reshape(-1, 2)
    if len(x.shape) != 4 or amounts[0].any():
        raise ExportError(f"node '{node.name}' (PAD) pads {x.shape} by {amounts.tolist()}; supported: H, W, C of NHWC")
    fields: Fields = {}
    for key, shape in (("in", x.shape), ("out", y.shape)):
        fields |= {f"{key}_{axis}": side for axis, side in zip("hwc", shape[1:], strict=True)}
    fields |= {f"before_{axis}": int(pair[0]) for axis, pair in zip("hwc", amounts[1:], strict=True)}
    fields["value"] = zero_point(y)
    return context.simple(node, "nn_pad", fields)


PAD = Operator(
    name="PAD",
    kind="pad",
    inputs=(2, 2),
    shapes=_shapes,
    own_types=True,
    moves=True,
    int8_version=2,
    prepare=_prepare,
    lower=_lower,
    tflm=("Pad", "PAD", "pad"),
    onnx={"Pad": OnnxForm(read=_read, quantized="shared", fake=_fake, homogeneous=True)},
    layers={"ZeroPad2d": _write_layer},
)
