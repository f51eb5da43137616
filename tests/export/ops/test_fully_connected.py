"""FULLY_CONNECTED."""

from __future__ import annotations

import numpy as np
import pytest
from node_graphs import X, assert_as_tflite_micro, computed, constant, graph, quantized, refused, tensor

from export.check import check_graph
from export.graph import Graph


def linear(weights: tuple[int, int], *output: int) -> Graph:
    return graph("FULLY_CONNECTED", X, constant("w", np.ones(weights, np.int8)), tensor("y", *output))


@pytest.mark.parametrize("kind", ["fully_connected", "fully_connected_at_a_tie"])
def test_it_computes_what_tflite_micro_computes(kind: str) -> None:
    assert_as_tflite_micro(kind)


def test_it_flattens_a_map_or_takes_its_rows() -> None:
    check_graph(linear((2, 4), 30, 2))
    check_graph(linear((2, 4), 1, 6, 5, 2))
    check_graph(linear((2, 120), 1, 2))
    refused(linear((2, 120), 1, 6, 5, 2), r"follows \(1, 2\)")
    refused(linear((2, 7), 1, 2), r"\(2, 7\), and its input")


def test_sums_beyond_float32_are_still_exact() -> None:
    # 4000 products of 255 * 127 are 129,540,000: beyond the 2^24 that float32 counts by ones
    n = 4000
    weights = np.full((1, n), 127, np.int8)
    weights[0, 0] = 126
    one = graph(
        "FULLY_CONNECTED",
        tensor("x", 1, n, q=quantized(1.0, -128)),
        constant("w", weights, quantized(1.0)),
        constant("b", np.array([2**20 - 129_540_000 + 255], np.int32)),
        tensor("y", 1, 1, q=quantized(2.0**21)),
    )
    # the sum is exactly 2^20, half a step of the output: it rounds away from zero, and one less would round to 0
    assert computed(one, *[127] * n) == [1]
