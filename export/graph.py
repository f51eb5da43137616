"""Graph: a network as a device runs it. Frozen, NHWC with N = 1, operators named as in TFLite.

What the readers make, and what the TFLite writer, the cost model and later the interpreter and the C generator share.

    Graph -> nodes in execution order -> names of tensors -> shape, dtype, quantization, data of constants

Operators outside `OPS` are kept under their own name with `Unknown` options, which say why: `to_ops` reports them as
unknown cost, and the writers refuse them by name. Nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Padding = Literal["SAME", "VALID"]
Activation = Literal["NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT"]
Array = npt.NDArray[Any]


class ExportError(Exception):
    """A network, a model file or a runtime that export cannot use; the message says what to change."""


@dataclass(frozen=True, slots=True, eq=False)
class QParams:
    """real = scale * (q - zero_point), per tensor or per entry of one axis.

    Attributes:
        scale: float32, shape (1,) or (channels,), positive.
        zero_point: int64, the same shape.
        axis: the axis that the entries belong to; 0 where there is one entry.
    """

    scale: npt.NDArray[np.float32]
    zero_point: npt.NDArray[np.int64]
    axis: int = 0

    def __post_init__(self) -> None:
        if self.scale.shape != self.zero_point.shape or self.scale.ndim != 1:
            raise ValueError(
                f"scale and zero_point are vectors of one length, got {self.scale.shape} and {self.zero_point.shape}"
            )

    @classmethod
    def per_tensor(cls, scale: float, zero_point: int) -> QParams:
        """One scale and zero point for a whole tensor."""
        return cls(np.array([scale], np.float32), np.array([zero_point], np.int64))

    def same_as(self, other: QParams) -> bool:
        """Whether both map every integer to the same real number, bit for bit."""
        return (
            np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
            and self.axis == other.axis
        )


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """An activation or, with `data`, a constant.

    Attributes:
        shape: NHWC or NC with N = 1 for activations; TFLite's layout for weights (OHWI, 1HWC, OI).
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    qparams: QParams | None = None
    data: Array | None = None

    def __post_init__(self) -> None:
        if self.data is not None and (self.data.shape != self.shape or self.data.dtype != self.dtype):
            raise ValueError(
                f"'{self.name}' is {self.dtype} of shape {self.shape}, its data {self.data.dtype} of shape {self.data.shape}"
            )


@dataclass(frozen=True, slots=True)
class Conv2D:
    """CONV_2D: input, filter (OHWI), bias."""

    padding: Padding
    stride_hw: tuple[int, int] = (1, 1)
    dilation_hw: tuple[int, int] = (1, 1)
    activation: Activation = "NONE"


@dataclass(frozen=True, slots=True)
class DepthwiseConv2D:
    """DEPTHWISE_CONV_2D: input, filter (1HWC), bias."""

    padding: Padding
    stride_hw: tuple[int, int] = (1, 1)
    dilation_hw: tuple[int, int] = (1, 1)
    activation: Activation = "NONE"
    depth_multiplier: int = 1


@dataclass(frozen=True, slots=True)
class FullyConnected:
    """FULLY_CONNECTED: input (flattened by the operator itself), filter (OI), bias."""

    activation: Activation = "NONE"
    keep_num_dims: bool = False


@dataclass(frozen=True, slots=True)
class Elementwise:
    """ADD, SUB, MUL: two inputs, broadcast."""

    activation: Activation = "NONE"


@dataclass(frozen=True, slots=True)
class Pool2D:
    """AVERAGE_POOL_2D (padding does not count) and MAX_POOL_2D."""

    padding: Padding
    filter_hw: tuple[int, int]
    stride_hw: tuple[int, int]
    activation: Activation = "NONE"


@dataclass(frozen=True, slots=True)
class Reduce:
    """MEAN: input, axes (int32)."""

    keep_dims: bool


@dataclass(frozen=True, slots=True)
class Softmax:
    """SOFTMAX over the last axis of beta times the input."""

    beta: float = 1.0


@dataclass(frozen=True, slots=True)
class Concatenation:
    """CONCATENATION along an axis."""

    axis: int
    activation: Activation = "NONE"


@dataclass(frozen=True, slots=True)
class LeakyRelu:
    """LEAKY_RELU: x, or alpha * x below 0."""

    alpha: float


@dataclass(frozen=True, slots=True)
class NoOptions:
    """Everything is in the inputs: PAD (input, paddings), PADV2 (…, value), RESHAPE (input, shape), RELU, HARD_SWISH …"""


@dataclass(frozen=True, slots=True)
class Unknown:
    """An operator outside the set, and why."""

    why: str


Options = (
    Conv2D
    | DepthwiseConv2D
    | FullyConnected
    | Elementwise
    | Pool2D
    | Reduce
    | Softmax
    | Concatenation
    | LeakyRelu
    | NoOptions
    | Unknown
)

# The closed set. Adding an operator: a row here and in `lower.KINDS`, and one in the tables of the readers and writers.
OPS: Mapping[str, type[Options]] = {
    "CONV_2D": Conv2D,
    "DEPTHWISE_CONV_2D": DepthwiseConv2D,
    "FULLY_CONNECTED": FullyConnected,
    "ADD": Elementwise,
    "SUB": Elementwise,
    "MUL": Elementwise,
    "AVERAGE_POOL_2D": Pool2D,
    "MAX_POOL_2D": Pool2D,
    "MEAN": Reduce,
    "SOFTMAX": Softmax,
    "CONCATENATION": Concatenation,
    "LEAKY_RELU": LeakyRelu,
    "PAD": NoOptions,
    "PADV2": NoOptions,
    "RESHAPE": NoOptions,
    "RELU": NoOptions,
    "RELU6": NoOptions,
    "HARD_SWISH": NoOptions,
    "LOGISTIC": NoOptions,
    "TANH": NoOptions,
    "QUANTIZE": NoOptions,
    "DEQUANTIZE": NoOptions,
}


@dataclass(frozen=True, slots=True)
class Node:
    """One operator.

    Attributes:
        op: a key of `OPS`, or the name of an operator outside the set, whose options are `Unknown`.
        inputs: names of tensors, constants included; "" stands for an input left out.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: Options

    def __post_init__(self) -> None:
        if type(self.options) is not OPS.get(self.op, Unknown) and type(self.options) is not Unknown:
            raise ValueError(f"{self.op} '{self.name}' cannot have {type(self.options).__name__} options")


@dataclass(frozen=True, eq=False)
class Graph:
    """A network: tensors by name, nodes in execution order.

    Attributes:
        metadata: what the file says about itself (`input_scale`, `labels` …), as text.
    """

    tensors: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self._by_name) != len(self.tensors):
            raise ValueError("two tensors of a graph have the same name")
        known = set(self.inputs) | {tensor.name for tensor in self.tensors if tensor.data is not None}
        for node in self.nodes:
            for name in node.inputs:
                if name and name not in known:
                    raise ValueError(f"{node.op} '{node.name}' reads '{name}', which nothing before it writes")
            known.update(node.outputs)
        if missing := [name for name in (*known, *self.outputs) if name not in self._by_name or name not in known]:
            raise ValueError(f"no tensor '{missing[0]}' in the graph")

    @cached_property
    def _by_name(self) -> dict[str, Tensor]:
        return {tensor.name: tensor for tensor in self.tensors}

    def tensor(self, name: str) -> Tensor:
        """The tensor of that name."""
        return self._by_name[name]
