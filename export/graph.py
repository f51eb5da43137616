"""Graph: what a model file computes, in TFLite's terms (NHWC, fused activations), whichever format it came from.

The operators are a closed set, one row each in `KINDS`. Others keep their name, so that `fit` can report them; writing
or running them is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hardware_profiles.cost.ops import OpKind, OpSpec, TensorSpec

Activation = Literal["NONE", "RELU", "RELU_N1_TO_1", "RELU6"]
Padding = Literal["SAME", "VALID"]
Array = npt.NDArray[Any]
METADATA_NAME = "flatnas-deploy"


class ExportError(Exception):
    """A model that can't be read, quantized, written or run; names the node and the operator."""


_DTYPES = "int8 uint8 bool int16 uint16 float16 int32 uint32 float32 int64 uint64 float64 complex64 complex128"
ITEM_BYTES: Mapping[str, int] = {name: np.dtype(name).itemsize for name in _DTYPES.split()}  # others are never read


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


KINDS: Mapping[str, OpKind] = {
    "CONV_2D": "conv",
    "DEPTHWISE_CONV_2D": "depthwise_conv",
    "FULLY_CONNECTED": "fully_connected",
    "ADD": "add",
    "MUL": "mul",
    "MEAN": "mean",
    "AVERAGE_POOL_2D": "avg_pool",
    "MAX_POOL_2D": "max_pool",
    "PAD": "pad",
    "SOFTMAX": "softmax",
    "RESHAPE": "reshape",
    "CONCATENATION": "concat",
    "RELU": "activation",
    "RELU6": "activation",
    "RELU_0_TO_1": "activation",
    "HARD_SWISH": "activation",
    "LOGISTIC": "activation",
    "QUANTIZE": "quantize",
    "DEQUANTIZE": "quantize",
}


def to_ops(graph: Graph) -> tuple[OpSpec, ...]:
    """The operators as cost sees them; those outside `KINDS` have kind `unknown`."""
    ops = []
    constants = {name for name, tensor in graph.tensors.items() if tensor.data is not None}
    for node in graph.nodes:
        tensors = [graph.tensor(name) for name in node.inputs if name in graph.tensors]
        activations = tuple(_spec(t) for t in tensors if t.name not in constants)
        if not activations:  # computes a constant, such as float16 weights made float32
            constants.update(node.outputs)
            continue
        weights = [t for t in tensors if t.name in constants] if node.op in _WEIGHTED else []
        first = weights[0] if weights else None
        channels = len(first.qparams.scale) if first is not None and first.qparams is not None else 0
        ops.append(
            OpSpec(
                KINDS.get(node.op, "unknown"),
                node.op,
                activations,
                _spec(graph.tensor(node.outputs[0])),
                kernel_hw=node.options.kernel_hw,
                stride_hw=node.options.stride_hw,
                dilation_hw=node.options.dilation_hw,
                weights=prod(first.shape) if first is not None else 0,
                weight_itemsize=_itemsize(first) if first is not None else 1,
                biases=prod(weights[1].shape) if len(weights) > 1 else 0,
                channel_scales=channels,
            )
        )
    return tuple(ops)


_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def _spec(tensor: Tensor) -> TensorSpec:
    return TensorSpec(tensor.name, tensor.shape, _itemsize(tensor))


def _itemsize(tensor: Tensor) -> int:
    return ITEM_BYTES.get(tensor.dtype, 1)
