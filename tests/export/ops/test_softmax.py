"""SOFTMAX."""

from __future__ import annotations

import pytest
from node_graphs import assert_as_tflite_micro, computed, graph, quantized, tensor

from export.graph import ExportError


def test_it_computes_what_tflite_micro_computes() -> None:
    assert_as_tflite_micro("softmax")


def test_worked_probabilities() -> None:
    # exp(0) and exp(-0.5 * 2) = 0.36788: 0.73106 and 0.26894 of 256 are 187.15 and 68.85, less 128
    y = tensor("y", 1, 2, q=quantized(1 / 256, -128))
    assert computed(graph("SOFTMAX", tensor("x", 1, 2), y), 12, 10) == [59, -59]


def test_another_output_scale_is_refused() -> None:
    one = graph("SOFTMAX", tensor("x", 1, 2), tensor("y", 1, 2))
    with pytest.raises(ExportError, match=r"\(SOFTMAX\): its output must have scale 1/256 and zero point -128"):
        computed(one, 1, 2)
