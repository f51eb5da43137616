"""The integer interpreter on whole models and batches; each operator has a test of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from single_ops import SINGLE_OPS

from export.graph import ExportError, Graph, Node, Options, QParams, Tensor
from export.ops.interpreter import Interpreter
from export.run.runners import load_runner

needs_tflm = pytest.mark.skipif(sys.platform != "linux", reason="TFLite Micro's wheel is for Linux")


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
    shape = graph.tensor(graph.inputs[0]).shape
    x, interpreter = rng.integers(-128, 128, (5, *shape[1:])).astype(np.int8), Interpreter(graph)
    alone = np.concatenate([interpreter.run(image[None]) for image in x])
    np.testing.assert_array_equal(interpreter.run(x, batch_size=2), alone)


def _unsupported(op: str, options: Options = Options(), dtype: str = "int8") -> Graph:  # noqa: B008
    q = QParams(np.array([0.1], np.float32), np.array([0], np.int64))
    tensors = {name: Tensor(name, (1, 4), dtype, q) for name in ("x", "y")}
    return Graph((Node(op, "strange", ("x",), ("y",), options),), tensors, ("x",), ("y",))


def test_what_it_cannot_compute_is_refused_by_name() -> None:
    with pytest.raises(ExportError, match="node 'strange' is a ERF; the integer interpreter knows ADD"):
        Interpreter(_unsupported("ERF"))
    with pytest.raises(ExportError, match=r"node 'strange' \(RELU\): 'x' is float32"):
        Interpreter(_unsupported("RELU", dtype="float32"))
