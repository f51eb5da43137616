"""float16 and dynamic-range files: smaller, and still what the float model computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.graph import ExportError, Graph
from export.read_onnx import read_onnx
from export.read_tflite import read_tflite
from export.run.runners import load_runner
from export.write.mobile import to_dynamic_range, to_float16
from export.write.to_tflite import to_tflite

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def wide() -> Any:
    """A net whose layers are wide enough to be worth rounding, as a float graph, with images and its outputs."""
    from export.write.to_onnx import to_onnx

    nn = torch.nn
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1),
        nn.Hardswish(),
        nn.Conv2d(64, 64, 5, padding=2, groups=64),
        nn.ReLU6(),
        nn.Conv2d(64, 32, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 40),
    ).eval()
    x = np.random.default_rng(0).standard_normal((8, 3, 12, 12)).astype(np.float32)
    with torch.no_grad():
        return read_onnx(to_onnx(net, (1, 3, 12, 12))), x, net(torch.tensor(x)).numpy()


def _run(graph: Graph, x: Any, path: Path) -> Any:
    path.write_bytes(to_tflite(graph))
    return load_runner(path).run(x.transpose(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("convert", "share", "tolerance"),
    [(to_float16, 0.55, 0.002), (to_dynamic_range, 0.45, 0.05)],
    ids=["float16", "dynamic range"],
)
def test_a_smaller_file_computes_nearly_the_same(
    wide: Any, tmp_path: Path, convert: Any, share: float, tolerance: float
) -> None:
    graph, x, expected = wide
    actual = _run(convert(graph), x, tmp_path / "small.tflite")
    _run(graph, x, tmp_path / "float.tflite")
    assert np.abs(actual - expected).max() < tolerance * np.ptp(expected)
    assert (tmp_path / "small.tflite").stat().st_size < share * (tmp_path / "float.tflite").stat().st_size


def test_dynamic_range_rounds_the_weights_of_large_layers_per_channel_and_keeps_biases(wide: Any) -> None:
    graph = read_tflite(to_tflite(to_dynamic_range(wide[0])))
    seen = {}
    for node in (n for n in graph.nodes if len(n.inputs) == 3):
        weights, bias = (graph.tensor(name) for name in node.inputs[1:])
        assert bias.dtype == "float32"
        channels = 0 if weights.qparams is None else len(weights.qparams.scale)
        seen[node.op, weights.shape] = (weights.dtype, channels)
    assert seen["CONV_2D", (64, 3, 3, 3)] == ("int8", 64)
    assert seen["DEPTHWISE_CONV_2D", (1, 5, 5, 64)] == ("int8", 64)
    assert seen["FULLY_CONNECTED", (40, 32)] == ("int8", 40)


def test_a_small_layer_stays_float(exported: Any) -> None:
    graph = to_dynamic_range(read_onnx(exported.float_onnx))
    assert "int8" not in {tensor.dtype for tensor in graph.tensors.values()}


def test_an_int8_graph_and_a_weight_beyond_float16_are_refused(exported: Any, wide: Any) -> None:
    from dataclasses import replace

    for convert in (to_float16, to_dynamic_range):
        with pytest.raises(ExportError, match="quantized already"):
            convert(read_tflite(exported.int8_tflite))
    graph = wide[0]
    name = graph.nodes[0].inputs[1]
    large = replace(graph.tensor(name), data=graph.tensor(name).data * np.float32(1e7))
    with pytest.raises(ExportError, match=r"the weights '.*' reach .*; float16 ends at 65504"):
        to_float16(replace(graph, tensors={**graph.tensors, name: large}))
