"""SOFTMAX: exp(beta * (x - max)) over its sum, in Q0.31 and Q12.19, TFLite's reference/softmax.h.

Its output has scale 1/256 and zero point -128.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from export.graph import Array, ExportError, Graph, Node
from export.onnx_graph import attributes
from export.ops.fixed_point import (
    Ints,
    divide_by_power,
    exp_of_negative,
    high_product,
    input_radius,
    one_over_one_plus,
    quantize_multiplier,
    rescale,
)
from export.ops.integers import UNIT, check_output, ends, scale
from export.ops.layer import Constant, Context, Fields, Layer
from export.ops.onnx_reader import OnnxReader
from export.ops.operator import Compute, OnnxForm, Operator
from export.ops.shapes import same


def exponentials(difference: Ints, input_scale: float, beta: float) -> Ints:
    """exp(beta * scale * difference) in Q0.31 of differences to the largest score; 0 where TFLite counts no more."""
    m, shift = quantize_multiplier(min(beta * input_scale * 2**26, 2**31 - 1.0))
    counted = difference >= -input_radius(5, shift)
    return np.where(counted, exp_of_negative(rescale(np.where(counted, difference, 0), m, shift)), 0)


def softmax(x: Ints, input_scale: float, beta: float) -> Ints:
    """int8 values of rows of int8 scores with the given scale."""
    of_each = exponentials(x - x.max(-1, keepdims=True), input_scale, beta)
    total = divide_by_power(of_each, 12).sum(-1, keepdims=True)  # Q12.19
    leading_zeros = 32 - np.frexp(total.astype(np.float64))[1].astype(np.int64)
    inverse = one_over_one_plus((total << leading_zeros) - 2**31)
    values = divide_by_power(high_product(inverse, of_each), 12 - leading_zeros + 31 - 8)
    return np.clip(values - 128, -128, 127)


def _prepare(graph: Graph, node: Node) -> Compute:
    x, y = ends(graph, node)
    check_output(node, y, UNIT, "1/256")
    return lambda value: softmax(value.astype(np.int64), scale(x), node.options.beta).astype(np.int8)


def _read(reader: OnnxReader, node: Any) -> None:
    x = reader.row(node.input[0], node)
    rank = len(reader.tensors[x].shape)
    if rank != 2 or int(attributes(node).get("axis", -1)) not in (-1, 1):
        raise ExportError(f"node '{node.name}' (Softmax): only the softmax of a row of scores is supported")
    reader.append("SOFTMAX", node, [x])


def _lower(context: Context, node: Node) -> Layer:
    """The exponentials of all 256 differences are a table."""
    x, y = ends(context.graph, node)
    check_output(node, y, UNIT, "1/256")
    table: Array = exponentials(-np.arange(256, dtype=np.int64), scale(x), node.options.beta)
    fields: Fields = {
        "exponentials": f"{context.name}_exponentials",
        "rows": prod(x.shape[:-1]),
        "columns": x.shape[-1],
    }
    return context.simple(node, "nn_softmax", fields, Constant("int32_t", "exponentials", table))


SOFTMAX = Operator(
    name="SOFTMAX",
    kind="softmax",
    shapes=same,
    options="SoftmaxOptions",
    int8_version=2,
    prepare=_prepare,
    lower=_lower,
    tflm=("Softmax", "SOFTMAX_INT8", "softmax"),
    onnx={
        "Softmax": OnnxForm(
            read=_read, quantized=(np.float32(1 / 256), -128), fake=lambda node, graph, inputs: inputs[0].softmax(-1)
        )
    },
    layers={"Softmax": lambda writer, name, x, layer: writer.add("Softmax", name, [x], axis=layer.dim)},
)
