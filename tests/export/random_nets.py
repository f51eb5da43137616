"""Small random int8 networks: strides, odd sizes, channels not divisible by 4, residual sums, saturating values."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from export.graph import Graph, Node, Options, Padding, QParams, Tensor

Rng = np.random.Generator
_KERNELS = (1, 3, 5, 7)


@dataclass
class Net:
    """A network that grows operator by operator; methods return the name of the tensor that they write."""

    rng: Rng
    tensors: dict[str, Tensor] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)

    def activation(self, shape: tuple[int, ...]) -> str:
        name = f"t{len(self.tensors)}"
        zero = -128 if self.rng.integers(3) == 0 else int(self.rng.integers(-128, 128))  # -128 as behind a ReLU
        scale = np.exp(self.rng.uniform(np.log(0.01), np.log(0.2)))
        self.tensors[name] = Tensor(name, shape, "int8", QParams(np.array([scale], np.float32), np.array([zero])))
        return name

    def constant(self, data: np.ndarray, scales: np.ndarray | None = None, axis: int = 0) -> str:
        name = f"c{len(self.tensors)}"
        qparams = None if scales is None else QParams(scales, np.zeros(len(scales), np.int64), axis)
        self.tensors[name] = Tensor(name, data.shape, str(data.dtype), qparams, data)
        return name

    def weighted(
        self, op: str, x: str, weights_shape: tuple[int, ...], axis: int, out: tuple[int, ...], options: Options
    ) -> str:
        rng, channels = self.rng, weights_shape[axis]
        steps = int(np.prod(weights_shape)) // channels
        x_scale = self.scale(x)
        y = self.activation(out)
        # some outputs saturate, others move by single steps
        scales = self.scale(y) / x_scale / np.sqrt(steps) * np.exp(rng.uniform(-6, -3, channels))
        weights = self.constant(rng.integers(-127, 128, weights_shape).astype(np.int8), scales.astype(np.float32), axis)
        bias = self.constant(rng.integers(-(2**12), 2**12, channels).astype(np.int32))
        self.nodes.append(Node(op, f"n{len(self.nodes)}", (x, weights, bias), (y,), options))
        return y

    def scale(self, name: str) -> float:
        qparams = self.tensors[name].qparams
        assert qparams is not None
        return float(qparams.scale[0])

    def conv(self, x: str, channels: int, kernel: int, stride: int) -> str:
        _, h, w, c = self.tensors[x].shape
        options = Options((kernel, kernel), (stride, stride), padding="SAME", activation=self.any_activation())
        return self.weighted(
            "CONV_2D", x, (channels, kernel, kernel, c), 0, (1, -(-h // stride), -(-w // stride), channels), options
        )

    def depthwise(self, x: str, kernel: int, stride: int) -> str:
        _, h, w, c = self.tensors[x].shape
        options = Options((kernel, kernel), (stride, stride), padding="SAME", activation=self.any_activation())
        return self.weighted(
            "DEPTHWISE_CONV_2D", x, (1, kernel, kernel, c), 3, (1, -(-h // stride), -(-w // stride), c), options
        )

    def add(self, a: str, b: str) -> str:
        y = self.activation(self.tensors[a].shape)
        self.nodes.append(Node("ADD", f"n{len(self.nodes)}", (a, b), (y,), Options(activation=self.any_activation())))
        return y

    def any_activation(self) -> str:
        return ("NONE", "RELU", "RELU6")[self.rng.integers(3)]


def sequence_net(rng: Rng) -> Graph:
    """A long map of few columns, as spotting a word has it: tall depthwise windows, pointwise layers, a classifier."""
    net = Net(rng)
    x = first = net.activation((1, int(rng.integers(12, 40)), int(rng.choice((1, 1, 5))), int(rng.integers(3, 48))))
    for _ in range(rng.integers(1, 4)):
        _, h, w, c = net.tensors[x].shape
        kernel, dilation = (int(rng.integers(1, 9)), int(rng.integers(1, min(w, 4) + 1))), int(rng.integers(1, 3))
        padding: Padding = "SAME" if w > 1 or h <= (kernel[0] - 1) * dilation else ("SAME", "VALID")[rng.integers(2)]
        made = h if padding == "SAME" else h - (kernel[0] - 1) * dilation
        options = Options(kernel, (1, 1), (dilation, 1), padding=padding, activation=net.any_activation())
        x = net.weighted("DEPTHWISE_CONV_2D", x, (1, *kernel, c), 3, (1, made, w, c), options)
        x = net.conv(x, int(rng.integers(3, 96)), 1, 1)
    return _classified(net, first, x)


def random_net(rng: Rng) -> Graph:
    """A stem, one to three blocks (plain, inverted bottleneck, residual, shortcut), pool and classifier."""
    net = Net(rng)
    size = (int(rng.integers(1, 15)), int(rng.integers(1, 15)))
    x = first = net.activation((1, *size, int(rng.integers(1, 5))))
    channels = int(rng.integers(1, 20))
    x = net.conv(x, channels, int(rng.choice(_KERNELS)), int(rng.integers(1, 3)))
    for _ in range(rng.integers(1, 4)):
        match rng.integers(4):
            case 0:
                channels = int(rng.integers(1, 20))
                x = net.conv(x, channels, int(rng.choice(_KERNELS)), int(rng.integers(1, 3)))
            case 1:
                x = net.depthwise(x, int(rng.choice(_KERNELS)), int(rng.integers(1, 3)))
            case 2:  # inverted bottleneck with a residual sum
                inner = net.depthwise(net.conv(x, 2 * channels, 1, 1), int(rng.choice(_KERNELS)), 1)
                x = net.add(x, net.conv(inner, channels, 1, 1))
            case _:  # two paths of stride 2
                channels = int(rng.integers(1, 20))
                left = net.conv(net.conv(x, channels, 3, 2), channels, 3, 1)
                x = net.add(left, net.conv(x, channels, 1, 2))
    return _classified(net, first, x)


def _classified(net: Net, first: str, x: str) -> Graph:
    """The graph with a pool and a linear layer at its end."""
    _, h, w, c = net.tensors[x].shape
    pooled = f"t{len(net.tensors)}"
    net.tensors[pooled] = Tensor(pooled, (1, 1, 1, c), "int8", net.tensors[x].qparams)
    net.nodes.append(Node("AVERAGE_POOL_2D", "pool", (x,), (pooled,), Options((h, w), (h, w))))
    y = net.weighted("FULLY_CONNECTED", pooled, (5, c), 0, (1, 5), Options())
    return Graph(tuple(net.nodes), net.tensors, (first,), (y,))
