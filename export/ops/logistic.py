"""LOGISTIC: 1 / (1 + exp(-x)), TFLite's reference/integer_ops/logistic.h; output scale 1/256, zero point -128."""

from __future__ import annotations

import numpy as np

from export.graph import Graph, Node
from export.ops.fixed_point import (
    Ints,
    divide_by_power,
    exp_of_negative,
    input_radius,
    one_over_one_plus,
    quantize_multiplier,
    rescale,
)
from export.ops.integers import UNIT, check_output, ends, scale, zero_point
from export.ops.lookup import lookup, lower_lookup
from export.ops.onnx_reader import elementwise
from export.ops.onnx_writer import function, layer
from export.ops.operator import Compute, OnnxForm, Operator
from export.ops.shapes import same

_ONE = 2**31 - 1  # in Q0.31


def logistic(x: Ints) -> Ints:
    """1 / (1 + exp(-x)) in Q0.31 of x in Q4.27."""
    positive = one_over_one_plus(exp_of_negative(divide_by_power(-np.abs(x), 1)))
    return np.where(x == 0, 1 << 30, np.where(x > 0, positive, _ONE - positive))


def logistic_table(input_scale: float, input_zero_point: int) -> Ints:
    """The int8 output of each of the 256 inputs, from -128 up."""
    m, shift = quantize_multiplier(input_scale * 2**27)
    x = np.arange(-128, 128, dtype=np.int64) - input_zero_point
    radius = input_radius(4, shift)
    inside = np.abs(x) < radius
    values = divide_by_power(logistic(rescale(np.where(inside, x, 0), m, shift)), 23) - 128
    return np.where(inside, np.clip(values, -128, 127), np.where(x > 0, 127, -128))


def _prepare(graph: Graph, node: Node) -> Compute:
    x, y = ends(graph, node)
    check_output(node, y, UNIT, "1/256")
    return lookup(logistic_table(scale(x), zero_point(x)))


LOGISTIC = Operator(
    name="LOGISTIC",
    kind="activation",
    shapes=same,
    int8_version=2,
    prepare=_prepare,
    lower=lower_lookup(_prepare),
    tflm=("Logistic", "LOGISTIC", "logistic"),
    onnx={
        "Sigmoid": OnnxForm(
            read=elementwise("LOGISTIC"),
            quantized=(np.float32(1 / 256), -128),
            fake=lambda node, graph, inputs: inputs[0].sigmoid(),
        )
    },
    layers={"Sigmoid": layer("Sigmoid")},
    functions={"sigmoid": function("Sigmoid")},
)
