"""The int8 rules: worked by hand, and as properties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.calibrate import calibrate
from export.graph import ExportError
from export.observed import Range
from export.quantize import activation_qparams, quantize, quantize_weights

_reals = st.floats(-1e4, 1e4, width=32)


@given(_reals, _reals)
def test_zero_is_an_int8_value_of_every_range(a: float, b: float) -> None:
    if 0 < max(a, b, 0.0) - min(a, b, 0.0) < 1e-30:
        return  # below float32's smallest scale: a test of its own
    scale, zero_point = activation_qparams(Range(min(a, b), max(a, b)))
    assert scale > 0
    assert -128 <= zero_point <= 127


@given(_reals, _reals, st.floats(0, 1))
def test_a_value_inside_the_range_is_off_by_at_most_one_step_at_the_ends_and_half_inside(
    a: float, b: float, t: float
) -> None:
    low, high = min(a, b, 0.0), max(a, b, 0.0)
    if high - low < 1e-3:
        return
    scale, zero_point = activation_qparams(Range(low, high))
    x = low + t * (high - low)
    steps = np.rint(x / float(scale)) + zero_point
    back = float(scale) * (np.clip(steps, -128, 127) - zero_point)
    # nudging the zero point moves the range by up to half a step: only what is then clipped may be off by a whole one
    allowed = 0.5 if -128 <= steps <= 127 else 1.0
    assert abs(back - x) <= float(scale) * (allowed + 1e-3)


def test_a_range_too_small_for_a_float32_scale_keeps_a_positive_one() -> None:
    scale, _ = activation_qparams(Range(0.0, 1e-45))
    assert scale > 0


def test_the_range_of_relu6_is_spread_over_all_256_values() -> None:
    scale, zero_point = activation_qparams(Range(0.0, 6.0))
    assert scale == np.float32(6 / 255)
    assert zero_point == -128


@pytest.mark.parametrize(
    ("low", "high", "zero_point"),
    [
        (-1.0, 2.0, -43),  # -128 + 255 / 3 = -43
        (-1.0, 1.9, -40),  # -128 + 255 / 2.9 = -40.07
        (-0.5, 3.0, -92),  # -128 + 127.5 / 3.5 = -91.57
        (-2.0, 0.0, 127),
        (-3.0, -1.0, 127),  # a range that leaves out 0 is widened to it
        (1.0, 4.0, -128),
    ],
)
def test_the_zero_point_is_rounded_to_the_nearest_integer(low: float, high: float, zero_point: int) -> None:
    scale, found = activation_qparams(Range(low, high))
    assert found == zero_point
    assert scale == np.float32((max(high, 0.0) - min(low, 0.0)) / 255)


def test_weights_are_symmetric_per_output_channel() -> None:
    weights = np.array([[1.0, -2.0], [0.5, 0.25]], np.float32)
    q, scales = quantize_weights(weights, "w")
    np.testing.assert_array_equal(scales, np.array([2 / 127, 0.5 / 127], np.float32))
    np.testing.assert_array_equal(q, [[64, -127], [127, 64]])  # 63.5 rounds half to even


def test_a_dead_channel_keeps_a_positive_scale() -> None:
    q, scales = quantize_weights(np.zeros((2, 3), np.float32), "w")
    assert (scales > 0).all()
    assert not q.any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(ExportError, match="'w' hold infinities or NaN"):
        quantize_weights(np.array([[bad, 1]], np.float32), "w")


def test_a_range_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ExportError, match="infinities or NaN"):
        activation_qparams(Range(0.0, np.inf))


def test_nan_activations_are_refused_whichever_batch_they_are_in(exported: Any) -> None:
    images = exported.images_nchw.copy()
    images[0] = np.nan
    content = exported.float_onnx.read_bytes()
    with pytest.raises(ExportError, match="NaN"):
        quantize(content, calibrate(content, images, batch_size=8), input_scale=1 / 128)


def test_a_channel_of_tiny_weights_and_a_real_bias_can_be_quantized(export_net: Callable[..., Any]) -> None:
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    )
    with torch.no_grad():
        net[0].weight[2] *= 1e-9
        net[0].bias[2] = 0.5
    export_net(net.eval(), 8)


def test_the_int8_onnx_stays_near_the_float_one(exported: Any) -> None:
    import onnxruntime as ort

    feeds = {"image": exported.images_nchw}
    expected, actual = (
        ort.InferenceSession(path.read_bytes()).run(None, feeds)[0]
        for path in (exported.float_onnx, exported.int8_onnx)
    )
    assert np.abs(actual - expected).max() < 0.1 * np.ptp(expected)
    assert np.corrcoef(actual.ravel(), expected.ravel())[0, 1] > 0.99


def test_no_quantization_stands_between_a_convolution_and_its_relu6(exported: Any) -> None:
    import onnx

    nodes = onnx.load(str(exported.int8_onnx)).graph.node
    producers = {output: node.op_type for node in nodes for output in node.output}
    clips = [node for node in nodes if node.op_type == "Clip"]
    assert clips
    assert {producers[node.input[0]] for node in clips} == {"Conv"}
