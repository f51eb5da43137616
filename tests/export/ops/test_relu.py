"""RELU, RELU6 and RELU_0_TO_1."""

from __future__ import annotations

import pytest
from node_graphs import X, Y, assert_as_tflite_micro, computed, graph, quantized, refused, tensor

from export.check import check_graph
from export.graph import ExportError


@pytest.mark.parametrize("kind", ["relu", "relu_at_a_tie", "relu6"])
def test_it_computes_what_tflite_micro_computes(kind: str) -> None:
    assert_as_tflite_micro(kind)


def test_worked_values() -> None:
    # 0.5 * (q - 2) in steps of 0.25 from -128 up: negative ones end at the zero point
    x, y = tensor("x", 1, 3, q=quantized(zero_point=2)), tensor("y", 1, 3, q=quantized(0.25, -128))
    assert computed(graph("RELU", x, y), -5, 3, 127) == [-128, -126, 122]
    # 6 is 12 steps of 0.5
    assert computed(graph("RELU6", tensor("x", 1, 3), tensor("y", 1, 3)), -5, 3, 127) == [0, 3, 12]


def test_relu6_keeps_its_inputs_scale() -> None:
    with pytest.raises(ExportError, match=r"\(RELU6\): its input and output must share one quantization"):
        computed(graph("RELU6", tensor("x", 1, 1), tensor("y", 1, 1, q=quantized(0.25))), 1)


def test_shape_and_zero_point_are_checked() -> None:
    check_graph(graph("RELU_0_TO_1", X, Y))
    refused(graph("RELU", X, tensor("y", 1, 6, 5, 3)), "its output has the shape")
    int16 = (tensor(name, 2, dtype="int16", q=quantized(zero_point=3)) for name in "xy")
    refused(graph("RELU", *int16), "the zero point 3")
