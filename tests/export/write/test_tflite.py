"""TFLite files, against the QDQ file they come from and the runtimes that read them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.graph import ExportError
from export.read_onnx import read_onnx
from export.read_tflite import read_tflite
from export.run.parity import parity
from export.run.runners import load_runner
from export.to_ops import to_ops
from export.write.to_tflite import to_tflite


def _resnet8(name: str) -> Path:
    shared = os.environ.get("PIPELINE_SHARED")
    if not shared:
        pytest.skip("PIPELINE_SHARED is not set")
    return Path(shared) / "data" / "mlperf-tiny-resnet8" / name


def _int8(pixels: Any) -> Any:
    return (pixels.astype(np.int16) - 128).astype(np.int8)


def test_the_file_holds_integer_kernels_and_nothing_that_converts_or_moves_data(exported: Any) -> None:
    ops = {node.op for node in read_tflite(exported.int8_tflite).nodes}
    assert ops == {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "AVERAGE_POOL_2D", "FULLY_CONNECTED"}


def test_every_activation_scale_is_the_one_of_the_qdq_file_bit_for_bit(exported: Any) -> None:
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(exported.int8_onnx))
    constants = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    expected = {
        (constants[n.input[1]].tobytes(), int(constants[n.input[2]]))
        for n in model.graph.node
        if n.op_type == "QuantizeLinear"
    }
    activations = [t for t in read_tflite(exported.int8_tflite).tensors.values() if t.data is None]
    assert {(t.qparams.scale.tobytes(), int(t.qparams.zero_point[0])) for t in activations if t.qparams} == expected
    assert all(t.dtype == "int8" and t.qparams is not None for t in activations)


def test_depthwise_weights_are_1hwc_and_quantized_along_their_last_axis(exported: Any) -> None:
    graph = read_tflite(exported.int8_tflite)
    for node in (n for n in graph.nodes if n.op == "DEPTHWISE_CONV_2D"):
        weights = graph.tensor(node.inputs[1])
        assert weights.shape == (1, *node.options.kernel_hw, graph.tensor(node.outputs[0]).shape[3])
        assert weights.qparams is not None
        assert (weights.qparams.axis, weights.qparams.scale.size) == (3, weights.shape[3])


def test_every_relu6_is_fused_into_a_convolution_and_stays_a_relu6(exported: Any) -> None:
    from torch import nn

    # int8 outputs would not show it: the range calibrated behind a ReLU6 saturates at 6 by itself
    wanted = sum(isinstance(module, nn.ReLU6) for module in exported.net.modules())
    activations = [node.options.activation for node in read_tflite(exported.int8_tflite).nodes]
    assert (activations.count("RELU6"), activations.count("NONE")) == (wanted, len(activations) - wanted)


def test_the_input_is_pixel_minus_128(exported: Any) -> None:
    graph = read_tflite(exported.int8_tflite)
    image = graph.tensor(graph.inputs[0]).qparams
    assert image is not None
    assert (image.scale.item(), image.zero_point.item()) == (1 / 128, 0)


def test_the_same_graph_gives_the_same_bytes(exported: Any) -> None:
    assert to_tflite(read_onnx(exported.int8_onnx)) == exported.int8_tflite.read_bytes()


def test_the_file_is_hardly_larger_than_its_weights_biases_and_scales(exported: Any) -> None:
    graph = read_tflite(exported.int8_tflite)
    layers = [node for node in graph.nodes if len(node.inputs) == 3]
    weights = [graph.tensor(node.inputs[1]) for node in layers]
    channels = [t.qparams.scale.size for t in weights if t.qparams is not None]
    assert len(channels) == len(layers) == len(graph.nodes) - 2  # all but the ADD and the pool
    data = sum(t.data.nbytes for t in weights if t.data is not None) + sum(4 * c + 4 * c for c in channels)
    zero_points = sum(8 * c for c in set(channels))  # once for each number of channels
    # docs/export.md: 1.2 kB, 223 bytes a layer, 63 for another operator, off by up to 0.4 kB over 100 subnets
    structure = 1630 + 223 * len(layers) + 63 * 2
    assert data < exported.int8_tflite.stat().st_size <= data + zero_points + structure


def test_the_int8_file_computes_what_torch_computes(exported: Any) -> None:
    import torch

    expected = exported.net(torch.tensor(exported.images_nchw)).detach().numpy()
    actual = load_runner(exported.int8_tflite, "litert-reference").classify(exported.pixels)
    assert np.abs(actual - expected).max() < 0.1 * np.ptp(expected)
    assert np.corrcoef(actual.ravel(), expected.ravel())[0, 1] > 0.99


def test_the_runtimes_agree(exported: Any) -> None:
    pytest.importorskip("tflite_micro")
    files = exported.int8_tflite, exported.int8_onnx
    rows = {row.runner: row for row in parity(*files, _int8(exported.pixels), fake_quantized=True)}
    assert set(rows) == {"tflm", "litert-reference", "litert", "onnxruntime", "torch"}
    assert max(tensor.max_abs_lsb for tensor in rows["tflm"].tensors) == 0
    # the last layer rounds twice in TFLite Micro, once in LiteRT
    assert rows["litert-reference"].first_difference in (None, rows["litert-reference"].tensors[-1])
    assert rows["litert-reference"].max_abs_lsb <= 1
    # these requantize through float, half to even: a step per layer, and these nets have seven
    assert max(rows[name].max_abs_lsb for name in ("litert", "onnxruntime", "torch")) <= 4
    assert {row.n for row in rows.values()} == {len(exported.pixels)}


def test_an_activation_is_fused_when_its_convolution_is_not_the_node_before_it(export_net: Callable[..., Any]) -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Interleaved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 1)
            self.relu_a, self.relu_b = nn.ReLU6(), nn.ReLU6()
            self.tail = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))

        def forward(self, x: Any) -> Any:
            a, b = self.a(x), self.b(x)
            return self.tail(self.relu_a(a) + self.relu_b(b))

    exported = export_net(Interleaved().eval(), 8)
    activations = [t for t in read_tflite(exported.int8_tflite).tensors.values() if t.data is None]
    assert {t.dtype for t in activations} == {"int8"}


def test_a_float_tflite_classifies_pixels_as_its_float_onnx_does(exported: Any, tmp_path: Path) -> None:
    path = tmp_path / "f.tflite"
    path.write_bytes(to_tflite(read_onnx(exported.float_onnx)))
    expected = load_runner(exported.float_onnx).classify(exported.pixels)
    np.testing.assert_allclose(
        load_runner(path).classify(exported.pixels), expected, atol=1e-4 * np.abs(expected).max()
    )


def test_weights_are_aligned_to_16_bytes_as_the_schema_asks(exported: Any) -> None:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(exported.int8_tflite.read_bytes(), 0)
    filled = [b for b in (model.Buffers(i) for i in range(model.BuffersLength())) if b.DataLength()]
    assert {b._tab.Vector(b._tab.Offset(4)) % 16 for b in filled} == {0}


def test_mlperf_tinys_resnet8_lowers_to_its_published_macs() -> None:
    # 12,501,632 by hand: stem 442,368; stages 4,718,592 + 3,670,016 + 3,670,016; classifier 640
    ops = to_ops(read_tflite(_resnet8("int8.tflite")))
    positions = [op.output.shape[1] * op.output.shape[2] if len(op.output.shape) == 4 else 1 for op in ops]
    assert sum(op.weights * n for op, n in zip(ops, positions, strict=True)) == 12_501_632
    assert not [op for op in ops if op.kind == "unknown"]


def test_mlperf_tinys_resnet8_gives_probabilities_of_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    int8, floats = (load_runner(_resnet8(name)).classify(pixels) for name in ("int8.tflite", "float.tflite"))
    assert int8.shape == floats.shape == (8, 10)
    np.testing.assert_allclose(int8.sum(1), 1, atol=10 / 256)  # ten classes, each rounded to 1/256
    assert np.abs(int8 - floats).mean() < 0.1  # noise is far from the data that it was quantized for


@pytest.mark.parametrize("size", [0, 4, 8, 200, 2000])
def test_a_truncated_file_is_refused(exported: Any, size: int) -> None:
    with pytest.raises(ExportError, match=r"is not a TFLite model|is damaged"):
        read_tflite(exported.int8_tflite.read_bytes()[:size])


def test_an_onnx_file_is_no_tflite_file_and_the_other_way_round(exported: Any) -> None:
    with pytest.raises(ExportError, match="is not a TFLite model"):
        read_tflite(exported.float_onnx)
    with pytest.raises(ExportError, match="is not a readable ONNX model"):
        read_onnx(exported.int8_tflite)


def test_a_runtime_that_cannot_read_the_format_is_refused(exported: Any) -> None:
    with pytest.raises(ExportError, match=r"can't run f\.onnx; choose onnxruntime"):
        load_runner(exported.float_onnx, "tflm")
    with pytest.raises(ExportError, match=r"no model file known here"):
        load_runner(Path("net.pt"))
