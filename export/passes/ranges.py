"""Ranges: the int8 values that each channel of each activation can have, whatever the model is given.

Interval arithmetic, from the input forwards; a channel whose range is one value is a constant.

    weighted layers     bias + sum of the least (or most) of w * (x - zero point) for x in its channel's range, rescaled
    products            of the ends of both ranges, rescaled
    one value to one    the least and most of its table of 256
    all others          grow with every input: what the integer interpreter makes of all lows, and of all highs

TFLite Micro rounds a rescaled sum twice, LiteRT's reference FULLY_CONNECTED once, XNNPACK through float32: a range of a
sum or product holds what each of them makes of it, so that a constant is one in all. A sum that could leave int32 has
no bounds here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt

from export.graph import Array, ExportError, Graph, Node, Tensor
from export.ops.fixed_point import Ints, quantize_multiplier, rescale
from export.ops.integers import activation_bounds, scale, zero_point
from export.ops.operator import Compute
from export.ops.table import OPERATORS
from hardware_profiles.cost.ops import OpKind, same_padding

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

WEIGHTED: tuple[OpKind, ...] = ("conv", "depthwise_conv", "fully_connected")
TABLES: tuple[OpKind, ...] = ("activation", "quantize")
_GROWING: tuple[OpKind, ...] = ("add", "mean", "avg_pool", "max_pool", "pad", "reshape", "concat")
_INT32, _MOST_FACTOR = 2**31, 2**30
_FLOAT32 = 2.0**-10  # how far float32 may be off a rescaled sum that is not clipped, with room to spare


@dataclass(frozen=True, slots=True, eq=False)
class ChannelRange:
    """Least and most of each channel, shape (C,)."""

    low: Ints
    high: Ints

    @property
    def constant(self) -> Bools:
        """Which channels have one value only."""
        return np.equal(self.low, self.high)


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Accumulators of a weighted layer, the bias included, and the factor to its output, one per channel.

    Attributes:
        low: least sum, and `high` the most.
        factors: real.
        multipliers: the same as a device has them, and `shifts` to the left.
        bounded: no sum leaves int32, shifted to the left where its factor asks for it, and a device has such a factor.
    """

    low: Ints
    high: Ints
    factors: Floats
    multipliers: Ints
    shifts: Ints
    bounded: Bools

    def ends(self, node: Node, output: Tensor) -> tuple[Ints, Ints]:
        """The outputs of the least and the most sum as TFLite Micro computes them, shapes (C,)."""
        zero, bounds = zero_point(output), activation_bounds(node, output)
        low, high = (rescale(sums, self.multipliers, self.shifts) + zero for sums in (self.low, self.high))
        return np.clip(low, *bounds), np.clip(high, *bounds)


def channel_ranges(graph: Graph) -> dict[str, ChannelRange]:
    """The range of every activation; all 256 values where nothing better is known."""
    ranges = {name: _anything(graph.tensor(name)) for name in graph.inputs}
    for node in graph.nodes:
        ranges |= {name: _anything(graph.tensor(name)) for name in node.outputs}
        rule = _RULES.get(kind_of(node))
        if rule is not None and is_int8(graph, node):
            try:
                ranges[node.outputs[0]] = rule(graph, node, ranges)
            except ExportError:  # an option or scale that integers can't compute: whoever runs it says so
                continue
    return ranges


def kind_of(node: Node) -> OpKind:
    """What kind of operator a node is."""
    return OPERATORS[node.op].kind if node.op in OPERATORS else "unknown"


def is_int8(graph: Graph, node: Node) -> bool:
    """Whether a known node computes int8 from int8 activations, each with one scale, and from int8 weights if any."""
    values, operands = [graph.tensor(name) for name in (*node.inputs, *node.outputs)], []
    if OPERATORS[node.op].own_types:
        values, operands = [values[0], values[-1]], values[1:-1]
    if any(t.data is None for t in operands) or (kind_of(node) in WEIGHTED and operands[0].dtype != "int8"):
        return False
    return all(t.dtype == "int8" and t.qparams is not None and len(t.qparams.scale) == 1 for t in values)


def weights_by_tap(graph: Graph, node: Node) -> Ints:
    """Weights of each output channel by tap of the window and channel that it sees there, shape (C_out, taps, C)."""
    data = graph.tensor(node.inputs[1]).data
    assert data is not None
    if kind_of(node) == "depthwise_conv":
        data = data[0].transpose(2, 0, 1)[..., None]
    return data.reshape(len(data), -1, data.shape[-1]).astype(np.int64)


def taps_on_map(graph: Graph, node: Node) -> tuple[Bools, Bools]:
    """Whether each tap of a layer's window sees the map somewhere, and padding somewhere; shapes (taps,)."""
    if kind_of(node) == "fully_connected":
        return np.array([True]), np.array([False])
    x, y, o = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0]), node.options
    on: list[Bools] = []
    off: list[Bools] = []
    for side, made, kernel, stride, dilation in zip(
        x.shape[1:3], y.shape[1:3], o.kernel_hw, o.stride_hw, o.dilation_hw, strict=True
    ):
        before = same_padding(side, (kernel - 1) * dilation + 1, stride)[0] if o.padding == "SAME" else 0
        places = np.arange(made) * stride + np.arange(kernel)[:, None] * dilation - before
        inside: Bools = (places >= 0) & (places < side)
        on.append(inside.max(1))
        off.append(~inside.min(1))
    return np.logical_and.outer(*on).ravel(), np.logical_or.outer(*off).ravel()


def layer_sums(graph: Graph, node: Node, ranges: Mapping[str, ChannelRange]) -> Sums:
    """The sums that a weighted int8 layer can have, by interval arithmetic over its input's channels."""
    x, w, y = (graph.tensor(name) for name in (*node.inputs[:2], node.outputs[0]))
    assert w.qparams is not None
    weights, (on, off) = weights_by_tap(graph, node), taps_on_map(graph, node)
    low, high = (_seen(node, end - zero_point(x), weights.shape) for end in (ranges[x.name].low, ranges[x.name].high))
    least = np.where(on[:, None], np.where(off[:, None], np.minimum(low, 0), low), 0)
    most = np.where(on[:, None], np.where(off[:, None], np.maximum(high, 0), high), 0)
    up, down = np.maximum(weights, 0), np.minimum(weights, 0)
    bias = np.zeros(len(weights), np.int64)
    if len(node.inputs) > 2:
        given = graph.tensor(node.inputs[2]).data
        assert given is not None
        bias = given.reshape(-1).astype(np.int64)
    sums = [bias + (up * a + down * b).sum((1, 2)) for a, b in ((least, most), (most, least))]
    factors = np.broadcast_to(scale(x) * w.qparams.scale.astype(np.float64) / scale(y), len(weights))
    held = factors < _MOST_FACTOR
    pairs = np.array([quantize_multiplier(float(f)) for f in np.where(held, factors, 0)], np.int64)
    largest = np.maximum(np.abs(sums[0]), np.abs(sums[1])) * 2.0 ** np.maximum(pairs[:, 1], 0)
    return Sums(sums[0], sums[1], factors, pairs[:, 0], pairs[:, 1], held & (largest < _INT32))


def _seen(node: Node, values: Ints, shape: tuple[int, ...]) -> Ints:
    """What is known of each input channel, as the weights of that shape meet it."""
    if kind_of(node) == "depthwise_conv":
        return np.repeat(values, shape[0] // len(values)).reshape(-1, 1, 1)
    return np.resize(values, (1, shape[2]))  # a fully connected layer may read a whole map


def _weighted(graph: Graph, node: Node, ranges: Mapping[str, ChannelRange]) -> ChannelRange:
    y, sums = graph.tensor(node.outputs[0]), layer_sums(graph, node, ranges)
    found = _rescaled(node, y, sums.ends(node, y), (sums.low * sums.factors, sums.high * sums.factors))
    low, high = activation_bounds(node, y)
    return ChannelRange(np.where(sums.bounded, found.low, low), np.where(sums.bounded, found.high, high))


def _rescaled(node: Node, y: Tensor, device: tuple[Ints, Ints], real: tuple[Floats, Floats]) -> ChannelRange:
    """What the device makes of the ends, widened to what any rounding makes of the real ones."""
    bounds = activation_bounds(node, y)
    low = np.clip(np.ceil(real[0] - 0.5 - _FLOAT32) + zero_point(y), *bounds).astype(np.int64)
    high = np.clip(np.floor(real[1] + 0.5 + _FLOAT32) + zero_point(y), *bounds).astype(np.int64)
    return ChannelRange(np.minimum(low, device[0]), np.maximum(high, device[1]))


def _mul(graph: Graph, node: Node, ranges: Mapping[str, ChannelRange]) -> ChannelRange:
    y = graph.tensor(node.outputs[0])
    scales, operands = 1.0, []
    for name in node.inputs:
        tensor, span = graph.tensor(name), ranges.get(name) or _of_constant(graph.tensor(name))
        scales *= scale(tensor)
        operands.append((span.low - zero_point(tensor), span.high - zero_point(tensor)))
    corners = np.array([np.broadcast_to(a * b, y.shape[-1:]) for a, b in product(*operands)])
    low, high = corners.min(0), corners.max(0)
    pair, bounds = quantize_multiplier(scales / scale(y)), activation_bounds(node, y)
    device = [np.clip(rescale(end, *pair) + zero_point(y), *bounds) for end in (low, high)]
    return _rescaled(node, y, (device[0], device[1]), (low * (scales / scale(y)), high * (scales / scale(y))))


def _table(graph: Graph, node: Node, ranges: Mapping[str, ChannelRange]) -> ChannelRange:
    values = np.arange(-128, 128, dtype=np.int8)[None]
    tensors = {name: replace(graph.tensor(name), shape=values.shape) for name in (*node.inputs, *node.outputs)}
    table = _compute(Graph((node,), tensors, node.inputs, node.outputs), node)(values)[0].astype(np.int64)
    span = ranges[node.inputs[0]]
    seen = [table[low + 128 : high + 129] for low, high in zip(span.low, span.high, strict=True)]
    return ChannelRange(np.array([part.min() for part in seen]), np.array([part.max() for part in seen]))


def _growing(graph: Graph, node: Node, ranges: Mapping[str, ChannelRange]) -> ChannelRange:
    """What integers make of maps of all lows and of all highs, over all positions."""
    compute = _compute(graph, node)
    inputs = [t for t in map(graph.tensor, node.inputs) if t.data is None]

    def made(end: Callable[[ChannelRange], Ints]) -> Ints:
        maps = (np.broadcast_to(end(ranges[t.name]), t.shape).astype(np.int8) for t in inputs)
        values: Array = compute(*maps)
        return values.reshape(-1, values.shape[-1]).astype(np.int64)

    return ChannelRange(made(lambda span: span.low).min(0), made(lambda span: span.high).max(0))


def _compute(graph: Graph, node: Node) -> Compute:
    prepare = OPERATORS[node.op].prepare
    assert prepare is not None, node.op
    return prepare(graph, node)


def _anything(tensor: Tensor) -> ChannelRange:
    channels = tensor.shape[-1] if tensor.shape else 1
    return ChannelRange(np.full(channels, -128), np.full(channels, 127))


def _of_constant(tensor: Tensor) -> ChannelRange:
    assert tensor.data is not None
    rows = tensor.data.astype(np.int64).reshape(-1, tensor.shape[-1] if tensor.shape else 1)
    return ChannelRange(rows.min(0), rows.max(0))


_RULES: Mapping[OpKind, Callable[[Graph, Node, Mapping[str, ChannelRange]], ChannelRange]] = {
    **dict.fromkeys(WEIGHTED, _weighted),
    "mul": _mul,
    **dict.fromkeys(TABLES, _table),
    **dict.fromkeys(_GROWING, _growing),
}
