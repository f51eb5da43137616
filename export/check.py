"""Is a graph what it says? Operands, shapes, types and quantization of every known operator, computed anew.

Both readers end here, so that cost, interpreter, C generator and runtimes meet no file that lies. An operator outside
the closed set passes as unknown: of it, only the sizes of its tensors are looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from export.graph import ZERO_POINTS, ExportError, Graph, Node, Tensor
from export.ops.operator import Operator, one_type
from export.ops.shapes import MOST_ELEMENTS, refuse
from export.ops.table import OPERATORS
from export.ops.weighted import check_weight_scales

_MOST_AXES = 8


def check_graph(graph: Graph) -> None:
    """Compare what a graph says with what follows from its operators.

    Raises:
        ExportError: names the node, what it has and what it should have.
    """
    for tensor in graph.tensors.values():
        _check_size(tensor)
    _check_order(graph)
    for node in graph.nodes:
        if node.op in OPERATORS:
            _check_node(graph, node)


def _check_size(tensor: Tensor) -> None:
    if len(tensor.shape) > _MOST_AXES or min(tensor.shape, default=0) < 0 or prod(tensor.shape) > MOST_ELEMENTS:
        raise ExportError(f"tensor '{tensor.name}' can't have the shape {tensor.shape}")


def _check_order(graph: Graph) -> None:
    """Each value is written once, before it is read; an unknown operator may read what only its runtime writes."""
    constants = {name for name, tensor in graph.tensors.items() if tensor.data is not None}
    written = set(graph.inputs)
    if written & constants:
        raise ExportError(f"input '{min(written & constants)}' is a constant")
    for node in graph.nodes:
        for name in node.inputs:
            if node.op in OPERATORS and name not in written and name not in constants:
                refuse(node, f"it reads '{name}', which nothing has written")
        for name in node.outputs:
            if name in written or name in constants:
                refuse(node, f"it writes '{name}', which is a constant, an input or written already")
            written.add(name)
    for name in graph.outputs:
        if name not in written:
            raise ExportError(f"output '{name}' is written by no operator")


def _check_node(graph: Graph, node: Node) -> None:
    row = OPERATORS[node.op]
    least, most = row.inputs
    if len(node.outputs) != 1 or not least <= len(node.inputs) <= most:
        refuse(node, f"it has {len(node.inputs)} inputs and {len(node.outputs)} outputs")
    inputs = [graph.tensor(name) for name in node.inputs]
    y = graph.tensor(node.outputs[0])
    for tensor in (*inputs, y):
        if min(tensor.shape, default=1) < 1:
            refuse(node, f"'{tensor.name}' has the shape {tensor.shape}: a side must be a positive number")
    options = (*node.options.stride_hw, *node.options.dilation_hw, *node.options.kernel_hw)
    if min(options) < 1 or max(options) > MOST_ELEMENTS:
        refuse(node, f"its kernel, strides or dilations are {options}: each must be at least 1")
    shapes = row.shapes(node, inputs)
    if not shapes:  # any that holds as many values
        shapes = [y.shape if prod(y.shape) == prod(inputs[0].shape) else inputs[0].shape]
    if y.shape not in shapes:
        refuse(node, f"its output has the shape {y.shape}; from its inputs follows {shapes[0]}")
    _check_types(node, row, inputs[:1] if row.own_types else inputs, y)


def _check_types(node: Node, row: Operator, inputs: Sequence[Tensor], y: Tensor) -> None:
    reasons = (*(one_type(inputs[0], other) for other in inputs[1:]), row.types(inputs[0], y))
    if reason := next((reason for reason in reasons if reason), None):
        refuse(node, reason)
    for tensor in (*inputs, y):
        if tensor.dtype not in ZERO_POINTS or (tensor.qparams is None and row.moves):
            continue
        if row.reads_weights and tensor.data is not None:
            check_weight_scales(node, tensor)
        else:
            _check_activation(node, tensor)


def _check_activation(node: Node, tensor: Tensor) -> None:
    q = tensor.qparams
    if q is None or len(q.scale) != 1 or len(q.zero_point) != 1:
        refuse(node, f"'{tensor.name}' is {tensor.dtype} without one scale and one zero point")
    scale, zero, (low, high) = float(q.scale[0]), int(q.zero_point[0]), ZERO_POINTS[tensor.dtype]
    if not (np.isfinite(scale) and scale > 0 and low <= zero <= high):
        refuse(node, f"'{tensor.name}' can't have the scale {scale} and the zero point {zero}")
