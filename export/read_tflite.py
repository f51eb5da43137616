"""TFLite -> Graph: any file's tensors and operators; operators outside the closed set keep their names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from export.graph import ExportError, Graph, Node, Options, QParams, Tensor
from export.to_tflite import METADATA_NAME


def read_tflite(source: Path | bytes) -> Graph:
    """Read the first subgraph of a TFLite file.

    Raises:
        ExportError: not a TFLite file, or a damaged one.
    """
    from ai_edge_litert import schema_py_generated as schema

    name = source.name if isinstance(source, Path) else "model"
    content = source.read_bytes() if isinstance(source, Path) else source
    if content[4:8] != b"TFL3":
        raise ExportError(f"{name} is not a TFLite model: its identifier is {content[4:8]!r}, not b'TFL3'")
    try:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        return _read(schema, model)
    except ExportError:
        raise
    except Exception as error:  # a damaged flatbuffer makes the generated code raise almost anything
        raise ExportError(f"{name} is damaged: {type(error).__name__}: {error}") from error


def _read(schema: Any, model: Any) -> Graph:
    subgraph = model.subgraphs[0]
    ops = _names(schema.BuiltinOperator)
    types = {code: name.lower() for code, name in _names(schema.TensorType).items()}
    tensors = [_tensor(model, types, i, t) for i, t in enumerate(subgraph.tensors)]
    nodes = []
    for i, operator in enumerate(subgraph.operators):
        code = model.operatorCodes[operator.opcodeIndex]
        op = ops[max(code.builtinCode, code.deprecatedBuiltinCode)]
        inputs = tuple(tensors[j].name for j in operator.inputs if j >= 0)
        outputs = tuple(tensors[j].name for j in operator.outputs)
        weights = tensors[operator.inputs[1]] if len(operator.inputs) > 1 and operator.inputs[1] >= 0 else None
        nodes.append(Node(op, f"{i} {op}", inputs, outputs, _options(schema, operator.builtinOptions, weights)))
    by_name = {t.name: t for t in tensors}
    metadata = _metadata(model)
    return Graph(
        tuple(nodes),
        by_name,
        tuple(tensors[j].name for j in subgraph.inputs),
        tuple(tensors[j].name for j in subgraph.outputs),
        metadata,
    )


def _metadata(model: Any) -> dict[str, str]:
    """What a float file of ours says of its input; nothing for other files."""
    for entry in model.metadata or ():
        name = entry.name.decode() if isinstance(entry.name, bytes) else entry.name
        if name == METADATA_NAME:
            return dict(json.loads(np.asarray(model.buffers[entry.buffer].data, np.uint8).tobytes()))
    return {}


def _names(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _tensor(model: Any, types: dict[int, str], index: int, tensor: Any) -> Tensor:
    dtype = types.get(tensor.type, "other")
    shape = tuple(int(side) for side in tensor.shape) if tensor.shape is not None else ()
    data = model.buffers[tensor.buffer].data
    values = None
    if data is not None and len(data):
        values = np.frombuffer(np.asarray(data, np.uint8).tobytes(), np.dtype(dtype)).reshape(shape)
    text = tensor.name.decode() if isinstance(tensor.name, bytes) else (tensor.name or "")
    return Tensor(f"{index} {text}".strip(), shape, dtype, _qparams(tensor.quantization), values)


def _qparams(quantization: Any) -> QParams | None:
    if quantization is None or quantization.scale is None or not len(quantization.scale):
        return None
    scale = np.asarray(quantization.scale, np.float32)
    zero_point = np.zeros(len(scale)) if quantization.zeroPoint is None else np.asarray(quantization.zeroPoint)
    return QParams(scale, zero_point.astype(np.int64), int(quantization.quantizedDimension))


def _options(schema: Any, options: Any, weights: Tensor | None) -> Options:
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
