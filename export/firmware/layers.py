"""Graph nodes -> layers: which kernel, its constants, packed, and its call. One function per operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from export.firmware.fixed_point import Multiplier, multiplier, softmax_exponentials
from export.firmware.kernels import Kernel, Layout, kernel_for
from export.graph import ExportError, Graph, Node, Tensor
from hardware_profiles.firmware import FirmwarePlan, InstructionSet, Step
from hardware_profiles.ops import same_padding

Array = npt.NDArray[Any]
ADD_LEFT_SHIFT = 20


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """A constant array of a layer: its C type, its name after the layer's, its values."""

    ctype: str
    suffix: str
    values: Array


@dataclass(frozen=True, slots=True, eq=False)
class Struct:
    """A constant struct of a layer: its C type, its name after the layer's, its fields as C text."""

    ctype: str
    suffix: str
    fields: Mapping[str, str | int]


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One step as C.

    Attributes:
        title: for the comment above it.
        arguments: of the kernel's call, as C text.
        output: the tensor it leaves, and `output_at` where, as C text.
    """

    name: str
    title: str
    kernel: Kernel
    constants: tuple[Constant, ...]
    structs: tuple[Struct, ...]
    arguments: tuple[str, ...]
    output: Tensor
    output_at: str


@dataclass(frozen=True, slots=True, eq=False)
class _Context:
    """What a lowering function is given beside its node."""

    graph: Graph
    plan: FirmwarePlan
    instruction_set: InstructionSet
    index: int  # of the step
    add: Node | None

    def at(self, tensor: str) -> str:
        return f"model_arena + {self.plan.offset(tensor)}"

    @property
    def scratch(self) -> str:
        offset = self.plan.scratch_offset(self.index)
        return "0" if offset is None else f"model_arena + {offset}"

    @property
    def name(self) -> str:
        return f"layer{self.index}"

    def layer(
        self,
        node: Node,
        kernel: Kernel,
        constants: tuple[Constant, ...],
        structs: tuple[Struct, ...],
        arguments: tuple[str, ...],
    ) -> Layer:
        """The layer of a node, and of the ADD behind it."""
        nodes = [node] if self.add is None else [node, self.add]
        output = self.graph.tensor(nodes[-1].outputs[0])
        title = ", then ".join(_title(self.graph, n) for n in nodes)
        return Layer(self.name, title, kernel, constants, structs, arguments, output, self.at(output.name))


def lower(graph: Graph, plan: FirmwarePlan, instruction_set: InstructionSet) -> tuple[Layer, ...]:
    """The layers of a plan, in execution order.

    Raises:
        ExportError: an operator, option or type that no kernel does; names the node.
    """
    return tuple(_lower_step(graph, plan, instruction_set, i, step) for i, step in enumerate(plan.steps))


def _lower_step(graph: Graph, plan: FirmwarePlan, instruction_set: InstructionSet, index: int, step: Step) -> Layer:
    node = graph.nodes[step.op]
    add = None if step.add is None else graph.nodes[step.add]
    return _LOWERINGS[node.op](_Context(graph, plan, instruction_set, index, add), node)


def check_supported(graph: Graph) -> None:
    """Refuse what no kernel does, before anything is planned.

    Raises:
        ExportError: names the node, and what is supported.
    """
    for node in graph.nodes:
        if node.op not in SUPPORTED:
            raise ExportError(f"node '{node.name}' is a {node.op}; the firmware does {', '.join(SUPPORTED)}")
        for name in (node.inputs[0], *node.outputs):
            tensor = graph.tensor(name)
            if tensor.dtype != "int8" or tensor.qparams is None or len(tensor.qparams.scale) != 1:
                raise ExportError(
                    f"node '{node.name}' ({node.op}): tensor '{name}' is {tensor.dtype}; the firmware computes in int8 "
                    "with one scale per activation; quantize the model first"
                )


def _weighted(context: _Context, node: Node, op: str, geometry: dict[str, int], weights: Array) -> Layer:
    """A convolution, depthwise convolution or fully connected layer.

    Args:
        weights: int8, output channels first, shape (C_out, steps) in the order that windows are read.
    """
    graph = context.graph
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    factors = conv_multipliers(graph, node, len(weights))
    bias = folded_bias(graph, node, weights, zero_point(x))
    other = "" if context.add is None else next(name for name in context.add.inputs if name != node.outputs[0])
    add = add_factors(graph, context.add, other, node.outputs[0]) if context.add else ()
    kernel = kernel_for(op, context.instruction_set, Layout(geometry, weights, bias, factors, add))
    factors = [kernel.factor(f) for f in factors]
    constants = [
        Constant("int8_t", "weights", kernel.pack(weights)),
        Constant("int32_t", "bias", kernel.pad(bias)),
        Constant("int32_t", "multiplier", np.array([f.mantissa for f in factors])),
        Constant("int8_t", "shift", np.array([f.shift for f in factors], np.int8)),
    ]
    low, high = activation_bounds(node, y)
    fields: dict[str, str | int] = {c.suffix: f"{context.name}_{c.suffix}" for c in constants}
    fields |= geometry
    fields |= {"in_zero": zero_point(x), "out_zero": zero_point(y), "out_min": low, "out_max": high}
    structs = [Struct("nn_conv", "", fields)]
    source, target = context.at(node.inputs[0]), context.at((context.add or node).outputs[0])
    added, residual = "0", target
    if context.add is not None:
        structs.append(_add_struct(graph, context.add, other, node.outputs[0], kernel))
        added, residual = f"&{context.name}_add", context.at(other)
    between = (source,) if op == "DEPTHWISE_CONV_2D" else (added, source, residual)
    arguments = (f"&{context.name}", *between, target, context.scratch)
    return context.layer(node, kernel, tuple(constants), tuple(structs), arguments)


def _conv(context: _Context, node: Node) -> Layer:
    weights = _weights(context.graph, node, 4)
    return _weighted(context, node, "CONV_2D", _geometry(context.graph, node), weights.reshape(len(weights), -1))


def _depthwise(context: _Context, node: Node) -> Layer:
    weights = _weights(context.graph, node, 4)[0]
    by_channel = weights.transpose(2, 0, 1).reshape(weights.shape[2], -1)
    return _weighted(context, node, "DEPTHWISE_CONV_2D", _geometry(context.graph, node), by_channel)


def _fully_connected(context: _Context, node: Node) -> Layer:
    weights = _weights(context.graph, node, 2)
    c_out, steps = weights.shape
    if prod(context.graph.tensor(node.inputs[0]).shape) != steps:
        raise ExportError(f"node '{node.name}' (FULLY_CONNECTED) does more than one row; the firmware does one")
    ones = ("in_h", "in_w", "out_h", "out_w", "kernel_h", "kernel_w", "stride_h", "stride_w")
    geometry = {key: 1 for key in (*ones, "dilation_h", "dilation_w")}
    geometry |= {"in_c": steps, "out_c": c_out, "pad_top": 0, "pad_left": 0}
    return _weighted(context, node, "FULLY_CONNECTED", geometry, weights)


def _add(context: _Context, node: Node) -> Layer:
    graph = context.graph
    a, b = node.inputs
    y = graph.tensor(node.outputs[0])
    if graph.tensor(a).shape != graph.tensor(b).shape:
        raise ExportError(f"node '{node.name}' (ADD) adds {graph.tensor(a).shape} to {graph.tensor(b).shape}")
    kernel = kernel_for("ADD", context.instruction_set, Layout(add=add_factors(graph, node, a, b)))
    struct = _add_struct(graph, node, a, b, kernel)
    arguments = (f"&{context.name}_add", context.at(a), context.at(b), context.at(y.name), str(prod(y.shape)))
    return context.layer(node, kernel, (), (struct,), arguments)


def _average_pool(context: _Context, node: Node) -> Layer:
    y = context.graph.tensor(node.outputs[0])
    geometry = _geometry(context.graph, node)
    low, high = activation_bounds(node, y)
    keys = ("in_h", "in_w", "out_h", "out_w", "kernel_h", "kernel_w", "stride_h", "stride_w", "pad_top", "pad_left")
    fields: dict[str, str | int] = {key: geometry[key] for key in keys}
    fields |= {"channels": geometry["in_c"], "out_min": low, "out_max": high}
    arguments = (f"&{context.name}", context.at(node.inputs[0]), context.at(y.name))
    kernel = kernel_for(node.op, context.instruction_set, Layout())
    return context.layer(node, kernel, (), (Struct("nn_pool", "", fields),), arguments)


def _softmax(context: _Context, node: Node) -> Layer:
    x, y = context.graph.tensor(node.inputs[0]), context.graph.tensor(node.outputs[0])
    table = Constant("int32_t", "exponentials", np.array(softmax_exponentials(scale(x), 1.0), np.int64))
    fields: dict[str, str | int] = {
        "exponentials": f"{context.name}_exponentials",
        "rows": prod(x.shape[:-1]),
        "columns": x.shape[-1],
    }
    arguments = (f"&{context.name}", context.at(x.name), context.at(y.name))
    kernel = kernel_for(node.op, context.instruction_set, Layout())
    struct = Struct("nn_softmax", "", fields)
    return context.layer(node, kernel, (table,), (struct,), arguments)


_LOWERINGS: Mapping[str, Callable[[_Context, Node], Layer]] = {
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "ADD": _add,
    "AVERAGE_POOL_2D": _average_pool,
    "SOFTMAX": _softmax,
}
SUPPORTED = (*_LOWERINGS, "RESHAPE")


def scale(tensor: Tensor) -> float:
    """The scale of an activation."""
    assert tensor.qparams is not None
    return float(tensor.qparams.scale[0])


def zero_point(tensor: Tensor) -> int:
    """The zero point of an activation."""
    assert tensor.qparams is not None
    return int(tensor.qparams.zero_point[0])


def activation_bounds(node: Node, output: Tensor) -> tuple[int, int]:
    """What the fused activation clamps int8 values to."""
    zero = zero_point(output)
    low, high = -128, 127
    if node.options.activation in ("RELU", "RELU6"):
        low = max(low, zero)
    if node.options.activation == "RELU6":
        high = min(high, zero + int(np.floor(np.float32(6) / np.float32(scale(output)) + 0.5)))
    if node.options.activation not in ("NONE", "RELU", "RELU6"):
        raise ExportError(f"node '{node.name}' ({node.op}) has the activation {node.options.activation}; not supported")
    return low, high


def conv_multipliers(graph: Graph, node: Node, channels: int) -> list[Multiplier]:
    """input scale * weight scale / output scale, one per output channel."""
    x, w, y = (graph.tensor(name) for name in (*node.inputs[:2], node.outputs[0]))
    assert w.qparams is not None
    scales = np.broadcast_to(w.qparams.scale, channels)
    if node.op == "FULLY_CONNECTED" and len(w.qparams.scale) == 1:  # TFLite multiplies these two as float32
        return [multiplier(float(np.float32(scale(x)) * np.float32(s)) / scale(y)) for s in scales]
    return [multiplier(scale(x) * float(s) / scale(y)) for s in scales]


def folded_bias(graph: Graph, node: Node, weights: Array, zero: int) -> npt.NDArray[np.int64]:
    """Bias - zero point * sum of weights, wrapped to int32 as the accumulator wraps; zeros where there is no bias."""
    bias = np.zeros(len(weights), np.int64)
    if len(node.inputs) > 2:
        data = graph.tensor(node.inputs[2]).data
        assert data is not None
        bias += data.reshape(-1).astype(np.int64)
    bias -= zero * weights.astype(np.int64).sum(1)
    return bias.astype(np.int32).astype(np.int64)


def add_factors(graph: Graph, node: Node, a_name: str, b_name: str) -> tuple[Multiplier, Multiplier, Multiplier]:
    """Multipliers of both summands, left-shifted by ADD_LEFT_SHIFT, and of their sum."""
    a, b, y = (scale(graph.tensor(name)) for name in (a_name, b_name, node.outputs[0]))
    twice = 2.0 * max(a, b)
    return multiplier(a / twice), multiplier(b / twice), multiplier(twice / ((1 << ADD_LEFT_SHIFT) * y))


def _add_struct(graph: Graph, node: Node, a_name: str, b_name: str, kernel: Kernel) -> Struct:
    a, b, y = (graph.tensor(name) for name in (a_name, b_name, node.outputs[0]))
    plain = zip(("a", "b", "out"), add_factors(graph, node, a_name, b_name), strict=True)
    factors = {key: kernel.factor(f) for key, f in plain}
    low, high = activation_bounds(node, y)
    fields: dict[str, str | int] = {f"multiplier_{key}": f.mantissa for key, f in factors.items()}
    fields |= {f"shift_{key}": f.shift for key, f in factors.items()}
    fields |= {"zero_a": zero_point(a), "zero_b": zero_point(b), "out_zero": zero_point(y)}
    fields |= {"out_min": low, "out_max": high}
    return Struct("nn_add", "add", fields)


def _weights(graph: Graph, node: Node, rank: int) -> Array:
    tensor = graph.tensor(node.inputs[1])
    if tensor.data is None or tensor.dtype != "int8" or len(tensor.shape) != rank:
        raise ExportError(
            f"node '{node.name}' ({node.op}): the weights are {tensor.dtype} {tensor.shape}; wanted constant int8"
        )
    assert tensor.qparams is not None
    if tensor.qparams.zero_point.any():
        raise ExportError(f"node '{node.name}' ({node.op}): the weights have a zero point; wanted symmetric ones")
    return tensor.data


def _geometry(graph: Graph, node: Node) -> dict[str, int]:
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    _, in_h, in_w, in_c = x.shape
    _, out_h, out_w, out_c = y.shape
    (kernel_h, kernel_w), (stride_h, stride_w) = node.options.kernel_hw, node.options.stride_hw
    padding = (0, 0)
    if node.options.padding == "SAME":
        padding = (same_padding(in_h, kernel_h, stride_h)[0], same_padding(in_w, kernel_w, stride_w)[0])
    return {
        "in_h": in_h,
        "in_w": in_w,
        "in_c": in_c,
        "out_h": out_h,
        "out_w": out_w,
        "out_c": out_c,
        "kernel_h": kernel_h,
        "kernel_w": kernel_w,
        "stride_h": stride_h,
        "stride_w": stride_w,
        "dilation_h": 1,
        "dilation_w": 1,
        "pad_top": padding[0],
        "pad_left": padding[1],
    }


def _title(graph: Graph, node: Node) -> str:
    shape = "x".join(str(side) for side in graph.tensor(node.outputs[0]).shape[1:])
    return f"{node.name} -> {shape}"
