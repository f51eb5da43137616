"""ONNX -> Graph, float or int8 (QDQ): NCHW becomes NHWC, activations are fused, quantization is taken over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from export.graph import Activation, Array, ExportError, Graph, Node, Options, Padding, QParams, Tensor
from hardware_profiles.ops import same_padding

_SIMPLE = {"Add": "ADD", "Mul": "MUL", "Softmax": "SOFTMAX", "HardSwish": "HARD_SWISH", "Sigmoid": "LOGISTIC"}


def read_onnx(source: Path | bytes) -> Graph:
    """Read an image classifier; its batch is fixed to 1.

    Raises:
        ExportError: not an ONNX model, shapes that can't be inferred, or a QDQ pair that is torn.
    """
    import onnx

    name = source.name if isinstance(source, Path) else "model"
    try:
        model = onnx.load_from_string(source.read_bytes() if isinstance(source, Path) else source)
        if not model.graph.input or not model.graph.node:
            raise ValueError("no graph")
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
        del model.graph.value_info[:]
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except ExportError:
        raise
    except Exception as error:  # protobuf and onnx raise many kinds; all mean an unreadable file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ExportError(f"{name} is not a readable ONNX model: {reason}") from error
    return _OnnxReader(model).read()


class _OnnxReader:
    def __init__(self, model: Any) -> None:
        from onnx import numpy_helper

        graph = model.graph
        self._model = model
        self._constants: dict[str, Array] = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
        self._shapes = {
            v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim)
            for v in (*graph.input, *graph.value_info, *graph.output)
        }
        self._alias: dict[str, str] = {}  # any name of a value -> the name its tensor goes by
        self._qparams: dict[str, QParams] = {}
        self._weight_qparams: dict[str, QParams] = {}
        self._tensors: dict[str, Tensor] = {}
        self._nodes: list[Node] = []
        self._reads: dict[str, int] = {}

    def read(self) -> Graph:
        nodes = self._model.graph.node
        for node in nodes:
            self._collect_quantization(node)
        for node in nodes:
            if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
                for name in node.input:
                    self._reads[self._root(name)] = self._reads.get(self._root(name), 0) + 1
        for node in nodes:
            self._read_node(node)
        inputs = tuple(self._activation(i.name) for i in self._model.graph.input if i.name not in self._constants)
        outputs = tuple(self._activation(o.name) for o in self._model.graph.output)
        metadata = {p.key: p.value for p in self._model.metadata_props}
        return Graph(tuple(self._nodes), self._tensors, inputs, outputs, metadata)

    def _collect_quantization(self, node: Any) -> None:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            return
        try:
            scale = np.atleast_1d(self._constants[node.input[1]]).astype(np.float32)
            zero = self._constants[node.input[2]] if len(node.input) > 2 else np.zeros(scale.shape)
        except KeyError as error:
            raise ExportError(
                f"node '{node.name}' ({node.op_type}): its scale and zero point must be constants"
            ) from error
        qparams = QParams(scale, np.atleast_1d(zero).astype(np.int64), int(_attributes(node).get("axis", 1)))
        x, y = node.input[0], node.output[0]
        if x in self._constants:
            self._constants[y] = self._constants[x]
            self._weight_qparams[y] = qparams
            return
        self._alias[y] = x
        root = self._root(x)
        known = self._qparams.get(root)
        if known is None:
            self._qparams[root] = qparams
        elif known.scale != qparams.scale or known.zero_point != qparams.zero_point:
            raise ExportError(
                f"node '{node.name}' ({node.op_type}): its scale or zero point is not that of "
                "the other half of its pair"
            )

    def _root(self, name: str) -> str:
        while name in self._alias:
            name = self._alias[name]
        return name

    def _shape(self, name: str, node: Any) -> tuple[int, ...]:
        shape = self._shapes.get(name, ())
        if not shape or min(shape) < 1:
            raise ExportError(f"node '{node.name}' ({node.op_type}): the shape of '{name}' is not static")
        return (shape[0], shape[2], shape[3], shape[1]) if len(shape) == 4 else shape

    def _activation(self, name: str, node: Any = None) -> str:
        root = self._root(name)
        if root not in self._tensors:
            owner = node if node is not None else self._model.graph.node[0]
            qparams = self._qparams.get(root)
            dtype = "float32" if qparams is None else "int8"
            self._tensors[root] = Tensor(root, self._shape(root, owner), dtype, qparams)
        return root

    def _constant(self, name: str, value: Array, qparams: QParams | None = None) -> str:
        self._tensors[name] = Tensor(name, value.shape, str(value.dtype), qparams, np.ascontiguousarray(value))
        return name

    def _read_node(self, node: Any) -> None:
        op = node.op_type
        if op in ("QuantizeLinear", "DequantizeLinear", "Constant"):
            return
        if op == "Conv":
            self._conv(node)
        elif op == "Gemm":
            self._gemm(node)
        elif op in ("Relu", "Clip"):
            self._clip(node)
        elif op in ("Flatten", "Reshape", "Identity", "Squeeze"):
            self._reshape(node)
        elif op in ("GlobalAveragePool", "AveragePool", "MaxPool"):
            self._pool(node)
        elif op in _SIMPLE:
            self._append(_SIMPLE[op], node, [self._activation(i, node) for i in node.input])
        else:  # kept by name, so that `fit` can say what it does not know
            self._append(op, node, [self._activation(i, node) for i in node.input if i and i not in self._constants])

    def _append(self, op: str, node: Any, inputs: list[str], options: Options = Options()) -> None:  # noqa: B008
        self._nodes.append(Node(op, node.name, tuple(inputs), (self._activation(node.output[0], node),), options))

    def _conv(self, node: Any) -> None:
        attributes = _attributes(node)
        weights, groups = self._weights(node), int(attributes.get("group", 1))
        if tuple(attributes.get("dilations", (1, 1))) != (1, 1):
            raise ExportError(f"node '{node.name}' (Conv): dilated convolutions are not supported")
        depthwise = groups > 1
        if depthwise and (groups != weights.shape[0] or weights.shape[1] != 1):
            raise ExportError(f"node '{node.name}' (Conv): grouped convolutions other than depthwise are not supported")
        x = self._activation(node.input[0], node)
        kernel = (weights.shape[2], weights.shape[3])
        stride = tuple(attributes.get("strides", (1, 1)))
        padding, x = self._padding(node, attributes, x, kernel, stride)
        axes, channel_axis = ((1, 2, 3, 0), 3) if depthwise else ((0, 2, 3, 1), 0)
        w = self._quantized_constant(node.input[1], weights.transpose(axes), channel_axis)
        options = Options(kernel, (stride[0], stride[1]), padding)
        self._append(
            "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", node, [x, w, self._bias(node, weights.shape[0])], options
        )

    def _gemm(self, node: Any) -> None:
        attributes = _attributes(node)
        if attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0 or attributes.get("transA", 0):
            raise ExportError(f"node '{node.name}' (Gemm): only alpha = beta = 1 and transA = 0 are supported")
        weights = self._weights(node)
        weights = weights if attributes.get("transB", 0) else weights.T
        w = self._quantized_constant(node.input[1], weights, 0)
        self._append(
            "FULLY_CONNECTED", node, [self._activation(node.input[0], node), w, self._bias(node, weights.shape[0])]
        )

    def _weights(self, node: Any) -> Array:
        if node.input[1] not in self._constants:
            raise ExportError(f"node '{node.name}' ({node.op_type}): its weights are computed, not constant")
        return self._constants[node.input[1]]

    def _quantized_constant(self, name: str, value: Array, axis: int) -> str:
        q = self._weight_qparams.get(name)
        return self._constant(name, value, None if q is None else QParams(q.scale, q.zero_point, axis))

    def _bias(self, node: Any, channels: int) -> str:
        if len(node.input) > 2:
            return self._quantized_constant(node.input[2], self._constants[node.input[2]], 0)
        quantized = node.input[1] in self._weight_qparams
        return self._constant(f"{node.name}.bias", np.zeros(channels, np.int32 if quantized else np.float32))

    def _padding(
        self, node: Any, attributes: Mapping[str, Any], x: str, kernel: tuple[int, int], stride: tuple[int, ...]
    ) -> tuple[Padding, str]:
        """(SAME or VALID, the input): padding that is neither becomes a PAD node of its own."""
        auto = attributes.get("auto_pad", b"NOTSET")
        if auto in (b"SAME_UPPER", b"VALID"):
            return ("SAME" if auto == b"SAME_UPPER" else "VALID"), x
        top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
        tensor = self._tensors[x]
        _, h, w, c = tensor.shape
        if (top, bottom) == same_padding(h, kernel[0], stride[0]) and (left, right) == same_padding(
            w, kernel[1], stride[1]
        ):
            return "SAME", x
        if not any((top, left, bottom, right)):
            return "VALID", x
        if node.op_type != "Conv":
            raise ExportError(
                f"node '{node.name}' ({node.op_type}): padding {top, left, bottom, right} is neither SAME nor VALID"
            )
        padded = f"{node.name}.padded"
        self._tensors[padded] = Tensor(padded, (1, h + top + bottom, w + left + right, c), tensor.dtype, tensor.qparams)
        amounts = self._constant(
            f"{node.name}.pads", np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
        )
        self._nodes.append(Node("PAD", padded, (x, amounts), (padded,)))
        return "VALID", padded

    def _pool(self, node: Any) -> None:
        attributes = _attributes(node)
        x = self._activation(node.input[0], node)
        if node.op_type == "GlobalAveragePool":  # CMSIS-NN has a kernel for pooling, and none for MEAN
            _, h, w, _ = self._tensors[x].shape
            self._append("AVERAGE_POOL_2D", node, [x], Options((h, w), (h, w)))
            return
        if attributes.get("ceil_mode", 0) or attributes.get("count_include_pad", 0):
            raise ExportError(f"node '{node.name}' ({node.op_type}): ceil_mode and count_include_pad are not supported")
        kernel = tuple(attributes["kernel_shape"])
        stride = tuple(attributes.get("strides", (1, 1)))
        padding, x = self._padding(node, attributes, x, kernel, stride)
        op = "AVERAGE_POOL_2D" if node.op_type == "AveragePool" else "MAX_POOL_2D"
        self._append(op, node, [x], Options(kernel, (stride[0], stride[1]), padding))

    def _reshape(self, node: Any) -> None:
        x = self._activation(node.input[0], node)
        if len(self._tensors[x].shape) == 4 and self._tensors[x].shape[1:3] != (1, 1) and node.op_type != "Identity":
            raise ExportError(
                f"node '{node.name}' ({node.op_type}): flattening a map larger than 1x1 would change its order "
                "from NCHW to NHWC"
            )
        self._alias[self._root(node.output[0])] = x  # FULLY_CONNECTED flattens by itself

    def _clip(self, node: Any) -> None:
        activation: Activation = "RELU"
        if node.op_type == "Clip":
            bounds = [float(self._constants[name].item()) for name in node.input[1:] if name in self._constants]
            if bounds != [0.0, 6.0]:
                raise ExportError(f"node '{node.name}' (Clip): only the bounds 0 and 6 are supported, not {bounds}")
            activation = "RELU6"
        x = self._root(node.input[0])
        writers = [i for i, n in enumerate(self._nodes) if n.outputs[0] == x]
        before = self._nodes[writers[0]] if writers else None
        fusable = before is not None and before.op in _FUSABLE and before.options.activation == "NONE"
        if before is None or not fusable or self._reads[x] > 1 or x in self._qparams:
            self._append(activation, node, [self._activation(x, node)])
            return
        del self._tensors[x]
        o = before.options
        options = Options(o.kernel_hw, o.stride_hw, o.padding, activation)
        self._nodes[writers[0]] = Node(
            before.op, before.name, before.inputs, (self._activation(node.output[0], node),), options
        )


_FUSABLE = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD")


def _attributes(node: Any) -> dict[str, Any]:
    from onnx import helper

    return {a.name: helper.get_attribute_value(a) for a in node.attribute}
