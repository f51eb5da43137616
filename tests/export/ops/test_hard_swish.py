"""HARD_SWISH."""

from __future__ import annotations

import pytest
from node_graphs import assert_as_tflite_micro, computed, graph, quantized, tensor


@pytest.mark.parametrize("kind", ["hard_swish", "hard_swish_at_a_tie"])
def test_it_computes_what_tflite_micro_computes(kind: str) -> None:
    assert_as_tflite_micro(kind)


def test_worked_values() -> None:
    # x * relu6(x + 3) / 6 of -4, -1, 1, 2, 4: 0, -1/3, 2/3, 5/3, 4; in steps of 1/24
    x, y = tensor("x", 1, 5, q=quantized(1 / 16)), tensor("y", 1, 5, q=quantized(1 / 24))
    assert computed(graph("HARD_SWISH", x, y), -64, -16, 16, 32, 64) == [0, -8, 16, 40, 96]
