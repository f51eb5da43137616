"""Quantization-aware training: the module computes what the int8 file will, and learns to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.calibrate import calibrate, session
from export.passes.canonical import canonical
from export.quantize import activation_quantization, quantize_graph
from export.run.parity import BOUNDS_LSB
from export.write.to_onnx import to_onnx

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


def test_a_qdq_file_read_back_computes_what_was_trained(gated: Any, tmp_path: Path) -> None:
    from export.fake_quantized import load_fake_quantized

    net, images = gated
    content = to_onnx(net, (1, 3, 12, 12))
    ranges, graph = calibrate(content, images), canonical(content)
    module = FakeQuantized(graph, ranges)
    with torch.no_grad():
        for i, parameter in enumerate(module.parameters()):  # as training would move them
            parameter.mul_(1 + 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i)))
        trained = module.trace(torch.tensor(images))
    path = tmp_path / "q.onnx"
    path.write_bytes(quantize_graph(module.trained_graph(), ranges))
    values = load_fake_quantized(path)(images)
    assert {"image", "logits_float"} < set(values)
    quantization = activation_quantization(graph, ranges, {})
    for name, steps in values.items():
        scale, zero_point = quantization[name.removesuffix("_float")]
        expected = np.rint(trained[name.removesuffix("_float")].numpy() / scale) + zero_point
        # the file's biases are rounded to int32: a value near a tie goes the other way now and then, and that grows
        assert np.abs(steps - expected).max() <= BOUNDS_LSB["torch"], name
        assert np.mean(steps != expected) < (0.002 if name == "0.conv" else 0.1), name
