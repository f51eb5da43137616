"""OnnxReader: the Graph that an ONNX graph becomes, as far as it is read, and what reads its operators one by one.

NCHW becomes NHWC; a value keeps the name of the tensor that it lies in, through pairs of quantization and flattening.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from export.graph import Array, ExportError, Node, Options, QParams, Tensor
from export.onnx_graph import OnnxGraph, attributes


class OnnxReader:
    """What has been read.

    Attributes:
        graph: where it is read from.
        constants: by name; int8 where they are quantized.
        qparams: of quantized activations, by the name of their tensor.
        weight_qparams: of quantized constants.
        tensors: of the Graph, by name.
        nodes: of the Graph, in order.
        reads: how often each tensor is read.
        flattened: NHWC shape of a map larger than 1x1 that goes on as a row, by the row's name.
    """

    def __init__(
        self,
        graph: OnnxGraph,
        shapes: Mapping[str, tuple[int, ...]],
        types: Mapping[str, str],
        fusing: Collection[str],
    ) -> None:
        """Collect the quantization of every value.

        Args:
            shapes: of every value, NCHW.
            types: of every value, as numpy names them.
            fusing: TFLite's operators that an activation can be fused into.

        Raises:
            ExportError: a pair of quantization that is torn, or of a form unknown here.
        """
        self.graph = graph
        self.constants = graph.constants
        self.qparams: dict[str, QParams] = {}
        self.weight_qparams: dict[str, QParams] = {}
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[Node] = []
        self.reads: dict[str, int] = {}
        self.flattened: dict[str, tuple[int, ...]] = {}
        self._shapes, self._types, self._fusing = shapes, types, fusing
        self._alias: dict[str, str] = {}  # any name of a value -> the name its tensor goes by
        for node in graph.nodes:
            if is_qdq(node):
                self._collect_quantization(node)
        read = (name for node in graph.nodes if not is_qdq(node) for name in node.input)
        for name in (*read, *(output.name for output in graph.outputs)):
            self.reads[self.root(name)] = self.reads.get(self.root(name), 0) + 1

    def root(self, name: str) -> str:
        """The name of the tensor that a value lies in."""
        while name in self._alias:
            name = self._alias[name]
        return name

    def rename(self, name: str, tensor: str) -> None:
        """Let a value lie in the tensor of another one."""
        self._alias[self.root(name)] = tensor

    def shape(self, name: str, node: Any) -> tuple[int, ...]:
        """Of a value, NHWC where it is a map.

        Args:
            node: that it is asked for, for the message; None for the model.

        Raises:
            ExportError: it is not known, or not static.
        """
        shape = self._shapes.get(name, ())
        if not shape or min(shape) < 1:
            owner = f"node '{node.name}' ({node.op_type})" if node is not None else "the model"
            raise ExportError(f"{owner}: the shape of '{name}' is not static: {shape or 'unknown'}")
        return (shape[0], shape[2], shape[3], shape[1]) if len(shape) == 4 else shape

    def activation(self, name: str, node: Any = None) -> str:
        """The name of a value's tensor, which is added where it is new."""
        root = self.root(name)
        if root not in self.tensors:
            qparams = self.qparams.get(root)
            dtype = self._types.get(root, "float32") if qparams is None else "int8"
            self.tensors[root] = Tensor(root, self.shape(root, node), dtype, qparams)
        return root

    def row(self, name: str, node: Any) -> str:
        """A value in its own shape, where it is a flattened 1x1 map that goes by the name of its map."""
        x, shape = self.activation(name, node), self.shape(name, node)
        tensor = self.tensors[x]
        if tensor.shape == shape:
            return x
        row = f"{x}.row"
        if row not in self.tensors:
            self.tensors[row] = Tensor(row, shape, tensor.dtype, tensor.qparams)
            wanted = self.constant(f"{row}.shape", np.array(shape, np.int32))
            self.nodes.append(Node("RESHAPE", row, (x, wanted), (row,)))
        return row

    def operand(self, name: str, rank: int, node: Any) -> str:
        """An input that may be constant, then in the layout of an activation of so many axes."""
        if name not in self.constants:
            return self.row(name, node)
        value = self.constants[name]
        value = value.reshape((1,) * (rank - value.ndim) + value.shape)
        return self.quantized_constant(name, value.transpose(0, 2, 3, 1) if rank == 4 else value, 0)

    def fusable(self, x: str, node: Any) -> int | None:
        """Index of the node that a tensor's activation can be fused into; None where it can't."""
        at = next((i for i, other in enumerate(self.nodes) if other.outputs[0] == x), None)
        if at is None or self.nodes[at].op not in self._fusing or self.nodes[at].options.activation != "NONE":
            return None
        alone = self.reads[x] <= 1 and x not in self.qparams
        return at if alone and self.tensors[x].shape == self.shape(node.output[0], node) else None

    def output(self, name: str) -> str:
        """The name of the tensor that an output of the model lies in."""
        if name in self.flattened:
            raise ExportError(f"the output '{name}' flattens a map larger than 1x1; only a linear layer can read one")
        return self.activation(name)

    def constant(self, name: str, value: Array, qparams: QParams | None = None) -> str:
        """Add a constant; its name."""
        self.tensors[name] = Tensor(name, value.shape, str(value.dtype), qparams, np.ascontiguousarray(value))
        return name

    def quantized_constant(self, name: str, value: Array, axis: int) -> str:
        """Add a constant with the quantization that it has in the file; `axis` is that of its channels."""
        q = self.weight_qparams.get(name)
        return self.constant(name, value, None if q is None else QParams(q.scale, q.zero_point, axis))

    def append(self, op: str, node: Any, inputs: list[str], options: Options = Options()) -> None:  # noqa: B008
        """Add what an ONNX node becomes."""
        self.nodes.append(Node(op, node.name, tuple(inputs), (self.activation(node.output[0], node),), options))

    def _collect_quantization(self, node: Any) -> None:
        scale, zero = self.constants.get(node.input[1]), self.graph.constant(node, 2)
        if scale is None or (zero is None and len(node.input) > 2 and node.input[2]):
            raise ExportError(f"node '{node.name}' ({node.op_type}): its scale and zero point must be constants")
        scale = np.atleast_1d(scale).astype(np.float32)
        if not (np.isfinite(scale) & (scale > 0)).all():
            raise ExportError(f"node '{node.name}' ({node.op_type}): a scale must be positive, not {scale.min()}")
        x, y = node.input[0], node.output[0]
        data = self.constants.get(x)
        default = data.dtype if data is not None else np.dtype(np.uint8)  # ONNX's default of an absent zero point
        dtype = zero.dtype if zero is not None else default
        if dtype not in (np.int8, np.uint8, np.int32):
            raise ExportError(f"node '{node.name}' ({node.op_type}): {dtype} is not supported; int8 and uint8 are")
        shift = 128 if dtype == np.uint8 else 0  # uint8 is int8 moved by 128
        zero_point = np.zeros(scale.shape, np.int64) if zero is None else np.atleast_1d(zero).astype(np.int64)
        qparams = QParams(scale, zero_point - shift, int(attributes(node).get("axis", 1)) if scale.size > 1 else 0)
        if data is not None:
            self.constants[y] = (data.astype(np.int16) - shift).astype(np.int8) if shift else data
            self.weight_qparams[y] = qparams
            return
        if scale.size > 1:
            raise ExportError(f"node '{node.name}' ({node.op_type}): an activation can't be quantized per channel")
        self._alias[y] = x
        if not same_quantization(self.qparams.setdefault(self.root(x), qparams), qparams):
            raise ExportError(
                f"node '{node.name}' ({node.op_type}): its scale or zero point is not that of the other half of its "
                "pair"
            )


def elementwise(op: str) -> Callable[[OnnxReader, Any], None]:
    """What reads an operator without options, whose operands may be constants."""

    def read(reader: OnnxReader, node: Any) -> None:
        rank = len(reader.shape(node.output[0], node))
        reader.append(op, node, [reader.operand(name, rank, node) for name in node.input])

    return read


def is_qdq(node: Any) -> bool:
    """Whether an ONNX node is half of a pair of quantization."""
    return node.op_type in ("QuantizeLinear", "DequantizeLinear")


def same_quantization(a: QParams | None, b: QParams | None) -> bool:
    """Whether two activations have the same scale and zero point, or none."""
    if a is None or b is None:
        return a is b
    return bool(a.scale == b.scale and a.zero_point == b.zero_point)


def pair(values: Any) -> tuple[int, int]:
    """Two integers of an attribute."""
    a, b = values
    return int(a), int(b)
