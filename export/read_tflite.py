"""TFLite -> Graph: any file's tensors and operators; operators outside the closed set keep their names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from export.check import check_graph
from export.graph import ITEM_BYTES, METADATA_NAME, ExportError, Graph, Node, Options, QParams, Tensor, shown


def read_tflite(source: Path | bytes) -> Graph:
    """Read the first subgraph of a TFLite file.

    Raises:
        ExportError: not a TFLite file, or a damaged one; begins with the file's name where a path is given.
    """
    from ai_edge_litert import schema_py_generated as schema

    name = source.name if isinstance(source, Path) else "the model"
    content = source.read_bytes() if isinstance(source, Path) else source
    if content[4:8] != b"TFL3":
        raise ExportError(f"{name} is not a TFLite model: its identifier is {content[4:8]!r}, not b'TFL3'")
    try:
        graph = _read(schema, schema.Model.GetRootAs(content, 0), len(content))
        check_graph(graph)
    except ExportError as error:
        raise ExportError(f"{name}: {error}" if isinstance(source, Path) else str(error)) from error
    except Exception as error:  # a damaged flatbuffer makes the generated code raise almost anything
        raise ExportError(f"{name} is damaged: {type(error).__name__}: {error}") from error
    return graph


def _read(schema: Any, model: Any, file_bytes: int) -> Graph:
    subgraph, budget = model.Subgraphs(0), _Budget(file_bytes)
    ops = _names(schema.BuiltinOperator)
    types = {code: name.lower() for code, name in _names(schema.TensorType).items()}
    buffers = model.BuffersLength()
    tensors = []
    for index in range(budget.tables(subgraph.TensorsLength())):
        tensor = subgraph.Tensors(index)
        if tensor.Buffer() >= buffers:
            raise ExportError(f"tensor {index} is in buffer {tensor.Buffer()} of {buffers}")
        tensors.append(_tensor(tensor, model.Buffers(tensor.Buffer()), types, index, budget))
    nodes = []
    for index in range(budget.tables(subgraph.OperatorsLength())):
        operator = subgraph.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex())
        op = ops[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        read, written = budget.vector(operator, "Inputs"), budget.vector(operator, "Outputs")
        if (
            max((*read, *written), default=0) >= len(tensors)
            or min(read, default=0) < -1
            or min(written, default=0) < 0
        ):
            raise ExportError(f"operator {index} ({op}) names a tensor that the file doesn't have")
        inputs = tuple(tensors[j].name for j in read if j >= 0)
        outputs = tuple(tensors[j].name for j in written)
        weights = tensors[read[1]] if len(read) > 1 and read[1] >= 0 else None
        nodes.append(Node(op, f"{index} {op}", inputs, outputs, _options(schema, operator, weights)))
    ends = [budget.vector(subgraph, end) for end in ("Inputs", "Outputs")]
    if not all(0 <= j < len(tensors) for end in ends for j in end):
        raise ExportError("an input or output of the model is a tensor that the file doesn't have")
    inputs, outputs = (tuple(tensors[j].name for j in end) for end in ends)
    return Graph(tuple(nodes), {t.name: t for t in tensors}, inputs, outputs, _metadata(model))


class _Budget:
    """What may be copied out of a file: tables and vectors that share their bytes could grow without bound.

    A table takes at least 8 bytes and its place in a vector 4; a vector may be shared by a few, as strings are.
    """

    def __init__(self, file_bytes: int) -> None:
        self._file_bytes, self._copied = file_bytes, 0

    def tables(self, count: int) -> int:
        """The number of a vector's tables, where the file can hold as many."""
        if 12 * count > self._file_bytes:
            raise ExportError(f"it is damaged: {count:,} tables don't fit into {self._file_bytes:,} bytes")
        return count

    def take(self, nbytes: int) -> None:
        """Count bytes that are copied."""
        self._copied += nbytes
        if self._copied > 4 * self._file_bytes + 65536:
            raise ExportError("it is damaged: its vectors and names share more bytes than any converter makes them")

    def vector(self, table: Any, name: str) -> tuple[int, ...]:
        """A vector of numbers; empty where it is absent."""
        self.take(4 * getattr(table, f"{name}Length")())
        values = getattr(table, f"{name}AsNumpy")()
        return tuple(values.tolist()) if isinstance(values, np.ndarray) else ()


def _metadata(model: Any) -> dict[str, str]:
    """What a float file of ours says of its input; nothing for other files."""
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        if entry.Name() == METADATA_NAME.encode():
            return dict(json.loads(model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()))
    return {}


def _names(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _tensor(tensor: Any, buffer: Any, types: dict[int, str], index: int, budget: _Budget) -> Tensor:
    dtype = types.get(tensor.Type(), "other")
    shape = budget.vector(tensor, "Shape")
    raw = buffer.DataAsNumpy() if buffer.DataLength() else None
    values = None
    if raw is not None:  # a view of the file's bytes: tensors may share a buffer
        values = raw.view(dtype).reshape(shape) if dtype in ITEM_BYTES else raw
    name = tensor.Name() or b""
    budget.take(len(name))
    return Tensor(f"{index} {shown(name)}".strip(), shape, dtype, _qparams(tensor.Quantization(), budget), values)


def _qparams(quantization: Any, budget: _Budget) -> QParams | None:
    if quantization is None or not quantization.ScaleLength():
        return None
    budget.take(8 * (quantization.ScaleLength() + quantization.ZeroPointLength()))
    scale = quantization.ScaleAsNumpy().astype(np.float32)
    zero_point = np.zeros(len(scale), np.int64)
    if quantization.ZeroPointLength():
        zero_point = quantization.ZeroPointAsNumpy().astype(np.int64)
    return QParams(scale, zero_point, int(quantization.QuantizedDimension()))


def _options(schema: Any, operator: Any, weights: Tensor | None) -> Options:
    options = schema.BuiltinOptionsCreator(operator.BuiltinOptionsType(), operator.BuiltinOptions())
    if options is None:
        return Options()
    kernel = (1, 1)
    if hasattr(options, "filterHeight"):
        kernel = (options.filterHeight, options.filterWidth)
    elif weights is not None and len(weights.shape) == 4 and hasattr(options, "strideH"):
        kernel = (weights.shape[1], weights.shape[2])
    strided, dilated = hasattr(options, "strideH"), hasattr(options, "dilationHFactor")
    padding = _names(schema.Padding)[options.padding] if hasattr(options, "padding") else "VALID"
    activations = _names(schema.ActivationFunctionType)
    activation = activations[options.fusedActivationFunction] if hasattr(options, "fusedActivationFunction") else "NONE"
    return Options(
        kernel_hw=kernel,
        stride_hw=(options.strideH, options.strideW) if strided else (1, 1),
        dilation_hw=(options.dilationHFactor, options.dilationWFactor) if dilated else (1, 1),
        depth_multiplier=getattr(options, "depthMultiplier", 1),
        padding=padding,  # type: ignore[arg-type]
        activation=activation,  # type: ignore[arg-type]
        axis=getattr(options, "axis", 0),
        keep_dims=bool(getattr(options, "keepDims", False)),
        beta=float(getattr(options, "beta", 1.0)),
    )
