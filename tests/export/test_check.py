"""What a file says is held against what follows from it."""

from __future__ import annotations

import os
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter
from node_graphs import X, Y, constant, conv, graph, refused, tensor

from export.check import check_graph
from export.graph import ExportError, Graph, Node, Tensor, shown
from export.read_onnx import read_onnx
from export.read_tflite import read_tflite
from export.runs_on import obstacle
from export.write.to_tflite import to_tflite

SHARED = os.environ.get("PIPELINE_SHARED")
needs_shared = pytest.mark.skipif(SHARED is None, reason="PIPELINE_SHARED names no directory with the shared data")


def relu(x: Tensor, y: Tensor) -> Graph:
    return graph("RELU", x, y)


LIES: dict[str, tuple[Graph, str]] = {
    "more values than TFLite counts": (
        graph("EINSUM", tensor("x", 2**16, 2**15), Y),
        r"can't have the shape \(65536, 32768\)",
    ),
    "a constant input": (relu(constant("x", np.ones((1, 6, 5, 4), np.int8)), Y), "input 'x' is a constant"),
    "an output that is never written": (
        replace(relu(X, Y), outputs=("nowhere",)),
        "output 'nowhere' is written by no",
    ),
}


def test_of_an_unknown_operator_only_sizes_are_checked() -> None:
    check_graph(graph("EINSUM", X, tensor("y", 3, 0)))


@pytest.mark.parametrize("name", LIES)
def test_a_graph_that_lies_is_refused(name: str) -> None:
    refused(*LIES[name])


def test_a_value_is_written_once_and_before_it_is_read() -> None:
    first, second = (Node("RELU", name, ends[:1], ends[1:]) for name, ends in (("a", ("x", "m")), ("b", ("m", "y"))))
    tensors = {t.name: t for t in (X, tensor("m", 1, 6, 5, 4), Y)}
    check_graph(Graph((first, second), tensors, ("x",), ("y",)))
    with pytest.raises(ExportError, match="node 'b' \\(RELU\\): it reads 'm', which nothing has written"):
        check_graph(Graph((second, first), tensors, ("x",), ("y",)))
    with pytest.raises(
        ExportError, match="node 'a' \\(RELU\\): it writes 'm', which is a constant, an input or written"
    ):
        check_graph(Graph((first, first, second), tensors, ("x",), ("y",)))


def test_names_out_of_a_file_are_text_that_nothing_obeys() -> None:
    assert shown(b"conv/\xff\x1b[31m") == "conv/��[31m"
    assert shown("a‮b\n") == "a�b�"
    assert shown("stem/Größe") == "stem/Größe"


@pytest.mark.parametrize("row", ["Relu", "Sigmoid", "HardSwish", "Mul", "Concat", "Softmax"])
def test_an_operator_on_a_flattened_map_of_one_pixel_is_read(row: str) -> None:
    """Average, flatten, then anything but a linear layer: it has rows of 4 values, not maps."""
    from onnx import TensorProto, checker, helper, numpy_helper

    wide = 8 if row == "Concat" else 4
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["mean"], name="mean"),
        helper.make_node("Flatten", ["mean"], ["flat"], name="flatten"),
        helper.make_node(row, {"Mul": ["flat", "k"], "Concat": ["flat", "flat"]}.get(row, ["flat"]), ["z"], name=row),
        helper.make_node("Gemm", ["z", "w"], ["y"], name="head", transB=1),
    ]
    if row == "Concat":
        nodes[2].attribute.append(helper.make_attribute("axis", 1))
    rng = np.random.default_rng(0)
    constants = {"k": np.full((1, 4), 0.5, np.float32), "w": rng.normal(size=(3, wide)).astype(np.float32)}
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "row",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 6, 5])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 14)],
        ir_version=8,
    )
    checker.check_model(model)
    content = to_tflite(read_onnx(model.SerializeToString()))
    x = rng.normal(size=(1, 4, 6, 5)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"x": x})
    found = Interpreter(model_content=content)
    found.allocate_tensors()
    found.set_tensor(found.get_input_details()[0]["index"], x.transpose(0, 2, 3, 1))
    found.invoke()
    np.testing.assert_allclose(found.get_tensor(found.get_output_details()[0]["index"]), expected, rtol=1e-5, atol=1e-6)


def test_indices_beyond_the_file_are_refused() -> None:
    content = bytearray(to_tflite(conv()))
    operator_inputs = struct.pack("<4i", 3, 0, 1, 2)  # the length, then the tensors it reads
    assert content.count(operator_inputs) == 1
    at = content.index(operator_inputs) + 4
    for index in (7, 2**31 - 1, -2):
        content[at : at + 4] = struct.pack("<i", index)
        with pytest.raises(ExportError, match="operator 0 \\(CONV_2D\\) names a tensor that the file doesn't have"):
            read_tflite(bytes(content))


def test_what_a_runtime_cannot_run_names_node_and_reason() -> None:
    assert obstacle(conv(), "firmware") is obstacle(conv(), "interpreter") is obstacle(conv(), "tflm") is None
    unknown = graph("EINSUM", X, Y)
    assert "node 'first' is a EINSUM; the firmware does CONV_2D" in (obstacle(unknown, "firmware") or "")
    assert "node 'first' is a EINSUM" in (obstacle(unknown, "interpreter") or "")
    batch = graph("RELU", tensor("x", 4, 6, 5, 4), tensor("y", 4, 6, 5, 4))
    assert "takes 4 inputs at a time" in (obstacle(batch, "firmware") or "")
    assert obstacle(batch, "tflm") is None
    hybrid = conv(
        tensor("x", 1, 6, 5, 4, dtype="float32"),
        bias=constant("b", np.zeros(8, np.float32)),
        y=tensor("y", 1, 4, 3, 8, dtype="float32"),
    )
    assert "no dynamic-range models" in (obstacle(hybrid, "tflm") or "")
    assert "computes in int8" in (obstacle(hybrid, "firmware") or "")
    assert obstacle(hybrid, "litert") is None


@needs_shared
def test_weights_in_a_file_beside_an_onnx_model_are_read(tmp_path: Path) -> None:
    folder = Path(SHARED or "") / "cases" / "hostile"
    weights = [t for t in read_onnx(folder / "net.onnx").tensors.values() if t.data is not None]
    assert sum(t.data.size for t in weights if t.data is not None) > 5000
    (tmp_path / "net.onnx").write_bytes((folder / "net.onnx").read_bytes())
    with pytest.raises(ExportError, match=r"net\.onnx: its weights in other files can't be read"):
        read_onnx(tmp_path / "net.onnx")


@needs_shared
def test_damaged_and_malicious_files_are_refused_when_they_are_read() -> None:
    files = sorted((Path(SHARED or "") / "cases" / "hostile").glob("*.tflite"))
    assert len(files) > 8
    for file in files:
        with pytest.raises(ExportError):
            read_tflite(file)


@needs_shared
@pytest.mark.parametrize("seed", range(4))
def test_a_mutated_file_is_read_or_refused(seed: int) -> None:
    shared, rng = Path(SHARED or ""), np.random.default_rng(seed)
    files = [
        shared / "data/mlperf-tiny-resnet8/int8.tflite",
        *sorted((shared / "cases/models").glob("*.tflite")),
        *sorted((shared / "cases/models").glob("*.onnx")),
    ]
    for _ in range(150):
        file = files[rng.integers(len(files))]
        content = bytearray(file.read_bytes())
        for place in rng.integers(0, len(content), rng.integers(1, 6)):
            content[place] = rng.choice([0, 1, 127, 128, 255, rng.integers(256)])
        try:
            found = (read_onnx if file.suffix == ".onnx" else read_tflite)(bytes(content))
        except ExportError:
            continue
        for runtime in ("firmware", "tflm", "litert", "interpreter"):
            obstacle(found, runtime)
