"""LOGISTIC."""

from __future__ import annotations

import pytest
from node_graphs import assert_as_tflite_micro, computed, graph, quantized, tensor

from export.graph import ExportError


def test_it_computes_what_tflite_micro_computes() -> None:
    assert_as_tflite_micro("logistic")


def test_worked_values() -> None:
    # of -1, 0, 2: 0.26894, 0.5, 0.88080 of 256 are 68.85, 128, 225.48, less 128
    x, y = tensor("x", 1, 3, q=quantized(1 / 16)), tensor("y", 1, 3, q=quantized(1 / 256, -128))
    assert computed(graph("LOGISTIC", x, y), -16, 0, 32) == [-59, 0, 97]


def test_another_output_scale_is_refused() -> None:
    with pytest.raises(ExportError, match=r"\(LOGISTIC\): its output must have scale 1/256 and zero point -128"):
        computed(graph("LOGISTIC", tensor("x", 1, 1), tensor("y", 1, 1)), 1)
