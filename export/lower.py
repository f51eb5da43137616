"""Graph -> OpSpecs: a file's network in the language of cost, so that search and audit ask the same planner."""

from __future__ import annotations

from collections.abc import Mapping

from export.graph import Conv2D, DepthwiseConv2D, Graph, Node, Pool2D, Tensor, Unknown
from hardware_profiles.ops import OpKind, OpSpec, TensorSpec

KINDS: Mapping[str, OpKind] = {
    "CONV_2D": "conv",
    "DEPTHWISE_CONV_2D": "depthwise_conv",
    "FULLY_CONNECTED": "fully_connected",
    "ADD": "add",
    "SUB": "add",
    "MUL": "mul",
    "AVERAGE_POOL_2D": "avg_pool",
    "MAX_POOL_2D": "max_pool",
    "MEAN": "mean",
    "SOFTMAX": "softmax",
    "CONCATENATION": "concat",
    "LEAKY_RELU": "activation",
    "PAD": "pad",
    "PADV2": "pad",
    "RESHAPE": "reshape",
    "RELU": "activation",
    "RELU6": "activation",
    "HARD_SWISH": "activation",
    "LOGISTIC": "activation",
    "TANH": "activation",
    "QUANTIZE": "quantize",
    "DEQUANTIZE": "quantize",
}

_WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})


def to_ops(graph: Graph) -> tuple[OpSpec, ...]:
    """The graph's operators in execution order; one outside the set is of kind `unknown`, once per output."""
    return tuple(_op_spec(graph, node, output) for node in graph.nodes for output in node.outputs)


def _op_spec(graph: Graph, node: Node, output: str) -> OpSpec:
    tensors = [graph.tensor(name) for name in node.inputs if name]
    kernel_hw, stride_hw = _window(graph, node)
    spec = OpSpec(
        kind=_kind(graph, node),
        op=node.op,
        # what reads only constants (a generator, an unpacking of weights) is given its output to hold on to
        inputs=tuple(_spec(tensor) for tensor in tensors if tensor.data is None) or (_spec(graph.tensor(output)),),
        output=_spec(graph.tensor(output)),
        kernel_hw=kernel_hw,
        stride_hw=stride_hw,
    )
    if node.op not in _WEIGHTED or spec.kind == "unknown":
        return spec
    weights, bias = tensors[1], tensors[2] if len(tensors) > 2 else None
    return OpSpec(
        kind=spec.kind,
        op=spec.op,
        inputs=spec.inputs,
        output=spec.output,
        kernel_hw=kernel_hw,
        stride_hw=stride_hw,
        weights=_elements(weights),
        weight_itemsize=weights.dtype.itemsize,
        biases=_elements(bias) if bias else 0,
        channel_scales=weights.qparams.scale.size if weights.qparams else 0,
    )


def _kind(graph: Graph, node: Node) -> OpKind:
    if isinstance(node.options, Unknown) or node.op not in KINDS or len(node.outputs) != 1:
        return "unknown"
    if node.op in _WEIGHTED and graph.tensor(node.inputs[1]).data is None:
        return "unknown"  # weights computed at run time: their cost is not in this operator
    return KINDS[node.op]


def _window(graph: Graph, node: Node) -> tuple[tuple[int, int], tuple[int, int]]:
    """Kernel and stride, (height, width) each."""
    match node.options:
        case Conv2D(stride_hw=stride_hw) | DepthwiseConv2D(stride_hw=stride_hw):
            _, height, width, _ = graph.tensor(node.inputs[1]).shape
            return (height, width), stride_hw
        case Pool2D(filter_hw=filter_hw, stride_hw=stride_hw):
            return filter_hw, stride_hw
        case _:
            return (1, 1), (1, 1)


def _spec(tensor: Tensor) -> TensorSpec:
    return TensorSpec(tensor.name, tensor.shape, tensor.dtype.itemsize)


def _elements(tensor: Tensor) -> int:
    return int(tensor.data.size) if tensor.data is not None else 0
