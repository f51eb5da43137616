"""Graph -> OpSpecs: the operators as cost sees them."""

from __future__ import annotations

from math import prod

from export.graph import ITEM_BYTES, Graph, Tensor
from export.ops.table import OPERATORS
from hardware_profiles.cost.ops import OpSpec, TensorSpec


def to_ops(graph: Graph) -> tuple[OpSpec, ...]:
    """A graph's operators, in execution order; those that are not known have kind `unknown`."""
    ops = []
    constants = {name for name, tensor in graph.tensors.items() if tensor.data is not None}
    for node in graph.nodes:
        tensors = [graph.tensor(name) for name in node.inputs if name in graph.tensors]
        activations = tuple(_spec(t) for t in tensors if t.name not in constants)
        if not activations:  # computes a constant, such as float16 weights made float32
            constants.update(node.outputs)
            continue
        row = OPERATORS.get(node.op)
        weighted = row is not None and row.weights_axis is not None
        weights = [t for t in tensors if t.name in constants] if weighted else []
        first = weights[0] if weights else None
        channels = len(first.qparams.scale) if first is not None and first.qparams is not None else 0
        ops.append(
            OpSpec(
                row.kind if row is not None else "unknown",
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


def _spec(tensor: Tensor) -> TensorSpec:
    return TensorSpec(tensor.name, tensor.shape, _itemsize(tensor))


def _itemsize(tensor: Tensor) -> int:
    return ITEM_BYTES.get(tensor.dtype, 1)
