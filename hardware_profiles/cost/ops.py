"""OpSpec: one operator of a network as cost sees it, whoever lowered it (a genotype or a file's graph).

Shapes are NHWC with N = 1, as a device runs them. Tensors have names, so that lifetimes, and with them the arena,
follow from the list of operators alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

OpKind = Literal[
    "conv",
    "depthwise_conv",
    "fully_connected",
    "add",
    "mul",
    "avg_pool",
    "max_pool",
    "mean",
    "pad",
    "softmax",
    "reshape",
    "activation",
    "concat",
    "quantize",
    "unknown",
]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An activation tensor: its name, its shape (NHWC or NC, N = 1) and the bytes of one element."""

    name: str
    shape: tuple[int, ...]
    itemsize: int = 1

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor's data, without alignment."""
        return prod(self.shape) * self.itemsize


@dataclass(frozen=True, slots=True)
class OpSpec:
    """One operator: what it reads, what it writes, and the weights it owns.

    Attributes:
        kind: the row of the cost tables; `unknown` keeps `op` and makes an answer incomplete, never silently low.
        op: the operator's name in its format (`CONV_2D`, `Conv`), for messages.
        inputs: activation tensors read, weights excluded.
        output: the activation tensor written.
        kernel_hw: height and width of the filter or pooling window.
        stride_hw: its strides.
        weights: number of weight elements, after batch-norm folding.
        weight_itemsize: bytes of one weight element (1 for int8, 4 for float32).
        biases: number of bias elements (4 bytes each in int8 and in float32).
        channel_scales: number of per-channel weight scales (0 for float).
        dilation_hw: steps between the filter's taps.
        scratch_bytes: arena that the kernel needs while it runs, besides its tensors.
    """

    kind: OpKind
    op: str
    inputs: tuple[TensorSpec, ...]
    output: TensorSpec
    kernel_hw: tuple[int, int] = (1, 1)
    stride_hw: tuple[int, int] = (1, 1)
    weights: int = 0
    weight_itemsize: int = 1
    biases: int = 0
    channel_scales: int = 0
    dilation_hw: tuple[int, int] = (1, 1)
    scratch_bytes: int = 0

    def __post_init__(self) -> None:
        if not self.inputs:
            raise ValueError(f"{self.op} '{self.output.name}' reads no activation tensor")
        if min(self.weights, self.biases, self.channel_scales) < 0:
            raise ValueError(f"{self.op} '{self.output.name}' has a negative number of weights")


def macs(op: OpSpec) -> int:
    """Multiply-accumulates of one operator; 1 MAC = 1, and only operators with weights have any."""
    if op.kind in ("conv", "depthwise_conv"):
        _, h, w, _ = op.output.shape
        return h * w * op.weights
    return op.weights if op.kind == "fully_connected" else 0


def params(op: OpSpec) -> int:
    """Weights and biases, after batch-norm folding."""
    return op.weights + op.biases


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TF-SAME padding (before, after) of one axis, for ceil(size / stride) outputs; the odd pad goes after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
