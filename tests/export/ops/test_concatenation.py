"""CONCATENATION."""

from __future__ import annotations

import numpy as np
import pytest
from node_graphs import X, Y, assert_as_tflite_micro, computed, constant, graph, quantized, refused, tensor

from export.check import check_graph
from export.graph import ExportError


def part(*shape: int) -> np.ndarray:
    return np.full(shape, 9, np.int8)


def test_it_computes_what_tflite_micro_computes() -> None:
    assert_as_tflite_micro("concatenation")


def test_parts_are_joined_along_the_axis() -> None:
    x = tensor("x", 1, 2, 1, 2)
    rows = graph("CONCATENATION", x, constant("c", part(1, 1, 1, 2)), tensor("y", 1, 3, 1, 2), axis=1)
    assert computed(rows, 1, 2, 3, 4) == [1, 2, 3, 4, 9, 9]
    channels = graph("CONCATENATION", x, constant("c", part(1, 2, 1, 1)), tensor("y", 1, 2, 1, 3), axis=-1)
    assert computed(channels, 1, 2, 3, 4) == [1, 2, 9, 3, 4, 9]


def test_another_quantization_is_refused() -> None:
    y = tensor("y", 1, 3, 1, 2, q=quantized(0.25))
    one = graph("CONCATENATION", tensor("x", 1, 2, 1, 2), constant("c", part(1, 1, 1, 2)), y, axis=1)
    with pytest.raises(ExportError, match="its inputs and output must share one quantization"):
        computed(one, 1, 2, 3, 4)


def test_shapes_must_fit() -> None:
    y = tensor("y", 1, 6, 5, 7)
    check_graph(graph("CONCATENATION", X, constant("c", part(1, 6, 5, 3)), y, axis=-1))
    refused(graph("CONCATENATION", X, constant("c", part(1, 7, 5, 3)), y, axis=3), "it joins")
    refused(graph("CONCATENATION", X, Y, axis=4), "along axis 4")
