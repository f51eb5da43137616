"""Random int8 networks with channels planted in them that are constant, or that nothing reads.

Every operator that the pass knows occurs: residual sums, gates, joined branches, flattened maps, channels of padding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from random_nets import Net, Rng

from export.graph import Graph, Node, Options, QParams, Tensor


class _Lively(Net):
    """Quantization that leaves room on both sides, so that outputs depend on inputs through many layers."""

    def activation(self, shape: tuple[int, ...]) -> str:
        zero, scale = int(self.rng.choice((-128, self.rng.integers(-40, 40)))), self.rng.uniform(0.02, 0.1)
        name = f"t{len(self.tensors)}"
        self.tensors[name] = Tensor(name, shape, "int8", QParams(np.array([scale], np.float32), np.array([zero])))
        return name

    def weighted(self, *arguments: Any) -> str:
        y = super().weighted(*arguments)
        weights, bias = (self.tensors[name] for name in self.nodes[-1].inputs[1:])
        assert weights.qparams is not None
        assert bias.data is not None
        qparams = replace(weights.qparams, scale=2 * weights.qparams.scale)
        self.tensors |= {
            weights.name: replace(weights, qparams=qparams),
            bias.name: replace(bias, data=bias.data // 16),
        }
        return y


def dead_net(rng: Rng) -> Graph:
    """A stem, two to four blocks, and a classifier of five scores; up to half of all channels are planted."""
    net = _Lively(rng)
    first = net.activation((1, int(rng.integers(2, 9)), int(rng.integers(2, 9)), int(rng.integers(1, 4))))
    x = net.conv(first, int(rng.integers(4, 12)), int(rng.choice((1, 3))), 1)
    for _ in range(rng.integers(2, 5)):
        x = _BLOCKS[rng.integers(len(_BLOCKS))](net, x)
    y = _head(net, x)
    return _planted(Graph(tuple(net.nodes), net.tensors, (first,), (y,)), rng)


def _plain(net: Net, x: str) -> str:
    return net.conv(x, int(net.rng.integers(4, 12)), int(net.rng.choice((1, 3))), int(net.rng.integers(1, 3)))


def _separable(net: Net, x: str) -> str:
    """Depthwise of a multiplier of 1 or 2, then pointwise."""
    shape, times = net.tensors[x].shape, int(net.rng.integers(1, 3))
    options = Options((3, 3), padding="SAME", activation=net.any_activation(), depth_multiplier=times)
    channels = shape[3] * times
    y = net.weighted("DEPTHWISE_CONV_2D", x, (1, 3, 3, channels), 3, (*shape[:3], channels), options)
    return net.conv(y, int(net.rng.integers(4, 12)), 1, 1)


def _residual(net: Net, x: str) -> str:
    channels = net.tensors[x].shape[3]
    return net.add(x, net.conv(net.depthwise(net.conv(x, 2 * channels, 1, 1), 3, 1), channels, 1, 1))


def _gate(net: Net, x: str) -> str:
    """Squeeze-excite: a map times what two layers make of its mean."""
    channels = net.tensors[x].shape[3]
    wide = net.depthwise(x, 3, 1)
    gate = net.conv(net.conv(_pooled(net, wide), 4, 1, 1), channels, 1, 1)
    y = net.activation(net.tensors[wide].shape)
    net.nodes.append(Node("MUL", f"n{len(net.nodes)}", (wide, gate), (y,)))
    return y


def _joined(net: Net, x: str) -> str:
    """Two branches side by side, of one quantization, behind a larger map."""
    left, right = net.conv(x, 5, 1, 1), net.conv(x, 4, 3, 1)
    for name in (left, right):
        net.tensors[name] = replace(net.tensors[name], qparams=net.tensors[left].qparams)
    shape = net.tensors[left].shape
    y = _like(net, left, (*shape[:3], 9))
    net.nodes.append(Node("CONCATENATION", f"n{len(net.nodes)}", (left, right), (y,), Options(axis=3)))
    amounts = net.constant(np.array([[0, 0], [1, 0], [0, 2], [1, 2]], np.int32))
    padded = _like(net, left, (1, shape[1] + 1, shape[2] + 2, 12))
    net.nodes.append(Node("PAD", f"n{len(net.nodes)}", (y, amounts), (padded,)))
    return padded


def _unary(net: Net, x: str) -> str:
    """A largest value, a requantization, and a constant added to every channel."""
    largest = _like(net, x, net.tensors[x].shape)
    net.nodes.append(Node("MAX_POOL_2D", f"n{len(net.nodes)}", (x,), (largest,), Options((2, 2), padding="SAME")))
    other = net.activation(net.tensors[x].shape)
    net.nodes.append(Node("QUANTIZE", f"n{len(net.nodes)}", (largest,), (other,)))
    offset = net.constant(net.rng.integers(-128, 128, (1, 1, 1, net.tensors[x].shape[3])).astype(np.int8))
    net.tensors[offset] = replace(net.tensors[offset], qparams=net.tensors[x].qparams)
    return net.add(other, offset)


_BLOCKS: tuple[Callable[[Net, str], str], ...] = (_plain, _separable, _residual, _gate, _joined, _unary)


def _head(net: Net, x: str) -> str:
    """Flattened, pooled, or averaged by MEAN; then a fully connected layer, at times a softmax."""
    shape = net.tensors[x].shape
    match net.rng.integers(3):
        case 0:
            row = _flat(net, x, (1, shape[1] * shape[2] * shape[3]))
        case 1:
            row = _flat(net, _pooled(net, x), (1, shape[3]))
        case _:
            row = net.activation((1, shape[3]))
            axes = net.constant(np.array([1, 2], np.int32))
            net.nodes.append(Node("MEAN", f"n{len(net.nodes)}", (x, axes), (row,)))
    y = net.weighted("FULLY_CONNECTED", row, (5, net.tensors[row].shape[1]), 0, (1, 5), Options())
    if net.rng.integers(2):
        return y
    scores = f"t{len(net.tensors)}"
    probability = QParams(np.array([1 / 256], np.float32), np.array([-128]))
    net.tensors[scores] = Tensor(scores, (1, 5), "int8", probability)
    net.nodes.append(Node("SOFTMAX", "softmax", (y,), (scores,)))
    return scores


def _pooled(net: Net, x: str) -> str:
    _, h, w, c = net.tensors[x].shape
    y = _like(net, x, (1, 1, 1, c))
    net.nodes.append(Node("AVERAGE_POOL_2D", f"n{len(net.nodes)}", (x,), (y,), Options((h, w), (h, w))))
    return y


def _flat(net: Net, x: str, shape: tuple[int, ...]) -> str:
    y = _like(net, x, shape)
    net.nodes.append(Node("RESHAPE", f"n{len(net.nodes)}", (x, net.constant(np.array(shape, np.int32))), (y,)))
    return y


def _like(net: Net, x: str, shape: tuple[int, ...]) -> str:
    name = f"t{len(net.tensors)}"
    net.tensors[name] = Tensor(name, shape, "int8", net.tensors[x].qparams)
    return name


def _planted(graph: Graph, rng: Rng) -> Graph:
    """Channels of the weighted layers made constant as converters and training make them, and columns made zero."""
    tensors = dict(graph.tensors)
    for node in graph.nodes:
        if node.op not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            continue
        w, b = tensors[node.inputs[1]], tensors[node.inputs[2]]
        assert w.data is not None
        assert b.data is not None
        assert w.qparams is not None
        weights, bias, scales = w.data.copy(), b.data.copy(), w.qparams.scale.copy()
        rows = np.moveaxis(weights, w.qparams.axis, 0)
        kinds = rng.integers(rng.choice((5, 10, 30)), size=len(rows))
        for i, kind in enumerate(kinds if node.op != "FULLY_CONNECTED" else ()):
            match kind:
                case 0:  # as TFLite's converter writes a channel without weights
                    rows[i], scales[i], bias[i] = 0, 1e-9, rng.integers(-(2**30), 2**30)
                case 1:  # beyond what the output can hold
                    bias[i] = rng.choice([-1, 1]) * 2**28
                case 2:
                    rows[i], bias[i] = 0, 0
                case _:
                    pass
        if node.op != "DEPTHWISE_CONV_2D":
            weights[..., rng.random(weights.shape[-1]) < rng.choice((0, 0.2))] = 0
        tensors[w.name] = replace(w, data=weights, qparams=replace(w.qparams, scale=scales))
        tensors[b.name] = replace(b, data=bias)
    return replace(graph, tensors=tensors)
