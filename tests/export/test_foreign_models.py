"""Models that nobody here trained: MLPerf Tiny's ResNet8, and damaged files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.calibrate import calibrate
from export.graph import ExportError, Graph, Node, Tensor
from export.ops.interpreter import Interpreter
from export.quantize import quantize
from export.read_onnx import read_onnx
from export.read_tflite import read_tflite
from export.run.runners import load_runner
from export.run.tflite_runtimes import load_tracer
from export.to_ops import to_ops
from export.write.to_tflite import to_tflite
from hardware_profiles.cost.memory import TFLM_ORDER, plan_memory
from hardware_profiles.cost.ops import macs

SHARED = os.environ.get("PIPELINE_SHARED")
needs_shared = pytest.mark.skipif(SHARED is None, reason="PIPELINE_SHARED names no directory of MLPerf Tiny models")


def resnet8(name: str) -> Path:
    assert SHARED is not None
    return Path(SHARED) / "data" / "mlperf-tiny-resnet8" / f"{name}.tflite"


@needs_shared
@pytest.mark.parametrize("name", ["int8", "float"])
def test_resnet8_has_the_published_macs_and_arena(name: str) -> None:
    ops = to_ops(read_tflite(resnet8(name)))
    assert sum(macs(op) for op in ops) == 12_501_632
    assert "unknown" not in {op.kind for op in ops}
    assert plan_memory(ops, (TFLM_ORDER,)).peak_bytes == 49_152 * (1 if name == "int8" else 4)


@needs_shared
def test_resnet8_int8_and_float_agree_on_what_a_pixel_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3)).astype(np.uint8)
    int8, real = load_runner(resnet8("int8")), load_runner(resnet8("float"))
    assert int8.encode(pixels)[0, 0, 0].tolist() == [int(p) - 128 for p in pixels[0, 0, 0]]
    assert real.encode(pixels)[0, 0, 0].tolist() == [float(p) for p in pixels[0, 0, 0]]
    assert np.mean(int8.classify(pixels).argmax(1) == real.classify(pixels).argmax(1)) >= 0.8
    np.testing.assert_allclose(real.classify(pixels).sum(1), 1, atol=1e-5)


@needs_shared
def test_a_damaged_file_is_refused_whatever_was_damaged(tmp_path: Path) -> None:
    content = resnet8("int8").read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "model.tflite"
    for cut in (0, 3, 8, 100, 5_000, 50_000):
        path.write_bytes(content[:cut])
        with pytest.raises(ExportError, match=r"model\.tflite is (not a TFLite model|damaged)"):
            read_tflite(path)
    for _ in range(100):  # flipped bytes may still be a model; anything else must be an ExportError
        damaged = bytearray(content)
        for position in rng.integers(8, 4096, 8):
            damaged[position] = int(rng.integers(256))
        path.write_bytes(bytes(damaged))
        try:
            to_ops(read_tflite(path))
        except ExportError:
            continue


def test_files_that_are_no_models_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "model.txt"
    text.write_text("hello")
    with pytest.raises(ExportError, match="is no model file known here"):
        load_runner(text)
    with pytest.raises(ExportError, match="there is no file"):
        load_runner(tmp_path / "absent.tflite")
    onnx = tmp_path / "model.onnx"
    onnx.write_bytes(b"not a protobuf")
    with pytest.raises(ExportError, match=r"model\.onnx is not a readable ONNX model"):
        read_onnx(onnx)
    with pytest.raises(ExportError, match="onnxruntime can't load"):
        load_runner(onnx)
    with pytest.raises(ExportError, match=r"tflm can't run model\.onnx; choose onnxruntime"):
        load_runner(onnx, "tflm")


def test_an_operator_outside_the_set_keeps_its_name_for_fit_and_is_refused_for_export() -> None:
    from onnx import TensorProto, helper

    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 8, 8]) for n in ("image", "y")]
    graph = helper.make_graph([helper.make_node("Erf", ["image"], ["y"], name="strange")], "g", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    read = read_onnx(model.SerializeToString())
    assert [(op.kind, op.op) for op in to_ops(read)] == [("unknown", "Erf")]
    with pytest.raises(ExportError, match="node 'strange' is a Erf; TFLite files can be written of"):
        to_tflite(read)


def test_weights_that_are_dequantized_in_the_file_are_weights_and_no_activations() -> None:
    stored = Tensor("stored", (4, 1, 1, 3), "float16", None, np.zeros((4, 1, 1, 3), np.float16))
    tensors = [
        Tensor("x", (1, 8, 8, 3), "float32"),
        stored,
        Tensor("w", (4, 1, 1, 3), "float32"),
        Tensor("y", (1, 8, 8, 4), "float32"),
    ]
    nodes = (Node("DEQUANTIZE", "0", ("stored",), ("w",)), Node("CONV_2D", "1", ("x", "w"), ("y",)))
    (op,) = to_ops(Graph(nodes, {t.name: t for t in tensors}, ("x",), ("y",)))
    assert [t.name for t in op.inputs] == ["x"]
    assert macs(op) == 8 * 8 * 3 * 4


def torchvision_net(name: str) -> Any:
    """A network of torchvision with random weights and statistics, 10 classes."""
    torch = pytest.importorskip("torch")
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    return with_statistics(getattr(models, name)(num_classes=10))


def with_statistics(net: Any) -> Any:
    """Evaluation mode, with batch-norm statistics that a wrong folding would show."""
    for module in net.modules():
        if type(module).__name__ == "BatchNorm2d":
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval()


def exported_by_torch(net: Any, size: int) -> bytes:
    """What a user of torch.onnx.export has."""
    import io
    import warnings

    import torch

    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecation
        image, axes = torch.zeros(1, 3, size, size), {"image": {0: "N"}, "logits": {0: "N"}}
        torch.onnx.export(
            net,
            (image,),
            file,
            dynamo=False,
            opset_version=13,
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes=axes,
        )
    return file.getvalue()


def ds_cnn() -> Any:
    """MLPerf Tiny's keyword network in shape: depthwise-separable blocks, batch norms, ReLU, a softmax."""
    torch = pytest.importorskip("torch")
    nn = torch.nn
    torch.manual_seed(0)

    def block(c_in: int, c_out: int, **options: Any) -> list[Any]:
        return [nn.Conv2d(c_in, c_out, bias=False, **options), nn.BatchNorm2d(c_out), nn.ReLU()]

    layers = block(3, 16, kernel_size=(10, 4), stride=2, padding=(4, 1))
    for _ in range(2):
        layers += block(16, 16, kernel_size=3, padding=1, groups=16) + block(16, 16, kernel_size=1)
    return nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16 * 64, 10), nn.Softmax(1)).eval()


def efficientnet_lite() -> Any:
    """EfficientNet-Lite in shape: inverted bottlenecks of kernels 3 and 5, ReLU6, no squeeze-excite, a dropout."""
    torch = pytest.importorskip("torch")
    nn = torch.nn
    torch.manual_seed(0)

    def conv(c_in: int, c_out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[Any]:
        layer = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
        return [layer, nn.BatchNorm2d(c_out), nn.ReLU6()]

    class Bottleneck(nn.Module):
        def __init__(self, c_in: int, c_out: int, kernel: int, stride: int, expand: int) -> None:
            super().__init__()
            wide = c_in * expand
            layers = conv(c_in, wide) if expand > 1 else []
            layers += conv(wide, wide, kernel, stride, wide) + conv(wide, c_out)[:-1]
            self.layers, self.residual = nn.Sequential(*layers), stride == 1 and c_in == c_out

        def forward(self, x: Any) -> Any:
            return x + self.layers(x) if self.residual else self.layers(x)

    blocks = [(8, 8, 3, 1, 1), (8, 12, 3, 2, 6), (12, 12, 3, 1, 6), (12, 20, 5, 2, 6), (20, 20, 5, 1, 6)]
    net = nn.Sequential(
        *conv(3, 8, 3, 2),
        *(Bottleneck(*block) for block in blocks),
        *conv(20, 64),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(64, 10),
    )
    return with_statistics(net)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("ds_cnn", 32),
        ("efficientnet_lite", 32),
        pytest.param("resnet18", 32, marks=pytest.mark.slow),
        pytest.param("mobilenet_v2", 64, marks=pytest.mark.slow),
        pytest.param("mobilenet_v3_small", 64, marks=pytest.mark.slow),
        pytest.param("mobilenet_v3_large", 64, marks=pytest.mark.slow),
    ],
)
def test_a_network_from_elsewhere_becomes_float_and_int8_tflite(name: str, size: int, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("tflite_micro")
    built = {"ds_cnn": ds_cnn, "efficientnet_lite": efficientnet_lite}
    net = built[name]() if name in built else torchvision_net(name)
    content = exported_by_torch(net, size)
    x = np.random.default_rng(0).standard_normal((4, 3, size, size)).astype(np.float32)
    with torch.no_grad():
        expected = net(torch.tensor(x)).numpy()
    path = tmp_path / "float.tflite"
    path.write_bytes(to_tflite(read_onnx(content)))
    actual = load_runner(path).run(x.transpose(0, 2, 3, 1))
    np.testing.assert_allclose(actual, expected, atol=1e-4 * np.abs(expected).max())
    graph = read_onnx(quantize(content, calibrate(content, x)))
    assert {t.dtype for t in graph.tensors.values() if t.data is None} == {"int8"}
    inputs = np.random.default_rng(1).integers(-128, 128, (2, size, size, 3)).astype(np.int8)
    (on_device,) = load_tracer(to_tflite(graph), "tflm")(inputs)
    np.testing.assert_array_equal(Interpreter(graph).run(inputs), on_device)


def test_the_gate_of_squeeze_excite_and_hard_swish_are_integer_operators(gated: Any) -> None:
    from export.write.to_onnx import to_onnx

    net, images = gated
    content = to_onnx(net, (1, 3, 12, 12))
    graph = read_onnx(quantize(content, calibrate(content, images)))
    ops = [node.op for node in graph.nodes]
    gate = ops.index("MUL")
    assert ops[gate - 3 : gate + 2] == ["AVERAGE_POOL_2D", "CONV_2D", "CONV_2D", "MUL", "CONV_2D"]
    assert ops.count("HARD_SWISH") == 2 + 2 * ops.count("MUL")
    scale = graph.tensor(graph.nodes[gate - 1].outputs[0]).qparams
    assert scale is not None
    assert int(scale.zero_point[0]) == -128  # the gate's values start at 0 ...
    assert scale.scale[0] <= np.float32(1 / 255)  # ... and end at 1 at most
