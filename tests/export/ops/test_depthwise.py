"""DEPTHWISE_CONV_2D."""

from __future__ import annotations

import numpy as np
from node_graphs import assert_as_tflite_micro, computed, constant, graph, quantized, refused, tensor

from export.check import check_graph
from export.graph import Graph


def depthwise(channels: int) -> Graph:
    w = constant("w", np.ones((1, 3, 3, channels), np.int8), quantized(channels=channels, axis=3))
    return graph("DEPTHWISE_CONV_2D", tensor("x", 1, 6, 5, 4), w, tensor("y", 1, 4, 3, channels), kernel_hw=(3, 3))


def test_it_computes_what_tflite_micro_computes() -> None:
    assert_as_tflite_micro("depthwise_conv")


def test_each_channel_has_weights_of_its_own_and_may_have_several_outputs() -> None:
    w = constant("w", np.array([1, 2, 3, 4], np.int8).reshape(1, 1, 1, 4), quantized(channels=4, axis=3))
    one = graph("DEPTHWISE_CONV_2D", tensor("x", 1, 1, 1, 2), w, tensor("y", 1, 1, 1, 4))
    # 10 * (1, 2) and 20 * (3, 4), times 0.5 * 0.5 / 0.5
    assert computed(one, 10, 20) == [5, 10, 30, 40]


def test_weights_follow_the_inputs_channels() -> None:
    check_graph(depthwise(8))
    refused(depthwise(9), "its input 4 channels")
