"""MUL."""

from __future__ import annotations

import numpy as np
import pytest
from node_graphs import X, Y, assert_as_tflite_micro, computed, constant, graph, quantized, tensor

from export.check import check_graph


@pytest.mark.parametrize("kind", ["mul", "gated"])
def test_it_computes_what_tflite_micro_computes(kind: str) -> None:
    assert_as_tflite_micro(kind)


def test_a_worked_product() -> None:
    # 0.5 * (10 - 2) * 0.25 * -6 = -6, which is -12 steps of 0.5
    x, other = tensor("x", 1, 1, q=quantized(zero_point=2)), constant("c", np.array([[-6]], np.int8), quantized(0.25))
    assert computed(graph("MUL", x, other, tensor("y", 1, 1)), 10) == [-12]


def test_a_gate_is_repeated_over_a_map() -> None:
    check_graph(graph("MUL", X, tensor("gate", 1, 1, 1, 4, data=np.ones((1, 1, 1, 4), np.int8)), Y))
