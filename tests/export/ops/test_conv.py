"""CONV_2D."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from node_graphs import assert_as_tflite_micro, computed, constant, conv, graph, quantized, refused, tensor

from export.check import check_graph
from export.graph import Graph, Tensor
from export.runs_on import obstacle


def weights(*shape: int, **quantization: Any) -> Tensor:
    return constant("w", np.ones(shape, np.int8), quantized(**{"channels": 8} | quantization))


def test_it_computes_what_tflite_micro_computes() -> None:
    assert_as_tflite_micro("conv")


def test_a_worked_sum() -> None:
    # ((3 - 1) * 4 + (5 - 1) * -2 + 6) * 0.5 * 0.5 / 0.25 = 6, less 1
    w = constant("w", np.array([4, -2], np.int8).reshape(1, 1, 1, 2), quantized())
    x, y = tensor("x", 1, 1, 1, 2, q=quantized(zero_point=1)), tensor("y", 1, 1, 1, 1, q=quantized(0.25, -1))
    assert computed(graph("CONV_2D", x, w, constant("b", np.array([6], np.int32)), y), 3, 5) == [5]


@pytest.mark.parametrize(
    "sound",
    [
        conv(),
        conv(y=tensor("y", 1, 3, 3, 8), stride_hw=(2, 2), padding="SAME"),
        conv(y=tensor("y", 1, 2, 1, 8), dilation_hw=(2, 2)),
        conv(w=constant("w", np.zeros((8, 3, 3, 4), np.int8), quantized(0.0, channels=8))),  # a dead channel's scale
    ],
)
def test_sound_ones_pass(sound: Graph) -> None:
    check_graph(sound)


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        (conv(y=tensor("y", 1, 5, 3, 8)), r"\(1, 5, 3, 8\); from its inputs follows \(1, 4, 3, 8\)"),
        (conv(y=tensor("y", 1, 4, 3, 9)), "its output has the shape"),
        (conv(y=tensor("y", 4, 3, 8)), "its output has the shape"),
        (conv(stride_hw=(0, 1)), "each must be at least 1"),
        (conv(dilation_hw=(1, 0)), "each must be at least 1"),
        (conv(dilation_hw=(3, 3)), "its window of 3 doesn't fit into 6"),
        (conv(kernel_hw=(3, 2)), "its kernel is"),
        (conv(w=weights(8, 3, 3, 5)), "read 5 channels, and its input has 4"),
        (conv(w=weights(8, 3, 3, 2)), "it has 2 groups; grouped convolutions"),
        (conv(bias=constant("b", np.zeros(7, np.int32))), r"its bias has the shape \(7,\), and it has 8"),
        (conv(bias=constant("b", np.zeros(8, np.float32))), "its input is int8 and its bias is float32"),
        (conv(w=weights(8, 3, 3, 4, channels=7)), "or one for each of 8"),
        (conv(w=weights(8, 3, 3, 4, axis=3)), "each index of axis 3"),
        (conv(w=weights(8, 3, 3, 4, scale=0.0)), "a scale of its weights is 0, and their channel holds other values"),
        (conv(w=weights(8, 3, 3, 4, zero_point=1)), "zero point other than 0"),
        (conv(x=tensor("x", 1, 6, 5, 4, q=quantized(zero_point=128))), "the zero point 128"),
        (conv(y=tensor("y", 1, 4, 3, 8, q=quantized(float("nan")))), "can't have the scale nan"),
        (conv(x=tensor("x", 1, 6, 5, 4, q=quantized(channels=2))), "without one scale"),
        (conv(y=tensor("y", 1, 4, 3, 8, dtype="float32")), "'x' is int8 and 'y' is float32"),
        (conv(x=tensor("x", 1, 0, 5, 4)), "a side must be a positive number"),
        (conv(x=tensor("x", 1, -6, 5, 4)), r"can't have the shape \(1, -6, 5, 4\)"),
    ],
)
def test_lies_are_refused(lie: Graph, message: str) -> None:
    refused(lie, message)


def scaled(*scales: float) -> Graph:
    """One whose input, weights and output have these scales."""
    x, w, y = (quantized(scale, channels=8 if i == 1 else 1) for i, scale in enumerate(scales))
    given = constant("w", np.ones((8, 3, 3, 4), np.int8), w)
    return conv(tensor("x", 1, 6, 5, 4, q=x), given, y=tensor("y", 1, 4, 3, 8, q=y))


def test_scales_beyond_the_integer_arithmetic_are_an_obstacle() -> None:
    for runtime in ("firmware", "interpreter"):
        assert obstacle(scaled(0.5, 0.5, 0.5), runtime) is None
        assert "none above 2^30" in (obstacle(scaled(1e20, 1e10, 1e-10), runtime) or "")
