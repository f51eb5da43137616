"""HARD_SWISH: x * relu6(x + 3) / 6 in 16 bits, TFLite's reference/hard_swish.h."""

from __future__ import annotations

from typing import Any

import numpy as np

from export.graph import Graph, Node
from export.onnx_graph import OnnxGraph
from export.ops.fixed_point import Ints, divide_by_power, quantize_multiplier
from export.ops.integers import ends, scale, zero_point
from export.ops.lookup import lookup, lower_lookup
from export.ops.onnx_reader import elementwise
from export.ops.onnx_writer import function, layer
from export.ops.operator import Compute, OnnxForm, Operator, Values
from export.ops.shapes import same


def hard_swish_table(input_scale: float, input_zero_point: int, output_scale: float, output_zero_point: int) -> Ints:
    """The int8 output of each of the 256 inputs, from -128 up.

    relu6(x + 3) / 6 is held in Q0.15, x with seven more bits than its int8 value.
    """
    to_output, output_shift = _multiplier16(input_scale / 128 / output_scale)
    to_gate, gate_shift = _multiplier16(input_scale / 128 / (3 / 32768))
    x = (np.arange(-128, 128, dtype=np.int64) - input_zero_point) * 128
    gate = _saturate16(x << max(gate_shift - 1, 0))
    gate = _high_product16(gate, to_gate)
    gate = _saturate16(gate << 1) if gate_shift > 0 else divide_by_power(gate, -gate_shift)
    gate = (gate + 2**15) >> 1
    product = gate * _high_product16(x, to_output)
    preshift = np.where(product < 0, -(-product >> 15), product >> 15)  # towards zero
    return np.clip(divide_by_power(preshift, -output_shift) + output_zero_point, -128, 127)


def _multiplier16(real: float) -> tuple[int, int]:
    m, shift = quantize_multiplier(real)
    return min((m + 2**15) >> 16, 2**15 - 1), shift


def _high_product16(x: Ints, m: int) -> Ints:
    """round(x * m / 2^15), ties upwards, saturated to 16 bits."""
    return _saturate16((x * m + 2**14) >> 15)


def _saturate16(x: Ints) -> Ints:
    return np.clip(x, -(2**15), 2**15 - 1)


def _prepare(graph: Graph, node: Node) -> Compute:
    x, y = ends(graph, node)
    return lookup(hard_swish_table(scale(x), zero_point(x), scale(y), zero_point(y)))


def _fake(node: Any, graph: OnnxGraph, inputs: list[Values]) -> Values:
    from torch.nn import functional

    return functional.hardswish(inputs[0])


HARD_SWISH = Operator(
    name="HARD_SWISH",
    kind="activation",
    shapes=same,
    int8_version=1,
    prepare=_prepare,
    lower=lower_lookup(_prepare),
    tflm=("HardSwish", "HARD_SWISH", "hard_swish"),
    onnx={"HardSwish": OnnxForm(read=elementwise("HARD_SWISH"), quantized="own", fake=_fake)},
    layers={"Hardswish": layer("HardSwish")},
    functions={"hardswish": function("HardSwish")},
)
