"""TANH: (1 - exp(-2x)) / (1 + exp(-2x)), TFLite's reference/integer_ops/tanh.h; output scale 1/128, zero point 0."""

from __future__ import annotations

import numpy as np

from export.graph import Graph, Node
from export.ops.fixed_point import (
    Ints,
    divide_by_power,
    exp_of_negative,
    input_radius,
    quantize_multiplier,
    rescale,
    saturate,
    two_over_one_plus,
)
from export.ops.integers import check_output, ends, scale, zero_point
from export.ops.lookup import lookup, lower_lookup
from export.ops.onnx_reader import elementwise
from export.ops.onnx_writer import function, layer
from export.ops.operator import Compute, OnnxForm, Operator
from export.ops.shapes import same


def tanh_table(input_scale: float, input_zero_point: int) -> Ints:
    """The int8 output of each of the 256 inputs, from -128 up."""
    m, shift = quantize_multiplier(input_scale * 2**27)
    x = np.arange(-128, 128, dtype=np.int64) - input_zero_point
    inside = np.abs(x) < input_radius(4, shift)
    magnitude = np.abs(rescale(np.where(inside, x, 0), m, shift))  # Q4.27, which as Q5.26 is twice as much
    positive = saturate((two_over_one_plus(exp_of_negative(-magnitude)) - (1 << 29)) << 2)  # Q0.31
    values = divide_by_power(np.sign(x) * np.where(magnitude == 0, 0, positive), 24)
    return np.clip(np.where(inside, values, 128 * np.sign(x)), -128, 127)


def _prepare(graph: Graph, node: Node) -> Compute:
    x, y = ends(graph, node)
    check_output(node, y, (1 / 128, 0), "1/128")
    return lookup(tanh_table(scale(x), zero_point(x)))


TANH = Operator(
    name="TANH",
    kind="activation",
    shapes=same,
    int8_version=2,
    prepare=_prepare,
    lower=lower_lookup(_prepare),
    tflm=("Tanh", "TANH", "tanh"),
    onnx={
        "Tanh": OnnxForm(
            read=elementwise("TANH"),
            quantized=(np.float32(1 / 128), 0),
            fake=lambda node, graph, inputs: inputs[0].tanh(),
        )
    },
    layers={"Tanh": layer("Tanh")},
    functions={"tanh": function("Tanh")},
)
