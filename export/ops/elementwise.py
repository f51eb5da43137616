"""What ADD and MUL share: two operands, one of which may be constant or repeated over a map."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from export.graph import Array, ExportError, Graph, Node
from export.onnx_graph import OnnxGraph
from export.ops.fixed_point import Ints
from export.ops.integers import zero_point
from export.ops.layer import Constant, Context, Layer, Struct
from export.ops.onnx_writer import OnnxWriter, WriteFunction
from export.ops.operator import Fake, Values

if TYPE_CHECKING:
    from hardware_profiles.firmware.kernel import Kernel


def centred(graph: Graph, node: Node) -> Callable[..., tuple[Ints, Ints]]:
    """What gives both operands' values less their zero points, of the activations among them."""
    a, b = (graph.tensor(name) for name in node.inputs)

    def operands(*values: Array) -> tuple[Ints, Ints]:
        given = iter(values)
        left = next(given) if a.data is None else a.data
        right = next(given) if b.data is None else b.data
        return left.astype(np.int64) - zero_point(a), right.astype(np.int64) - zero_point(b)

    return operands


def fake_binary(combine: Callable[[Values, Values], Values]) -> Fake:
    """What combines both operands in training; a constant one as it is."""

    def fake(node: Any, graph: OnnxGraph, inputs: list[Values]) -> Values:
        import torch

        given, constants = iter(inputs), graph.constants
        a, b = (torch.tensor(constants[name]) if name in constants else next(given) for name in node.input)
        return combine(a, b)

    return fake


def write_binary(op: str) -> WriteFunction:
    """What writes a torch function of two values."""

    def write(writer: OnnxWriter, node: Any, inputs: list[str]) -> str:
        if len(inputs) != 2:
            raise ExportError(f"'{node.name}' calls {node.target.__name__} with a constant; use two values")
        return writer.add(op, node.name, inputs)

    return write


def large_and_small(graph: Graph, node: Node) -> tuple[str, str]:
    """The operand of the output's shape, and the other, which may be repeated along leading axes."""
    shape = graph.tensor(node.outputs[0]).shape
    large, small = sorted(node.inputs, key=lambda name: -prod(graph.tensor(name).shape))
    trailing = [side for side in graph.tensor(small).shape if side != 1]
    repeated = graph.tensor(small).shape == shape or list(shape[len(shape) - len(trailing) :]) == trailing
    if prod(graph.tensor(large).shape) != prod(shape) or not repeated:
        shapes = " and ".join(str(graph.tensor(name).shape) for name in node.inputs)
        raise ExportError(f"node '{node.name}' ({node.op}) combines {shapes}; only channels may be repeated over a map")
    return large, small


def lower_elementwise(
    context: Context, node: Node, kernel: Kernel, struct: Struct, large: str, small: str, reason: str | None = None
) -> Layer:
    """The layer of a kernel that takes two operands."""
    tensors = [context.graph.tensor(name) for name in (large, small)]
    constants, sources = [], []
    for tensor, suffix in zip(tensors, "ab", strict=True):
        if tensor.data is None:
            sources.append(context.at(tensor.name))
        else:
            constants.append(Constant("int8_t", suffix, tensor.data))
            sources.append(f"{context.name}_{suffix}")
    counts = [str(prod(t.shape)) for t in tensors]
    arguments = (f"&{context.name}_{struct.suffix}", *sources, context.at(node.outputs[0]), *counts)
    return context.layer(node, kernel, tuple(constants), (struct,), arguments, reason=reason)
