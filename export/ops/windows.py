"""What sliding windows share: padding, which TFLite has as SAME, as VALID, or as a PAD in front; and pooling's rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from export.graph import ExportError, Node, Options, Padding, Tensor
from export.onnx_graph import attributes
from export.ops.integers import activation_bounds, ends
from export.ops.layer import Context, Fields, Layer, window_geometry
from export.ops.onnx_reader import OnnxReader, pair
from export.ops.onnx_writer import OnnxWriter, WriteLayer
from hardware_profiles.cost.ops import same_padding


def read_padding(
    reader: OnnxReader,
    node: Any,
    x: str,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> tuple[Padding, str]:
    """(SAME or VALID, the input): padding that is neither becomes a PAD node of its own."""
    given = attributes(node)
    auto = given.get("auto_pad", b"NOTSET")
    if auto in (b"SAME_UPPER", b"VALID"):
        return ("SAME" if auto == b"SAME_UPPER" else "VALID"), x
    if auto != b"NOTSET":
        raise ExportError(f"node '{node.name}' ({node.op_type}): auto_pad {auto.decode()} is not supported")
    top, left, bottom, right = given.get("pads", (0, 0, 0, 0))
    if not any((top, left, bottom, right)):
        return "VALID", x
    _, h, w, _ = reader.tensors[x].shape
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    same = same_padding(h, spans[0], stride[0]), same_padding(w, spans[1], stride[1])
    if ((top, bottom), (left, right)) == same and not given.get("count_include_pad", 0):
        return "SAME", x
    if node.op_type == "AveragePool" and not given.get("count_include_pad", 0):
        raise ExportError(
            f"node '{node.name}' (AveragePool): padding {top, left, bottom, right} that is left out of the mean is "
            "only supported as TF-SAME"
        )
    if node.op_type == "MaxPool" and not _never_negative(reader, x):
        raise ExportError(
            f"node '{node.name}' (MaxPool): padding {top, left, bottom, right} differs from TF-SAME, and its input "
            "may be negative, so that zeros can't stand for it"
        )
    return "VALID", _padded(reader, node, x, (top, bottom), (left, right))


def _never_negative(reader: OnnxReader, x: str) -> bool:
    tensor = reader.tensors[x]
    if tensor.qparams is not None:
        return int(tensor.qparams.zero_point.item()) == -128
    writer = next((n for n in reader.nodes if x in n.outputs), None)
    return writer is not None and (writer.options.activation in ("RELU", "RELU6") or writer.op in ("RELU", "RELU6"))


def _padded(reader: OnnxReader, node: Any, x: str, rows: tuple[int, int], columns: tuple[int, int]) -> str:
    tensor, padded = reader.tensors[x], f"{node.name}.padded"
    _, h, w, c = tensor.shape
    reader.tensors[padded] = Tensor(padded, (1, h + sum(rows), w + sum(columns), c), tensor.dtype, tensor.qparams)
    amounts = reader.constant(f"{node.name}.pads", np.array([[0, 0], rows, columns, [0, 0]], np.int32))
    reader.nodes.append(Node("PAD", padded, (x, amounts), (padded,)))
    return padded


def read_pool(op: str, reader: OnnxReader, node: Any) -> None:
    """Append a pooling operator."""
    given = attributes(node)
    x = reader.activation(node.input[0], node)
    if given.get("ceil_mode", 0) or set(given.get("dilations", (1,))) != {1}:
        raise ExportError(f"node '{node.name}' ({node.op_type}): ceil_mode and dilations are not supported")
    kernel, stride = pair(given["kernel_shape"]), pair(given.get("strides", (1, 1)))
    padding, x = read_padding(reader, node, x, kernel, stride)
    reader.append(op, node, [x], Options(kernel, stride, padding=padding))


def torch_pads(given: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """ONNX's padding in torch's order: left, right, top, bottom."""
    top, left, bottom, right = given.get("pads", (0, 0, 0, 0))
    return left, right, top, bottom


def write_pool(op: str) -> WriteLayer:
    """What writes a torch pooling layer."""

    def write(writer: OnnxWriter, name: str, x: str, layer: Any) -> str:
        if layer.ceil_mode:
            raise ExportError(f"layer '{name}' pools with ceil_mode, which can't be exported")
        kernel, stride, pad = (_pair(v) for v in (layer.kernel_size, layer.stride, layer.padding))
        extra = {"count_include_pad": int(layer.count_include_pad)} if op == "AveragePool" else {}
        return writer.add(op, name, [x], kernel_shape=kernel, strides=stride, pads=[*pad, *pad], **extra)

    return write


def _pair(value: Any) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def lower_pool(context: Context, node: Node) -> Layer:
    """The layer of a pooling operator."""
    geometry = window_geometry(context.graph, node)
    low, high = activation_bounds(node, ends(context.graph, node)[1])
    keys = ("in_h", "in_w", "out_h", "out_w", "kernel_h", "kernel_w", "stride_h", "stride_w", "pad_top", "pad_left")
    fields: Fields = {key: geometry[key] for key in keys}
    fields |= {"channels": geometry["in_c"], "out_min": low, "out_max": high}
    return context.simple(node, "nn_pool", fields)
