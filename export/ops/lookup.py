"""What functions of one value share: all 256 outputs are a table, computed offline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

import numpy as np

from export.graph import Array, Graph, Node
from export.ops.fixed_point import Ints
from export.ops.layer import Constant, Context, Layer
from hardware_profiles.firmware.layout import Layout


def lookup(table: Ints) -> Callable[[Array], Array]:
    """A function of int8 values.

    Args:
        table: outputs of the inputs from -128 up, shape (256,).
    """
    by_byte = np.roll(table, 128).astype(np.int8)  # index of int8 value v read as a byte: v mod 256
    return lambda value: by_byte[value.view(np.uint8)]


def lower_lookup(
    prepare: Callable[[Graph, Node], Callable[..., Array]],
) -> Callable[[Context, Node], Layer]:
    """What makes the layer of an operator: the table of what its integer meaning gives for each value."""

    def lower(context: Context, node: Node) -> Layer:
        graph = context.graph
        values = np.arange(-128, 128, dtype=np.int8)[None]
        tensors = {name: replace(graph.tensor(name), shape=values.shape) for name in (*node.inputs, *node.outputs)}
        table = prepare(Graph((node,), tensors, node.inputs, node.outputs), node)(values)
        y = graph.tensor(node.outputs[0])
        arguments = (f"{context.name}_table", context.at(node.inputs[0]), context.at(y.name), str(prod(y.shape)))
        return context.layer(node, context.choose(Layout()), (Constant("int8_t", "table", table),), (), arguments)

    return lower
