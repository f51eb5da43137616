"""ADD: both summands brought to a common scale in 20 more bits, TFLite's reference/integer_ops/add.h."""

from __future__ import annotations

from operator import add
from typing import TYPE_CHECKING

from export.graph import Array, Graph, Node
from export.ops.elementwise import centred, fake_binary, large_and_small, lower_elementwise, write_binary
from export.ops.fixed_point import quantize_multiplier, rescale
from export.ops.integers import activation_bounds, requantize, scale, zero_point
from export.ops.layer import Context, Fields, Layer, Struct, multiplier
from export.ops.onnx_reader import elementwise
from export.ops.operator import Compute, OnnxForm, Operator
from export.ops.shapes import broadcast
from hardware_profiles.firmware.layout import Layout, Multiplier

if TYPE_CHECKING:
    from hardware_profiles.firmware.kernel import Kernel

LEFT_SHIFT = 20  # NN_ADD_LEFT_SHIFT of export/runtime/nn.h


def _prepare(graph: Graph, node: Node) -> Compute:
    a, b, y = (graph.tensor(name) for name in (*node.inputs, node.outputs[0]))
    twice = 2 * max(scale(a), scale(b))
    left, right = quantize_multiplier(scale(a) / twice), quantize_multiplier(scale(b) / twice)
    m, shift = quantize_multiplier(twice / (2**LEFT_SHIFT * scale(y)))
    operands, bounds = centred(graph, node), activation_bounds(node, y)

    def run(*values: Array) -> Array:
        u, v = operands(*values)
        sums = rescale(u << LEFT_SHIFT, *left) + rescale(v << LEFT_SHIFT, *right)
        return requantize(sums, m, shift, zero_point(y), bounds)

    return run


def add_factors(graph: Graph, node: Node, a_name: str, b_name: str) -> tuple[Multiplier, Multiplier, Multiplier]:
    """Multipliers of both summands, left-shifted by LEFT_SHIFT, and of their sum."""
    a, b, y = (scale(graph.tensor(name)) for name in (a_name, b_name, node.outputs[0]))
    twice = 2.0 * max(a, b)
    return multiplier(a / twice), multiplier(b / twice), multiplier(twice / ((1 << LEFT_SHIFT) * y))


def add_struct(graph: Graph, node: Node, a_name: str, b_name: str, kernel: Kernel) -> Struct:
    """`nn_add` for a kernel, which may be a convolution's."""
    a, b, y = (graph.tensor(name) for name in (a_name, b_name, node.outputs[0]))
    plain = zip(("a", "b", "out"), add_factors(graph, node, a_name, b_name), strict=True)
    factors = {key: kernel.factor(f) for key, f in plain}
    low, high = activation_bounds(node, y)
    fields: Fields = {f"multiplier_{key}": f.mantissa for key, f in factors.items()}
    fields |= {f"shift_{key}": f.shift for key, f in factors.items()}
    fields |= {"zero_a": zero_point(a), "zero_b": zero_point(b), "out_zero": zero_point(y)}
    fields |= {"out_min": low, "out_max": high}
    return Struct("nn_add", "add", fields)


def _lower(context: Context, node: Node) -> Layer:
    large, small = large_and_small(context.graph, node)
    layout = Layout(add=add_factors(context.graph, node, large, small))
    kernel = context.choose(layout)
    struct = add_struct(context.graph, node, large, small, kernel)
    return lower_elementwise(context, node, kernel, struct, large, small, context.reason(layout))


ADD = Operator(
    name="ADD",
    kind="add",
    inputs=(2, 2),
    shapes=broadcast,
    fuses=True,
    options="AddOptions",
    int8_version=2,
    prepare=_prepare,
    lower=_lower,
    tflm=("Add", "ADD_INT8", "add"),
    onnx={"Add": OnnxForm(read=elementwise("ADD"), quantized="operands", fake=fake_binary(add), homogeneous=True)},
    functions={"add": write_binary("Add"), "iadd": write_binary("Add")},
)
