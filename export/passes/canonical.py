"""Float ONNX -> the same function in the few forms that the rest of export knows, as an ordered list of passes.

linear layers      Gemm(x, W transposed, bias)
batch norms        none: folded into the convolution before, else a 1x1 depthwise convolution
hard-swish         one HardSwish, also where it was written as x * relu6(x + 3) / 6
hard-sigmoid       relu6(conv(x) + 3) / 6 = clip(conv'(x), 0, 1) with weights w/6 and bias b/6 + 1/2, which an int8
                   output of range [0, 1] clips by itself: no operator is left
global pooling     GlobalAveragePool
"""

from __future__ import annotations

from typing import Any

import numpy as np

from export.graph import Array, ExportError
from export.onnx_graph import OnnxGraph, attributes, clip_bounds, parse_onnx


def canonical(float_onnx: bytes, name: str = "model") -> OnnxGraph:
    """Parse a float ONNX and run every pass; running them again changes nothing.

    Raises:
        ExportError: an unreadable model, weights that are not finite, or a batch norm whose statistics are computed, by
            its node.
    """
    graph = parse_onnx(float_onnx, name)
    _check_finite(graph)
    for rewrite in (
        _subtraction_and_division,  # first: the patterns below know sums and products only
        _linear,
        _fold_batch_norm,
        _hard_sigmoid,
        _hard_swish,
        _fold_hard_sigmoid,  # after hard-swish, which has taken its own
        _global_pool,
    ):
        for node in list(graph.nodes):
            if any(node is other for other in graph.nodes):  # an earlier rewrite may have taken it
                rewrite(graph, node)
    return graph


def _check_finite(graph: OnnxGraph) -> None:
    for node in graph.nodes:
        for name in node.input:
            value = graph.constants.get(name)
            if value is not None and value.dtype.kind == "f" and not np.isfinite(value).all():
                if node.op_type in ("Clip", "Pad"):  # an open bound
                    continue
                raise ExportError(f"node '{node.name}' ({node.op_type}): '{name}' holds infinities or NaN")


def _subtraction_and_division(graph: OnnxGraph, node: Any) -> None:
    """X - c is x + (-c), x / c is x * (1 / c)."""
    constant = graph.constant(node, 1)
    if constant is None or node.op_type not in ("Sub", "Div") or constant.dtype.kind != "f":
        return
    name = f"{node.input[1]}.{'negative' if node.op_type == 'Sub' else 'inverse'}"
    graph.constants[name] = (-constant if node.op_type == "Sub" else 1 / constant).astype(constant.dtype)
    node.op_type = "Add" if node.op_type == "Sub" else "Mul"
    node.input[1] = name


def _linear(graph: OnnxGraph, node: Any) -> None:
    """A matrix product with a constant, and the bias added behind it, is one Gemm with transB = 1."""
    from onnx import helper

    if node.op_type == "MatMul":
        weights = graph.constant(node, 1)
        if weights is None or weights.ndim != 2:
            return
        name, bias = f"{node.input[1]}.transposed", np.zeros(weights.shape[1], np.float32)
        graph.constants[name] = np.ascontiguousarray(weights.T)
        output = node.output[0]
        add = graph.only_reader(output)
        if add is not None and add.op_type == "Add":
            other = graph.constant(add, 1) if add.input[0] == output else graph.constant(add, 0)
            if other is not None and other.size in (1, len(bias)):
                bias, output = np.broadcast_to(other.ravel(), bias.shape), add.output[0]
                graph.nodes.remove(add)
        graph.constants[f"{node.name}.bias"] = bias.astype(np.float32)
        inputs = [node.input[0], name, f"{node.name}.bias"]
        graph.replace(node, helper.make_node("Gemm", inputs, [output], name=node.name, transB=1))
        return
    if node.op_type != "Gemm":
        return
    given = attributes(node)
    alpha, beta, transposed = given.get("alpha", 1.0), given.get("beta", 1.0), given.get("transB", 0)
    if (alpha, beta, transposed) == (1.0, 1.0, 1):
        return
    weights = graph.constant(node, 1)
    if weights is None or given.get("transA", 0):
        return
    name = f"{node.name}.weight.transposed"
    graph.constants[name] = np.ascontiguousarray((weights if transposed else weights.T) * np.float32(alpha))
    inputs = [node.input[0], name]
    if len(node.input) > 2:
        bias_name = f"{node.name}.bias.scaled"
        graph.constants[bias_name] = graph.constants[node.input[2]] * np.float32(beta)
        inputs.append(bias_name)
    graph.replace(node, helper.make_node("Gemm", inputs, list(node.output), name=node.name, transB=1))


def _fold_batch_norm(graph: OnnxGraph, node: Any) -> None:
    """w' = w * gamma / sqrt(var + eps),  b' = beta + (b - mean) * gamma / sqrt(var + eps)."""
    from onnx import helper

    if node.op_type != "BatchNormalization":
        return
    values = [graph.constant(node, i) for i in range(1, 5)]
    if any(value is None for value in values):
        raise ExportError(f"node '{node.name}' (BatchNormalization): its statistics are computed, not constant")
    gamma, beta, mean, variance = (np.asarray(value, np.float64) for value in values)
    factor = gamma / np.sqrt(variance + attributes(node).get("epsilon", 1e-5))
    before = graph.writer(node.input[0])
    if before is not None and before.op_type in ("Conv", "Gemm") and graph.only_reader(node.input[0]) is node:
        scale_layer(graph, before, factor, beta - mean * factor)
        before.output[0] = node.output[0]
        graph.nodes.remove(node)
        return
    weight, bias = f"{node.name}.weight", f"{node.name}.bias"
    graph.constants[weight] = factor.astype(np.float32).reshape(-1, 1, 1, 1)
    graph.constants[bias] = (beta - mean * factor).astype(np.float32)
    inputs = [node.input[0], weight, bias]
    conv = helper.make_node(
        "Conv", inputs, [node.output[0]], name=node.name, kernel_shape=[1, 1], group=len(factor), strides=[1, 1]
    )
    graph.replace(node, conv)


def scale_layer(graph: OnnxGraph, layer: Any, factor: Array, offset: Array) -> None:
    """Change a Conv or Gemm so that its output y becomes factor * y + offset, per output channel.

    Raises:
        ExportError: its weights are computed.
    """
    weights = graph.constant(layer, 1)
    if weights is None:
        raise ExportError(f"node '{layer.name}' ({layer.op_type}): its weights are computed, not constant")
    bias = graph.constant(layer, 2)
    old = np.zeros(len(weights)) if bias is None else bias.astype(np.float64)
    name, bias_name = f"{layer.name}.weight.scaled", f"{layer.name}.bias.scaled"
    by_channel = np.broadcast_to(factor, (len(weights),)).reshape(-1, *[1] * (weights.ndim - 1))
    graph.constants[name] = (weights.astype(np.float64) * by_channel).astype(np.float32)
    graph.constants[bias_name] = (old * factor + offset).astype(np.float32)
    layer.input[1:] = [name, bias_name]


def _hard_sigmoid(graph: OnnxGraph, node: Any) -> None:
    """relu6(x + 3) * (1 / 6) is HardSigmoid(x)."""
    from onnx import helper

    factor = graph.constant(node, 1)
    if node.op_type != "Mul" or factor is None or factor.size != 1:
        return
    clip = graph.writer(node.input[0])
    if clip is None or clip.op_type != "Clip" or graph.only_reader(clip.output[0]) is not node:
        return
    shift = graph.writer(clip.input[0])
    three = None if shift is None or shift.op_type != "Add" else graph.constant(shift, 1)
    low, high = clip_bounds(graph, clip)
    if three is None or three.size != 1 or graph.only_reader(clip.input[0]) is not clip or low != 0:
        return
    alpha, beta = float(factor.item()), float(three.item() * factor.item())
    if abs(alpha * high - 1) > 1e-6:
        return
    new = helper.make_node("HardSigmoid", [shift.input[0]], [node.output[0]], name=clip.name, alpha=alpha, beta=beta)
    graph.replace(node, new)
    graph.nodes.remove(clip)
    graph.nodes.remove(shift)


def _hard_swish(graph: OnnxGraph, node: Any) -> None:
    """X * HardSigmoid(x) is HardSwish(x)."""
    from onnx import helper

    if node.op_type != "Mul":
        return
    for x, gate in (tuple(node.input), tuple(node.input)[::-1]):
        sigmoid = graph.writer(gate)
        if sigmoid is None or sigmoid.op_type != "HardSigmoid" or sigmoid.input[0] != x:
            continue
        if graph.only_reader(gate) is node and _is_standard(sigmoid):
            graph.replace(node, helper.make_node("HardSwish", [x], [node.output[0]], name=node.name))
            graph.nodes.remove(sigmoid)
            return


def _is_standard(sigmoid: Any) -> bool:
    given = attributes(sigmoid)
    alpha, beta = float(given.get("alpha", 0.2)), float(given.get("beta", 0.5))
    return abs(alpha - 1 / 6) < 1e-6 and abs(beta - 0.5) < 1e-6


def _fold_hard_sigmoid(graph: OnnxGraph, node: Any) -> None:
    """clip(alpha * conv(x) + beta, 0, 1): slope and offset go into the layer before."""
    from onnx import helper

    if node.op_type != "HardSigmoid":
        return
    before = graph.writer(node.input[0])
    if before is None or before.op_type not in ("Conv", "Gemm") or graph.only_reader(node.input[0]) is not node:
        return
    given = attributes(node)
    scale_layer(graph, before, np.array(given.get("alpha", 0.2)), np.array(given.get("beta", 0.5)))
    bounds = [f"{node.name}.low", f"{node.name}.high"]
    graph.constants.update(zip(bounds, (np.array(0, np.float32), np.array(1, np.float32)), strict=True))
    graph.replace(node, helper.make_node("Clip", [before.output[0], *bounds], [node.output[0]], name=node.name))


def _global_pool(graph: OnnxGraph, node: Any) -> None:
    """The mean over height and width is a global average pool."""
    from onnx import helper

    if node.op_type != "ReduceMean":
        return
    given = attributes(node)
    axes = graph.constant(node, 1) if len(node.input) > 1 else np.asarray(given.get("axes", ()))
    if axes is None or sorted(int(a) % 4 for a in np.ravel(axes)) != [2, 3]:
        return
    keeps = given.get("keepdims", 1)
    pooled = node.output[0] if keeps else f"{node.output[0]}.pooled"
    pool = helper.make_node("GlobalAveragePool", [node.input[0]], [pooled], name=node.name)
    flat = helper.make_node("Flatten", [pooled], [node.output[0]], name=f"{node.name}.flatten", axis=1)
    graph.replace(node, *((pool,) if keeps else (pool, flat)))
