"""Parity: which runtimes agree, and the operator that differs first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_nets import randomise, residual_net

import export.run.parity as module
from export.graph import ExportError, Graph, Node, QParams, Tensor
from export.ops.fixed_point import quantize_multiplier, rescale
from export.passes.dead_channels import without_dead_channels
from export.read_onnx import read_onnx
from export.read_tflite import read_tflite
from export.run.parity import Parity, bound_lsb, parity
from export.run.tflite_runtimes import load_tracer
from export.write.to_tflite import to_tflite
from pipeline.models import model_file, released_models

pytest.importorskip("tflite_micro")


def _inputs(exported: Any, n: int = 8) -> Any:
    return (exported.pixels[:n].astype(np.int16) - 128).astype(np.int8)


def test_a_scale_that_was_changed_is_found_at_its_operator(exported: Any, tmp_path: Path) -> None:
    graph = read_tflite(exported.int8_tflite)
    node = next(node for node in graph.nodes if node.op == "DEPTHWISE_CONV_2D")
    tensor = graph.tensor(node.outputs[0])
    assert tensor.qparams is not None
    wrong = replace(tensor, qparams=QParams(tensor.qparams.scale * np.float32(1.25), tensor.qparams.zero_point))
    path = tmp_path / "wrong.tflite"
    path.write_bytes(to_tflite(replace(graph, tensors={**graph.tensors, tensor.name: wrong})))
    rows = {row.runner: row for row in parity(path, exported.int8_onnx, _inputs(exported))}
    # onnxruntime may round one value of an earlier operator the other way; a scale that is off by a quarter is far off
    first = next(tensor for tensor in rows["onnxruntime"].tensors if tensor.max_abs_lsb > 4)
    assert (first.op, first.node) == (node.op, node.name)
    assert rows["tflm"].first_difference is None


def test_every_input_is_counted_not_only_those_of_the_first_chunk() -> None:
    q = QParams(np.array([1.0], np.float32), np.array([0]))
    tensors = {name: Tensor(name, (1, 4), "int8", q) for name in ("x", "y")}
    graph = Graph((Node("RELU", "last", ("x",), ("y",)),), tensors, ("x",), ("y",))
    inputs = np.repeat(np.arange(50, dtype=np.int8)[:, None], 4, 1)  # each is its own number

    def reference(x: Any) -> list[Any]:
        return [x.copy()]

    def wrong_late(x: Any) -> list[Any]:
        y = x.copy()
        y[x[:, 0] == 10, 1] -= 3
        y[x[:, 0] == 40, 2] -= 9  # in the second chunk
        return [y]

    assert len(inputs) > module._CHUNK > 10
    (found,) = module._compare(graph, reference, {"litert": wrong_late}, inputs, lambda *_: None, ["RELU"])
    assert (found.n, found.mismatches, found.max_abs_lsb) == (50, 2, 9)
    assert found.beyond == 1 / 200  # of all scores, one is off by more than 8
    assert not found.holds
    (last,) = found.tensors
    assert (last.mismatches, last.max_abs_lsb) == (2, 9)


@pytest.mark.parametrize(
    ("runner", "operators", "bound"),
    [("onnxruntime", 32, 8), ("onnxruntime", 69, 17), ("litert", 69, 17), ("tflm", 69, 0), ("litert-reference", 69, 1)],
)
def test_roundings_add_up_with_depth_where_runtimes_round_differently(runner: str, operators: int, bound: int) -> None:
    assert bound_lsb(runner, ["CONV_2D"] * operators) == bound


def test_every_mul_may_move_litert_by_a_step_and_tflite_micro_by_none() -> None:
    gated = ["CONV_2D", "MUL", "CONV_2D", "MUL", "FULLY_CONNECTED"]
    assert (bound_lsb("litert-reference", gated), bound_lsb("tflm", gated)) == (3, 0)


@pytest.mark.parametrize("name", [name for name in released_models() if name.startswith("cifar10-m7")])
def test_litert_computes_the_factor_of_a_mul_in_float32(name: str) -> None:
    pytest.importorskip("ai_edge_litert")
    graph = read_tflite(model_file(released_models()[name]))
    exposed = to_tflite(replace(graph, outputs=tuple(node.outputs[0] for node in graph.nodes)))
    image = np.random.default_rng(0).integers(-128, 128, (1, *graph.tensor(graph.inputs[0]).shape[1:])).astype(np.int8)
    values = dict(
        zip([n.outputs[0] for n in graph.nodes], load_tracer(exposed, "litert-reference")(image), strict=True)
    )
    muls = [node for node in graph.nodes if node.op == "MUL"]
    for node in muls:
        (a, za), (b, zb), (y, zy) = (_scale_and_zero(graph, t) for t in (*node.inputs[:2], node.outputs[0]))
        u, v = (values[t].astype(np.int64) - z for t, z in zip(node.inputs[:2], (za, zb), strict=True))
        expected = np.clip(rescale(u * v, *quantize_multiplier(float(a * b / y))) + zy, -128, 127)
        assert np.array_equal(values[node.outputs[0]], expected)
    assert muls


def _scale_and_zero(graph: Graph, name: str) -> tuple[np.float32, int]:
    qparams = graph.tensor(name).qparams
    assert qparams is not None
    return np.float32(qparams.scale[0]), int(qparams.zero_point[0])


@pytest.mark.parametrize(
    ("runner", "beyond", "holds"),
    [("onnxruntime", 0.001, True), ("onnxruntime", 0.002, False), ("tflm", 0.0, True), ("tflm", 1e-5, False)],
)
def test_a_stray_score_is_allowed_where_runtimes_round_differently_and_none_elsewhere(
    runner: str, beyond: float, holds: bool
) -> None:
    assert Parity(runner, 11, 1, 1000, 1.0, 8, beyond, ()).holds == holds


def test_the_share_of_scores_beyond_the_bound_is_counted(exported: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "bound_lsb", lambda runner, _: -1 if runner == "onnxruntime" else 0)
    rows = {row.runner: row for row in parity(exported.int8_tflite, exported.int8_onnx, _inputs(exported))}
    assert (rows["onnxruntime"].beyond, rows["onnxruntime"].holds) == (1.0, False)
    assert (rows["tflm"].beyond, rows["tflm"].holds) == (0.0, True)


def test_there_is_a_row_for_every_operator(exported: Any) -> None:
    (row, *_) = parity(exported.int8_tflite, None, _inputs(exported))
    assert [t.op for t in row.tensors] == [node.op for node in read_tflite(exported.int8_tflite).nodes]


def test_the_qdq_file_of_another_model_is_refused(exported: Any, export_net: Any) -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn
    size = exported.pixels.shape[1]
    other = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)).eval()
    with pytest.raises(ExportError, match=r"q\.onnx is not the QDQ graph that the TFLite file was made of"):
        parity(exported.int8_tflite, export_net(other, size).int8_onnx, _inputs(exported))


def test_padding_that_became_an_operator_is_compared_too(export_net: Any) -> None:
    nn = pytest.importorskip("torch").nn
    net = nn.Sequential(  # pads by one on all sides, where TF-SAME pads an even size at its end only
        nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    ).eval()  # fmt: skip
    files = export_net(net, 16)
    rows = {row.runner: row for row in parity(files.int8_tflite, files.int8_onnx, _inputs(files))}
    pads = [tensor for tensor in rows["onnxruntime"].tensors if tensor.op == "PAD"]
    assert len(pads) == 2
    assert pads[0].mismatches == 0  # of the image itself, nothing is rounded
    assert pads[1].max_abs_lsb <= 2  # a border of another value than zero would be far off
    assert rows["onnxruntime"].holds


def test_a_file_without_dead_channels_is_compared_with_the_whole_qdq_file(export_net: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    net = randomise(residual_net(9, 3, 1, 6), seed=3)
    with torch.no_grad():  # 0 behind a ReLU6, whatever the picture
        net[2].expand.bn.weight[[0, 7]], net[2].expand.bn.bias[[0, 7]] = 0, -1
    made = export_net(net, 9)
    shrunk = without_dead_channels(read_onnx(made.int8_onnx))
    assert [dead.channel for dead in shrunk.removed] == [0, 7, 0, 7]  # of the expansion and of the depthwise layer
    small = tmp_path / "small.tflite"
    small.write_bytes(to_tflite(shrunk.graph))
    rows = parity(small, made.int8_onnx, _inputs(made), fake_quantized=True)
    assert {row.runner for row in rows} >= {"tflm", "litert-reference", "onnxruntime", "torch"}
    for row in rows:
        assert row.holds, row.runner
        assert [tensor.op for tensor in row.tensors] == [node.op for node in shrunk.graph.nodes]


def test_a_float_model_is_refused(exported: Any, tmp_path: Path) -> None:
    from export.read_onnx import read_onnx

    path = tmp_path / "f.tflite"
    path.write_bytes(to_tflite(read_onnx(exported.float_onnx)))
    with pytest.raises(ExportError, match=r"f\.tflite is not an int8 model"):
        parity(path, None, _inputs(exported))


def test_a_model_with_an_operator_outside_the_set_is_compared_by_its_outputs(exported: Any, tmp_path: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    content = exported.int8_tflite.read_bytes()
    # ABS is none of the interpreter's; LiteRT and TFLite Micro know it
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ABS
    code.version = 2
    model.operatorCodes.append(code)
    tensor = schema.TensorT()
    tensor.shape, tensor.type, tensor.buffer = graph.tensors[graph.outputs[0]].shape, schema.TensorType.INT8, 0
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale, tensor.quantization.zeroPoint = [1 / 128], [0]
    graph.tensors.append(tensor)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs, operator.outputs = [int(graph.outputs[0])], [len(graph.tensors) - 1]
    graph.operators.append(operator)
    graph.outputs = [len(graph.tensors) - 1]
    path = tmp_path / "abs.tflite"
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    rows = parity(path, None, _inputs(exported))
    assert [row.runner for row in rows] == ["tflm", "litert"]
    assert {len(row.tensors) for row in rows} == {1}
