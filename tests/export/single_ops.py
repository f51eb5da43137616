"""Random graphs of one operator each, for the integer interpreter and whoever else computes what TFLite Micro does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from export.graph import Graph, Node, Options, QParams, Tensor

Rng = np.random.Generator


def _activation(rng: Rng, name: str, shape: tuple[int, ...], quantization: QParams | None = None) -> Tensor:
    return Tensor(name, shape, "int8", quantization or _random_quantization(rng))


def _random_quantization(rng: Rng) -> QParams:
    scale = np.exp(rng.uniform(np.log(1e-3), np.log(0.5)))
    return QParams(np.array([scale], np.float32), np.array([rng.integers(-128, 128)], np.int64))


_PROBABILITY = QParams(np.array([1 / 256], np.float32), np.array([-128], np.int64))


def _constant(name: str, data: Any, quantization: QParams | None = None) -> Tensor:
    return Tensor(name, data.shape, str(data.dtype), quantization, data)


def _graph(op: str, tensors: list[Tensor], options: Options = Options()) -> Graph:  # noqa: B008
    """The last tensor is the output, the first the input."""
    node = Node(op, op, tuple(t.name for t in tensors[:-1]), (tensors[-1].name,), options)
    return Graph((node,), {t.name: t for t in tensors}, (tensors[0].name,), (tensors[-1].name,))


def _map(rng: Rng) -> tuple[int, int, int, int]:
    return (1, int(rng.integers(1, 10)), int(rng.integers(1, 10)), int(rng.integers(1, 8)))


def _window(rng: Rng, shape: tuple[int, ...], dilated: bool) -> tuple[Options, tuple[int, int]]:
    """Options whose window fits the map, and the output's height and width."""
    padding = ["SAME", "VALID"][rng.integers(2)]
    kernel, stride, dilation, sizes = [], [], [], []
    for size in shape[1:3]:
        k = int(rng.integers(1, min(size, 5) + 1))
        d = int(rng.integers(1, 3)) if dilated and (k - 1) * 2 + 1 <= size else 1
        s = int(rng.integers(1, 4))
        span = (k - 1) * d + 1
        kernel.append(k)
        stride.append(s)
        dilation.append(d)
        sizes.append(-(-size // s) if padding == "SAME" else (size - span) // s + 1)
    activation = ["NONE", "RELU", "RELU6", "RELU_N1_TO_1"][rng.integers(4)]
    options = Options((kernel[0], kernel[1]), (stride[0], stride[1]), (dilation[0], dilation[1]))
    return _with(options, padding=padding, activation=activation), (sizes[0], sizes[1])


def _with(options: Options, **changes: Any) -> Options:
    from dataclasses import replace

    return replace(options, **changes)


def _weights(rng: Rng, shape: tuple[int, ...], axis: int) -> Tensor:
    scale = np.exp(rng.uniform(np.log(1e-4), np.log(0.05), shape[axis])).astype(np.float32)
    data = rng.integers(-127, 128, shape).astype(np.int8)
    return _constant("weights", data, QParams(scale, np.zeros(shape[axis], np.int64), axis))


def _bias(rng: Rng, channels: int) -> Tensor:
    return _constant("bias", rng.integers(-(2**14), 2**14, channels).astype(np.int32))


def conv(rng: Rng) -> Graph:
    shape, channels = _map(rng), int(rng.integers(1, 9))
    options, (h, w) = _window(rng, shape, dilated=True)
    weights = _weights(rng, (channels, *options.kernel_hw, shape[3]), 0)
    tensors = [_activation(rng, "x", shape), weights, _bias(rng, channels), _activation(rng, "y", (1, h, w, channels))]
    return _graph("CONV_2D", tensors, options)


def depthwise_conv(rng: Rng) -> Graph:
    shape, multiplier = _map(rng), int(rng.integers(1, 3))
    options, (h, w) = _window(rng, shape, dilated=True)
    channels = shape[3] * multiplier
    weights = _weights(rng, (1, *options.kernel_hw, channels), 3)
    tensors = [_activation(rng, "x", shape), weights, _bias(rng, channels), _activation(rng, "y", (1, h, w, channels))]
    return _graph("DEPTHWISE_CONV_2D", tensors, _with(options, depth_multiplier=multiplier))


def fully_connected(rng: Rng) -> Graph:
    n, channels = int(rng.integers(1, 40)), int(rng.integers(1, 12))
    tensors = [_activation(rng, "x", (1, n)), _weights(rng, (channels, n), 0), _bias(rng, channels)]
    activation = ["NONE", "RELU", "RELU6"][rng.integers(3)]
    return _graph("FULLY_CONNECTED", [*tensors, _activation(rng, "y", (1, channels))], Options(activation=activation))


def _operands(rng: Rng) -> tuple[Tensor, Tensor]:
    """Two operands, the second one broadcast, constant or whole."""
    shape = _map(rng)
    other = [shape, (1, 1, 1, shape[3]), (1, 1, 1, 1)][rng.integers(3)]
    data = rng.integers(-128, 128, other).astype(np.int8)
    return _activation(rng, "x", shape), _constant("other", data, _random_quantization(rng))


def add(rng: Rng) -> Graph:
    x, other = _operands(rng)
    activation = ["NONE", "RELU", "RELU6"][rng.integers(3)]
    return _graph("ADD", [x, other, _activation(rng, "y", x.shape)], Options(activation=activation))


def mul(rng: Rng) -> Graph:
    x, other = _operands(rng)
    return _graph("MUL", [x, other, _activation(rng, "y", x.shape)])


def gated(rng: Rng) -> Graph:
    """A map times the mean of its own channels: the shape of a squeeze-excite gate."""
    x = _activation(rng, "x", _map(rng))
    gate, y = _activation(rng, "gate", (1, 1, 1, x.shape[3]), x.qparams), _activation(rng, "y", x.shape)
    window = Options((x.shape[1], x.shape[2]), (x.shape[1], x.shape[2]))
    nodes = (Node("AVERAGE_POOL_2D", "pool", ("x",), ("gate",), window), Node("MUL", "mul", ("x", "gate"), ("y",)))
    return Graph(nodes, {t.name: t for t in (x, gate, y)}, ("x",), ("y",))


def mean(rng: Rng) -> Graph:
    x = _activation(rng, "x", _map(rng))
    keep = bool(rng.integers(2))
    y = _activation(rng, "y", (1, 1, 1, x.shape[3]) if keep else (1, x.shape[3]))
    return _graph("MEAN", [x, _constant("axes", np.array([1, 2], np.int32)), y], Options(keep_dims=keep))


def average_pool(rng: Rng) -> Graph:
    x = _activation(rng, "x", _map(rng))
    options, (h, w) = _window(rng, x.shape, dilated=False)
    return _graph("AVERAGE_POOL_2D", [x, _activation(rng, "y", (1, h, w, x.shape[3]), x.qparams)], options)


def max_pool(rng: Rng) -> Graph:
    x = _activation(rng, "x", _map(rng))
    options, (h, w) = _window(rng, x.shape, dilated=False)
    return _graph("MAX_POOL_2D", [x, _activation(rng, "y", (1, h, w, x.shape[3]), x.qparams)], options)


def pad(rng: Rng) -> Graph:
    x = _activation(rng, "x", _map(rng))
    amounts = np.array([[0, 0], rng.integers(0, 3, 2), rng.integers(0, 3, 2), [0, 0]], np.int32)
    shape = tuple(int(side + sum(amount)) for side, amount in zip(x.shape, amounts, strict=True))
    return _graph("PAD", [x, _constant("amounts", amounts), _activation(rng, "y", shape, x.qparams)])


def softmax(rng: Rng) -> Graph:
    shape = (1, int(rng.integers(2, 30)))
    return _graph("SOFTMAX", [_activation(rng, "x", shape), _activation(rng, "y", shape, _PROBABILITY)])


def reshape(rng: Rng) -> Graph:
    x = _activation(rng, "x", _map(rng))
    shape = (1, x.shape[1] * x.shape[2] * x.shape[3])
    target = _constant("shape", np.array(shape, np.int32))
    return _graph("RESHAPE", [x, target, _activation(rng, "y", shape, x.qparams)])


def concatenation(rng: Rng) -> Graph:
    x, axis = _activation(rng, "x", _map(rng)), int(rng.integers(1, 4))
    other = list(x.shape)
    other[axis] = int(rng.integers(1, 5))
    whole = list(x.shape)
    whole[axis] += other[axis]
    data = _constant("other", rng.integers(-128, 128, other).astype(np.int8), x.qparams)
    return _graph("CONCATENATION", [x, data, _activation(rng, "y", tuple(whole), x.qparams)], Options(axis=axis))


def relu(rng: Rng) -> Graph:
    x = _activation(rng, "x", (1, 16, 16, 1))
    return _graph("RELU", [x, _activation(rng, "y", x.shape)])


def relu6(rng: Rng) -> Graph:
    x = _activation(rng, "x", (1, 16, 16, 1))
    return _graph("RELU6", [x, _activation(rng, "y", x.shape, x.qparams)])


def hard_swish(rng: Rng) -> Graph:
    x = _activation(rng, "x", (1, 16, 16, 1))
    assert x.qparams is not None
    # the output's scale as calibration would choose it: the kernel refuses a factor that needs a left shift
    low, high = (x.qparams.scale * (end - x.qparams.zero_point) for end in (-128, 127))
    scale = (max(float(high[0]), 0.4) + 0.375 * (low[0] < 0)) / 255
    y = QParams(np.array([max(scale, float(x.qparams.scale[0]) / 100)], np.float32), np.array([-100], np.int64))
    return _graph("HARD_SWISH", [x, _activation(rng, "y", x.shape, y)])


def relu_at_a_tie(rng: Rng) -> Graph:
    """Scales whose quotient is 5/8 or the like but for its last bits: float32 division would round other values."""
    x = _activation(rng, "x", (1, 16, 16, 1), QParams(np.array([rng.uniform(0.01, 0.2)], np.float32), np.array([-128])))
    assert x.qparams is not None
    scale = (x.qparams.scale.astype(np.float64) / rng.choice([0.5625, 0.625, 0.8125, 0.9375])).astype(np.float32)
    return _graph("RELU", [x, _activation(rng, "y", x.shape, QParams(scale, x.qparams.zero_point))])


def fully_connected_at_a_tie(rng: Rng) -> Graph:
    """A factor of 1/2 but for its last bits: a float32 product would round every odd sum the other way."""
    zero, channels, n = np.zeros(1, np.int64), 16, 4
    x, w = np.float32(rng.uniform(0.01, 0.2)), np.float32(rng.uniform(0.001, 0.02))
    data = rng.integers(-3, 4, (channels, n)).astype(np.int8)
    weights = _constant("weights", data, QParams(np.full(channels, w), np.zeros(channels, np.int64)))
    bias = _constant("bias", rng.integers(-20, 20, channels).astype(np.int32))
    image = _activation(rng, "x", (1, n), QParams(np.array([x]), zero))
    output = _activation(rng, "y", (1, channels), QParams(np.array([2 * (x * w)]), zero))
    return _graph("FULLY_CONNECTED", [image, weights, bias, output])


def hard_swish_at_a_tie(rng: Rng) -> Graph:
    """Scales whose 16-bit multiplier is another one by float32 division."""
    while True:
        x = np.float32(np.exp(rng.uniform(-7.5, -2)))
        y = np.float32(x * rng.uniform(0.3, 1.2))
        exact, rounded = (np.frexp(q)[0] * 2**15 for q in (float(x) / float(y), float(x / y)))
        if np.floor(exact + 0.5) != np.floor(rounded + 0.5):
            break
    ends = [QParams(np.array([scale]), rng.integers(-128, 128, 1)) for scale in (x, y)]
    shape = (1, 16, 16, 1)
    return _graph("HARD_SWISH", [_activation(rng, "x", shape, ends[0]), _activation(rng, "y", shape, ends[1])])


def logistic(rng: Rng) -> Graph:
    x = _activation(rng, "x", (1, 16, 16, 1))
    return _graph("LOGISTIC", [x, _activation(rng, "y", x.shape, _PROBABILITY)])


SINGLE_OPS: Mapping[str, Callable[[Rng], Graph]] = {
    build.__name__: build
    for build in (
        conv,
        depthwise_conv,
        fully_connected,
        fully_connected_at_a_tie,
        add,
        mul,
        gated,
        mean,
        average_pool,
        max_pool,
        pad,
        softmax,
        reshape,
        concatenation,
        relu,
        relu_at_a_tie,
        relu6,
        hard_swish,
        hard_swish_at_a_tie,
        logistic,
    )
}
