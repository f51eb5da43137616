"""RESHAPE."""

from __future__ import annotations

import numpy as np
from node_graphs import X, assert_as_tflite_micro, computed, constant, graph, ints, refused, tensor

from export.check import check_graph


def test_it_computes_what_tflite_micro_computes() -> None:
    assert_as_tflite_micro("reshape")


def test_values_keep_their_order() -> None:
    x, y = tensor("x", 1, 2, 1, 2), tensor("y", 1, 4)
    assert computed(graph("RESHAPE", x, y), 1, 2, 3, 4) == [1, 2, 3, 4]


def test_the_shape_is_any_of_that_size_or_what_a_constant_says() -> None:
    check_graph(graph("RESHAPE", X, tensor("y", 1, 120)))
    check_graph(graph("RESHAPE", X, ints(1, -1), tensor("y", 1, 120)))


def test_lies_are_refused() -> None:
    y = tensor("y", 1, 120)
    refused(graph("RESHAPE", X, tensor("y", 1, 119)), "its output has the shape")
    refused(graph("RESHAPE", X, ints(-1, -1), y), r"can't become \[-1, -1\]")
    refused(graph("RESHAPE", X, ints(2, 60), y), r"follows \(2, 60\)")
    refused(graph("RESHAPE", X, constant("s", np.array([np.nan], np.float32)), y), "'s' is float32")
