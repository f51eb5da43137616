"""Graph: what a model file computes, in TFLite's terms (NHWC, fused activations), whichever format it came from.

The operators are a closed set, export.ops.table. Others keep their name, so that `fit` can report them; writing or
running them is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Activation = Literal["NONE", "RELU", "RELU_N1_TO_1", "RELU6"]
Padding = Literal["SAME", "VALID"]
Array = npt.NDArray[Any]
METADATA_NAME = "flatnas-deploy"


class ExportError(Exception):
    """A model that can't be read, quantized, written or run; names the node and the operator."""


_DTYPES = "int8 uint8 bool int16 uint16 float16 int32 uint32 float32 int64 uint64 float64 complex64 complex128"
ITEM_BYTES: Mapping[str, int] = {name: np.dtype(name).itemsize for name in _DTYPES.split()}  # others are never read
ZERO_POINTS: Mapping[str, tuple[int, int]] = {"int8": (-128, 127), "uint8": (0, 255), "int16": (0, 0)}  # of types


def shown(name: str | bytes) -> str:
    """A name out of a file as text for people: what a terminal, page or source file might obey is replaced."""
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


@dataclass(frozen=True, slots=True, eq=False)
class QParams:
    """Affine quantization: real = scale * (q - zero_point).

    Attributes:
        scale: float32, shape (1,), or one per channel along `axis`.
        zero_point: int64, the same shape.
        axis: of the tensor, for per-channel scales.
    """

    scale: npt.NDArray[np.float32]
    zero_point: npt.NDArray[np.int64]
    axis: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A value: an activation, or a constant when it has `data`. Activations are NHWC or NC with N = 1."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    qparams: QParams | None = None
    data: Array | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What an operator's options are; fields that an operator does not have keep their defaults.

    Attributes:
        kernel_hw: filter or pooling window.
        depth_multiplier: outputs per input channel of a depthwise convolution.
        activation: fused behind the operator.
        axis: along which CONCATENATION joins.
        keep_dims: whether MEAN keeps the axes it averages as axes of 1.
        beta: of SOFTMAX.
    """

    kernel_hw: tuple[int, int] = (1, 1)
    stride_hw: tuple[int, int] = (1, 1)
    dilation_hw: tuple[int, int] = (1, 1)
    depth_multiplier: int = 1
    padding: Padding = "VALID"
    activation: Activation = "NONE"
    axis: int = 0
    keep_dims: bool = False
    beta: float = 1.0


@dataclass(frozen=True, slots=True)
class Node:
    """One operator: names of the tensors it reads (activations first, then constants) and writes."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: Options = Options()


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Nodes in execution order, and every tensor by name."""

    nodes: tuple[Node, ...]
    tensors: Mapping[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)

    def tensor(self, name: str) -> Tensor:
        """The tensor of that name."""
        return self.tensors[name]
