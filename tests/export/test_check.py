"""What a file says is held against what follows from it."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter
from single_ops import SINGLE_OPS

from export.check import check_graph
from export.graph import ExportError, Graph, Node, Options, QParams, Tensor, shown
from export.read_onnx import read_onnx
from export.read_tflite import read_tflite
from export.runs_on import obstacle
from export.write.to_tflite import to_tflite

SHARED = os.environ.get("PIPELINE_SHARED")
needs_shared = pytest.mark.skipif(SHARED is None, reason="PIPELINE_SHARED names no directory with the shared data")


def quantized(scale: float = 0.5, zero_point: int = 0, channels: int = 1, axis: int = 0) -> QParams:
    return QParams(np.full(channels, scale, np.float32), np.full(channels, zero_point, np.int64), axis)


def tensor(name: str, *shape: int, dtype: str = "int8", data: Any = None, q: QParams | None = None) -> Tensor:
    return Tensor(name, shape, dtype, q or (quantized() if dtype == "int8" else None), data)


def constant(name: str, value: Any, q: QParams | None = None) -> Tensor:
    return tensor(name, *value.shape, dtype=str(value.dtype), data=value, q=q)


def graph(op: str, *tensors: Tensor, **options: Any) -> Graph:
    """One node that reads all tensors but the last."""
    node = Node(op, "first", tuple(t.name for t in tensors[:-1]), (tensors[-1].name,), Options(**options))
    return Graph((node,), {t.name: t for t in tensors}, (tensors[0].name,), (tensors[-1].name,))


def conv(
    x: Tensor | None = None,
    w: Tensor | None = None,
    bias: Tensor | None = None,
    y: Tensor | None = None,
    **options: Any,
) -> Graph:
    """3x3, 4 to 8 channels on 6x5, VALID, unless something else is given."""
    tensors = (
        x or tensor("x", 1, 6, 5, 4),
        w or constant("w", np.ones((8, 3, 3, 4), np.int8), quantized(channels=8)),
        bias or constant("b", np.zeros(8, np.int32)),
        y or tensor("y", 1, 4, 3, 8),
    )
    return graph("CONV_2D", *tensors, **{"kernel_hw": (3, 3)} | options)


def depthwise(channels: int) -> Graph:
    w = constant("w", np.ones((1, 3, 3, channels), np.int8), quantized(channels=channels, axis=3))
    y = tensor("y", 1, 4, 3, channels)
    return graph("DEPTHWISE_CONV_2D", tensor("x", 1, 6, 5, 4), w, y, kernel_hw=(3, 3))


def weight_only() -> Graph:
    """Int8 weights with a scale for each channel, made float32 before a float convolution."""
    w = constant("w", np.ones((8, 3, 3, 4), np.int8), quantized(channels=8))
    made = tensor("made", 8, 3, 3, 4, dtype="float32")
    x, y = tensor("x", 1, 6, 5, 4, dtype="float32"), tensor("y", 1, 4, 3, 8, dtype="float32")
    nodes = (
        Node("DEQUANTIZE", "weights", ("w",), ("made",)),
        Node("CONV_2D", "first", ("x", "made"), ("y",), Options(kernel_hw=(3, 3))),
    )
    return Graph(nodes, {t.name: t for t in (w, made, x, y)}, ("x",), ("y",))


def axes(*values: int) -> Tensor:
    return constant("axes", np.array(values, np.int32))


X, Y = tensor("x", 1, 6, 5, 4), tensor("y", 1, 6, 5, 4)

SOUND: dict[str, Graph] = {
    "a convolution": conv(),
    "one of stride 2, SAME": conv(y=tensor("y", 1, 3, 3, 8), stride_hw=(2, 2), padding="SAME"),
    "a dilated one": conv(y=tensor("y", 1, 2, 1, 8), dilation_hw=(2, 2)),
    "a depthwise one": depthwise(8),
    "a channel of zeros whose scale is 0": conv(
        w=constant("w", np.zeros((8, 3, 3, 4), np.int8), quantized(0.0, channels=8))
    ),
    "weights that are dequantized channel by channel": weight_only(),
    "a mean": graph("MEAN", X, axes(1, -2), tensor("y", 1, 1, 1, 4), keep_dims=True),
    "a mean whose axes go": graph("MEAN", X, axes(1, 2), tensor("y", 1, 4)),
    "a broadcast": graph("MUL", X, tensor("gate", 1, 1, 1, 4, data=np.ones((1, 1, 1, 4), np.int8)), Y),
    "a reshape": graph("RESHAPE", X, tensor("y", 1, 120)),
    "a reshape to what a constant says": graph("RESHAPE", X, axes(1, -1), tensor("y", 1, 120)),
    "a concatenation": graph(
        "CONCATENATION", X, constant("c", np.ones((1, 6, 5, 3), np.int8)), tensor("y", 1, 6, 5, 7), axis=-1
    ),
    "rows of a linear layer": graph("FULLY_CONNECTED", X, constant("w", np.ones((2, 4), np.int8)), tensor("y", 30, 2)),
    "a pad": graph(
        "PAD", X, constant("p", np.array([[0, 0], [1, 2], [0, 0], [0, 0]], np.int32)), tensor("y", 1, 9, 5, 4)
    ),
    "an unknown operator": graph("EINSUM", X, tensor("y", 3, 0)),
}

LIES: dict[str, tuple[Callable[[], Graph], str]] = {
    "an output too large": (
        lambda: conv(y=tensor("y", 1, 5, 3, 8)),
        r"\(1, 5, 3, 8\); from its inputs follows \(1, 4, 3, 8\)",
    ),
    "an output of other channels": (lambda: conv(y=tensor("y", 1, 4, 3, 9)), "its output has the shape"),
    "an output of another rank": (lambda: conv(y=tensor("y", 4, 3, 8)), "its output has the shape"),
    "a stride of 0": (lambda: conv(stride_hw=(0, 1)), "each must be at least 1"),
    "a dilation of 0": (lambda: conv(dilation_hw=(1, 0)), "each must be at least 1"),
    "a window that doesn't fit": (lambda: conv(dilation_hw=(3, 3)), "its window of 3 doesn't fit into 6"),
    "a kernel that its weights don't have": (lambda: conv(kernel_hw=(3, 2)), "its kernel is"),
    "weights of other channels": (
        lambda: conv(w=constant("w", np.ones((8, 3, 3, 5), np.int8), quantized(channels=8))),
        "read 5 channels, and its input has 4",
    ),
    "groups": (
        lambda: conv(w=constant("w", np.ones((8, 3, 3, 2), np.int8), quantized(channels=8))),
        "it has 2 groups; grouped convolutions",
    ),
    "a bias too short": (
        lambda: conv(bias=constant("b", np.zeros(7, np.int32))),
        r"its bias has the shape \(7,\), and it has 8",
    ),
    "a bias of floats": (
        lambda: conv(bias=constant("b", np.zeros(8, np.float32))),
        "its input is int8 and its bias is float32",
    ),
    "scales for some channels": (
        lambda: conv(w=constant("w", np.ones((8, 3, 3, 4), np.int8), quantized(channels=7))),
        "or one for each of 8",
    ),
    "scales of another axis": (
        lambda: conv(w=constant("w", np.ones((8, 3, 3, 4), np.int8), quantized(channels=8, axis=3))),
        "each index of axis 3",
    ),
    "a scale of 0": (
        lambda: conv(w=constant("w", np.ones((8, 3, 3, 4), np.int8), quantized(0.0, channels=8))),
        "a scale of its weights is 0, and their channel holds other values",
    ),
    "weights with a zero point": (
        lambda: conv(w=constant("w", np.ones((8, 3, 3, 4), np.int8), quantized(zero_point=1, channels=8))),
        "zero point other than 0",
    ),
    "a zero point beyond int8": (
        lambda: conv(x=tensor("x", 1, 6, 5, 4, q=quantized(zero_point=128))),
        "the zero point 128",
    ),
    "a scale that is no number": (
        lambda: conv(y=tensor("y", 1, 4, 3, 8, q=quantized(float("nan")))),
        "can't have the scale nan",
    ),
    "two scales of an activation": (
        lambda: conv(x=tensor("x", 1, 6, 5, 4, q=quantized(channels=2))),
        "without one scale",
    ),
    "other types in and out": (
        lambda: conv(y=tensor("y", 1, 4, 3, 8, dtype="float32")),
        "'x' is int8 and 'y' is float32",
    ),
    "depthwise weights of other channels": (lambda: depthwise(9), "its input 4 channels"),
    "a linear layer that flattens, and says that it doesn't": (
        lambda: graph("FULLY_CONNECTED", X, constant("w", np.ones((2, 120), np.int8)), tensor("y", 1, 6, 5, 2)),
        r"follows \(1, 2\)",
    ),
    "QUANTIZE to float": (
        lambda: graph("QUANTIZE", X, tensor("y", 1, 6, 5, 4, dtype="float32")),
        "its output is float32",
    ),
    "DEQUANTIZE of float": (
        lambda: graph("DEQUANTIZE", tensor("x", 2, dtype="float32"), tensor("y", 2, dtype="float32")),
        "its input is float32",
    ),
    "DEQUANTIZE to int8": (lambda: graph("DEQUANTIZE", X, Y), "its output is int8"),
    "a shape that is no number": (
        lambda: graph("RESHAPE", X, constant("s", np.array([np.nan], np.float32)), tensor("y", 1, 120)),
        "'s' is float32",
    ),
    "an int16 zero point": (
        lambda: graph("RELU", *(tensor(n, 2, dtype="int16", q=quantized(zero_point=3)) for n in "xy")),
        "the zero point 3",
    ),
    "a side of 0": (lambda: conv(x=tensor("x", 1, 0, 5, 4)), "a side must be a positive number"),
    "a negative side": (lambda: conv(x=tensor("x", 1, -6, 5, 4)), r"can't have the shape \(1, -6, 5, 4\)"),
    "more values than TFLite counts": (
        lambda: graph("EINSUM", tensor("x", 2**16, 2**15), Y),
        r"can't have the shape \(65536, 32768\)",
    ),
    "an operand too many": (lambda: graph("MEAN", X, axes(1), axes(2), tensor("y", 1, 5, 4)), "3 inputs and 1 outputs"),
    "an operand too few": (lambda: graph("ADD", X, Y), "1 inputs and 1 outputs"),
    "an axis that isn't there": (lambda: graph("MEAN", X, axes(4), tensor("y", 1)), r"averages axes \[4\]"),
    "axes that are computed": (lambda: graph("MEAN", X, tensor("y", 1), tensor("z", 1)), "which nothing has written"),
    "shapes that can't be broadcast": (
        lambda: graph("ADD", X, constant("c", np.ones((1, 6, 5, 3), np.int8)), Y),
        "its inputs have the shapes",
    ),
    "a reshape to fewer values": (lambda: graph("RESHAPE", X, tensor("y", 1, 119)), "its output has the shape"),
    "a reshape to what no constant can say": (
        lambda: graph("RESHAPE", X, axes(-1, -1), tensor("y", 1, 120)),
        r"can't become \[-1, -1\]",
    ),
    "a reshape to another shape than its constant says": (
        lambda: graph("RESHAPE", X, axes(2, 60), tensor("y", 1, 120)),
        r"follows \(2, 60\)",
    ),
    "parts of other heights": (
        lambda: graph(
            "CONCATENATION", X, constant("c", np.ones((1, 7, 5, 3), np.int8)), tensor("y", 1, 6, 5, 7), axis=3
        ),
        "it joins",
    ),
    "an axis of a concatenation": (lambda: graph("CONCATENATION", X, Y, axis=4), "along axis 4"),
    "weights of a linear layer": (
        lambda: graph("FULLY_CONNECTED", X, constant("w", np.ones((2, 7), np.int8)), tensor("y", 1, 2)),
        r"\(2, 7\), and its input",
    ),
    "a negative pad": (
        lambda: graph("PAD", X, constant("p", np.array([[0, 0], [-1, 1], [0, 0], [0, 0]], np.int32)), Y),
        "must be >= 0",
    ),
    "an activation of another shape": (lambda: graph("RELU", X, tensor("y", 1, 6, 5, 3)), "its output has the shape"),
    "a constant input": (
        lambda: graph("RELU", constant("x", np.ones((1, 6, 5, 4), np.int8)), Y),
        "input 'x' is a constant",
    ),
    "an output that is never written": (
        lambda: replace(conv(), outputs=("nowhere",)),
        "output 'nowhere' is written by no",
    ),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_graph_passes(name: str) -> None:
    check_graph(SOUND[name])


@pytest.mark.parametrize("name", LIES)
def test_a_graph_that_lies_is_refused(name: str) -> None:
    build, message = LIES[name]
    with pytest.raises(ExportError, match=message):
        check_graph(build())


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


@pytest.mark.parametrize("name", SINGLE_OPS)
def test_random_graphs_of_one_operator_pass(name: str) -> None:
    for seed in range(20):
        check_graph(SINGLE_OPS[name](np.random.default_rng(seed)))


def test_names_out_of_a_file_are_text_that_nothing_obeys() -> None:
    assert shown(b"conv/\xff\x1b[31m") == "conv/��[31m"
    assert shown("a‮b\n") == "a�b�"
    assert shown("stem/Größe") == "stem/Größe"


def scaled(*scales: float) -> Graph:
    """A convolution whose input, weights and output have these scales."""
    x, w, y = (quantized(scale, channels=8 if i == 1 else 1) for i, scale in enumerate(scales))
    weights = constant("w", np.ones((8, 3, 3, 4), np.int8), w)
    return conv(tensor("x", 1, 6, 5, 4, q=x), weights, y=tensor("y", 1, 4, 3, 8, q=y))


def test_scales_beyond_the_integer_arithmetic_are_an_obstacle() -> None:
    for runtime in ("firmware", "interpreter"):
        assert obstacle(scaled(0.5, 0.5, 0.5), runtime) is None
        assert "none above 2^30" in (obstacle(scaled(1e20, 1e10, 1e-10), runtime) or "")


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
