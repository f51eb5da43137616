"""RESHAPE: another shape of the same values, which no kernel moves.

ONNX's operators that only reshape are none here: a value goes on under its old name, and a linear layer flattens by
itself. Only a row that something else reads needs a RESHAPE (OnnxReader.row).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from export.graph import ExportError, Graph, Node, Tensor
from export.ops.onnx_reader import OnnxReader, is_qdq, same_quantization
from export.ops.onnx_writer import OnnxWriter
from export.ops.operator import Compute, OnnxForm, Operator
from export.ops.shapes import Shape, constant_ints, refuse


def _shapes(node: Node, inputs: Sequence[Tensor]) -> list[Shape]:
    """The shape that a constant names; without one, none in particular."""
    size = prod(inputs[0].shape)
    if len(inputs) < 2 or inputs[1].data is None:
        return []
    wanted = [int(side) for side in np.ravel(constant_ints(node, inputs[1]))]
    free = wanted.count(-1)
    known = prod(side for side in wanted if side != -1)
    if free > 1 or known < 1 or size % known:
        refuse(node, f"the shape {inputs[0].shape} can't become {wanted}")
    shape = tuple(size // known if side == -1 else side for side in wanted)
    if prod(shape) != size:
        refuse(node, f"the shape {inputs[0].shape} can't become {wanted}")
    return [shape]


def _prepare(graph: Graph, node: Node) -> Compute:
    shape = graph.tensor(node.outputs[0]).shape
    return lambda value: value.reshape(len(value), *shape[1:])


def _read(reader: OnnxReader, node: Any) -> None:
    x, shape = reader.activation(node.input[0], node), reader.shape(node.output[0], node)
    before = reader.tensors[x].shape
    if len(before) == 4 and before[1:3] != (1, 1) and shape != before:
        if len(shape) != 2 or shape[0] != 1:
            raise ExportError(
                f"node '{node.name}' ({node.op_type}): {before} to {shape} would move data between NCHW and NHWC; "
                "only flattening a map into a row is supported"
            )
        reader.flattened[node.output[0]] = before
        for other in reader.graph.readers(node.output[0]):  # the pair behind it, in a quantized graph
            if is_qdq(other):
                reader.flattened.update({r.output[0]: before for r in reader.graph.readers(other.output[0])})
    elif node.input[0] in reader.flattened:
        reader.flattened[node.output[0]] = reader.flattened[node.input[0]]
    quantized = reader.qparams.get(reader.root(node.output[0]))
    if quantized is not None and not same_quantization(quantized, reader.tensors[x].qparams):
        raise ExportError(f"node '{node.name}' ({node.op_type}): it can't change the quantization of its input")
    reader.rename(node.output[0], x)


def _write_function(writer: OnnxWriter, node: Any, inputs: list[str]) -> str:
    start = node.args[1] if len(node.args) > 1 else node.kwargs.get("start_dim", 0)
    if start != 1:
        raise ExportError(f"'{node.name}' flattens from axis {start}; only from axis 1 can be exported")
    return writer.add("Flatten", node.name, inputs, axis=1)


RESHAPE = Operator(
    name="RESHAPE",
    kind="reshape",
    inputs=(1, 2),
    shapes=_shapes,
    own_types=True,
    moves=True,
    options="ReshapeOptions",
    int8_version=1,
    prepare=_prepare,
    tflm=("Reshape", "RESHAPE", "reshape"),
    onnx={
        "Flatten": OnnxForm(read=_read, quantized="shared", fake=lambda node, graph, inputs: inputs[0].flatten(1)),
        "Reshape": OnnxForm(read=_read, quantized="shared"),
        "Squeeze": OnnxForm(read=_read, quantized="shared"),
        "Unsqueeze": OnnxForm(read=_read),
        "Identity": OnnxForm(read=_read),
    },
    layers={"Flatten": lambda writer, name, x, layer: writer.add("Flatten", name, [x], axis=layer.start_dim)},
    functions={"flatten": _write_function},
)
