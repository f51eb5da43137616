"""The integer interpreter: what an int8 graph computes, bit for bit as TFLite Micro does, on a whole batch in numpy.

It is the meaning that all runtimes are held to. Each operator is a row of `_KERNELS`: a function of graph and node that
prepares multipliers once and returns a function from int8 arrays to an int8 array. The arithmetic that rounds is in
export.ops.fixed_point. Sums of products are taken by a float matrix product where every partial sum is an integer that
the float type holds exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from export.graph import Array, ExportError, Graph, Node, Tensor
from export.ops.fixed_point import (
    Ints,
    hard_swish_table,
    logistic_table,
    quantize_multiplier,
    rescale,
    softmax,
)
from hardware_profiles.cost.ops import same_padding

Int8s = npt.NDArray[np.int8]
_Kernel = Callable[..., Array]  # int8 activations (N, ...) in the order of the node's inputs -> (N, ...)
_Span = tuple[int, int]


class Interpreter:
    """A graph made ready to run.

    Attributes:
        graph: what it runs.
    """

    def __init__(self, graph: Graph) -> None:
        """Prepare every node.

        Raises:
            ExportError: an operator, type or option that integers of this interpreter can't compute, by its node.
        """
        self.graph = graph
        self._kernels = [_prepare(graph, node) for node in graph.nodes]
        self._last_read = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}

    def trace(self, inputs: Int8s) -> Iterator[tuple[Node, Int8s]]:
        """Each node in turn and what it computes, shape (N, ...).

        Args:
            inputs: shape (N, ...) as the graph's input with N for its 1.
        """
        values: dict[str, Array] = {self.graph.inputs[0]: inputs}
        for i, (node, kernel) in enumerate(zip(self.graph.nodes, self._kernels, strict=True)):
            output = kernel(*(values[name] for name in node.inputs if name in values))
            values[node.outputs[0]] = output
            yield node, output
            for name in node.inputs:
                if self._last_read[name] == i and name not in self.graph.outputs:
                    values.pop(name, None)

    def run(self, inputs: Int8s, batch_size: int = 32) -> Int8s:
        """The graph's first output, shape (N, ...)."""
        batches = []
        for i in range(0, len(inputs), batch_size):
            *_, last = (o for n, o in self.trace(inputs[i : i + batch_size]) if n.outputs[0] == self.graph.outputs[0])
            batches.append(last)
        return np.concatenate(batches)


def _prepare(graph: Graph, node: Node) -> _Kernel:
    prepare = _KERNELS.get(node.op)
    if prepare is None:
        raise ExportError(
            f"node '{node.name}' is a {node.op}; the integer interpreter knows {', '.join(sorted(_KERNELS))}"
        )
    for name in (*node.inputs, *node.outputs):
        tensor = graph.tensor(name)
        if tensor.data is None and (tensor.dtype != "int8" or tensor.qparams is None):
            raise ExportError(f"node '{node.name}' ({node.op}): '{name}' is {tensor.dtype}, not quantized int8")
    return prepare(graph, node)


def _scale(tensor: Tensor) -> float:
    assert tensor.qparams is not None
    return float(tensor.qparams.scale[0])


def _zero(tensor: Tensor) -> int:
    assert tensor.qparams is not None
    return int(tensor.qparams.zero_point[0])


def _ends(graph: Graph, node: Node) -> tuple[Tensor, Tensor]:
    return graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])


def activation_bounds(node: Node, output: Tensor) -> _Span:
    """The int8 values between which a fused activation clips.

    Raises:
        ExportError: an activation outside the set.
    """
    scale, zero = np.float32(_scale(output)), _zero(output)

    def quantized(value: float) -> int:
        return zero + int(np.floor(np.float32(value) / scale + np.float32(0.5)))

    match node.options.activation:
        case "NONE":
            return -128, 127
        case "RELU":
            return max(-128, zero), 127
        case "RELU6":
            return max(-128, zero), min(127, quantized(6))
        case "RELU_N1_TO_1":
            return max(-128, 2 * zero - quantized(1)), min(127, quantized(1))
        case other:
            raise ExportError(f"node '{node.name}' ({node.op}): fused activation {other} is not supported")


def _requantize(sums: Ints, m: Any, shift: Any, zero: int, bounds: _Span) -> Int8s:
    return np.clip(rescale(sums, m, shift) + zero, *bounds).astype(np.int8)


def _channel_multipliers(x: Tensor, weights: Tensor, y: Tensor, channels: int) -> tuple[Ints, Ints]:
    assert weights.qparams is not None
    factors = _scale(x) * weights.qparams.scale.astype(np.float64) / _scale(y)
    pairs = np.array([quantize_multiplier(float(f)) for f in np.broadcast_to(factors, channels)], np.int64)
    return pairs[:, 0], pairs[:, 1]


def _bias(graph: Graph, node: Node, channels: int) -> Ints:
    if len(node.inputs) < 3:
        return np.zeros(channels, np.int64)
    data = _data(graph, node, 2)
    return data.astype(np.int64)


def _data(graph: Graph, node: Node, index: int) -> Array:
    data = graph.tensor(node.inputs[index]).data
    if data is None:
        raise ExportError(f"node '{node.name}' ({node.op}): '{node.inputs[index]}' is computed, not constant")
    return data


def _exact_float(weights: Array, axes: tuple[int, ...]) -> Any:
    """The narrower float type that holds every partial sum of weights times (x - zero point) exactly."""
    largest = 255 * int(np.abs(weights.astype(np.int64)).sum(axes).max(initial=0))
    return np.float32 if largest < 2**24 else np.float64


def _windows(node: Node, h: int, w: int) -> tuple[tuple[_Span, _Span], tuple[int, int]]:
    """((rows, columns) of padding before and after, (output height, width))."""
    o = node.options
    pads, sizes = [], []
    for size, kernel, stride, dilation in zip((h, w), o.kernel_hw, o.stride_hw, o.dilation_hw, strict=True):
        span = (kernel - 1) * dilation + 1
        pad = same_padding(size, span, stride) if o.padding == "SAME" else (0, 0)
        pads.append(pad)
        sizes.append((size + sum(pad) - span) // stride + 1)
    return (pads[0], pads[1]), (sizes[0], sizes[1])


def _taps(node: Node, x: Array, fill: Any) -> Iterator[tuple[int, int, Array]]:
    """(row, column, what that tap of the kernel sees), shape (N, output height, output width, C)."""
    o = node.options
    pads, (h, w) = _windows(node, x.shape[1], x.shape[2])
    padded = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
    for i in range(o.kernel_hw[0]):
        for j in range(o.kernel_hw[1]):
            top, left = i * o.dilation_hw[0], j * o.dilation_hw[1]
            rows = slice(top, top + (h - 1) * o.stride_hw[0] + 1, o.stride_hw[0])
            columns = slice(left, left + (w - 1) * o.stride_hw[1] + 1, o.stride_hw[1])
            yield i, j, padded[:, rows, columns]


def _conv(graph: Graph, node: Node) -> _Kernel:
    x, y = _ends(graph, node)
    weights, channels = _data(graph, node, 1), graph.tensor(node.inputs[1]).shape[0]
    m, shift = _channel_multipliers(x, graph.tensor(node.inputs[1]), y, channels)
    bias, bounds = _bias(graph, node, channels), activation_bounds(node, y)
    real = _exact_float(weights, (1, 2, 3))
    by_tap = np.ascontiguousarray(weights.transpose(1, 2, 3, 0), real)

    def run(value: Array) -> Array:
        sums: Any = 0
        for i, j, seen in _taps(node, value.astype(real) - real(_zero(x)), 0):
            sums = sums + seen.reshape(-1, seen.shape[3]) @ by_tap[i, j]
        result = _requantize(sums.astype(np.int64) + bias, m, shift, _zero(y), bounds)
        return result.reshape(len(value), *y.shape[1:])

    return run


def _depthwise_conv(graph: Graph, node: Node) -> _Kernel:
    x, y = _ends(graph, node)
    weights, channels = _data(graph, node, 1), y.shape[3]
    m, shift = _channel_multipliers(x, graph.tensor(node.inputs[1]), y, channels)
    bias, bounds = _bias(graph, node, channels), activation_bounds(node, y)
    real = _exact_float(weights, (0, 1, 2))
    by_tap = weights[0].astype(real)
    multiplier = channels // x.shape[3]

    def run(value: Array) -> Array:
        sums: Any = 0
        for i, j, seen in _taps(node, value.astype(real) - real(_zero(x)), 0):
            sums = sums + (seen if multiplier == 1 else np.repeat(seen, multiplier, axis=3)) * by_tap[i, j]
        return _requantize(sums.astype(np.int64) + bias, m, shift, _zero(y), bounds)

    return run


def _fully_connected(graph: Graph, node: Node) -> _Kernel:
    x, y = _ends(graph, node)
    weights = _data(graph, node, 1)
    m, shift = _channel_multipliers(x, graph.tensor(node.inputs[1]), y, len(weights))
    bias, bounds = _bias(graph, node, len(weights)), activation_bounds(node, y)
    real = _exact_float(weights, (1,))
    transposed = np.ascontiguousarray(weights.T, real)

    def run(value: Array) -> Array:
        rows = value.reshape(len(value), -1).astype(real) - real(_zero(x))
        return _requantize((rows @ transposed).astype(np.int64) + bias, m, shift, _zero(y), bounds)

    return run


def _binary(graph: Graph, node: Node) -> tuple[Tensor, Tensor, Tensor, Callable[..., tuple[Ints, Ints]]]:
    """Both operands and the output, and a function that gives the operands' values less their zero points."""
    a, b = (graph.tensor(name) for name in node.inputs)
    y = graph.tensor(node.outputs[0])

    def operands(*values: Array) -> tuple[Ints, Ints]:
        given = iter(values)
        left = next(given) if a.data is None else a.data
        right = next(given) if b.data is None else b.data
        return left.astype(np.int64) - _zero(a), right.astype(np.int64) - _zero(b)

    return a, b, y, operands


def _add(graph: Graph, node: Node) -> _Kernel:
    a, b, y, operands = _binary(graph, node)
    twice = 2 * max(_scale(a), _scale(b))
    left, right = quantize_multiplier(_scale(a) / twice), quantize_multiplier(_scale(b) / twice)
    m, shift = quantize_multiplier(twice / (2**20 * _scale(y)))
    bounds = activation_bounds(node, y)

    def run(*values: Array) -> Array:
        u, v = operands(*values)
        return _requantize(rescale(u << 20, *left) + rescale(v << 20, *right), m, shift, _zero(y), bounds)

    return run


def _mul(graph: Graph, node: Node) -> _Kernel:
    a, b, y, operands = _binary(graph, node)
    m, shift = quantize_multiplier(_scale(a) * _scale(b) / _scale(y))
    bounds = activation_bounds(node, y)

    def run(*values: Array) -> Array:
        u, v = operands(*values)
        return _requantize(u * v, m, shift, _zero(y), bounds)

    return run


def _average_pool(graph: Graph, node: Node) -> _Kernel:
    _, y = _ends(graph, node)
    bounds = activation_bounds(node, y)

    def run(value: Array) -> Array:
        inside = np.ones((1, *value.shape[1:3], 1), np.int64)
        sums = sum(seen for _, _, seen in _taps(node, value.astype(np.int64), 0))
        counts = sum(seen for _, _, seen in _taps(node, inside, 0))
        halves = (np.abs(sums) + counts // 2) // counts  # ties away from zero
        return np.clip(np.where(sums > 0, halves, -halves), *bounds).astype(np.int8)

    return run


def _max_pool(graph: Graph, node: Node) -> _Kernel:
    _, y = _ends(graph, node)
    bounds = activation_bounds(node, y)

    def run(value: Array) -> Array:
        largest = [seen for _, _, seen in _taps(node, value, -128)]
        result: Array = np.clip(np.maximum.reduce(largest), *bounds).astype(np.int8)
        return result

    return run


def _mean(graph: Graph, node: Node) -> _Kernel:
    x, y = _ends(graph, node)
    axes = tuple(int(a) % len(x.shape) for a in np.ravel(_data(graph, node, 1)))
    count = int(np.prod([x.shape[a] for a in axes]))
    m, shift = quantize_multiplier(_scale(x) / _scale(y))
    fold = min(count.bit_length() - 1, 32, 31 + shift)  # 1 / count goes into the multiplier
    m, shift = (m << fold) // count, shift - fold

    def run(value: Array) -> Array:
        sums = value.astype(np.int64).sum(axes) - _zero(x) * count
        return _requantize(sums, m, shift, _zero(y), (-128, 127)).reshape(len(value), *y.shape[1:])

    return run


def _pad(graph: Graph, node: Node) -> _Kernel:
    amounts = [(int(a), int(b)) for a, b in _data(graph, node, 1)]
    zero = _zero(graph.tensor(node.outputs[0]))
    return lambda value: np.pad(value, amounts, constant_values=zero)


def _softmax(graph: Graph, node: Node) -> _Kernel:
    x, y = _ends(graph, node)
    if (_scale(y), _zero(y)) != (1 / 256, -128):
        raise ExportError(f"node '{node.name}' (SOFTMAX): its output must have scale 1/256 and zero point -128")
    return lambda value: softmax(value.astype(np.int64), _scale(x), node.options.beta).astype(np.int8)


def _reshape(graph: Graph, node: Node) -> _Kernel:
    shape = graph.tensor(node.outputs[0]).shape
    return lambda value: value.reshape(len(value), *shape[1:])


def _concatenation(graph: Graph, node: Node) -> _Kernel:
    y = graph.tensor(node.outputs[0])
    parts = [graph.tensor(name) for name in node.inputs]
    if any((_scale(p), _zero(p)) != (_scale(y), _zero(y)) for p in parts):
        raise ExportError(f"node '{node.name}' (CONCATENATION): its inputs and output must share one quantization")
    axis = node.options.axis % len(y.shape)

    def run(*values: Array) -> Array:
        given, n = iter(values), len(values[0])
        whole = [next(given) if p.data is None else np.broadcast_to(p.data, (n, *p.shape[1:])) for p in parts]
        return np.concatenate(whole, axis)

    return run


def _relu(graph: Graph, node: Node) -> _Kernel:
    x, y = _ends(graph, node)
    m, shift = quantize_multiplier(_scale(x) / _scale(y))
    bounds = (max(-128, _zero(y)), 127)
    return lambda value: _requantize(value.astype(np.int64) - _zero(x), m, shift, _zero(y), bounds)


def _relu6(graph: Graph, node: Node) -> _Kernel:
    x, y = _ends(graph, node)
    if (_scale(x), _zero(x)) != (_scale(y), _zero(y)):
        raise ExportError(f"node '{node.name}' (RELU6): its input and output must share one quantization")
    six = _zero(x) + int(np.floor(np.float32(6) / np.float32(_scale(x)) + np.float32(0.5)))
    return lambda value: np.clip(value, max(-128, _zero(x)), min(127, six)).astype(np.int8)


def _table(table: Ints) -> _Kernel:
    by_byte = np.roll(table, 128).astype(np.int8)  # index of int8 value v read as a byte: v mod 256
    return lambda value: by_byte[value.view(np.uint8)]


def _hard_swish(graph: Graph, node: Node) -> _Kernel:
    x, y = _ends(graph, node)
    return _table(hard_swish_table(_scale(x), _zero(x), _scale(y), _zero(y)))


def _logistic(graph: Graph, node: Node) -> _Kernel:
    x, y = _ends(graph, node)
    if (_scale(y), _zero(y)) != (1 / 256, -128):
        raise ExportError(f"node '{node.name}' (LOGISTIC): its output must have scale 1/256 and zero point -128")
    return _table(logistic_table(_scale(x), _zero(x)))


def _quantize(graph: Graph, node: Node) -> _Kernel:
    x, y = _ends(graph, node)
    m, shift = quantize_multiplier(_scale(x) / _scale(y))
    return lambda value: _requantize(value.astype(np.int64) - _zero(x), m, shift, _zero(y), (-128, 127))


_KERNELS: dict[str, Callable[[Graph, Node], _Kernel]] = {
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise_conv,
    "FULLY_CONNECTED": _fully_connected,
    "ADD": _add,
    "MUL": _mul,
    "MEAN": _mean,
    "AVERAGE_POOL_2D": _average_pool,
    "MAX_POOL_2D": _max_pool,
    "PAD": _pad,
    "SOFTMAX": _softmax,
    "RESHAPE": _reshape,
    "CONCATENATION": _concatenation,
    "RELU": _relu,
    "RELU6": _relu6,
    "HARD_SWISH": _hard_swish,
    "LOGISTIC": _logistic,
    "QUANTIZE": _quantize,
}

INTEGER_OPS = tuple(_KERNELS)
