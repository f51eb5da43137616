"""MEAN."""

from __future__ import annotations

from node_graphs import X, assert_as_tflite_micro, computed, graph, ints, quantized, refused, tensor

from export.check import check_graph


def test_it_computes_what_tflite_micro_computes() -> None:
    assert_as_tflite_micro("mean")


def test_a_worked_mean_with_another_scale() -> None:
    # (1 + 2 + 3 + 5) / 4 = 2.75 steps of 0.5 are 5.5 steps of 0.25: away from zero
    x, y = tensor("x", 1, 2, 2, 1), tensor("y", 1, 1, q=quantized(0.25))
    assert computed(graph("MEAN", x, ints(1, 2), y), 1, 2, 3, 5) == [6]


def test_axes_are_kept_or_go() -> None:
    check_graph(graph("MEAN", X, ints(1, -2), tensor("y", 1, 1, 1, 4), keep_dims=True))
    check_graph(graph("MEAN", X, ints(1, 2), tensor("y", 1, 4)))


def test_lies_are_refused() -> None:
    refused(graph("MEAN", X, ints(1), tensor("b", 2), tensor("y", 1, 5, 4)), "3 inputs and 1 outputs|nothing has")
    refused(graph("MEAN", X, ints(4), tensor("y", 1)), r"averages axes \[4\]")
    refused(graph("MEAN", X, tensor("y", 1), tensor("z", 1)), "which nothing has written")
