"""AVERAGE_POOL_2D."""

from __future__ import annotations

from node_graphs import assert_as_tflite_micro, computed, graph, refused, tensor


def test_it_computes_what_tflite_micro_computes() -> None:
    assert_as_tflite_micro("average_pool")


def test_padding_is_left_out_of_the_mean_and_halves_go_away_from_zero() -> None:
    # windows of 2x2, SAME: (1, 2, 3, 4) / 4 = 2.5; (2, 4) / 2; (3, 4) / 2 = 3.5; 4; and their negatives
    x, y = tensor("x", 1, 2, 2, 1), tensor("y", 1, 2, 2, 1)
    pool = graph("AVERAGE_POOL_2D", x, y, kernel_hw=(2, 2), padding="SAME")
    assert computed(pool, 1, 2, 3, 4) == [3, 3, 4, 4]
    assert computed(pool, -1, -2, -3, -4) == [-3, -3, -4, -4]


def test_a_window_that_does_not_fit_is_refused() -> None:
    x, y = tensor("x", 1, 2, 2, 1), tensor("y", 1, 1, 1, 1)
    refused(graph("AVERAGE_POOL_2D", x, y, kernel_hw=(3, 3)), "its window of 3 doesn't fit into 2")
