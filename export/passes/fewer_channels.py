"""A graph whose activations keep some of their channels: every constant cut to them, nodes and names as they were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from export.graph import Array, Graph, Node, QParams, Tensor
from export.ops.fixed_point import Ints
from export.passes.channels import columns
from export.passes.ranges import Bools, kind_of


@dataclass(frozen=True, slots=True, eq=False)
class LayerChange:
    """What else changes in a convolution or fully connected layer.

    Attributes:
        silent: rows (output channels) that read nothing, shape (rows,); `sums` are their biases then.
        folded: what the bias takes over of each column that is cut off, shape (rows, columns).
    """

    silent: Bools
    sums: Ints
    folded: Ints


def with_fewer_channels(graph: Graph, kept: Mapping[str, Ints], changes: Mapping[str, LayerChange]) -> Graph:
    """Cut a graph to some of its channels.

    Args:
        kept: indices of the channels that each activation keeps, by its name.
        changes: by the tensor that a layer writes.
    """
    tensors = dict(graph.tensors)
    for name, indices in kept.items():
        tensor = graph.tensor(name)
        if tensor.shape:
            tensors[name] = replace(tensor, shape=(*tensor.shape[:-1], len(indices)))
    for node in graph.nodes:
        for constant in _cut(graph, node, kept, changes):
            tensors[constant.name] = constant
    return replace(graph, tensors=tensors)


def bias_of(graph: Graph, node: Node) -> Ints:
    """The bias of a weighted layer, shape (C_out,); zeros where it has none."""
    if len(node.inputs) > 2:
        return _data(graph.tensor(node.inputs[2])).reshape(-1).astype(np.int64)
    return np.zeros(graph.tensor(node.outputs[0]).shape[-1], np.int64)


def _cut(graph: Graph, node: Node, kept: Mapping[str, Ints], changes: Mapping[str, LayerChange]) -> Iterator[Tensor]:
    """The constants of a node that change."""
    if node.outputs[0] in changes:
        yield from _layer(graph, node, kept, changes[node.outputs[0]])
        return
    y, constants = graph.tensor(node.outputs[0]), [t for t in map(graph.tensor, node.inputs) if t.data is not None]
    left = kept[y.name]
    if not y.shape or len(left) == y.shape[-1]:
        return
    match kind_of(node):
        case "depthwise_conv" | "add" | "mul":
            for constant in constants:
                if constant.shape and constant.shape[-1] == y.shape[-1]:  # else it repeats its only value
                    yield _taken(constant, _data(constant)[..., left], left, -1)
        case "concat":
            yield from _parts(graph, node, left)
        case "pad":
            yield _amounts(graph, node, left)
        case "reshape":
            for constant in constants:
                shape = _data(constant).copy()
                shape.reshape(-1)[-1] = -1 if shape.reshape(-1)[-1] == -1 else len(left)
                yield replace(constant, data=shape)


def _layer(graph: Graph, node: Node, kept: Mapping[str, Ints], change: LayerChange) -> Iterator[Tensor]:
    """Rows and columns of the weights that are left, and the bias with what the other columns added."""
    x, w, rows = graph.tensor(node.inputs[0]), graph.tensor(node.inputs[1]), kept[node.outputs[0]]
    stays = columns(graph, node, np.isin(np.arange(x.shape[-1]), kept[x.name]))
    weights = _data(w).copy()
    weights[change.silent] = 0
    yield _taken(w, weights[rows][..., stays], rows, 0)
    if len(node.inputs) > 2:
        bias = graph.tensor(node.inputs[2])
        sums = bias_of(graph, node) + (change.folded * ~stays).sum(1)
        sums = np.where(change.silent, change.sums, sums)[rows]
        yield _taken(bias, sums.astype(_data(bias).dtype).reshape(*bias.shape[:-1], -1), rows, -1)


def _parts(graph: Graph, node: Node, left: Ints) -> Iterator[Tensor]:
    """The constant parts of a concatenation, which may be along its channels."""
    y, done = graph.tensor(node.outputs[0]), 0
    along = node.options.axis % len(y.shape) == len(y.shape) - 1
    for part in map(graph.tensor, node.inputs):
        inside = left - done if along else left
        inside = inside[(inside >= 0) & (inside < part.shape[-1])]
        if part.data is not None:
            yield _taken(part, part.data[..., inside], inside, -1)
        done += part.shape[-1]


def _amounts(graph: Graph, node: Node, left: Ints) -> Tensor:
    """What a PAD adds: of channels, those that are left before and behind the map's own."""
    constant, channels = graph.tensor(node.inputs[1]), graph.tensor(node.inputs[0]).shape[-1]
    amounts = _data(constant).copy()
    before = int(amounts[-1, 0])
    amounts[-1] = np.count_nonzero(left < before), np.count_nonzero(left >= before + channels)
    return replace(constant, data=amounts)


def _taken(tensor: Tensor, data: Array, indices: Ints, axis: int) -> Tensor:
    """A constant with other data; of scales per channel, those of the indices that are left along an axis."""
    q, channels = tensor.qparams, tensor.shape[axis]
    if q is not None:
        scale = q.scale[indices] if len(q.scale) == channels else q.scale
        zero_point = q.zero_point[indices] if len(q.zero_point) == channels else q.zero_point
        q = QParams(scale, zero_point, q.axis)
    return replace(tensor, shape=data.shape, data=data, qparams=q)


def _data(tensor: Tensor) -> Array:
    assert tensor.data is not None
    return tensor.data
