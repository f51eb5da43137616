"""PAD."""

from __future__ import annotations

import numpy as np
from node_graphs import X, Y, assert_as_tflite_micro, computed, constant, graph, quantized, refused, tensor

from export.check import check_graph
from export.graph import Tensor


def amounts(before: int, after: int) -> Tensor:
    return constant("p", np.array([[0, 0], [before, after], [0, 0], [0, 0]], np.int32))


def test_it_computes_what_tflite_micro_computes() -> None:
    assert_as_tflite_micro("pad")


def test_the_border_is_the_zero_point() -> None:
    q = quantized(zero_point=-7)
    x, y = tensor("x", 1, 1, 2, 1, q=q), tensor("y", 1, 3, 2, 1, q=q)
    assert computed(graph("PAD", x, amounts(2, 0), y), 1, 2) == [-7, -7, -7, -7, 1, 2]


def test_amounts_are_not_negative() -> None:
    check_graph(graph("PAD", X, amounts(1, 2), tensor("y", 1, 9, 5, 4)))
    refused(graph("PAD", X, amounts(-1, 1), Y), "must be >= 0")
