"""QUANTIZE and DEQUANTIZE."""

from __future__ import annotations

import numpy as np
import pytest
from node_graphs import X, Y, computed, constant, graph, quantized, refused, tensor

from export.check import check_graph
from export.graph import Graph, Node, Options
from export.ops.interpreter import Interpreter
from export.run.tflite_runtimes import load_tracer
from export.write.to_tflite import to_tflite


def test_a_worked_change_of_scale() -> None:
    # 0.5 * (q - 2) in steps of 0.75, halves away from zero, and saturated
    x, y = tensor("x", 1, 4, q=quantized(zero_point=2)), tensor("y", 1, 4, q=quantized(0.75, 100))
    assert computed(graph("QUANTIZE", x, y), 5, 3, -128, 127) == [102, 101, 13, 127]


def test_it_computes_what_tflite_micro_computes() -> None:
    pytest.importorskip("tflite_micro")
    rng = np.random.default_rng(0)
    every = np.arange(-128, 128).astype(np.int8).reshape(1, 256)
    for scale, zero_point in zip(rng.uniform(0.05, 2, 20), rng.integers(-128, 128, 20), strict=True):
        one = graph("QUANTIZE", tensor("x", 1, 256), tensor("y", 1, 256, q=quantized(scale, int(zero_point))))
        np.testing.assert_array_equal(Interpreter(one).run(every), load_tracer(to_tflite(one), "tflm")(every)[0])


def test_weights_may_be_dequantized_channel_by_channel() -> None:
    w = constant("w", np.ones((8, 3, 3, 4), np.int8), quantized(channels=8))
    made = tensor("made", 8, 3, 3, 4, dtype="float32")
    x, y = tensor("x", 1, 6, 5, 4, dtype="float32"), tensor("y", 1, 4, 3, 8, dtype="float32")
    nodes = (
        Node("DEQUANTIZE", "weights", ("w",), ("made",)),
        Node("CONV_2D", "first", ("x", "made"), ("y",), Options(kernel_hw=(3, 3))),
    )
    check_graph(Graph(nodes, {t.name: t for t in (w, made, x, y)}, ("x",), ("y",)))


def test_other_types_are_refused() -> None:
    refused(graph("QUANTIZE", X, tensor("y", 1, 6, 5, 4, dtype="float32")), "its output is float32")
    floats = graph("DEQUANTIZE", tensor("x", 2, dtype="float32"), tensor("y", 2, dtype="float32"))
    refused(floats, "its input is float32")
    refused(graph("DEQUANTIZE", X, Y), "its output is int8")
