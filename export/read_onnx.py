"""ONNX -> Graph, float or int8 (QDQ): NCHW becomes NHWC, activations are fused, quantization is taken over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from export.check import check_graph
from export.graph import ExportError, Graph
from export.onnx_graph import onnx_content, parse_onnx
from export.ops.accumulators import check_accumulator
from export.ops.onnx_reader import OnnxReader, is_qdq
from export.ops.table import ONNX, OPERATORS
from export.passes.canonical import canonical


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
    if not any(is_qdq(node) for node in graph.nodes):
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
    fusing = [name for name, operator in OPERATORS.items() if operator.fuses]
    return _graph(OnnxReader(graph, shapes, types, fusing))


def _graph(reader: OnnxReader) -> Graph:
    """The Graph that a reader's ONNX graph becomes, node by node."""
    for node in reader.graph.nodes:
        if not is_qdq(node):
            _read_node(reader, node)
    inputs = tuple(reader.activation(i.name) for i in reader.graph.inputs)
    outputs = tuple(reader.output(o.name) for o in reader.graph.outputs)
    graph = Graph(tuple(reader.nodes), reader.tensors, inputs, outputs, reader.graph.metadata)
    if reader.qparams:
        _check_pairs(graph)
        _check_accumulators(graph)
    return graph


def _read_node(reader: OnnxReader, node: Any) -> None:
    for name in node.input:
        if name in reader.flattened and node.op_type not in ("Gemm", "Flatten", "Reshape"):
            raise ExportError(f"node '{node.name}' ({node.op_type}): it reads a flattened map; only a linear layer can")
    if node.op_type in ONNX:
        ONNX[node.op_type].read(reader, node)
    else:  # kept by name, so that `fit` can say what it does not know
        read = [name for name in node.input if name and name not in reader.constants]
        reader.append(node.op_type, node, [reader.activation(name, node) for name in read])


def _check_pairs(graph: Graph) -> None:
    """Int8 or float, never both: an activation without a pair would need float kernels."""
    for node in graph.nodes:
        for name in (*node.inputs, *node.outputs):
            if graph.tensor(name).dtype == "float32":
                raise ExportError(
                    f"node '{node.name}' ({node.op}): '{name}' has no QuantizeLinear/DequantizeLinear pair; a "
                    "quantized graph needs one behind every activation and in front of every weight"
                )


def _check_accumulators(graph: Graph) -> None:
    """As quantization does, for the scales of others' graphs."""
    for node in graph.nodes:
        if node.op not in OPERATORS or OPERATORS[node.op].weights_axis is None:
            continue
        x, w, bias, y = (graph.tensor(name) for name in (*node.inputs[:3], node.outputs[0]))
        if x.qparams is None or w.qparams is None or y.qparams is None or w.data is None or bias.data is None:
            continue  # float
        multipliers = x.qparams.scale.astype(np.float64) * w.qparams.scale / y.qparams.scale
        weights = np.moveaxis(w.data, w.qparams.axis, 0)
        multipliers = np.broadcast_to(multipliers, len(weights))
        check_accumulator(f"node '{node.name}' ({node.op})", weights, bias.data, multipliers)
