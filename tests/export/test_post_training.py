"""Calibration rules, equalization and bias correction: worked by hand, and measured where they must help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from export.calibrate import RULES, observe, quantization_error, session
from export.graph import ExportError
from export.observed import Observation, Range
from export.passes.canonical import canonical
from export.post_training import correct_biases, post_training

pytest.importorskip("torch")


def _observation(values: Any) -> Observation:
    values = np.sort(np.asarray(values, np.float32))
    ends = Range(float(values[0]), float(values[-1]))
    return Observation(ends, values, np.array([np.abs(values).max()]), np.array([values.mean()]))


def test_a_percentile_clips_an_outlier_and_keeps_zero() -> None:
    values = np.append(np.linspace(1, 2, 9_999), 100)
    assert RULES["minmax"](_observation(values)) == Range(1.0, 100.0)
    clipped = RULES["percentile-99.9"](_observation(values))
    assert clipped.high < 2.01
    assert clipped.low == 1.0  # what was never below 1 is widened to zero by the int8 rules, not here


def test_the_least_squares_range_clips_heavy_tails_and_nothing_of_a_uniform_tensor() -> None:
    rng = np.random.default_rng(0)
    heavy = _observation(rng.standard_t(3, 100_000))
    clipped = RULES["mse"](heavy)
    assert clipped.high < 0.9 * heavy.bounds.high
    assert quantization_error(heavy.values, clipped) < quantization_error(heavy.values, heavy.bounds)
    uniform = rng.uniform(-1, 1, 100_000)
    assert RULES["mse"](_observation(uniform)).high == pytest.approx(1, abs=0.03)


def _onnx(net: Any, size: int = 12) -> bytes:
    from export.write.to_onnx import to_onnx

    return to_onnx(net, (1, 3, size, size))


def test_channel_statistics_are_those_of_all_images_whatever_the_batches(gated: Any) -> None:
    net, images = gated
    graph = canonical(_onnx(net))
    whole, parts = (observe(graph, images, batch_size=n) for n in (48, 7))
    for name, seen in whole.items():
        np.testing.assert_allclose(parts[name].channel_mean, seen.channel_mean, atol=1e-4)
        assert parts[name].bounds.high == pytest.approx(seen.bounds.high, abs=1e-4)


def test_equalization_evens_out_channels_and_leaves_the_function(gated: Any, spread: Callable[..., Any]) -> None:
    from export.passes.equalize import equalize

    net, images = gated
    content = _onnx(spread(net, 1000))
    graph = canonical(content)
    before = observe(graph, images)
    assert equalize(graph, before)
    after = observe(graph, images)
    (expected,), (actual,) = (session(c)(None, {"image": images}) for c in (content, graph.serialize()))
    np.testing.assert_allclose(actual, expected, atol=1e-4 * np.abs(expected).max())
    stream = next(n.output[0] for n in graph.nodes if n.op_type == "Add")

    def ratio(observation: Observation) -> float:
        return float(observation.channel_largest.max() / observation.channel_largest.min())

    assert ratio(before[stream]) > 100
    assert ratio(after[stream]) < ratio(before[stream]) / 20


def test_what_hard_swish_reads_is_not_rescaled(gated: Any) -> None:
    from export.passes.equalize import equalize

    net, images = gated
    graph = canonical(_onnx(net))
    before = observe(graph, images)
    equalize(graph, before)
    after = observe(graph, images)
    for name in (n.input[0] for n in graph.nodes if n.op_type == "HardSwish"):
        np.testing.assert_allclose(after[name].channel_largest, before[name].channel_largest, rtol=1e-3)


def test_bias_correction_takes_out_the_mean_of_the_rounding() -> None:
    import torch

    conv = torch.nn.Conv2d(2, 1, 1)
    with torch.no_grad():
        conv.weight[:] = torch.tensor([1.0, 0.3]).reshape(1, 2, 1, 1)
        conv.bias[:] = 0.5
    graph = canonical(
        _onnx(torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), conv, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()))
    )
    node = next(n for n in graph.nodes if n.name == "1")
    seen = {n.input[0]: Observation(Range(0, 4), np.zeros(1, np.float32), np.ones(3), np.zeros(3)) for n in graph.nodes}
    seen[node.input[0]] = Observation(Range(0, 4), np.zeros(1, np.float32), np.ones(2), np.array([1.0, 2.0]))
    correct_biases(graph, seen)
    # the scale is 1/127: 1 is exact, 0.3 is 38.1 steps and becomes 38; so each output is 2 * 0.1 / 127 too small
    assert graph.constants[node.input[2]].item() == pytest.approx(0.5 + 2 * 0.1 / 127, abs=1e-6)


def test_where_minmax_collapses_the_search_recovers(gated: Any, spread: Callable[..., Any]) -> None:
    net, images = gated
    found = post_training(_onnx(spread(net, 10_000)), images)
    first, *others = found.steps
    final = np.inf
    for step in found.steps:  # kept only where the error falls
        assert step.kept == (step.error < final)
        final = min(final, step.error)
    assert first.name == "minmax"
    assert any(step.name == "equalization" and step.kept for step in others)
    assert first.error > 0.05
    assert final < first.error / 10


def test_one_image_is_too_few(gated: Any) -> None:
    net, images = gated
    with pytest.raises(ExportError, match="at least two images"):
        post_training(_onnx(net), images[:1])
