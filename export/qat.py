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
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from export.graph import ExportError
from export.observed import Range
from export.onnx_graph import OnnxGraph
from export.ops.operator import Fake, Quantization
from export.ops.table import ONNX
from export.quantize import activation_quantization, is_fused


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
        self._fakes = {node.name: _fake(node) for node in graph.nodes}
        self._layers = [node for node in graph.nodes if ONNX[node.op_type].quantized == "weighted"]
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
        return self._fakes[node.name](node, self._graph, inputs)

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


def _fake(node: Any) -> Fake:
    fake = ONNX[node.op_type].fake if node.op_type in ONNX else None
    if fake is None:
        raise ExportError(f"node '{node.name}' is a {node.op_type}, which quantization-aware training lacks")
    return fake


def _parameter(value: Any) -> nn.Parameter:
    return nn.Parameter(torch.tensor(np.asarray(value, np.float32)))
