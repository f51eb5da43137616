"""Operator: all that the rest of export asks of one, as a value; export.ops.table holds them all.

What an operator computes, how it is read and written, and its C stand in one file of this folder each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from export.graph import Array, Graph, Node, Tensor
from export.onnx_graph import OnnxGraph
from export.ops.layer import Context, Layer
from export.ops.onnx_reader import OnnxReader
from export.ops.onnx_writer import WriteFunction, WriteLayer
from hardware_profiles.cost.ops import OpKind

if TYPE_CHECKING:
    import torch

Shape = tuple[int, ...]
Quantization = tuple[np.float32, int]  # scale and zero point of an activation tensor
Compute = Callable[..., Array]  # int8 activations (N, ...) in the order of the node's inputs -> int8 (N, ...)
Values: TypeAlias = "torch.Tensor"
Fake = Callable[[Any, OnnxGraph, list[Values]], Values]  # ONNX node, graph, activations -> its output

Rule = Literal["weighted", "operands", "clip", "shared", "own"] | Quantization
"""How a float operator is quantized, by the TFLite 8-bit quantization specification.

    weighted   weights per output channel, int32 biases; its output's range, or that of the clip behind it
    operands   a constant operand over its own range; its output as of `weighted`
    clip       its output's range; takes the place of the output before it
    shared     only moves or pools values: inputs and output share one quantization
    own        its output's range
    (s, z)     its output has this scale and zero point
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxForm:
    """An ONNX operator that a TFLite operator is written as.

    Attributes:
        read: appends the nodes that it becomes.
        quantized: by which rule; None where quantization refuses it.
        fake: what it computes in quantization-aware training, before its output is rounded; None where that lacks it.
        homogeneous: f(t x) = t f(x) of each channel and t > 0, so that equalization may scale through it.
    """

    read: Callable[[OnnxReader, Any], None]
    quantized: Rule | None = None
    fake: Fake | None = None
    homogeneous: bool = False


def one_type(x: Tensor, y: Tensor) -> str | None:
    """What is wrong where two operands differ in type; None where nothing is."""
    return None if x.dtype == y.dtype else f"'{x.name}' is {x.dtype} and '{y.name}' is {y.dtype}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One operator.

    Attributes:
        name: TFLite's.
        kind: its row of the cost tables.
        inputs: the fewest and the most.
        shapes: of a node and its inputs, the shapes that the output may have; none where any of its size will do.
        types: what is wrong with the types of an input and the output.
        own_types: operands after the first have types of their own: weights, axes, amounts.
        moves: only moves values, which then need no quantization.
        reads_weights: a constant that it reads may have a scale per channel.
        weights_axis: of the output channels in its weights; None where it has none.
        fuses: TFLite fuses an activation behind it.
        options: name of its table of options in TFLite's schema; None where it needs none.
        int8_version: first version whose kernels take int8; None where there is none.
        float_version: first version whose kernels take floats.
        hybrid_version: first version whose kernels take float activations and int8 weights with a scale per channel.
        states_bias: its kernel checks the quantization of its bias, which otherwise follows from input and weights.
        prepare: makes a node ready: integers in, integers out, bit for bit as TFLite Micro.
        lower: the kernel call of a step; None where the firmware does not do it, or needs no code for it.
        tflm: in TFLite Micro, its method of MicroMutableOpResolver after `Add`, its registration after `Register_`, and
            the file of its kernel.
        onnx: ONNX operators that it is read from.
        layers: torch layers by class name, written as those; `functions` by name.
    """

    name: str
    kind: OpKind
    inputs: tuple[int, int] = (1, 1)
    shapes: Callable[[Node, Sequence[Tensor]], Sequence[Shape]]
    types: Callable[[Tensor, Tensor], str | None] = one_type
    own_types: bool = False
    moves: bool = False
    reads_weights: bool = False
    weights_axis: int | None = None
    fuses: bool = False
    options: str | None = None
    int8_version: int | None = None
    float_version: int = 1
    hybrid_version: int = 1
    states_bias: bool = False
    prepare: Callable[[Graph, Node], Compute] | None = None
    lower: Callable[[Context, Node], Layer] | None = None
    tflm: tuple[str, str, str] | None = None
    onnx: Mapping[str, OnnxForm] = field(default_factory=dict)
    layers: Mapping[str, WriteLayer] = field(default_factory=dict)
    functions: Mapping[str, WriteFunction] = field(default_factory=dict)

    @property
    def in_firmware(self) -> bool:
        """Whether the firmware does it; a RESHAPE moves nothing there."""
        return self.lower is not None or self.kind == "reshape"
