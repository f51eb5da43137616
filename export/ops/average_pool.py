"""AVERAGE_POOL_2D: the mean of a window, rounded half away from zero, padding left out, TFLite's
reference/integer_ops/pooling.h; its output has its input's quantization.

A global average is one of the whole map, for which CMSIS-NN has a kernel; where the scale changes it is a MEAN.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from export.graph import Array, ExportError, Graph, Node, Options
from export.onnx_graph import OnnxGraph, attributes
from export.ops.integers import activation_bounds, ends, taps
from export.ops.onnx_reader import OnnxReader, same_quantization
from export.ops.onnx_writer import OnnxWriter
from export.ops.operator import Compute, OnnxForm, Operator, Values
from export.ops.shapes import pooled
from export.ops.windows import lower_pool, read_pool, torch_pads, write_pool


def _prepare(graph: Graph, node: Node) -> Compute:
    _, y = ends(graph, node)
    bounds = activation_bounds(node, y)

    def run(value: Array) -> Array:
        inside = np.ones((1, *value.shape[1:3], 1), np.int64)
        sums = sum(seen for _, _, seen in taps(node, value.astype(np.int64), 0))
        counts = sum(seen for _, _, seen in taps(node, inside, 0))
        halves = (np.abs(sums) + counts // 2) // counts
        return np.clip(np.where(sums > 0, halves, -halves), *bounds).astype(np.int8)

    return run


def _read_global(reader: OnnxReader, node: Any) -> None:
    x, y = reader.activation(node.input[0], node), reader.activation(node.output[0], node)
    _, h, w, _ = reader.tensors[x].shape
    if same_quantization(reader.tensors[x].qparams, reader.tensors[y].qparams):
        reader.append("AVERAGE_POOL_2D", node, [x], Options((h, w), (h, w)))
        return
    axes = reader.constant(f"{node.name}.axes", np.array([1, 2], np.int32))
    reader.append("MEAN", node, [x, axes], Options(keep_dims=True))


def _fake(node: Any, graph: OnnxGraph, inputs: list[Values]) -> Values:
    import torch
    from torch.nn import functional

    given = attributes(node)
    kernel, strides = tuple(given["kernel_shape"]), tuple(given.get("strides", (1, 1)))
    sums = functional.avg_pool2d(functional.pad(inputs[0], torch_pads(given)), kernel, strides)
    if given.get("count_include_pad", 0):
        return sums
    ones = functional.pad(torch.ones_like(inputs[0][:1, :1]), torch_pads(given))
    return sums / functional.avg_pool2d(ones, kernel, strides)


def _write_global(writer: OnnxWriter, name: str, x: str, layer: Any) -> str:
    if layer.output_size not in (1, (1, 1)):
        raise ExportError(f"layer '{name}' pools to {layer.output_size}; only global average pooling can be exported")
    return writer.add("GlobalAveragePool", name, [x])


def _write_global_function(writer: OnnxWriter, node: Any, inputs: list[str]) -> str:
    size = node.args[1] if len(node.args) > 1 else node.kwargs.get("output_size")
    if size not in (1, (1, 1), [1, 1]):
        raise ExportError(f"'{node.name}' pools to {size}; only global average pooling can be exported")
    return writer.add("GlobalAveragePool", node.name, inputs)


def _write_mean(writer: OnnxWriter, node: Any, inputs: list[str]) -> str:
    axes = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    if list(axes or ()) not in ([2, 3], [-2, -1]):
        raise ExportError(f"'{node.name}' averages over {axes}; only height and width can be exported")
    pooled_map = writer.add("GlobalAveragePool", f"{node.name}.pool", inputs)
    if (len(node.args) > 2 and node.args[2]) or node.kwargs.get("keepdim"):
        return pooled_map
    return writer.add("Flatten", node.name, [pooled_map], axis=1)


AVERAGE_POOL_2D = Operator(
    name="AVERAGE_POOL_2D",
    kind="avg_pool",
    shapes=pooled,
    options="Pool2DOptions",
    int8_version=2,
    prepare=_prepare,
    lower=lower_pool,
    tflm=("AveragePool2D", "AVERAGE_POOL_2D_INT8", "pooling"),
    onnx={
        "AveragePool": OnnxForm(
            read=partial(read_pool, "AVERAGE_POOL_2D"), quantized="shared", fake=_fake, homogeneous=True
        ),
        "GlobalAveragePool": OnnxForm(
            read=_read_global,
            quantized="shared",
            fake=lambda node, graph, inputs: inputs[0].mean((2, 3), keepdim=True),
            homogeneous=True,
        ),
    },
    layers={"AdaptiveAvgPool2d": _write_global, "AvgPool2d": write_pool("AveragePool")},
    functions={"adaptive_avg_pool2d": _write_global_function, "mean": _write_mean},
)
