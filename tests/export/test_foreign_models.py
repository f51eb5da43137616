"""Models that nobody here trained: MLPerf Tiny's ResNet8, and damaged files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from export.graph import ExportError, Graph, Node, Tensor, to_ops
from export.read_onnx import read_onnx
from export.read_tflite import read_tflite
from export.runners import load_runner
from hardware_profiles.memory import TFLM_ORDER, plan_memory
from hardware_profiles.ops import macs

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

    from export.to_tflite import to_tflite

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
