"""MAX_POOL_2D: the greatest value of a window, TFLite's reference/integer_ops/pooling.h; scale as its input's."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from export.graph import Array, Graph, Node
from export.onnx_graph import OnnxGraph, attributes
from export.ops.integers import activation_bounds, ends, taps
from export.ops.operator import Compute, OnnxForm, Operator, Values
from export.ops.shapes import pooled
from export.ops.windows import lower_pool, read_pool, torch_pads, write_pool


def _prepare(graph: Graph, node: Node) -> Compute:
    _, y = ends(graph, node)
    bounds = activation_bounds(node, y)

    def run(value: Array) -> Array:
        largest = [seen for _, _, seen in taps(node, value, -128)]
        result: Array = np.clip(np.maximum.reduce(largest), *bounds).astype(np.int8)
        return result

    return run


def _fake(node: Any, graph: OnnxGraph, inputs: list[Values]) -> Values:
    import torch
    from torch.nn import functional

    given = attributes(node)
    x = functional.pad(inputs[0], torch_pads(given), value=-torch.inf)
    return functional.max_pool2d(x, tuple(given["kernel_shape"]), tuple(given.get("strides", (1, 1))))


MAX_POOL_2D = Operator(
    name="MAX_POOL_2D",
    kind="max_pool",
    shapes=pooled,
    options="Pool2DOptions",
    int8_version=2,
    prepare=_prepare,
    lower=lower_pool,
    tflm=("MaxPool2D", "MAX_POOL_2D_INT8", "pooling"),
    onnx={
        "MaxPool": OnnxForm(read=partial(read_pool, "MAX_POOL_2D"), quantized="shared", fake=_fake, homogeneous=True)
    },
    layers={"MaxPool2d": write_pool("MaxPool")},
)
