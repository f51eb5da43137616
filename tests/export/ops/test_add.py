"""ADD."""

from __future__ import annotations

import numpy as np
from node_graphs import X, Y, assert_as_tflite_micro, computed, constant, graph, quantized, refused, tensor


def test_it_computes_what_tflite_micro_computes() -> None:
    assert_as_tflite_micro("add")


def test_a_worked_sum() -> None:
    # 0.5 * (10 - 2) + 0.25 * 6 = 5.5, which is 11 steps of 0.5
    x, y = tensor("x", 1, 1, q=quantized(zero_point=2)), tensor("y", 1, 1)
    other = constant("c", np.array([[6]], np.int8), quantized(0.25))
    assert computed(graph("ADD", x, other, y), 10) == [11]
    # a fused RELU6 clips at 12 steps
    other = constant("c", np.array([[100]], np.int8), quantized(0.25))
    assert computed(graph("ADD", x, other, y, activation="RELU6"), 10) == [12]


def test_lies_are_refused() -> None:
    refused(graph("ADD", X, Y), "1 inputs and 1 outputs")
    refused(graph("ADD", X, constant("c", np.ones((1, 6, 5, 3), np.int8)), Y), "its inputs have the shapes")
