"""TANH: LiteRT, TFLite Micro, onnxruntime and the real function as oracles; C on this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.calibrate import calibrate, session
from export.graph import ExportError, Graph, Node, QParams, Tensor
from export.ops.interpreter import Interpreter
from export.ops.tanh import tanh_table
from export.quantize import quantize
from export.read_onnx import read_onnx
from export.read_tflite import read_tflite
from export.run.host_firmware import load_host_firmware
from export.run.parity import parity
from export.run.tflite_runtimes import load_tracer
from export.runtime.build import host_compiler
from export.write.to_tflite import to_tflite

EVERY_VALUE = np.arange(-128, 128).astype(np.int8).reshape(1, 256)
QUANTIZATIONS = [(0.001, 5), (1 / 128, 0), (0.02, -128), (0.05, -3), (0.11, 127), (0.5, 40), (4.0, -1), (7.9, 9)]


def tanh_graph(scale: float, zero_point: int, output: tuple[float, int] = (1 / 128, 0)) -> Graph:
    x, y = (QParams(np.array([s], np.float32), np.array([z], np.int64)) for s, z in ((scale, zero_point), output))
    tensors = {"x": Tensor("x", (1, 256), "int8", x), "y": Tensor("y", (1, 256), "int8", y)}
    return Graph((Node("TANH", "t", ("x",), ("y",)),), tensors, ("x",), ("y",))


def test_worked_values() -> None:
    # tanh(1 / 2) = 0.46212, times 128 is 59.15; tanh(1) = 0.76159: 97.48; tanh(2) = 0.96403: 123.40
    table = tanh_table(1 / 64, 0)
    assert [int(table[128 + q]) for q in (0, 32, 64, 127, -32, -64, -128)] == [0, 59, 97, 123, -59, -97, -123]


@pytest.mark.parametrize(("scale", "zero_point"), QUANTIZATIONS)
def test_every_value_is_what_tflite_micro_computes_and_nearly_what_litert_does(scale: float, zero_point: int) -> None:
    content = to_tflite(tanh_graph(scale, zero_point))
    found = Interpreter(read_tflite(content)).run(EVERY_VALUE)
    (litert,) = load_tracer(content, "litert-reference")(EVERY_VALUE)
    assert np.abs(found.astype(int) - litert).max() <= 1  # a table of rounded floats there
    if sys.platform == "linux":
        pytest.importorskip("tflite_micro")
        np.testing.assert_array_equal(found, load_tracer(content, "tflm")(EVERY_VALUE)[0])


@pytest.mark.skipif(host_compiler() is None, reason="no C compiler")
@pytest.mark.parametrize(("scale", "zero_point"), QUANTIZATIONS)
def test_the_c_computes_what_the_interpreter_computes(scale: float, zero_point: int) -> None:
    content = to_tflite(tanh_graph(scale, zero_point))
    expected = Interpreter(read_tflite(content)).run(EVERY_VALUE)
    np.testing.assert_array_equal(load_host_firmware(content, 1)(EVERY_VALUE), expected)


def test_another_output_scale_is_refused() -> None:
    with pytest.raises(ExportError, match=r"node 't' \(TANH\): its output must have scale 1/128 and zero point 0"):
        Interpreter(tanh_graph(0.1, 0, (1 / 256, -128)))


@pytest.fixture(scope="module")
def net() -> Any:
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.tanh = torch.nn.Conv2d(3, 5, 3, 2), torch.nn.Tanh()
            self.linear = torch.nn.Linear(5 * 3 * 3, 4)

        def forward(self, x: Any) -> Any:
            return torch.tanh(self.linear(torch.flatten(self.tanh(self.conv(x)), 1)))

    torch.manual_seed(1)
    return Net().eval()


def test_a_torch_module_becomes_int8_tflite_that_every_runtime_runs(
    net: Any, export_net: Callable[..., Any], tmp_path: Path
) -> None:
    exported = export_net(net, 7)
    graph = read_tflite(exported.int8_tflite)
    assert [node.op for node in graph.nodes] == ["CONV_2D", "TANH", "FULLY_CONNECTED", "TANH"]
    for node in graph.nodes[1::2]:
        q = graph.tensor(node.outputs[0]).qparams
        assert q is not None
        assert (q.scale.item(), q.zero_point.item()) == (1 / 128, 0)
    inputs = (exported.pixels.astype(np.int16) - 128).astype(np.int8)
    for row in parity(exported.int8_tflite, exported.int8_onnx, inputs, fake_quantized=True):
        assert row.max_abs_lsb <= 2, row.runner  # steps of 1/128; two roundings of the network before it


def test_a_float_file_computes_the_function(net: Any, export_net: Callable[..., Any]) -> None:
    exported = export_net(net, 7)
    content = exported.float_onnx.read_bytes()
    x = exported.images_nchw[:1]
    (expected,) = session(content)(None, {"image": x})
    (found,) = load_tracer(to_tflite(read_onnx(content)), "litert-reference")(x.transpose(0, 2, 3, 1))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    (int8,) = session(quantize(content, calibrate(content, x)))(None, {"image": x})
    assert np.abs(int8 - expected).max() < 4 / 128
