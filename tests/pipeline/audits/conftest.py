"""A linear classifier of digits, fitted in a moment and exported to every format; no torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest


@dataclass(frozen=True, slots=True)
class DigitModels:
    """Files of one network."""

    float_onnx: Path
    int8_onnx: Path
    int8_tflite: Path
    probabilities_onnx: Path
    undeclared_onnx: Path  # expects pixels -1 to 1, does not say so, and takes all from 0 up as one


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of the tests' own, for this process and its children."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(folder)
    yield folder
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture(scope="session")
def digit_models(tmp_path_factory: pytest.TempPathFactory) -> DigitModels:
    from export.calibrate import calibrate
    from export.quantize import quantize
    from export.read_onnx import read_onnx
    from export.write.to_tflite import to_tflite
    from flatnas.data.digits import load_digits

    train = load_digits().train
    signed = (train.pixels_nhwc.astype(np.float64) - 128) / 128
    weights, bias = _fitted(signed, train.labels)
    folder = tmp_path_factory.mktemp("digit-models")
    names = ("float.onnx", "qdq.onnx", "int8.tflite", "soft.onnx", "undeclared.onnx")
    models = DigitModels(*(folder / name for name in names))
    metadata = {"input_scale": "0.0078125", "input_zero_point": "0"}
    content = _onnx(weights, bias, metadata)
    models.float_onnx.write_bytes(content)
    ranges = calibrate(content, signed[:100].transpose(0, 3, 1, 2).astype(np.float32))
    models.int8_onnx.write_bytes(quantize(content, ranges, input_scale=1 / 128))
    models.int8_tflite.write_bytes(to_tflite(read_onnx(models.int8_onnx)))
    models.probabilities_onnx.write_bytes(_onnx(weights, bias, metadata, softmax=True))
    clipped = _fitted(np.clip(train.pixels_nhwc / 127.5 - 1, -1, 0), train.labels)
    models.undeclared_onnx.write_bytes(_onnx(*clipped, {}, clip=True))
    return models


def _fitted(x: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (10, 192) and bias of a ridge regression on the means of 4 x 4 squares."""
    pooled = x.reshape(-1, 8, 4, 8, 4, 3).mean((2, 4)).transpose(0, 3, 1, 2).reshape(len(x), -1)
    features = np.hstack([pooled, np.ones((len(x), 1))])
    normal = features.T @ features + 3 * np.eye(features.shape[1])
    solution = np.linalg.solve(normal, features.T @ (np.eye(10)[labels] - 0.1))
    return solution[:-1].T, solution[-1]


def _onnx(
    weights: np.ndarray, bias: np.ndarray, metadata: dict[str, str], softmax: bool = False, clip: bool = False
) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    # Each pixel of a 4 x 4 square has its square's weight: one convolution that sees the whole picture.
    kernel = np.repeat(np.repeat(weights.reshape(-1, 3, 8, 8), 4, axis=2), 4, axis=3) / np.float32(16)
    nodes = [
        helper.make_node("Conv", ["image", "w", "b"], ["map"], name="classify", kernel_shape=[32, 32]),
        helper.make_node("Flatten", ["map"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "eye", "none"], ["scores"], name="identity", transB=1),
    ]
    if clip:
        nodes.insert(0, helper.make_node("Clip", ["image", "low", "high"], ["clipped"], name="clip"))
        nodes[1].input[0] = "clipped"
    constants = {"w": kernel, "b": bias, "eye": np.eye(10), "none": np.zeros(10)}
    constants |= {"low": np.array(-1.0), "high": np.array(0.0)} if clip else {}
    last = "scores"
    if softmax:
        nodes.append(helper.make_node("Softmax", ["scores"], ["probabilities"], name="softmax", axis=1))
        last = "probabilities"
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 32, 32])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["N", len(bias)])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata)
    content: bytes = model.SerializeToString()
    return content
