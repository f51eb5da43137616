"""CONCATENATION: inputs joined along an axis, all of one quantization, TFLite's reference/concatenation.h."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from export.graph import Array, ExportError, Graph, Node, Options, Tensor
from export.onnx_graph import OnnxGraph, attributes
from export.ops.integers import scale, zero_point
from export.ops.layer import Constant, Context, Layer
from export.ops.onnx_reader import OnnxReader
from export.ops.onnx_writer import OnnxWriter
from export.ops.operator import Compute, OnnxForm, Operator, Values
from export.ops.shapes import Shape, refuse
from hardware_profiles.firmware.layout import Layout

_MANY = 1_000_000


def _shapes(node: Node, inputs: Sequence[Tensor]) -> list[Shape]:
    shapes, axis = [tensor.shape for tensor in inputs], node.options.axis
    rank = len(shapes[0])
    if not -rank <= axis < rank or any(len(shape) != rank for shape in shapes):
        refuse(node, f"it joins the shapes {shapes} along axis {axis}")
    axis %= rank
    others = {shape[:axis] + shape[axis + 1 :] for shape in shapes}
    if len(others) != 1:
        refuse(node, f"it joins the shapes {shapes} along axis {axis}")
    return [(*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])]


def _parts(graph: Graph, node: Node) -> tuple[list[Tensor], Tensor, int]:
    """Inputs, output and axis.

    Raises:
        ExportError: their quantizations differ.
    """
    y = graph.tensor(node.outputs[0])
    parts = [graph.tensor(name) for name in node.inputs]
    if any((scale(p), zero_point(p)) != (scale(y), zero_point(y)) for p in parts):
        raise ExportError(f"node '{node.name}' (CONCATENATION): its inputs and output must share one quantization")
    return parts, y, node.options.axis % len(y.shape)


def _prepare(graph: Graph, node: Node) -> Compute:
    parts, _, axis = _parts(graph, node)

    def run(*values: Array) -> Array:
        given, n = iter(values), len(values[0])
        whole = [next(given) if p.data is None else np.broadcast_to(p.data, (n, *p.shape[1:])) for p in parts]
        return np.concatenate(whole, axis)

    return run


def _read(reader: OnnxReader, node: Any) -> None:
    rank = len(reader.shape(node.output[0], node))
    axis = int(attributes(node)["axis"]) % rank
    axis = {0: 0, 1: 3, 2: 1, 3: 2}[axis] if rank == 4 else axis
    inputs = [reader.operand(name, rank, node) for name in node.input]
    reader.append("CONCATENATION", node, inputs, Options(axis=axis))


def _fake(node: Any, graph: OnnxGraph, inputs: list[Values]) -> Values:
    import torch

    return torch.cat(inputs, attributes(node)["axis"])


def _write_function(writer: OnnxWriter, node: Any, inputs: list[str]) -> str:
    axis = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    return writer.add("Concat", node.name, inputs, axis=axis)


def _lower(context: Context, node: Node) -> Layer:
    """One call per input: its rows into the output's, from where the inputs before it end."""
    parts, y, axis = _parts(context.graph, node)
    rows, to_row = prod(y.shape[:axis]), prod(y.shape[axis:])
    constants, calls, done = [], [], 0
    for i, part in enumerate(parts):
        source = f"{context.name}_part{i}"
        if part.data is None:
            source = context.at(part.name)
        else:
            constants.append(Constant("int8_t", f"part{i}", part.data))
        row = prod(part.shape[axis:])
        calls.append((source, f"{context.at(y.name)} + {done}", str(rows), str(row), str(to_row)))
        done += row
    return context.layer(node, context.choose(Layout()), tuple(constants), (), *calls)


CONCATENATION = Operator(
    name="CONCATENATION",
    kind="concat",
    inputs=(1, _MANY),
    shapes=_shapes,
    moves=True,
    options="ConcatenationOptions",
    int8_version=2,
    prepare=_prepare,
    lower=_lower,
    tflm=("Concatenation", "CONCATENATION", "concatenation"),
    onnx={"Concat": OnnxForm(read=_read, quantized="shared", fake=_fake)},
    functions={"cat": _write_function},
)
