"""A QDQ ONNX as the fake-quantized torch module that quantization-aware training would have trained.

Weights lie on int8's grid already, and every activation has the scale and zero point of the file: so the module
computes what training saw, if training and export agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from export.graph import Array, ExportError
from export.onnx_graph import OnnxGraph, attributes, parse_onnx
from export.ops.operator import Quantization
from export.qat import FakeQuantized

_QDQ = ("QuantizeLinear", "DequantizeLinear")


def load_fake_quantized(path: Path) -> Callable[[Array], dict[str, Array]]:
    """A function from images (N, C, H, W), float32, to the int8 values of every quantized tensor, by its float name.

    Raises:
        ExportError: an operator that quantization-aware training lacks.
    """
    graph, quantization = _without_pairs(parse_onnx(path.read_bytes(), path.name))
    module = FakeQuantized(graph, {}, fixed=quantization).eval()

    def run(images: Array) -> dict[str, Array]:
        with torch.no_grad():
            values = module.trace(torch.from_numpy(images))
        return {name: _steps(values[name].numpy(), q) for name, q in quantization.items() if name in values}

    return run


def _steps(values: Array, quantization: Quantization) -> Array:
    scale, zero_point = quantization
    steps: Array = np.clip(np.rint(values / scale) + zero_point, -128, 127).astype(np.int8)
    return steps


def _without_pairs(qdq: OnnxGraph) -> tuple[OnnxGraph, dict[str, Quantization]]:
    """The float graph that a QDQ graph stands for, and the quantization of its activations."""
    roots: dict[str, str] = {}  # output of a pair's half -> the float tensor in front of the pair
    constants = dict(qdq.constants)
    quantization: dict[str, Quantization] = {}
    for node in (n for n in qdq.nodes if n.op_type in _QDQ):
        x, y = node.input[0], node.output[0]
        scale, zero_point = qdq.constant(node, 1), qdq.constant(node, 2)
        if scale is None:
            raise ExportError(f"node '{node.name}' ({node.op_type}): its scale must be a constant")
        zero = np.zeros(1, np.int64) if zero_point is None else zero_point.astype(np.int64)
        if x in constants:
            constants[y] = _dequantized(constants[x], scale, zero, attributes(node).get("axis", 1))
        else:
            roots[y] = roots.get(x, x)
            quantization[roots[y]] = (np.float32(scale), int(zero.item()))
    nodes: list[Any] = []
    for node in (n for n in qdq.nodes if n.op_type not in _QDQ):
        copy = type(node)()
        copy.CopyFrom(node)
        copy.input[:] = [roots.get(name, name) for name in node.input]
        nodes.append(copy)
    outputs = []
    for output in qdq.outputs:
        copy = type(output)()
        copy.CopyFrom(output)
        copy.name = roots.get(output.name, output.name)
        outputs.append(copy)
    return replace(qdq, nodes=nodes, constants=constants, outputs=outputs), quantization


def _dequantized(steps: Array, scale: Array, zero_point: Array, axis: int) -> Array:
    shape = [1] * steps.ndim
    if scale.size > 1:
        shape[axis] = -1
    real = (steps.astype(np.float64) - zero_point.reshape(shape)) * scale.astype(np.float64).reshape(shape)
    return real.astype(np.float32)
