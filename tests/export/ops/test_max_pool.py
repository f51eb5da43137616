"""MAX_POOL_2D."""

from __future__ import annotations

from node_graphs import assert_as_tflite_micro, computed, graph, tensor


def test_it_computes_what_tflite_micro_computes() -> None:
    assert_as_tflite_micro("max_pool")


def test_padding_never_wins() -> None:
    x, y = tensor("x", 1, 2, 2, 1), tensor("y", 1, 2, 2, 1)
    pool = graph("MAX_POOL_2D", x, y, kernel_hw=(2, 2), padding="SAME")
    assert computed(pool, -100, -90, -120, -128) == [-90, -90, -120, -128]
