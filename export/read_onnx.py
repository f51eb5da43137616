"""ONNX -> Graph, float or int8 (QDQ): NCHW becomes NHWC, activations are fused, quantization is taken over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from export.check import check_graph
from export.graph import Activation, Array, ExportError, Graph, Node, Options, Padding, QParams, Tensor
from export.onnx_graph import OnnxGraph, attributes, onnx_content, parse_onnx
from export.ops.accumulators import check_accumulator
from export.passes.canonical import canonical, clip_bounds
from hardware_profiles.cost.ops import same_padding

_SIMPLE = {"Add": "ADD", "Mul": "MUL", "HardSwish": "HARD_SWISH", "Sigmoid": "LOGISTIC"}
_FUSABLE = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "MUL")
_CLIPS: dict[tuple[float, float], Activation] = {
    (0, np.inf): "RELU",
    (0, 6): "RELU6",
    (-1, 1): "RELU_N1_TO_1",
    (-np.inf, np.inf): "NONE",
}


def read_onnx(source: Path | bytes) -> Graph:
    """Read an image classifier; its batch is fixed to 1. Weights in files of their own are looked for beside it.

    Raises:
        ExportError: not an ONNX model, a damaged one, a batch other than 1, shapes that can't be inferred, or a QDQ
            pair that is torn or missing, by the node.
    """
    name = source.name if isinstance(source, Path) else "model"
    try:
        found = _read(onnx_content(source) if isinstance(source, Path) else source, name)
        check_graph(found)
    except (ExportError, OSError):
        raise
    except Exception as error:  # attributes of another type, names that are no text: anything may be in a damaged file
        raise ExportError(f"{name} is damaged, or of a form unknown here: {type(error).__name__}: {error}") from error
    return found


def _read(content: bytes, name: str) -> Graph:
    import onnx

    graph = parse_onnx(content, name)
    if not any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in graph.nodes):
        graph = canonical(content, name)
    model = graph.to_model()
    for value in model.graph.input:
        batch = value.type.tensor_type.shape.dim[0]
        if batch.HasField("dim_value") and batch.dim_value != 1:
            raise ExportError(
                f"{name}: input '{value.name}' has batch size {batch.dim_value}; export it with batch size 1 or a "
                "symbolic one"
            )
        batch.dim_value = 1
    for value in model.graph.output:  # a batch written down there would contradict
        value.type.tensor_type.ClearField("shape")
    try:
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:  # onnx raises many kinds
        raise ExportError(f"{name}: shapes can't be inferred: {str(error).splitlines()[0]}") from error
    values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    shapes = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in values}
    kinds = {v.name: v.type.tensor_type.elem_type or onnx.TensorProto.FLOAT for v in values}
    types = {name: onnx.helper.tensor_dtype_to_np_dtype(kind).name for name, kind in kinds.items()}
    return _OnnxReader(graph, shapes, types).read()


class _OnnxReader:
    def __init__(self, graph: OnnxGraph, shapes: Mapping[str, tuple[int, ...]], types: Mapping[str, str]) -> None:
        self._graph = graph
        self._constants = graph.constants
        self._shapes, self._types = shapes, types
        self._alias: dict[str, str] = {}  # any name of a value -> the name its tensor goes by
        self._qparams: dict[str, QParams] = {}
        self._weight_qparams: dict[str, QParams] = {}
        self._tensors: dict[str, Tensor] = {}
        self._nodes: list[Node] = []
        self._reads: dict[str, int] = {}
        self._flattened: dict[str, tuple[int, ...]] = {}  # alias of a map larger than 1x1 -> its NHWC shape

    def read(self) -> Graph:
        nodes = self._graph.nodes
        for node in nodes:
            self._collect_quantization(node)
        for name in [*(i for n in nodes if not _is_qdq(n) for i in n.input), *(o.name for o in self._graph.outputs)]:
            self._reads[self._root(name)] = self._reads.get(self._root(name), 0) + 1
        for node in nodes:
            if not _is_qdq(node):
                self._read_node(node)
        inputs = tuple(self._activation(i.name) for i in self._graph.inputs)
        outputs = tuple(self._output(o.name) for o in self._graph.outputs)
        self._check_pairs()
        self._check_accumulators()
        return Graph(tuple(self._nodes), self._tensors, inputs, outputs, self._graph.metadata)

    def _check_pairs(self) -> None:
        """Int8 or float, never both: an activation without a pair would need float kernels."""
        if not self._qparams:
            return
        for node in self._nodes:
            for name in (*node.inputs, *node.outputs):
                tensor = self._tensors[name]
                if tensor.dtype == "float32":
                    raise ExportError(
                        f"node '{node.name}' ({node.op}): '{name}' has no QuantizeLinear/DequantizeLinear pair; a "
                        "quantized graph needs one behind every activation and in front of every weight"
                    )

    def _check_accumulators(self) -> None:
        """As quantization does, for the scales of others' graphs."""
        for node in self._nodes:
            if node.op not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
                continue
            x, w, bias, y = (self._tensors[name] for name in (*node.inputs[:3], node.outputs[0]))
            if x.qparams is None or w.qparams is None or y.qparams is None or w.data is None or bias.data is None:
                continue  # float
            multipliers = x.qparams.scale.astype(np.float64) * w.qparams.scale / y.qparams.scale
            weights = np.moveaxis(w.data, w.qparams.axis, 0)
            multipliers = np.broadcast_to(multipliers, len(weights))
            check_accumulator(f"node '{node.name}' ({node.op})", weights, bias.data, multipliers)

    def _collect_quantization(self, node: Any) -> None:
        if not _is_qdq(node):
            return
        scale, zero = self._constants.get(node.input[1]), self._graph.constant(node, 2)
        if scale is None or (zero is None and len(node.input) > 2 and node.input[2]):
            raise ExportError(f"node '{node.name}' ({node.op_type}): its scale and zero point must be constants")
        scale = np.atleast_1d(scale).astype(np.float32)
        if not (np.isfinite(scale) & (scale > 0)).all():
            raise ExportError(f"node '{node.name}' ({node.op_type}): a scale must be positive, not {scale.min()}")
        x, y = node.input[0], node.output[0]
        data = self._constants.get(x)
        default = data.dtype if data is not None else np.dtype(np.uint8)  # ONNX's default of an absent zero point
        dtype = zero.dtype if zero is not None else default
        if dtype not in (np.int8, np.uint8, np.int32):
            raise ExportError(f"node '{node.name}' ({node.op_type}): {dtype} is not supported; int8 and uint8 are")
        shift = 128 if dtype == np.uint8 else 0  # uint8 is int8 moved by 128
        zero_point = np.zeros(scale.shape, np.int64) if zero is None else np.atleast_1d(zero).astype(np.int64)
        qparams = QParams(scale, zero_point - shift, int(attributes(node).get("axis", 1)) if scale.size > 1 else 0)
        if data is not None:
            self._constants[y] = (data.astype(np.int16) - shift).astype(np.int8) if shift else data
            self._weight_qparams[y] = qparams
            return
        if scale.size > 1:
            raise ExportError(f"node '{node.name}' ({node.op_type}): an activation can't be quantized per channel")
        self._alias[y] = x
        known = self._qparams.setdefault(self._root(x), qparams)
        if known.scale != qparams.scale or known.zero_point != qparams.zero_point:
            raise ExportError(
                f"node '{node.name}' ({node.op_type}): its scale or zero point is not that of the other half of its "
                "pair"
            )

    def _root(self, name: str) -> str:
        while name in self._alias:
            name = self._alias[name]
        return name

    def _shape(self, name: str, node: Any) -> tuple[int, ...]:
        shape = self._shapes.get(name, ())
        if not shape or min(shape) < 1:
            owner = f"node '{node.name}' ({node.op_type})" if node is not None else "the model"
            raise ExportError(f"{owner}: the shape of '{name}' is not static: {shape or 'unknown'}")
        return (shape[0], shape[2], shape[3], shape[1]) if len(shape) == 4 else shape

    def _activation(self, name: str, node: Any = None) -> str:
        root = self._root(name)
        if root not in self._tensors:
            qparams = self._qparams.get(root)
            dtype = self._types.get(root, "float32") if qparams is None else "int8"
            self._tensors[root] = Tensor(root, self._shape(root, node), dtype, qparams)
        return root

    def _row(self, name: str, node: Any) -> str:
        """A value in its own shape, where it is a flattened 1x1 map that goes by the name of its map."""
        x, shape = self._activation(name, node), self._shape(name, node)
        tensor = self._tensors[x]
        if tensor.shape == shape:
            return x
        row = f"{x}.row"
        if row not in self._tensors:
            self._tensors[row] = Tensor(row, shape, tensor.dtype, tensor.qparams)
            wanted = self._constant(f"{row}.shape", np.array(shape, np.int32))
            self._nodes.append(Node("RESHAPE", row, (x, wanted), (row,)))
        return row

    def _operand(self, name: str, rank: int, node: Any) -> str:
        """An input of ADD, MUL or CONCATENATION: an activation, or a constant in its layout."""
        if name not in self._constants:
            return self._row(name, node)
        value = self._constants[name]
        value = value.reshape((1,) * (rank - value.ndim) + value.shape)
        return self._quantized_constant(name, value.transpose(0, 2, 3, 1) if rank == 4 else value, 0)

    def _output(self, name: str) -> str:
        if name in self._flattened:
            raise ExportError(f"the output '{name}' flattens a map larger than 1x1; only a linear layer can read one")
        return self._activation(name)

    def _constant(self, name: str, value: Array, qparams: QParams | None = None) -> str:
        self._tensors[name] = Tensor(name, value.shape, str(value.dtype), qparams, np.ascontiguousarray(value))
        return name

    def _read_node(self, node: Any) -> None:
        op = node.op_type
        for name in node.input:
            if name in self._flattened and op not in ("Gemm", "Flatten", "Reshape"):
                raise ExportError(f"node '{node.name}' ({op}): it reads a flattened map; only a linear layer can")
        match op:
            case "Conv":
                self._conv(node)
            case "Gemm":
                self._gemm(node)
            case "Relu" | "Clip":
                self._clip(node)
            case "Flatten" | "Reshape" | "Identity" | "Squeeze" | "Unsqueeze":
                self._reshape(node)
            case "GlobalAveragePool":
                self._global_pool(node)
            case "AveragePool" | "MaxPool":
                self._pool(node)
            case "Pad":
                self._pad(node)
            case "Softmax":
                self._softmax(node)
            case "Concat":
                self._concat(node)
            case _ if op in _SIMPLE:
                rank = len(self._shape(node.output[0], node))
                self._append(_SIMPLE[op], node, [self._operand(i, rank, node) for i in node.input])
            case _:  # kept by name, so that `fit` can say what it does not know
                read = [i for i in node.input if i and i not in self._constants]
                self._append(op, node, [self._activation(i, node) for i in read])

    def _append(self, op: str, node: Any, inputs: list[str], options: Options = Options()) -> None:  # noqa: B008
        self._nodes.append(Node(op, node.name, tuple(inputs), (self._activation(node.output[0], node),), options))

    def _conv(self, node: Any) -> None:
        given = attributes(node)
        weights, groups = self._weights(node), int(given.get("group", 1))
        if weights.ndim != 4:
            raise ExportError(f"node '{node.name}' (Conv): only two-dimensional convolutions are supported")
        depthwise = groups > 1
        if depthwise and weights.shape[1] != 1:
            raise ExportError(f"node '{node.name}' (Conv): grouped convolutions other than depthwise are not supported")
        x = self._activation(node.input[0], node)
        kernel, stride = (weights.shape[2], weights.shape[3]), _pair(given.get("strides", (1, 1)))
        dilation = _pair(given.get("dilations", (1, 1)))
        padding, x = self._padding(node, given, x, kernel, stride, dilation)
        axes, channel_axis = ((1, 2, 3, 0), 3) if depthwise else ((0, 2, 3, 1), 0)
        w = self._quantized_constant(node.input[1], weights.transpose(axes), channel_axis)
        options = Options(kernel, stride, dilation, weights.shape[0] // groups if depthwise else 1, padding)
        self._append(
            "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", node, [x, w, self._bias(node, weights.shape[0])], options
        )

    def _gemm(self, node: Any) -> None:
        given = attributes(node)
        if given.get("alpha", 1.0) != 1.0 or given.get("beta", 1.0) != 1.0 or given.get("transA", 0):
            raise ExportError(f"node '{node.name}' (Gemm): only alpha = beta = 1 and transA = 0 are supported")
        weights = self._weights(node)
        weights = weights if given.get("transB", 0) else weights.T
        if node.input[0] in self._flattened:  # the map lies there as HWC, its weights are in the order CHW
            _, h, w, c = self._flattened[node.input[0]]
            weights = weights.reshape(-1, c, h, w).transpose(0, 2, 3, 1).reshape(len(weights), -1)
        inputs = [self._activation(node.input[0], node), self._quantized_constant(node.input[1], weights, 0)]
        self._append("FULLY_CONNECTED", node, [*inputs, self._bias(node, weights.shape[0])])

    def _weights(self, node: Any) -> Array:
        if node.input[1] not in self._constants:
            raise ExportError(f"node '{node.name}' ({node.op_type}): its weights are computed, not constant")
        q = self._weight_qparams.get(node.input[1])
        if q is not None and q.zero_point.any():
            raise ExportError(f"node '{node.name}' ({node.op_type}): its weights must be quantized symmetrically")
        channel_axis = 1 if node.op_type == "Gemm" and not attributes(node).get("transB", 0) else 0
        if q is not None and q.scale.size > 1 and q.axis != channel_axis:
            raise ExportError(
                f"node '{node.name}' ({node.op_type}): its weights are quantized along axis {q.axis}; only their "
                f"output channels, axis {channel_axis}, can have scales of their own"
            )
        return self._constants[node.input[1]]

    def _quantized_constant(self, name: str, value: Array, axis: int) -> str:
        q = self._weight_qparams.get(name)
        return self._constant(name, value, None if q is None else QParams(q.scale, q.zero_point, axis))

    def _bias(self, node: Any, channels: int) -> str:
        if len(node.input) > 2 and node.input[2]:
            value = self._graph.constant(node, 2)
            if value is None:
                raise ExportError(f"node '{node.name}' ({node.op_type}): its bias is computed, not constant")
            return self._quantized_constant(node.input[2], value, 0)
        if node.input[1] not in self._weight_qparams:
            return self._constant(f"{node.name}.bias", np.zeros(channels, np.float32))
        return self._constant(f"{node.name}.bias", np.zeros(channels, np.int32))

    def _padding(
        self,
        node: Any,
        given: Mapping[str, Any],
        x: str,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        dilation: tuple[int, int] = (1, 1),
    ) -> tuple[Padding, str]:
        """(SAME or VALID, the input): padding that is neither becomes a PAD node of its own."""
        auto = given.get("auto_pad", b"NOTSET")
        if auto in (b"SAME_UPPER", b"VALID"):
            return ("SAME" if auto == b"SAME_UPPER" else "VALID"), x
        if auto != b"NOTSET":
            raise ExportError(f"node '{node.name}' ({node.op_type}): auto_pad {auto.decode()} is not supported")
        top, left, bottom, right = given.get("pads", (0, 0, 0, 0))
        if not any((top, left, bottom, right)):
            return "VALID", x
        _, h, w, _ = self._tensors[x].shape
        spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        same = same_padding(h, spans[0], stride[0]), same_padding(w, spans[1], stride[1])
        if ((top, bottom), (left, right)) == same and not given.get("count_include_pad", 0):
            return "SAME", x
        if node.op_type == "AveragePool" and not given.get("count_include_pad", 0):
            raise ExportError(
                f"node '{node.name}' (AveragePool): padding {top, left, bottom, right} that is left out of the mean is "
                "only supported as TF-SAME"
            )
        if node.op_type == "MaxPool" and not self._never_negative(x):
            raise ExportError(
                f"node '{node.name}' (MaxPool): padding {top, left, bottom, right} differs from TF-SAME, and its input "
                "may be negative, so that zeros can't stand for it"
            )
        return "VALID", self._padded(node, x, (top, bottom), (left, right))

    def _never_negative(self, x: str) -> bool:
        tensor = self._tensors[x]
        if tensor.qparams is not None:
            return int(tensor.qparams.zero_point.item()) == -128
        writer = next((n for n in self._nodes if x in n.outputs), None)
        return writer is not None and (writer.options.activation in ("RELU", "RELU6") or writer.op in ("RELU", "RELU6"))

    def _padded(self, node: Any, x: str, rows: tuple[int, int], columns: tuple[int, int]) -> str:
        tensor, padded = self._tensors[x], f"{node.name}.padded"
        _, h, w, c = tensor.shape
        self._tensors[padded] = Tensor(padded, (1, h + sum(rows), w + sum(columns), c), tensor.dtype, tensor.qparams)
        amounts = self._constant(f"{node.name}.pads", np.array([[0, 0], rows, columns, [0, 0]], np.int32))
        self._nodes.append(Node("PAD", padded, (x, amounts), (padded,)))
        return padded

    def _pad(self, node: Any) -> None:
        pads, value = self._graph.constant(node, 1), self._graph.constant(node, 2)
        mode = attributes(node).get("mode", b"constant")
        zero = value is None or not np.any(value) or node.input[2] in self._weight_qparams
        if pads is None or mode != b"constant" or not zero or len(pads) != 8 or pads[[0, 1, 4, 5]].any():
            raise ExportError(f"node '{node.name}' (Pad): only zeros around height and width are supported")
        amounts = self._constant(f"{node.name}.pads", pads[[0, 4, 2, 6, 3, 7, 1, 5]].reshape(4, 2).astype(np.int32))
        self._append("PAD", node, [self._activation(node.input[0], node), amounts])

    def _global_pool(self, node: Any) -> None:
        """AVERAGE_POOL_2D, for which CMSIS-NN has a kernel, unless the scale changes, which only MEAN can do."""
        x, y = self._activation(node.input[0], node), self._activation(node.output[0], node)
        _, h, w, _ = self._tensors[x].shape
        if _equal(self._tensors[x].qparams, self._tensors[y].qparams):
            self._append("AVERAGE_POOL_2D", node, [x], Options((h, w), (h, w)))
            return
        axes = self._constant(f"{node.name}.axes", np.array([1, 2], np.int32))
        self._append("MEAN", node, [x, axes], Options(keep_dims=True))

    def _pool(self, node: Any) -> None:
        given = attributes(node)
        x = self._activation(node.input[0], node)
        if given.get("ceil_mode", 0) or set(given.get("dilations", (1,))) != {1}:
            raise ExportError(f"node '{node.name}' ({node.op_type}): ceil_mode and dilations are not supported")
        kernel, stride = _pair(given["kernel_shape"]), _pair(given.get("strides", (1, 1)))
        padding, x = self._padding(node, given, x, kernel, stride)
        op = "AVERAGE_POOL_2D" if node.op_type == "AveragePool" else "MAX_POOL_2D"
        self._append(op, node, [x], Options(kernel, stride, padding=padding))

    def _softmax(self, node: Any) -> None:
        x = self._row(node.input[0], node)
        rank = len(self._tensors[x].shape)
        if rank != 2 or int(attributes(node).get("axis", -1)) not in (-1, 1):
            raise ExportError(f"node '{node.name}' (Softmax): only the softmax of a row of scores is supported")
        self._append("SOFTMAX", node, [x])

    def _concat(self, node: Any) -> None:
        rank = len(self._shape(node.output[0], node))
        axis = int(attributes(node)["axis"]) % rank
        axis = {0: 0, 1: 3, 2: 1, 3: 2}[axis] if rank == 4 else axis
        self._append("CONCATENATION", node, [self._operand(i, rank, node) for i in node.input], Options(axis=axis))

    def _reshape(self, node: Any) -> None:
        """Moves no data, so that the value goes on under its old name; FULLY_CONNECTED flattens by itself."""
        x, shape = self._activation(node.input[0], node), self._shape(node.output[0], node)
        before = self._tensors[x].shape
        if len(before) == 4 and before[1:3] != (1, 1) and shape != before:
            if len(shape) != 2 or shape[0] != 1:
                raise ExportError(
                    f"node '{node.name}' ({node.op_type}): {before} to {shape} would move data between NCHW and NHWC; "
                    "only flattening a map into a row is supported"
                )
            self._flattened[node.output[0]] = before
            for reader in self._graph.readers(node.output[0]):  # the pair behind it, in a quantized graph
                if _is_qdq(reader):
                    self._flattened.update({r.output[0]: before for r in self._graph.readers(reader.output[0])})
        elif node.input[0] in self._flattened:
            self._flattened[node.output[0]] = self._flattened[node.input[0]]
        quantized = self._qparams.get(self._root(node.output[0]))
        if quantized is not None and not _equal(quantized, self._tensors[x].qparams):
            raise ExportError(f"node '{node.name}' ({node.op_type}): it can't change the quantization of its input")
        self._alias[self._root(node.output[0])] = x

    def _clip(self, node: Any) -> None:
        x, y = self._root(node.input[0]), self._root(node.output[0])
        low, high = (0.0, np.inf) if node.op_type == "Relu" else clip_bounds(self._graph, node)
        q = self._qparams.get(y)
        activation = _CLIPS.get((low, high))
        if activation is None and q is not None and _saturates(q, low, high):
            activation = "NONE"
        if activation is None and (low, high) != (0, 1):
            raise ExportError(
                f"node '{node.name}' (Clip): the bounds {low} and {high} are not supported; "
                "0 and 6, -1 and 1, and 0 and infinity are"
            )
        writers = [i for i, n in enumerate(self._nodes) if n.outputs[0] == x]
        before = self._nodes[writers[0]] if writers else None
        fusable = before is not None and before.op in _FUSABLE and before.options.activation == "NONE"
        fusable = fusable and self._tensors[x].shape == self._shape(node.output[0], node)
        if before is None or not fusable or activation is None or self._reads[x] > 1 or x in self._qparams:
            if activation == "NONE":
                raise ExportError(f"node '{node.name}' (Clip): its bounds {low} and {high} can't be exported here")
            self._append(activation or "RELU_0_TO_1", node, [self._row(node.input[0], node)])
            return
        del self._tensors[x]
        self._nodes[writers[0]] = replace(
            before, outputs=(self._activation(y, node),), options=replace(before.options, activation=activation)
        )


def _is_qdq(node: Any) -> bool:
    return node.op_type in ("QuantizeLinear", "DequantizeLinear")


def _equal(a: QParams | None, b: QParams | None) -> bool:
    if a is None or b is None:
        return a is b
    return bool(a.scale == b.scale and a.zero_point == b.zero_point)


def _saturates(q: QParams, low: float, high: float) -> bool:
    """Whether no int8 value of a tensor lies outside these bounds, but for a rounding of its scale."""
    scale, zero_point = float(q.scale.item()), int(q.zero_point.item())
    slack = 0.01 * scale
    return scale * (-128 - zero_point) >= low - slack and scale * (127 - zero_point) <= high + slack


def _pair(values: Any) -> tuple[int, int]:
    a, b = values
    return int(a), int(b)
