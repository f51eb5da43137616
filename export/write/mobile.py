"""Float graphs made smaller for mobile CPUs, whose runtimes have float kernels.

    float16         weights and biases stored in 16 bits and widened when the file is loaded: half the size
    dynamic range   int8 weights of layers with products, symmetric per output channel; activations stay float, and the
                    runtime rounds them to int8 by their range at hand: a quarter of the size, no calibration

LiteRT, https://ai.google.dev/edge/litert/models/post_training_quantization.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from export.graph import ExportError, Graph, Node, QParams, Tensor
from export.ops.table import OPERATORS
from export.quantize import quantize_weights

_FEWEST_WEIGHTS = 1024  # of a layer: fewer are not worth rounding, as TensorFlow's converter decides, too


def to_float16(graph: Graph) -> Graph:
    """A float graph whose weights are stored as float16, a DEQUANTIZE behind each.

    Raises:
        ExportError: the graph is not float, or a weight is beyond float16's range.
    """
    _check_float(graph)
    tensors, nodes = dict(graph.tensors), []
    for name, tensor in graph.tensors.items():
        if tensor.data is None or tensor.dtype != "float32":
            continue
        with np.errstate(over="ignore"):
            half = tensor.data.astype(np.float16)
        if not np.isfinite(half).all():
            raise ExportError(f"the weights '{name}' reach {np.abs(tensor.data).max():g}; float16 ends at 65504")
        stored = f"{name}.float16"
        tensors[stored] = Tensor(stored, tensor.shape, "float16", None, half)
        tensors[name] = replace(tensor, data=None)
        nodes.append(Node("DEQUANTIZE", f"{name}.dequantize", (stored,), (name,)))
    return replace(graph, nodes=(*nodes, *graph.nodes), tensors=tensors)


def to_dynamic_range(graph: Graph) -> Graph:
    """A float graph with int8 weights in its larger layers.

    Raises:
        ExportError: the graph is not float, or a weight is not finite.
    """
    _check_float(graph)
    tensors = dict(graph.tensors)
    for node in graph.nodes:
        axis = OPERATORS[node.op].weights_axis if node.op in OPERATORS else None
        if axis is None:
            continue
        tensor = tensors[node.inputs[1]]
        if tensor.data is None or tensor.data.size < _FEWEST_WEIGHTS or tensor.dtype != "float32":
            continue
        q, scales = quantize_weights(np.moveaxis(tensor.data, axis, 0), tensor.name)
        qparams = QParams(scales, np.zeros(len(scales), np.int64), axis)
        data = np.ascontiguousarray(np.moveaxis(q, 0, axis))
        tensors[tensor.name] = Tensor(tensor.name, tensor.shape, "int8", qparams, data)
    return replace(graph, tensors=tensors)


def _check_float(graph: Graph) -> None:
    if any(graph.tensor(name).dtype != "float32" for name in (*graph.inputs, *graph.outputs)):
        raise ExportError("the graph is quantized already; float16 and dynamic range are made of a float one")
