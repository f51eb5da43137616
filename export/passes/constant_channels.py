"""Channels that are constant, said plainly: zero weights, a factor of 1/256, and the bias that gives the constant.

Converters give a channel whose weights are all zero a scale near 1e-9 and a bias of up to 2^30. Fast kernels can't
rescale by that, and one such channel would send its layer to plain C. What is constant here is so in the arithmetic of
the device: the least and the most sum give one output.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from export.graph import Graph, Node, QParams, Tensor
from export.ops.fixed_point import Ints, quantize_multiplier, rescale
from export.ops.integers import scale, zero_point
from export.ops.table import OPERATORS
from export.passes.fewer_channels import bias_of
from export.passes.ranges import WEIGHTED, Bools, channel_ranges, is_int8, kind_of, layer_sums

_STEPS = 256  # of the accumulator, one of the output


def plain_constants(graph: Graph) -> Graph:
    """The same function, for lowering to kernels: constants of weighted layers take the simplest numbers."""
    ranges = channel_ranges(graph)
    tensors, nodes = dict(graph.tensors), list(graph.nodes)
    for i, node in enumerate(graph.nodes):
        if kind_of(node) not in WEIGHTED or not is_int8(graph, node):
            continue
        sums = layer_sums(graph, node, ranges)
        low, high = sums.ends(node, graph.tensor(node.outputs[0]))
        weights, bias = _plain(graph, node, (low == high) & sums.bounded, low)
        tensors |= {weights.name: weights, bias.name: bias}
        nodes[i] = replace(node, inputs=(node.inputs[0], weights.name, bias.name))
    return replace(graph, nodes=tuple(nodes), tensors=tensors)


def _plain(graph: Graph, node: Node, constant: Bools, values: Ints) -> tuple[Tensor, Tensor]:
    """Weights and bias of a layer, changed in the channels that are constant."""
    x, w, y = (graph.tensor(name) for name in (*node.inputs[:2], node.outputs[0]))
    assert w.data is not None
    assert w.qparams is not None
    axis = OPERATORS[node.op].weights_axis
    assert axis is not None
    plain = np.float32(scale(y) / scale(x) / _STEPS)
    constant = constant & _is_exact(float(plain) * scale(x) / scale(y))
    scales = np.where(constant, plain, np.broadcast_to(w.qparams.scale, len(values))).astype(np.float32)
    data = np.moveaxis(w.data.copy(), axis, 0)
    data[constant] = 0
    bias = np.where(constant, (values - zero_point(y)) * _STEPS, bias_of(graph, node)).astype(np.int32)
    qparams = QParams(scales, np.zeros(len(scales), np.int64), axis)
    weights = replace(w, name=f"weights of {y.name}", data=np.moveaxis(data, 0, axis), qparams=qparams)
    return weights, Tensor(f"bias of {y.name}", bias.shape, "int32", None, bias)


def _is_exact(factor: float) -> bool:
    """Whether a factor near 1/256 gives each step back: not where the scales leave what float32 can hold."""
    steps = np.arange(-255, 256)
    return bool(np.isfinite(factor)) and np.array_equal(rescale(steps * _STEPS, *quantize_multiplier(factor)), steps)
