"""What convolutions and linear layers share: weights, biases, requantization per output channel, C.

y = clip(round((sum of (x - zero_x) * w + bias) * s_x * s_w / s_y) + zero_y), TFLite 8-bit quantization specification,
https://ai.google.dev/edge/litert/models/quantization_spec.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from export.graph import ZERO_POINTS, Array, ExportError, Graph, Node, Tensor
from export.onnx_graph import attributes
from export.ops.add import add_factors, add_struct
from export.ops.fixed_point import quantize_multiplier
from export.ops.integers import Int8s, activation_bounds, constant, ends, requantize, scale, zero_point
from export.ops.layer import Constant, Context, Fields, Layer, Struct, multiplier
from export.ops.onnx_reader import OnnxReader
from export.ops.shapes import refuse
from hardware_profiles.firmware.layout import Layout, Multiplier

if TYPE_CHECKING:
    from collections.abc import Callable

_BIAS = {
    "int8": ("int32",),
    "uint8": ("int32",),
    "int16": ("int32", "int64"),
    "float16": ("float16",),
    "float32": ("float32",),
}


def check_weights(node: Node, inputs: Sequence[Tensor], channels: int, axis: int) -> None:
    """Scales of the weights, one or one per output channel, and the bias."""
    x, w = inputs[:2]
    if x.dtype != w.dtype and (x.dtype, w.dtype) not in (("float32", "int8"), ("int16", "int8")):
        refuse(node, f"its input is {x.dtype} and its weights are {w.dtype}")
    if w.dtype in ZERO_POINTS:
        q = w.qparams
        if q is None or len(q.scale) not in (1, channels) or len(q.zero_point) != len(q.scale):
            refuse(node, f"its weights need one scale, or one for each of {channels} output channels")
        if len(q.scale) > 1 and q.axis != axis:
            refuse(node, f"its weights have a scale for each index of axis {q.axis}, not of their output channels")
        check_weight_scales(node, w)
        if w.dtype == "int8" and q.zero_point.any():
            refuse(node, "its int8 weights have a zero point other than 0")
    if len(inputs) > 2:
        bias = inputs[2]
        if prod(bias.shape) != channels:
            refuse(node, f"its bias has the shape {bias.shape}, and it has {channels} output channels")
        if bias.dtype not in _BIAS.get(x.dtype, ()):
            refuse(node, f"its input is {x.dtype} and its bias is {bias.dtype}")


def check_weight_scales(node: Node, w: Tensor) -> None:
    """Each scale of constant weights is positive, or 0 where a converter met a channel of zeros."""
    q = w.qparams
    if q is None or w.data is None or not np.isfinite(q.scale).all() or q.scale.min(initial=0) < 0:
        refuse(node, "its quantized weights need constant values and scales that are not negative")
    if len(q.scale) not in (1, w.shape[q.axis] if q.axis < len(w.shape) else 1):
        refuse(node, f"its weights of the shape {w.shape} have {len(q.scale)} scales along axis {q.axis}")
    values = np.moveaxis(w.data, q.axis, 0) if len(q.scale) > 1 else w.data[None]
    if (zero := q.scale == 0).any() and values[zero].any():
        refuse(node, "a scale of its weights is 0, and their channel holds other values than 0")


def kernel_hw(node: Node, w: Tensor) -> tuple[int, int]:
    """Height and width of a filter, as both the options and the weights must have it."""
    if len(w.shape) != 4:
        refuse(node, f"its weights have the shape {w.shape}, not four axes")
    if node.options.kernel_hw != w.shape[1:3]:
        refuse(node, f"its kernel is {node.options.kernel_hw} and its weights have the shape {w.shape}")
    return node.options.kernel_hw


def requantization(graph: Graph, node: Node, channels: int) -> Callable[[Array], Int8s]:
    """What makes int8 outputs, shape (..., C_out), of sums of products."""
    x, y = ends(graph, node)
    q = graph.tensor(node.inputs[1]).qparams
    assert q is not None
    factors = np.broadcast_to(scale(x) * q.scale.astype(np.float64) / scale(y), channels)
    pairs = np.array([quantize_multiplier(float(factor)) for factor in factors], np.int64)
    bias = constant(graph, node, 2).astype(np.int64) if len(node.inputs) > 2 else np.zeros(channels, np.int64)
    zero, bounds = zero_point(y), activation_bounds(node, y)
    return lambda sums: requantize(sums.astype(np.int64) + bias, pairs[:, 0], pairs[:, 1], zero, bounds)


def read_weights(reader: OnnxReader, node: Any) -> Array:
    """The weights of an ONNX layer as they lie in the file.

    Raises:
        ExportError: they are computed, or quantized otherwise than symmetrically per output channel.
    """
    if node.input[1] not in reader.constants:
        raise ExportError(f"node '{node.name}' ({node.op_type}): its weights are computed, not constant")
    q = reader.weight_qparams.get(node.input[1])
    if q is not None and q.zero_point.any():
        raise ExportError(f"node '{node.name}' ({node.op_type}): its weights must be quantized symmetrically")
    channel_axis = 1 if node.op_type == "Gemm" and not attributes(node).get("transB", 0) else 0
    if q is not None and q.scale.size > 1 and q.axis != channel_axis:
        raise ExportError(
            f"node '{node.name}' ({node.op_type}): its weights are quantized along axis {q.axis}; only their "
            f"output channels, axis {channel_axis}, can have scales of their own"
        )
    return reader.constants[node.input[1]]


def read_bias(reader: OnnxReader, node: Any, channels: int) -> str:
    """The name of an ONNX layer's bias; zeros where it has none."""
    if len(node.input) > 2 and node.input[2]:
        value = reader.graph.constant(node, 2)
        if value is None:
            raise ExportError(f"node '{node.name}' ({node.op_type}): its bias is computed, not constant")
        return reader.quantized_constant(node.input[2], value, 0)
    dtype = np.float32 if node.input[1] not in reader.weight_qparams else np.int32
    return reader.constant(f"{node.name}.bias", np.zeros(channels, dtype))


def lower_weighted(
    context: Context, node: Node, geometry: dict[str, int], weights: Array, *, adds: bool = True
) -> Layer:
    """The layer of a convolution, depthwise convolution or linear layer, and of an ADD behind it.

    Args:
        weights: int8, output channels first, shape (C_out, steps) in the order that windows are read.
        adds: whether its kernels have an epilogue that adds.
    """
    graph = context.graph
    x, y = ends(graph, node)
    factors = conv_multipliers(graph, node, len(weights))
    bias = folded_bias(graph, node, weights, zero_point(x))
    other = "" if context.add is None else next(name for name in context.add.inputs if name != node.outputs[0])
    add = add_factors(graph, context.add, other, node.outputs[0]) if context.add else ()
    layout = Layout(weights, bias, factors, add)
    kernel, reason = context.choose(layout), context.reason(layout)
    factors = [kernel.factor(f) for f in factors]
    constants = [
        Constant("int8_t", "weights", kernel.pack(weights)),
        Constant("int32_t", "bias", kernel.pad(bias)),
        Constant("int32_t", "multiplier", np.array([f.mantissa for f in factors])),
        Constant("int8_t", "shift", np.array([f.shift for f in factors], np.int8)),
    ]
    low, high = activation_bounds(node, y)
    fields: Fields = {c.suffix: f"{context.name}_{c.suffix}" for c in constants}
    fields |= geometry
    fields |= {"in_zero": zero_point(x), "out_zero": zero_point(y), "out_min": low, "out_max": high}
    structs = [Struct("nn_conv", "", fields)]
    source, target = context.at(node.inputs[0]), context.at((context.add or node).outputs[0])
    added, residual = "0", target
    if context.add is not None:
        structs.append(add_struct(graph, context.add, other, node.outputs[0], kernel))
        added, residual = f"&{context.name}_add", context.at(other)
    between = (added, source, residual) if adds else (source,)
    arguments = (f"&{context.name}", *between, target, context.scratch)
    return context.layer(node, kernel, tuple(constants), tuple(structs), arguments, reason=reason)


def conv_multipliers(graph: Graph, node: Node, channels: int) -> list[Multiplier]:
    """input scale * weight scale / output scale, one per output channel."""
    x, w, y = (graph.tensor(name) for name in (*node.inputs[:2], node.outputs[0]))
    assert w.qparams is not None
    return [multiplier(scale(x) * float(s) / scale(y)) for s in np.broadcast_to(w.qparams.scale, channels)]


def folded_bias(graph: Graph, node: Node, weights: Array, zero: int) -> npt.NDArray[np.int64]:
    """Bias - zero point * sum of weights, wrapped to int32 as the accumulator wraps; zeros where there is no bias."""
    bias = np.zeros(len(weights), np.int64)
    if len(node.inputs) > 2:
        data = graph.tensor(node.inputs[2]).data
        assert data is not None
        bias += data.reshape(-1).astype(np.int64)
    bias -= zero * weights.astype(np.int64).sum(1)
    return bias.astype(np.int32).astype(np.int64)


def int8_weights(graph: Graph, node: Node, rank: int) -> Array:
    """The weights as firmware takes them.

    Raises:
        ExportError: they are computed, not int8, or not symmetric.
    """
    tensor = graph.tensor(node.inputs[1])
    if tensor.data is None or tensor.dtype != "int8" or len(tensor.shape) != rank:
        raise ExportError(
            f"node '{node.name}' ({node.op}): the weights are {tensor.dtype} {tensor.shape}; wanted constant int8"
        )
    assert tensor.qparams is not None
    if tensor.qparams.zero_point.any():
        raise ExportError(f"node '{node.name}' ({node.op}): the weights have a zero point; wanted symmetric ones")
    return tensor.data
