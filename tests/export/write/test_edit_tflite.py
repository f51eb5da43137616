"""A file with smaller tensors keeps all else: names, metadata, signatures, labels, operators nobody knows."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from typing import Any

import flatbuffers
import numpy as np
from hand_made import HandMade

from export.graph import Graph
from export.passes.dead_channels import without_dead_channels
from export.read_tflite import read_tflite
from export.write.edit_tflite import edit_tflite
from export.write.tflite_metadata import to_tflite_with_metadata
from export.write.to_tflite import to_tflite


def classifier() -> Graph:
    """Two of four hidden channels are constants."""
    net = HandMade()
    x = net.activation((1, 4, 4, 3))
    live, dead = [1, 2, 3], [0, 0, 0]
    hidden = net.pointwise(x, [live, dead, dead, live], [0, 8, 2**29, 8], factors=[1 / 8, 1 / 8, 1e-9, 1 / 8])
    pooled = net.node("AVERAGE_POOL_2D", (hidden,), net.activation((1, 1, 1, 4)), kernel_hw=(4, 4), stride_hw=(4, 4))
    row = net.node("RESHAPE", (pooled, net.constant([1, 4], "int32")), net.activation((1, 4)))
    y = net.layer("FULLY_CONNECTED", row, net.activation((1, 2)), [[1, 1, 2, 3], [3, 4, 2, 1]], [0, 0], 1 / 4)
    return net.graph(x, y)


def shrunk(content: bytes) -> bytes:
    graph = read_tflite(content)
    return edit_tflite(content, graph, without_dead_channels(graph).graph)


def unpacked(content: bytes) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromPackedBuf(content, 0)


def packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def foreign() -> Any:
    """The classifier as a converter would write it."""
    from ai_edge_litert import schema_py_generated as schema

    model = unpacked(to_tflite(classifier()))
    model.description = b"somebody's"
    for i, tensor in enumerate(model.subgraphs[0].tensors):
        tensor.name = f"theirs/{i}".encode()
        tensor.shapeSignature = np.array([-1, *tensor.shape[1:]], np.int32) if i in (0, 3) else None
    weights = model.subgraphs[0].tensors[model.subgraphs[0].operators[0].inputs[1]]
    weights.quantization.min, weights.quantization.max = np.zeros(4, np.float32), np.ones(4, np.float32)
    ends = []
    for name, index in (("image", model.subgraphs[0].inputs[0]), ("scores", model.subgraphs[0].outputs[0])):
        end = schema.TensorMapT()
        end.name, end.tensorIndex = name.encode(), index
        ends.append([end])
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.inputs, signature.outputs = b"serving_default", *ends
    model.signatureDefs = [signature]
    return model


def test_names_signatures_and_the_description_stay() -> None:
    before = packed(foreign())
    after = unpacked(shrunk(before))
    assert after.description == b"somebody's"
    names = [tensor.name.decode() for tensor in after.subgraphs[0].tensors]
    assert names == [f"theirs/{i}" for i in range(len(names))]
    (signature,) = after.signatureDefs
    assert (signature.signatureKey, signature.inputs[0].name) == (b"serving_default", b"image")


def test_shapes_and_scales_are_those_of_the_graph_everywhere() -> None:
    content = packed(foreign())
    after = unpacked(shrunk(content))
    conv, _, reshape, _ = after.subgraphs[0].operators
    tensors = after.subgraphs[0].tensors
    hidden, weights = tensors[conv.outputs[0]], tensors[conv.inputs[1]]
    assert hidden.shape.tolist() == [1, 4, 4, 2]
    assert hidden.shapeSignature.tolist() == [-1, 4, 4, 2]
    assert weights.quantization.scale.tolist() == [1 / 8, 1 / 8]
    assert weights.quantization.zeroPoint.tolist() == [0, 0]
    assert weights.quantization.min is None  # of channels that are gone
    assert reshape.builtinOptions.newShape.tolist() == [1, 2]
    assert len(shrunk(content)) < len(content)


def test_a_graph_read_again_is_the_one_written() -> None:
    content = packed(foreign())
    graph = read_tflite(content)
    wanted = without_dead_channels(graph).graph
    again = read_tflite(edit_tflite(content, graph, wanted))
    for name, tensor in wanted.tensors.items():
        assert again.tensor(name).shape == tensor.shape
        if tensor.data is not None:
            np.testing.assert_array_equal(again.tensor(name).data, tensor.data)


def test_weights_lie_at_multiples_of_16_bytes() -> None:
    from ai_edge_litert import schema_py_generated as schema

    content = shrunk(packed(foreign()))
    model = schema.Model.GetRootAs(content, 0)
    places = []
    for i in range(model.BuffersLength()):
        if model.Buffers(i).DataLength():
            places.append(content.find(model.Buffers(i).DataAsNumpy().tobytes()))
            assert model.Buffers(i)._tab.Vector(model.Buffers(i)._tab.Offset(4)) % 16 == 0
    assert len(places) > 3


def test_metadata_and_labels_stay() -> None:
    graph = replace(classifier(), metadata={"labels": json.dumps(["cat", "dog"])})
    before = to_tflite_with_metadata(graph)
    after = shrunk(before)
    for content in (before, after):
        model = unpacked(content)
        (entry,) = (m for m in model.metadata if m.name == b"TFLITE_METADATA")
        assert bytes(model.buffers[entry.buffer].data)[4:8] == b"M001"
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert archive.read("labels.txt").decode().split() == ["cat", "dog"]
    assert len(after) < len(before)


def test_an_operator_that_nobody_knows_stays_and_what_it_reads_with_it() -> None:
    from ai_edge_litert import schema_py_generated as schema

    model = foreign()
    (code,) = (c for c in model.operatorCodes if c.builtinCode == schema.BuiltinOperator.AVERAGE_POOL_2D)
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.L2_POOL_2D
    content = packed(model)
    assert without_dead_channels(read_tflite(content)).removed == ()
    assert [c.builtinCode for c in unpacked(shrunk(content)).operatorCodes].count(
        schema.BuiltinOperator.L2_POOL_2D
    ) == 1
