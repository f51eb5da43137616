"""What can't be exported is named with its node, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.calibrate import calibrate
from export.graph import ExportError
from export.observed import Range
from export.quantize import quantize
from export.read_onnx import read_onnx


def _model(
    nodes: list[Any],
    constants: dict[str, Any],
    shape: list[Any] | None = None,
    opset: int = 17,
) -> bytes:
    ends = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, shape or ["N", 3, 8, 8]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, None),
    ]
    initializers = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def _conv(weights: Any = None, **attributes: Any) -> bytes:
    weights = np.ones((4, 3, 1, 1), np.float32) if weights is None else weights
    options = {k: attributes.pop(k) for k in ("shape", "opset") if k in attributes}
    return _model(
        [helper.make_node("Conv", ["image", "w"], ["logits"], name="first", **attributes)], {"w": weights}, **options
    )


_REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "a batch of eight": (
        lambda: _conv(shape=[8, 3, 8, 8]),
        "input 'image' has batch size 8; export it with batch size 1",
    ),
    "a dynamic size": (lambda: _conv(shape=["N", 3, "H", "W"]), "the shape of 'image' is not static"),
    "an opset too old": (lambda: _conv(opset=9), r"is of opset 9; 11 to \d+ can be read"),
    "an opset too new": (
        lambda: _conv(opset=onnx.defs.onnx_opset_version() + 1),
        r"is of opset \d+; 11 to \d+ can be read: export it with opset 17",
    ),
    "weights that are computed": (
        lambda: _model(
            [
                helper.make_node("Relu", ["image"], ["w"], name="before"),
                helper.make_node("Conv", ["image", "w"], ["logits"], name="first"),
            ],
            {},
        ),
        r"node 'first' \(Conv\): its weights are computed, not constant",
    ),
    "a group that is not depthwise": (
        lambda: _conv(np.ones((4, 2, 1, 1), np.float32), shape=["N", 4, 8, 8], group=2),
        r"node 'first' \(Conv\): grouped convolutions other than depthwise",
    ),
    "padding at the lower end": (lambda: _conv(auto_pad="SAME_LOWER"), r"node 'first' \(Conv\): auto_pad SAME_LOWER"),
    "weights that are NaN": (
        lambda: _conv(np.full((4, 3, 1, 1), np.nan, np.float32)),
        r"node 'first' \(Conv\): 'w' holds infinities or NaN",
    ),
    "a clip between odd bounds": (
        lambda: _model(
            [helper.make_node("Clip", ["image", "low", "high"], ["logits"], name="odd")],
            {"low": np.float32(-2), "high": np.float32(3)},
        ),
        r"node 'odd' \(Clip\): the bounds -2.0 and 3.0 are not supported",
    ),
    "a reshape that mixes layouts": (
        lambda: _model(
            [helper.make_node("Reshape", ["image", "shape"], ["logits"], name="mix")],
            {"shape": np.array([1, 6, 4, 8], np.int64)},
        ),
        r"node 'mix' \(Reshape\): .* would move data between NCHW and NHWC",
    ),
}


@pytest.mark.parametrize(("build", "message"), _REFUSED.values(), ids=_REFUSED.keys())
def test_an_onnx_file_that_cannot_be_read_says_why(build: Callable[[], bytes], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        read_onnx(build())


def test_an_operator_that_cannot_be_quantized_is_named() -> None:
    content = _model([helper.make_node("Erf", ["image"], ["logits"], name="strange")], {})
    with pytest.raises(ExportError, match="node 'strange' is a Erf; quantizable are"):
        quantize(content, {"image": Range(-1, 1), "logits": Range(-1, 1)})


def test_a_tensor_without_a_range_is_named() -> None:
    with pytest.raises(ExportError, match="no calibrated range of 'logits'"):
        quantize(_conv(), {"image": Range(-1, 1)})


def test_an_output_too_fine_for_its_accumulator_is_named() -> None:
    # scale of the sums 2/255 * 1/127, of the output 1e-15/255: a shift to the left by 43 bits
    with pytest.raises(ExportError, match=r"node 'first' \(Conv\): channel 0 can overflow its int32 accumulator"):
        quantize(_conv(), {"image": Range(-1, 1), "logits": Range(0, 1e-15)})


def test_a_constant_channel_and_a_tensor_that_is_zero_are_no_error() -> None:
    content = _conv(np.zeros((4, 3, 1, 1), np.float32))
    images = np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float32)
    graph = read_onnx(quantize(content, calibrate(content, images)))
    assert graph.nodes[0].op == "CONV_2D"


def _quantized() -> Any:
    images = np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["a"], name="first"),
        helper.make_node("HardSwish", ["a"], ["logits"], name="second"),
    ]
    content = _model(nodes, {"w": np.ones((4, 3, 1, 1), np.float32)})
    return onnx.load_from_string(quantize(content, calibrate(content, images)))


def test_a_missing_pair_is_found_at_the_node_that_lacks_it() -> None:
    model = _quantized()
    pair = [node for node in model.graph.node if node.op_type.endswith("Linear") and node.output[0].startswith("a_")]
    for node in pair:
        model.graph.node.remove(node)
    for node in model.graph.node:
        node.input[:] = ["a" if name == "a_dequantized" else name for name in node.input]
    with pytest.raises(ExportError, match=r"node 'first' \(CONV_2D\): 'a' has no QuantizeLinear/DequantizeLinear pair"):
        read_onnx(model.SerializeToString())


def test_a_torn_pair_is_found() -> None:
    model = _quantized()
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.5), "other"))
    half = next(node for node in model.graph.node if node.output[0] == "a_dequantized")
    half.input[1] = "other"
    with pytest.raises(ExportError, match="is not that of the other half of its pair"):
        read_onnx(model.SerializeToString())


def test_a_scale_of_zero_is_refused() -> None:
    model = _quantized()
    for initializer in model.graph.initializer:
        if initializer.name == "a_scale":
            initializer.CopyFrom(numpy_helper.from_array(np.float32(0), "a_scale"))
    with pytest.raises(ExportError, match="a scale must be positive, not 0"):
        read_onnx(model.SerializeToString())


def _with_constants(model: Any, **values: Any) -> bytes:
    """A quantized model with other scales or zero points."""
    for initializer in model.graph.initializer:
        if initializer.name in values:
            initializer.CopyFrom(numpy_helper.from_array(np.asarray(values[initializer.name]), initializer.name))
    content: bytes = model.SerializeToString()
    return content


def test_a_quantized_graph_whose_sums_overflow_is_refused_at_the_node() -> None:
    # as above, but the scales come from another tool: of the products 2/255 * 1/127, of the output 1e-15
    content = _with_constants(_quantized(), a_scale=np.float32(1e-15))
    with pytest.raises(ExportError, match=r"node 'first' \(CONV_2D\): channel 0 can overflow its int32 accumulator"):
        read_onnx(content)


def test_weights_must_be_symmetric_and_have_their_scales_along_output_channels() -> None:
    content = _with_constants(_quantized(), **{"first.weight_zero_point": np.array([0, 0, 3, 0], np.int8)})
    with pytest.raises(ExportError, match=r"node 'first' \(Conv\): its weights must be quantized symmetrically"):
        read_onnx(content)
    model = _quantized()
    half = next(node for node in model.graph.node if node.output[0] == "first.weight_dequantized")
    next(a for a in half.attribute if a.name == "axis").i = 1
    names = ("first.weight_scale", "first.weight_zero_point")
    content = _with_constants(model, **dict(zip(names, (np.ones(3, np.float32), np.zeros(3, np.int8)), strict=True)))
    with pytest.raises(ExportError, match=r"node 'first' \(Conv\): its weights are quantized along axis 1; only"):
        read_onnx(content)


def test_an_activation_quantized_per_channel_is_refused_at_its_node() -> None:
    scales, zero_points = np.ones(4, np.float32), np.zeros(4, np.int8)
    content = _with_constants(_quantized(), a_scale=scales, a_zero_point=zero_points)
    with pytest.raises(ExportError, match=r"node 'a_.*' \(QuantizeLinear\): an activation can't be quantized per"):
        read_onnx(content)


def test_a_scale_that_is_computed_is_refused_at_its_node() -> None:
    model = _quantized()
    kept = [i for i in model.graph.initializer if i.name != "a_scale"]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    with pytest.raises(ExportError, match=r"node 'a_.*' \(QuantizeLinear\): its scale and zero point must be const"):
        read_onnx(model.SerializeToString())


def test_activations_that_are_nan_are_refused_by_their_tensor() -> None:
    content = _conv()
    with pytest.raises(ExportError, match=r"tensor 'image': an activation range is .*infinities or NaN"):
        quantize(content, {"image": Range(float("nan"), 1), "logits": Range(0, 1)})
