"""Output shapes that follow from inputs, and how a node that says otherwise is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from export.graph import Array, ExportError, Node, Tensor

Shape = tuple[int, ...]
MOST_ELEMENTS = 2**31 - 1  # of a tensor; TFLite counts in int32


def refuse(node: Node, reason: str) -> NoReturn:
    """Raises:
    ExportError: the node, and what is wrong with it.
    """
    raise ExportError(f"node '{node.name}' ({node.op}): {reason}")


def same(node: Node, inputs: Sequence[Tensor]) -> list[Shape]:
    """The input's."""
    return [inputs[0].shape]


def broadcast(node: Node, inputs: Sequence[Tensor]) -> list[Shape]:
    """Of two operands, either of which may be repeated."""
    a, b = (tensor.shape for tensor in inputs)
    try:
        return [tuple(int(side) for side in np.broadcast_shapes(a, b))]
    except ValueError:
        refuse(node, f"its inputs have the shapes {a} and {b}")


def window(node: Node, shape: Shape, kernel: tuple[int, int], channels: int) -> list[Shape]:
    """Of a window that slides over NHWC, with TensorFlow's padding."""
    sides = []
    for side, k, stride, dilation in zip(
        shape[1:3], kernel, node.options.stride_hw, node.options.dilation_hw, strict=True
    ):
        covered = side if node.options.padding == "SAME" else side - (k - 1) * dilation
        if covered < 1:
            refuse(node, f"its window of {k} doesn't fit into {side}")
        sides.append(-(-covered // stride))
    return [(shape[0], *sides, channels)]


def pooled(node: Node, inputs: Sequence[Tensor]) -> list[Shape]:
    """Of a pooling window."""
    shape = feature_map(node, inputs[0])
    return window(node, shape, node.options.kernel_hw, shape[3])


def feature_map(node: Node, x: Tensor) -> Shape:
    """The shape of an input that must be NHWC."""
    if len(x.shape) != 4:
        refuse(node, f"'{x.name}' has the shape {x.shape}, not batch, height, width, channels")
    return x.shape


def constant_ints(node: Node, tensor: Tensor) -> Array:
    """The values of an operand that must be constant int32 or int64, such as axes."""
    if tensor.data is None or tensor.dtype not in ("int32", "int64"):
        refuse(node, f"'{tensor.name}' is {tensor.dtype} and {'computed' if tensor.data is None else 'constant'}")
    return tensor.data
