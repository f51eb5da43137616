"""A TFLite file with other constants and shapes of its tensors; names, metadata, signatures and operators stay.

So a file keeps what a graph does not hold. A zip behind the flatbuffer, where phones' files keep their labels, is
written anew, since its entries are found by their distance from the start.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np

from export.graph import Graph, Tensor
from export.write.flatbuffer import SharedTable, aligned_buffer, sharing_builder


def edit_tflite(content: bytes, before: Graph, after: Graph) -> bytes:
    """Write a file's tensors anew where they changed.

    Args:
        content: the file.
        before: what was read from it.
        after: the same nodes and names of tensors, with other shapes, constants or scales.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    subgraph = model.subgraphs[0]
    for written, name in zip(subgraph.tensors, before.tensors, strict=True):  # in the file's order
        if before.tensor(name) is not after.tensor(name):
            _replace(schema, model, written, after.tensor(name))
    _replace_shapes_of_options(schema, subgraph, after)
    _drop_unread_buffers(schema, model)
    for tensor in (tensor for graph in model.subgraphs for tensor in graph.tensors):
        if tensor.quantization is not None and tensor.quantization.details is None:
            tensor.quantization = SharedTable(tensor.quantization)
    builder = sharing_builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return _with_files_of(content, bytes(builder.Output()))


def _replace(schema: Any, model: Any, written: Any, tensor: Tensor) -> None:
    shape = np.array(tensor.shape, np.int32)
    if written.shapeSignature is not None:  # -1 where any size is taken
        written.shapeSignature = np.where(np.asarray(written.shapeSignature) < 0, -1, shape).astype(np.int32)
    written.shape = shape
    quantization = written.quantization
    if quantization is not None and tensor.qparams is not None and len(quantization.scale) != len(tensor.qparams.scale):
        quantization.scale, quantization.zeroPoint = tensor.qparams.scale, tensor.qparams.zero_point
        quantization.min = quantization.max = None  # what a converter saw; no runtime reads them
    if tensor.data is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(tensor.data).tobytes(), np.uint8)
        model.buffers.append(buffer)
        written.buffer = len(model.buffers) - 1


def _replace_shapes_of_options(schema: Any, subgraph: Any, after: Graph) -> None:
    """RESHAPE says its shape in its options, too."""
    for operator, node in zip(subgraph.operators, after.nodes, strict=True):
        options = operator.builtinOptions
        if node.op == "RESHAPE" and isinstance(options, schema.ReshapeOptionsT) and options.newShape is not None:
            shape = np.array(options.newShape, np.int32)
            if shape.size and shape[-1] != -1:
                shape[-1] = after.tensor(node.outputs[0]).shape[-1]
            options.newShape = shape


def _drop_unread_buffers(schema: Any, model: Any) -> None:
    """Keep the buffers that are read, equal ones once; the first is empty by definition."""
    places: dict[bytes, int] = {b"": 0}
    kept = [schema.BufferT()]
    for reader in [tensor for graph in model.subgraphs for tensor in graph.tensors] + list(model.metadata or ()):
        data = model.buffers[reader.buffer].data
        content = b"" if data is None else np.asarray(data, np.uint8).tobytes()
        if content not in places:
            places[content] = len(kept)
            kept.append(aligned_buffer(schema, content))
        reader.buffer = places[content]
    model.buffers, model.metadataBuffer = kept, None  # an older field, which nothing reads


def _with_files_of(content: bytes, flatbuffer: bytes) -> bytes:
    """The zip behind one flatbuffer, behind another."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return flatbuffer
    whole = io.BytesIO(flatbuffer)
    with zipfile.ZipFile(io.BytesIO(content)) as given, zipfile.ZipFile(whole, "a") as archive:
        for entry in given.infolist():
            archive.writestr(entry, given.read(entry))
    return whole.getvalue()
