"""Quantization-aware training: a canonical float ONNX as a torch module that computes what its int8 form will.

Weights and activations are rounded in the forward pass by the rules of export.quantize, with the same scales; gradients
pass straight through the rounding and stop where a value is clipped (Jacob et al., CVPR 2018, arXiv 1712.05877, section
3). Batch norms are folded before, so that the weights that are rounded are those that ship. Ranges stay as they were
calibrated; the weights learn to live in them.

    module = FakeQuantized(graph, ranges, image)
    ...train module...
    qdq = quantize_graph(module.trained_graph(), ranges, image)
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from export.graph import ExportError
from export.observed import Range
from export.onnx_graph import OnnxGraph, attributes
from export.passes.canonical import clip_bounds
from export.quantize import Quantization, activation_quantization, is_fused

_Run = Callable[[Any, OnnxGraph, list[Tensor]], Tensor]  # node, graph, activations -> its output


def round_activation(x: Tensor, quantization: Quantization) -> Tensor:
    """The nearest int8 value of every element; the gradient is 1 inside the range and 0 outside it."""
    scale, zero_point = float(quantization[0]), quantization[1]
    inside = torch.clamp(x, scale * (-128 - zero_point), scale * (127 - zero_point))
    steps = torch.clamp(torch.round(x / scale) + zero_point, -128, 127)
    return inside + (scale * (steps - zero_point) - inside).detach()


def round_weights(weights: Tensor) -> Tensor:
    """The nearest int8 value of every weight, symmetric per output channel; the gradient passes."""
    largest = weights.detach().abs().flatten(1).amax(1)
    scale = torch.where(largest > 0, largest, 1.0) / 127
    scale = scale.reshape(-1, *[1] * (weights.ndim - 1))
    return weights + (torch.clamp(torch.round(weights / scale), -127, 127) * scale - weights).detach()


class FakeQuantized(nn.Module):
    """A float graph with int8 rounding; its parameters are the weights and biases of its layers."""

    def __init__(
        self,
        graph: OnnxGraph,
        ranges: Mapping[str, Range],
        image: Quantization | None = None,
        fixed: Mapping[str, Quantization] | None = None,
    ) -> None:
        """Take over the weights of a canonical graph.

        Args:
            graph: canonical, float.
            ranges: of its activations.
            image: the input's quantization, where it is given.
            fixed: that of other tensors, where it is given; they need no range.

        Raises:
            ExportError: an operator that can't be quantized, by its node.
        """
        super().__init__()
        given = {**(fixed or {}), **({} if image is None else {graph.inputs[0].name: image})}
        self._graph = graph
        self._quantization = activation_quantization(graph, ranges, given)
        self._layers = [node for node in graph.nodes if node.op_type in ("Conv", "Gemm")]
        for node in graph.nodes:
            if node.op_type not in _RUN:
                raise ExportError(f"node '{node.name}' is a {node.op_type}, which quantization-aware training lacks")
        self.weights = nn.ParameterList(_parameter(graph.constants[n.input[1]]) for n in self._layers)
        self.biases = nn.ParameterList(
            _parameter(graph.constants[n.input[2]] if len(n.input) > 2 else np.zeros(len(w)))
            for n, w in zip(self._layers, self.weights, strict=True)
        )
        self._index = {node.name: i for i, node in enumerate(self._layers)}

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the graph's output, each value one that int8 can hold."""
        return self.trace(x)[self._graph.outputs[0].name]

    def trace(self, x: Tensor) -> dict[str, Tensor]:
        """Every value of the graph, by its name."""
        name = self._graph.inputs[0].name
        values = {name: round_activation(x, self._quantization[name])}
        for node in self._graph.nodes:
            output = self._run(node, values)
            fused = is_fused(self._graph, node)
            name = node.output[0]
            values[name] = output if fused else round_activation(output, self._quantization[name])
        return values

    def _run(self, node: Any, values: Mapping[str, Tensor]) -> Tensor:
        inputs = [values[name] for name in node.input if name in values]
        if node.name in self._index:
            i = self._index[node.name]
            inputs += [round_weights(self.weights[i]), self.biases[i]]
        return _RUN[node.op_type](node, self._graph, inputs)

    def trained_graph(self) -> OnnxGraph:
        """The float graph with the weights as they are now."""
        graph = copy.deepcopy(self._graph)
        for node in graph.nodes:
            if node.name in self._index:
                i = self._index[node.name]
                names = [f"{node.name}.weight.trained", f"{node.name}.bias.trained"]
                for name, value in zip(names, (self.weights[i], self.biases[i]), strict=True):
                    graph.constants[name] = value.detach().cpu().numpy().copy()
                node.input[1:] = names
        return graph


def _parameter(value: Any) -> nn.Parameter:
    return nn.Parameter(torch.tensor(np.asarray(value, np.float32)))


def _conv(node: Any, graph: OnnxGraph, inputs: list[Tensor]) -> Tensor:
    x, weights, bias = inputs
    given = attributes(node)
    x = functional.pad(x, _pads(given))
    strides, dilations = given.get("strides", (1, 1)), given.get("dilations", (1, 1))
    return functional.conv2d(x, weights, bias, tuple(strides), 0, tuple(dilations), given.get("group", 1))


def _pads(given: Mapping[str, Any]) -> tuple[int, int, int, int]:
    top, left, bottom, right = given.get("pads", (0, 0, 0, 0))
    return left, right, top, bottom


def _clip(node: Any, graph: OnnxGraph, inputs: list[Tensor]) -> Tensor:
    low, high = clip_bounds(graph, node)
    return torch.clamp(inputs[0], low, high)


def _max_pool(node: Any, graph: OnnxGraph, inputs: list[Tensor]) -> Tensor:
    given = attributes(node)
    x = functional.pad(inputs[0], _pads(given), value=-torch.inf)
    return functional.max_pool2d(x, tuple(given["kernel_shape"]), tuple(given.get("strides", (1, 1))))


def _average_pool(node: Any, graph: OnnxGraph, inputs: list[Tensor]) -> Tensor:
    given = attributes(node)
    kernel, strides = tuple(given["kernel_shape"]), tuple(given.get("strides", (1, 1)))
    sums = functional.avg_pool2d(functional.pad(inputs[0], _pads(given)), kernel, strides)
    if given.get("count_include_pad", 0):
        return sums
    ones = functional.pad(torch.ones_like(inputs[0][:1, :1]), _pads(given))
    return sums / functional.avg_pool2d(ones, kernel, strides)


def _pad(node: Any, graph: OnnxGraph, inputs: list[Tensor]) -> Tensor:
    pads = graph.constants[node.input[1]]
    return functional.pad(inputs[0], [int(pads[i]) for i in (3, 7, 2, 6)])


def _with_constant(node: Any, graph: OnnxGraph, inputs: list[Tensor]) -> list[Tensor]:
    """Both operands of a sum or product; a constant one as it is."""
    given = iter(inputs)
    return [torch.tensor(graph.constants[name]) if name in graph.constants else next(given) for name in node.input]


def _product(node: Any, graph: OnnxGraph, inputs: list[Tensor]) -> Tensor:
    a, b = _with_constant(node, graph, inputs)
    return a * b


def _sum(node: Any, graph: OnnxGraph, inputs: list[Tensor]) -> Tensor:
    a, b = _with_constant(node, graph, inputs)
    return a + b


_RUN: Mapping[str, _Run] = {
    "Conv": _conv,
    "Gemm": lambda node, graph, inputs: functional.linear(*inputs),
    "Relu": lambda node, graph, inputs: functional.relu(inputs[0]),
    "Clip": _clip,
    "Add": _sum,
    "Mul": _product,
    "HardSwish": lambda node, graph, inputs: functional.hardswish(inputs[0]),
    "Sigmoid": lambda node, graph, inputs: torch.sigmoid(inputs[0]),
    "Softmax": lambda node, graph, inputs: torch.softmax(inputs[0], -1),
    "GlobalAveragePool": lambda node, graph, inputs: inputs[0].mean((2, 3), keepdim=True),
    "AveragePool": _average_pool,
    "MaxPool": _max_pool,
    "Pad": _pad,
    "Flatten": lambda node, graph, inputs: inputs[0].flatten(1),
    "Concat": lambda node, graph, inputs: torch.cat(inputs, attributes(node)["axis"]),
}
