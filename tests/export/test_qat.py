"""Quantization-aware training: the module computes what the int8 file will, and learns to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from export.calibrate import calibrate, session
from export.canonical import canonical
from export.quantize import quantize_graph
from export.to_onnx import to_onnx

torch = pytest.importorskip("torch")

from export.qat import FakeQuantized, round_activation, round_weights  # noqa: E402


def test_the_gradient_passes_inside_the_range_and_stops_outside() -> None:
    x = torch.tensor([-3.0, -0.26, 0.1, 0.9], requires_grad=True)
    y = round_activation(x, (np.float32(0.5 / 127), 0))  # -64/127 to 0.5
    y.sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 0]
    np.testing.assert_allclose(y.detach(), np.array([-128, -66, 25, 127]) * 0.5 / 127, rtol=1e-6)


def test_weights_are_rounded_by_the_rules_of_the_file() -> None:
    from export.quantize import quantize_weights

    weights = torch.randn(5, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    weights[3] = 0
    q, scales = quantize_weights(weights.numpy(), "w")
    np.testing.assert_allclose(round_weights(weights), q * scales.reshape(-1, 1, 1, 1), rtol=1e-6)


def test_the_module_computes_what_the_qdq_file_computes(gated: Any) -> None:
    net, images = gated
    content = to_onnx(net, (1, 3, 12, 12))
    ranges, graph = calibrate(content, images), canonical(content)
    module = FakeQuantized(graph, ranges)
    qdq = quantize_graph(module.trained_graph(), ranges)
    assert qdq == quantize_graph(graph, ranges)  # nothing was trained
    with torch.no_grad():
        actual = module(torch.tensor(images)).numpy()
    (expected,) = session(qdq)(None, {"image": images})
    step = (ranges["logits"].high - min(ranges["logits"].low, 0)) / 255
    # onnxruntime's int8 kernels round a value that lies between two steps the other way now and then
    assert np.abs(actual - expected).max() <= 8 * step
    assert np.abs(actual - expected).mean() <= 1.5 * step


def test_training_brings_the_int8_file_closer_to_what_is_wanted(gated: Any, spread: Callable[..., Any]) -> None:
    net, images = gated
    content = to_onnx(spread(net, 1000), (1, 3, 12, 12))
    ranges, graph = calibrate(content, images), canonical(content)
    (wanted,) = session(content)(None, {"image": images})
    module = FakeQuantized(graph, ranges)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    for _ in range(40):
        optimizer.zero_grad()
        loss = ((module(torch.tensor(images)) - torch.tensor(wanted)) ** 2).mean()
        loss.backward()
        optimizer.step()

    def error(qdq: bytes) -> float:
        return float(np.mean((session(qdq)(None, {"image": images})[0] - wanted) ** 2))

    assert error(quantize_graph(module.trained_graph(), ranges)) < 0.5 * error(quantize_graph(graph, ranges))


def test_the_graph_that_it_was_made_of_stays_as_it_was(gated: Any) -> None:
    net, images = gated
    content = to_onnx(net, (1, 3, 12, 12))
    graph = canonical(content)
    module = FakeQuantized(graph, calibrate(content, images))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1)
    module.trained_graph()
    assert graph.serialize() == canonical(content).serialize()
