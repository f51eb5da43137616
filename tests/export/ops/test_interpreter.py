"""The integer interpreter against TFLite Micro, bit for bit."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from single_ops import SINGLE_OPS

from export.graph import ExportError, Graph, Node, Options, QParams, Tensor
from export.ops.interpreter import Interpreter
from export.read_tflite import read_tflite
from export.run.runners import load_runner
from export.run.tflite_runtimes import load_tracer
from export.write.to_tflite import to_tflite

needs_tflm = pytest.mark.skipif(sys.platform != "linux", reason="TFLite Micro's wheel is for Linux")


def _inputs(rng: np.random.Generator, graph: Graph, n: int) -> Any:
    shape = graph.tensor(graph.inputs[0]).shape
    x = rng.integers(-128, 128, (n, *shape[1:])).astype(np.int8)
    if np.prod(shape) == 256:  # an operator by element: every int8 value
        x[0] = np.arange(-128, 128).astype(np.int8).reshape(shape[1:])
    return x


@needs_tflm
@pytest.mark.parametrize("kind", SINGLE_OPS)
def test_an_operator_computes_what_tflite_micro_computes(kind: str) -> None:
    pytest.importorskip("tflite_micro")
    for seed in range(25):
        rng = np.random.default_rng([seed, 1])
        graph = SINGLE_OPS[kind](rng)
        content, x = to_tflite(graph), _inputs(rng, graph, 3)
        (expected,) = load_tracer(content, "tflm")(x)
        np.testing.assert_array_equal(Interpreter(read_tflite(content)).run(x), expected, err_msg=f"seed {seed}")


@needs_tflm
@pytest.mark.parametrize(("name", "images"), [("int8", 20), pytest.param("int8", 200, marks=pytest.mark.slow)])
def test_mlperf_tinys_resnet8_is_interpreted_exactly(name: str, images: int) -> None:
    shared = os.environ.get("PIPELINE_SHARED")
    if shared is None:
        pytest.skip("PIPELINE_SHARED names no directory of MLPerf Tiny models")
    pytest.importorskip("tflite_micro")
    path = Path(shared) / "data" / "mlperf-tiny-resnet8" / f"{name}.tflite"
    x = np.random.default_rng(0).integers(-128, 128, (images, 32, 32, 3)).astype(np.int8)
    np.testing.assert_array_equal(load_runner(path, "interpreter").run(x), load_runner(path, "tflm").run(x))


def test_a_batch_computes_what_its_images_compute_one_by_one() -> None:
    rng = np.random.default_rng(3)
    graph = SINGLE_OPS["conv"](rng)
    x, interpreter = _inputs(rng, graph, 5), Interpreter(graph)
    alone = np.concatenate([interpreter.run(image[None]) for image in x])
    np.testing.assert_array_equal(interpreter.run(x, batch_size=2), alone)


def test_sums_beyond_float32_are_still_exact() -> None:
    # 4000 products of 255 * 127 are 129,540,000: beyond the 2^24 that float32 counts by ones
    n = 4000
    one = QParams(np.array([1.0], np.float32), np.array([-128], np.int64))
    wide = QParams(np.array([2.0**21], np.float32), np.array([0], np.int64))
    weights = np.full((1, n), 127, np.int8)
    weights[0, 0] = 126
    tensors = [
        Tensor("x", (1, n), "int8", one),
        Tensor("w", (1, n), "int8", QParams(np.array([1.0], np.float32), np.array([0], np.int64)), weights),
        Tensor("b", (1,), "int32", None, np.array([2**20 - 129_540_000 + 255], np.int32)),
        Tensor("y", (1, 1), "int8", wide),
    ]
    graph = Graph(
        (Node("FULLY_CONNECTED", "f", ("x", "w", "b"), ("y",)),), {t.name: t for t in tensors}, ("x",), ("y",)
    )
    # the sum is exactly 2^20, half a step of the output: it rounds away from zero, and one less would round to 0
    assert Interpreter(graph).run(np.full((1, n), 127, np.int8)).item() == 1


def _unsupported(op: str, options: Options = Options(), dtype: str = "int8") -> Graph:  # noqa: B008
    q = QParams(np.array([0.1], np.float32), np.array([0], np.int64))
    tensors = {name: Tensor(name, (1, 4), dtype, q) for name in ("x", "y")}
    return Graph((Node(op, "strange", ("x",), ("y",), options),), tensors, ("x",), ("y",))


def test_what_it_cannot_compute_is_refused_by_name() -> None:
    with pytest.raises(ExportError, match="node 'strange' is a ERF; the integer interpreter knows ADD"):
        Interpreter(_unsupported("ERF"))
    with pytest.raises(ExportError, match=r"node 'strange' \(RELU\): 'x' is float32"):
        Interpreter(_unsupported("RELU", dtype="float32"))
    with pytest.raises(ExportError, match="scale 1/256 and zero point -128"):
        Interpreter(_unsupported("LOGISTIC"))
