"""MUL: the product of both operands, TFLite's reference/integer_ops/mul.h."""

from __future__ import annotations

from operator import mul

from export.graph import Array, Graph, Node
from export.ops.elementwise import centred, fake_binary, large_and_small, lower_elementwise, write_binary
from export.ops.fixed_point import quantize_multiplier
from export.ops.integers import activation_bounds, requantize, scale, zero_point
from export.ops.layer import Context, Fields, Layer, Struct, multiplier
from export.ops.onnx_reader import elementwise
from export.ops.operator import Compute, OnnxForm, Operator
from export.ops.shapes import broadcast
from hardware_profiles.firmware.layout import Layout


def _prepare(graph: Graph, node: Node) -> Compute:
    a, b, y = (graph.tensor(name) for name in (*node.inputs, node.outputs[0]))
    m, shift = quantize_multiplier(scale(a) * scale(b) / scale(y))
    operands, bounds = centred(graph, node), activation_bounds(node, y)

    def run(*values: Array) -> Array:
        u, v = operands(*values)
        return requantize(u * v, m, shift, zero_point(y), bounds)

    return run


def _lower(context: Context, node: Node) -> Layer:
    large, small = large_and_small(context.graph, node)
    a, b, y = (context.graph.tensor(name) for name in (large, small, node.outputs[0]))
    factor = multiplier(scale(a) * scale(b) / scale(y))
    low, high = activation_bounds(node, y)
    fields: Fields = {"multiplier": factor.mantissa, "shift": factor.shift}
    fields |= {"zero_a": zero_point(a), "zero_b": zero_point(b), "out_zero": zero_point(y)}
    fields |= {"out_min": low, "out_max": high}
    kernel = context.choose(Layout())
    return lower_elementwise(context, node, kernel, Struct("nn_mul", "mul", fields), large, small)


MUL = Operator(
    name="MUL",
    kind="mul",
    inputs=(2, 2),
    shapes=broadcast,
    fuses=True,
    options="MulOptions",
    int8_version=2,
    prepare=_prepare,
    lower=_lower,
    tflm=("Mul", "MUL_INT8", "mul"),
    onnx={"Mul": OnnxForm(read=elementwise("MUL"), quantized="operands", fake=fake_binary(mul))},
    functions={"mul": write_binary("Mul"), "imul": write_binary("Mul")},
)
