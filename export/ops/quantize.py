"""QUANTIZE and DEQUANTIZE: other types and scales of the same values, TFLite's reference/requantize.h.

Int8 files of ours hold neither; a float16 file has a DEQUANTIZE behind each weight (export.write.mobile).
"""

from __future__ import annotations

import numpy as np

from export.graph import ZERO_POINTS, Graph, Node, Tensor
from export.ops.fixed_point import quantize_multiplier
from export.ops.integers import ends, requantize, scale, zero_point
from export.ops.lookup import lower_lookup
from export.ops.operator import Compute, Operator
from export.ops.shapes import same


def _quantize_types(x: Tensor, y: Tensor) -> str | None:
    if y.dtype not in ZERO_POINTS:
        return f"its output is {y.dtype}"
    return None if x.dtype in (*ZERO_POINTS, "float32") else f"its input is {x.dtype}"


def _dequantize_types(x: Tensor, y: Tensor) -> str | None:
    if y.dtype != "float32":
        return f"its output is {y.dtype}"
    return None if x.dtype in (*ZERO_POINTS, "float16") else f"its input is {x.dtype}"


def _prepare(graph: Graph, node: Node) -> Compute:
    x, y = ends(graph, node)
    m, shift = quantize_multiplier(scale(x) / scale(y))
    return lambda value: requantize(value.astype(np.int64) - zero_point(x), m, shift, zero_point(y))


QUANTIZE = Operator(
    name="QUANTIZE",
    kind="quantize",
    shapes=same,
    types=_quantize_types,
    int8_version=2,
    prepare=_prepare,
    lower=lower_lookup(_prepare),
    tflm=("Quantize", "QUANTIZE", "quantize"),
)
DEQUANTIZE = Operator(
    name="DEQUANTIZE",
    kind="quantize",
    shapes=same,
    types=_dequantize_types,
    reads_weights=True,
    float_version=3,  # the first from float16
)
