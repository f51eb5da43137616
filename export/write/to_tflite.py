"""Graph -> TFLite flatbuffer: int8 with the scales of the QDQ graph taken over exactly, float from a float graph.

Names of inner tensors and the quantization of biases, which follows from input and weights, are left out; only
FULLY_CONNECTED's kernel checks it against them. Equal buffers, vectors and option tables are stored once: all zero
points of a weight are 0, and would take twice the bytes of its scales. The same graph gives the same bytes. Schema:
LiteRT's `schema.fbs`, version 3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from export.graph import METADATA_NAME, ExportError, Graph, Node, Tensor
from export.ops.table import OPERATORS
from export.write.flatbuffer import SharedTable, aligned_buffer, sharing_builder


def to_tflite(graph: Graph, metadata: Mapping[str, bytes] | None = None) -> bytes:
    """Serialize a graph whose activations are all int8, or all float32 (export.write.mobile: with smaller weights).

    Args:
        metadata: entries of the model's metadata table; a float file adds the graph's own as JSON.

    Raises:
        ExportError: an operator that can't be written, by its node.
    """
    from ai_edge_litert import schema_py_generated as schema

    return _TfliteWriter(schema, graph).finish(metadata or {})


class _TfliteWriter:
    def __init__(self, schema: Any, graph: Graph) -> None:
        self._schema = schema
        self._graph = graph
        self._int8 = any(t.dtype == "int8" and t.data is None for t in graph.tensors.values())
        self._model = schema.ModelT()
        self._model.version = 3
        self._model.description = "flatnas-deploy"
        self._model.buffers = [schema.BufferT()]  # buffer 0 is empty by definition
        self._model.operatorCodes = []
        self._subgraph = schema.SubGraphT()
        self._subgraph.tensors, self._subgraph.operators = [], []
        self._model.subgraphs = [self._subgraph]
        self._buffers: dict[bytes, int] = {}
        self._indices: dict[str, int] = {}
        self._codes: dict[tuple[str, int], int] = {}

    def finish(self, metadata: Mapping[str, bytes]) -> bytes:
        graph = self._graph
        for name in graph.inputs:
            self._tensor(name)
        for node in graph.nodes:
            self._operator(node)
        self._subgraph.inputs = [self._tensor(name) for name in graph.inputs]
        self._subgraph.outputs = [self._tensor(name) for name in graph.outputs]
        if not self._int8 and graph.metadata:  # an int8 file's input quantization says it already
            self._metadata(METADATA_NAME, json.dumps(dict(graph.metadata), sort_keys=True).encode())
        for name, content in metadata.items():
            self._metadata(name, content)
        builder = sharing_builder()
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _tensor(self, name: str) -> int:
        if name in self._indices:
            return self._indices[name]
        tensor = self._graph.tensor(name)
        written = self._schema.TensorT()
        outer = name in self._graph.inputs or name in self._graph.outputs
        written.name = name if outer else None
        written.shape = np.array(tensor.shape, np.int32)
        written.type = getattr(self._schema.TensorType, tensor.dtype.upper())
        written.buffer = 0 if tensor.data is None else self._buffer(tensor)
        is_bias = tensor.dtype == "int32" and tensor.data is not None
        if tensor.qparams is not None and not is_bias:
            written.quantization = self._quantization(tensor)
        self._subgraph.tensors.append(written)
        self._indices[name] = len(self._subgraph.tensors) - 1
        return self._indices[name]

    def _quantization(self, tensor: Tensor) -> Any:
        assert tensor.qparams is not None
        written = self._schema.QuantizationParametersT()
        written.scale = tensor.qparams.scale.astype(np.float32)
        written.zeroPoint = tensor.qparams.zero_point.astype(np.int64)
        written.quantizedDimension = tensor.qparams.axis
        return SharedTable(written)

    def _bias_quantization(self, node: Node) -> Any:
        """s_input * s_weight of each channel."""
        x, weights = (self._graph.tensor(name).qparams for name in node.inputs[:2])
        assert x is not None
        assert weights is not None
        written = self._schema.QuantizationParametersT()
        written.scale, written.zeroPoint = x.scale * weights.scale, weights.zero_point.astype(np.int64)
        return SharedTable(written)

    def _buffer(self, tensor: Tensor) -> int:
        assert tensor.data is not None
        content = np.ascontiguousarray(tensor.data).tobytes()
        if content not in self._buffers:
            self._model.buffers.append(aligned_buffer(self._schema, content))
            self._buffers[content] = len(self._model.buffers) - 1
        return self._buffers[content]

    def _metadata(self, name: str, content: bytes) -> None:
        entry = self._schema.MetadataT()
        entry.name, entry.buffer = name, len(self._model.buffers)
        self._model.buffers.append(aligned_buffer(self._schema, content))
        self._model.metadata = [*(self._model.metadata or ()), entry]

    def _code(self, node: Node) -> int:
        key = (node.op, self._version(node))
        if key not in self._codes:
            code = self._schema.OperatorCodeT()
            code.builtinCode = getattr(self._schema.BuiltinOperator, node.op)
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)
            code.version = key[1]
            self._model.operatorCodes.append(code)
            self._codes[key] = len(self._model.operatorCodes) - 1
        return self._codes[key]

    def _version(self, node: Node) -> int:
        row = OPERATORS.get(node.op)
        if row is None or (self._int8 and row.int8_version is None):
            written = sorted(name for name, operator in OPERATORS.items() if operator.int8_version)
            raise ExportError(f"node '{node.name}' is a {node.op}; TFLite files can be written of {', '.join(written)}")
        if self._int8 and row.int8_version is not None:
            return row.int8_version
        hybrid = len(node.inputs) > 1 and self._graph.tensor(node.inputs[1]).dtype == "int8"
        return row.hybrid_version if hybrid else row.float_version

    def _operator(self, node: Node) -> None:
        operator = self._schema.OperatorT()
        operator.opcodeIndex = self._code(node)
        operator.inputs = np.array([self._tensor(name) for name in node.inputs], np.int32)
        if OPERATORS[node.op].states_bias and self._int8 and len(node.inputs) > 2:
            self._subgraph.tensors[operator.inputs[2]].quantization = self._bias_quantization(node)
        operator.outputs = np.array([self._tensor(name) for name in node.outputs], np.int32)
        options = self._options(node)
        if options is not None:
            union = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, union)
            operator.builtinOptions = SharedTable(options)
        self._subgraph.operators.append(operator)

    def _options(self, node: Node) -> Any:
        """The options table of a node, all fields that it has; None for operators that need none."""
        s, o, table = self._schema, node.options, OPERATORS[node.op].options
        if table is None:
            return None
        options = getattr(s, f"{table}T")()
        kernel, stride, dilation = o.kernel_hw, o.stride_hw, o.dilation_hw
        values = {
            "filterHeight": kernel[0],
            "filterWidth": kernel[1],
            "strideH": stride[0],
            "strideW": stride[1],
            "dilationHFactor": dilation[0],
            "dilationWFactor": dilation[1],
            "padding": getattr(s.Padding, o.padding),
            "fusedActivationFunction": getattr(s.ActivationFunctionType, o.activation),
            "depthMultiplier": o.depth_multiplier,
            "axis": o.axis,
            "beta": o.beta,
            "keepDims": o.keep_dims,
            "newShape": np.array(self._graph.tensor(node.outputs[0]).shape, np.int32),
        }
        for name, value in values.items():
            if hasattr(options, name):
                setattr(options, name, value)
        return options
