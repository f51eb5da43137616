"""Graph nodes -> layers: which kernel, its constants, packed, and its call. One function per operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from export.graph import ExportError, Graph, Node, Tensor
from export.ops.fixed_point import exp_of_negative, input_radius, quantize_multiplier, rescale
from export.ops.interpreter import Interpreter, activation_bounds
from export.write.kernels import UNARY, Kernel, Layout, Multiplier, kernel_for, multiplier
from hardware_profiles.cost.ops import same_padding
from hardware_profiles.firmware.plan import FirmwarePlan, InstructionSet, Step

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
        calls: of the kernel, each with its arguments as C text.
        output: the tensor it leaves, and `output_at` where, as C text.
    """

    name: str
    title: str
    kernel: Kernel
    constants: tuple[Constant, ...]
    structs: tuple[Struct, ...]
    calls: tuple[tuple[str, ...], ...]
    output: Tensor
    output_at: str

    @property
    def constant_bytes(self) -> int:
        """Flash of the layer's arrays."""
        return sum(constant.values.size * _CTYPE_BYTES[constant.ctype] for constant in self.constants)


_CTYPE_BYTES: Mapping[str, int] = {"int8_t": 1, "int32_t": 4}


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
        *calls: tuple[str, ...],
    ) -> Layer:
        """The layer of a node, and of the ADD behind it."""
        nodes = [node] if self.add is None else [node, self.add]
        output = self.graph.tensor(nodes[-1].outputs[0])
        title = ", then ".join(_title(self.graph, n) for n in nodes)
        return Layer(self.name, title, kernel, constants, structs, calls, output, self.at(output.name))


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
    geometry = dict.fromkeys((*ones, "dilation_h", "dilation_w"), 1)
    geometry |= {"in_c": steps, "out_c": c_out, "pad_top": 0, "pad_left": 0}
    _check_fields(node, geometry)
    return _weighted(context, node, "FULLY_CONNECTED", geometry, weights)


def _add(context: _Context, node: Node) -> Layer:
    graph = context.graph
    large, small = _operands(graph, node)
    kernel = kernel_for("ADD", context.instruction_set, Layout(add=add_factors(graph, node, large, small)))
    struct = _add_struct(graph, node, large, small, kernel)
    return _elementwise(context, node, kernel, struct, large, small)


def _mul(context: _Context, node: Node) -> Layer:
    graph = context.graph
    large, small = _operands(graph, node)
    a, b, y = (graph.tensor(name) for name in (large, small, node.outputs[0]))
    factor = multiplier(scale(a) * scale(b) / scale(y))
    low, high = activation_bounds(node, y)
    fields: dict[str, str | int] = {"multiplier": factor.mantissa, "shift": factor.shift}
    fields |= {"zero_a": zero_point(a), "zero_b": zero_point(b), "out_zero": zero_point(y)}
    fields |= {"out_min": low, "out_max": high}
    kernel = kernel_for("MUL", context.instruction_set, Layout())
    return _elementwise(context, node, kernel, Struct("nn_mul", "mul", fields), large, small)


def _elementwise(context: _Context, node: Node, kernel: Kernel, struct: Struct, large: str, small: str) -> Layer:
    tensors = [context.graph.tensor(name) for name in (large, small)]
    constants, sources = [], []
    for tensor, suffix in zip(tensors, "ab", strict=True):
        if tensor.data is None:
            sources.append(context.at(tensor.name))
        else:
            constants.append(Constant("int8_t", suffix, tensor.data))
            sources.append(f"{context.name}_{suffix}")
    counts = [str(prod(t.shape)) for t in tensors]
    arguments = (f"&{context.name}_{struct.suffix}", *sources, context.at(node.outputs[0]), *counts)
    return context.layer(node, kernel, tuple(constants), (struct,), arguments)


def _operands(graph: Graph, node: Node) -> tuple[str, str]:
    """The operand of the output's shape, and the other, which may be repeated along leading axes."""
    shape = graph.tensor(node.outputs[0]).shape
    large, small = sorted(node.inputs, key=lambda name: -prod(graph.tensor(name).shape))
    trailing = [side for side in graph.tensor(small).shape if side != 1]
    repeated = graph.tensor(small).shape == shape or list(shape[len(shape) - len(trailing) :]) == trailing
    if prod(graph.tensor(large).shape) != prod(shape) or not repeated:
        shapes = " and ".join(str(graph.tensor(name).shape) for name in node.inputs)
        raise ExportError(f"node '{node.name}' ({node.op}) combines {shapes}; only channels may be repeated over a map")
    return large, small


def _pool(context: _Context, node: Node) -> Layer:
    y = context.graph.tensor(node.outputs[0])
    geometry = _geometry(context.graph, node)
    low, high = activation_bounds(node, y)
    keys = ("in_h", "in_w", "out_h", "out_w", "kernel_h", "kernel_w", "stride_h", "stride_w", "pad_top", "pad_left")
    fields: dict[str, str | int] = {key: geometry[key] for key in keys}
    fields |= {"channels": geometry["in_c"], "out_min": low, "out_max": high}
    arguments = (f"&{context.name}", context.at(node.inputs[0]), context.at(y.name))
    kernel = kernel_for(node.op, context.instruction_set, Layout())
    return context.layer(node, kernel, (), (Struct("nn_pool", "", fields),), arguments)


def _mean(context: _Context, node: Node) -> Layer:
    x, y = context.graph.tensor(node.inputs[0]), context.graph.tensor(node.outputs[0])
    axes = sorted(int(a) % len(x.shape) for a in np.ravel(_constant(context.graph, node, 1)))
    if len(x.shape) != 4 or axes != [1, 2]:
        raise ExportError(f"node '{node.name}' (MEAN) averages axes {axes} of {x.shape}; supported: height and width")
    pixels = x.shape[1] * x.shape[2]
    mantissa, left = quantize_multiplier(scale(x) / scale(y))
    fold = min(pixels.bit_length() - 1, 32, 31 + left)  # 1 / pixels goes into the multiplier, as in TFLite
    fields: dict[str, str | int] = {
        "pixels": pixels,
        "channels": x.shape[3],
        "multiplier": (mantissa << fold) // pixels,
        "shift": fold - left,
        "in_zero": zero_point(x),
        "out_zero": zero_point(y),
    }
    kernel = kernel_for(node.op, context.instruction_set, Layout())
    arguments = (f"&{context.name}", context.at(x.name), context.at(y.name))
    return context.layer(node, kernel, (), (Struct("nn_mean", "", fields),), arguments)


def _pad(context: _Context, node: Node) -> Layer:
    x, y = context.graph.tensor(node.inputs[0]), context.graph.tensor(node.outputs[0])
    amounts = _constant(context.graph, node, 1).reshape(-1, 2)
    if len(x.shape) != 4 or amounts[0].any():
        raise ExportError(f"node '{node.name}' (PAD) pads {x.shape} by {amounts.tolist()}; supported: H, W, C of NHWC")
    fields: dict[str, str | int] = {}
    for key, shape in (("in", x.shape), ("out", y.shape)):
        fields |= {f"{key}_{axis}": side for axis, side in zip("hwc", shape[1:], strict=True)}
    fields |= {f"before_{axis}": int(pair[0]) for axis, pair in zip("hwc", amounts[1:], strict=True)}
    fields["value"] = zero_point(y)
    kernel = kernel_for(node.op, context.instruction_set, Layout())
    arguments = (f"&{context.name}", context.at(x.name), context.at(y.name))
    return context.layer(node, kernel, (), (Struct("nn_pad", "", fields),), arguments)


def _concatenation(context: _Context, node: Node) -> Layer:
    """One call per input: its rows into the output's, from where the inputs before it end."""
    y = context.graph.tensor(node.outputs[0])
    axis = node.options.axis % len(y.shape)
    rows, to_row = prod(y.shape[:axis]), prod(y.shape[axis:])
    constants, calls, done = [], [], 0
    for i, name in enumerate(node.inputs):
        part = context.graph.tensor(name)
        if (scale(part), zero_point(part)) != (scale(y), zero_point(y)):
            raise ExportError(f"node '{node.name}' (CONCATENATION): inputs and output must share one quantization")
        source = f"{context.name}_part{i}"
        if part.data is None:
            source = context.at(name)
        else:
            constants.append(Constant("int8_t", f"part{i}", part.data))
        row = prod(part.shape[axis:])
        calls.append((source, f"{context.at(y.name)} + {done}", str(rows), str(row), str(to_row)))
        done += row
    kernel = kernel_for(node.op, context.instruction_set, Layout())
    return context.layer(node, kernel, tuple(constants), (), *calls)


def _unary(context: _Context, node: Node) -> Layer:
    """A function of one value, as a table of what the interpreter says to each of the 256."""
    graph = context.graph
    values = np.arange(-128, 128, dtype=np.int8)[None]
    ends = {name: replace(graph.tensor(name), shape=values.shape) for name in (node.inputs[0], node.outputs[0])}
    table = Interpreter(Graph((node,), ends, node.inputs[:1], node.outputs[:1])).run(values)
    constant = Constant("int8_t", "table", table)
    y = graph.tensor(node.outputs[0])
    arguments = (f"{context.name}_table", context.at(node.inputs[0]), context.at(y.name), str(prod(y.shape)))
    return context.layer(node, kernel_for(node.op, context.instruction_set, Layout()), (constant,), (), arguments)


def _softmax(context: _Context, node: Node) -> Layer:
    x, y = context.graph.tensor(node.inputs[0]), context.graph.tensor(node.outputs[0])
    if (scale(y), zero_point(y)) != (1 / 256, -128):
        raise ExportError(f"node '{node.name}' (SOFTMAX): its output must have scale 1/256 and zero point -128")
    table = Constant("int32_t", "exponentials", softmax_exponentials(scale(x), node.options.beta))
    fields: dict[str, str | int] = {
        "exponentials": f"{context.name}_exponentials",
        "rows": prod(x.shape[:-1]),
        "columns": x.shape[-1],
    }
    arguments = (f"&{context.name}", context.at(x.name), context.at(y.name))
    kernel = kernel_for(node.op, context.instruction_set, Layout())
    return context.layer(node, kernel, (table,), (Struct("nn_softmax", "", fields),), arguments)


def softmax_exponentials(input_scale: float, beta: float) -> Array:
    """exp(-beta * scale * d) for d in 0 .. 255 as Q0.31; 0 where TFLite counts no more."""
    mantissa, left = quantize_multiplier(min(beta * input_scale * 2**26, 2**31 - 1.0))
    differences = -np.arange(256, dtype=np.int64)
    counted = differences >= -input_radius(5, left)
    return np.where(counted, exp_of_negative(rescale(np.where(counted, differences, 0), mantissa, left)), 0)


_LOWERINGS: Mapping[str, Callable[[_Context, Node], Layer]] = {
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "ADD": _add,
    "MUL": _mul,
    "MEAN": _mean,
    "AVERAGE_POOL_2D": _pool,
    "MAX_POOL_2D": _pool,
    "PAD": _pad,
    "CONCATENATION": _concatenation,
    "SOFTMAX": _softmax,
    **dict.fromkeys(UNARY, _unary),
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


def _constant(graph: Graph, node: Node, index: int) -> Array:
    data = graph.tensor(node.inputs[index]).data
    if data is None:
        raise ExportError(f"node '{node.name}' ({node.op}): '{node.inputs[index]}' is computed; wanted a constant")
    return data


def _check_fields(node: Node, geometry: Mapping[str, int]) -> None:
    """Refuse what the fields of `nn_conv` and `nn_pool` can't hold."""
    for key, value in geometry.items():
        largest = 32767 if key.startswith(("in_", "out_")) else 255
        if value > largest:
            raise ExportError(
                f"node '{node.name}' ({node.op}): {key} is {value:,}; the kernels take at most {largest:,}"
            )


def _geometry(graph: Graph, node: Node) -> dict[str, int]:
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    _, in_h, in_w, in_c = x.shape
    _, out_h, out_w, out_c = y.shape
    (kernel_h, kernel_w), (stride_h, stride_w) = node.options.kernel_hw, node.options.stride_hw
    dilation_h, dilation_w = node.options.dilation_hw
    padding = (0, 0)
    if node.options.padding == "SAME":
        spans = (dilation_h * (kernel_h - 1) + 1, dilation_w * (kernel_w - 1) + 1)
        padding = (same_padding(in_h, spans[0], stride_h)[0], same_padding(in_w, spans[1], stride_w)[0])
    geometry = {
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
        "dilation_h": dilation_h,
        "dilation_w": dilation_w,
        "pad_top": padding[0],
        "pad_left": padding[1],
    }
    _check_fields(node, geometry)
    return geometry


def _title(graph: Graph, node: Node) -> str:
    shape = "x".join(str(side) for side in graph.tensor(node.outputs[0]).shape[1:])
    return f"{node.name} -> {shape}"
