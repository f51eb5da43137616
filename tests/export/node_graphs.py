"""Graphs of one node, and what the test of every operator asks: oracle, shapes, refusals."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from single_ops import SINGLE_OPS

from export.check import check_graph
from export.graph import ExportError, Graph, Node, Options, QParams, Tensor
from export.ops.interpreter import Interpreter
from export.read_tflite import read_tflite
from export.run.tflite_runtimes import load_tracer
from export.write.to_tflite import to_tflite


def quantized(scale: float = 0.5, zero_point: int = 0, channels: int = 1, axis: int = 0) -> QParams:
    return QParams(np.full(channels, scale, np.float32), np.full(channels, zero_point, np.int64), axis)


def tensor(name: str, *shape: int, dtype: str = "int8", data: Any = None, q: QParams | None = None) -> Tensor:
    return Tensor(name, shape, dtype, q or (quantized() if dtype == "int8" else None), data)


def constant(name: str, value: Any, q: QParams | None = None) -> Tensor:
    return tensor(name, *value.shape, dtype=str(value.dtype), data=value, q=q)


def ints(*values: int) -> Tensor:
    return constant("axes", np.array(values, np.int32))


def graph(op: str, *tensors: Tensor, **options: Any) -> Graph:
    """One node that reads all tensors but the last."""
    node = Node(op, "first", tuple(t.name for t in tensors[:-1]), (tensors[-1].name,), Options(**options))
    return Graph((node,), {t.name: t for t in tensors}, (tensors[0].name,), (tensors[-1].name,))


X, Y = tensor("x", 1, 6, 5, 4), tensor("y", 1, 6, 5, 4)


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


def computed(one_node: Graph, *values: int) -> list[int]:
    """Integers out of integers, both flat."""
    shape = one_node.tensor(one_node.inputs[0]).shape
    return [int(v) for v in Interpreter(one_node).run(np.array(values, np.int8).reshape(shape)).ravel()]


def refused(one_node: Graph, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        check_graph(one_node)


def assert_as_tflite_micro(kind: str) -> None:
    """Random graphs of `single_ops` pass the check and compute what TFLite Micro does, every bit of it."""
    for seed in range(25):
        rng = np.random.default_rng([seed, 1])
        one_node = SINGLE_OPS[kind](rng)
        check_graph(one_node)
        shape = one_node.tensor(one_node.inputs[0]).shape
        x = rng.integers(-128, 128, (3, *shape[1:])).astype(np.int8)
        if np.prod(shape) == 256:  # an operator by element: every int8 value
            x[0] = np.arange(-128, 128).astype(np.int8).reshape(shape[1:])
        content = to_tflite(one_node)
        found = Interpreter(read_tflite(content)).run(x)
        if sys.platform == "linux":  # where TFLite Micro's wheel is
            pytest.importorskip("tflite_micro")
            np.testing.assert_array_equal(found, load_tracer(content, "tflm")(x)[0], err_msg=f"seed {seed}")
