"""Metadata and labels of mobile files: by the public schema, and as MediaPipe Tasks takes them."""

from __future__ import annotations

import io
import json
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from metadata_schema import metadata_of

from export.graph import ExportError, Graph, QParams
from export.read_onnx import read_onnx
from export.read_tflite import read_tflite
from export.run.parity import parity
from export.run.runners import load_runner
from export.write.mobile import to_dynamic_range, to_float16
from export.write.tflite_metadata import to_tflite_with_metadata
from export.write.to_tflite import to_tflite


def labelled(path: Path) -> Graph:
    graph = read_onnx(path)
    labels = [f"class {i}" for i in range(graph.tensor(graph.outputs[0]).shape[-1])]
    return replace(graph, metadata={**graph.metadata, "labels": json.dumps(labels)})


def entry(content: bytes, name: str = "TFLITE_METADATA") -> Any:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    (index,) = (i for i in range(model.MetadataLength()) if model.Metadata(i).Name().decode() == name)
    return model.Buffers(model.Metadata(index).Buffer())


def described(content: bytes) -> dict[str, Any]:
    return metadata_of(entry(content).DataAsNumpy().tobytes())


def tensors(content: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    (subgraph,) = described(content)["subgraph_metadata"]
    (image,), (scores,) = subgraph["input_tensor_metadata"], subgraph["output_tensor_metadata"]
    return image, scores


def test_the_metadata_are_those_of_an_image_classifier_by_the_public_schema(exported: Any) -> None:
    graph = labelled(exported.float_onnx)
    image, scores = tensors(to_tflite_with_metadata(graph))
    side = graph.tensor(graph.inputs[0]).shape[1]
    size = {"width": side, "height": side}
    assert image["content"] == {"content_properties": {"ImageProperties": {"color_space": "RGB", "default_size": size}}}
    # conftest trains on (pixel - 128) / 128
    assert image["process_units"] == [{"options": {"NormalizationOptions": {"mean": [128.0], "std": [128.0]}}}]
    assert image["stats"] == {"max": [127 / 128], "min": [-1.0]}
    assert scores["content"] == {"content_properties": {"FeatureProperties": {}}}
    (file,) = scores["associated_files"]
    assert (file["name"], file["type"]) == ("labels.txt", "TENSOR_AXIS_LABELS")
    assert described(to_tflite_with_metadata(graph))["min_parser_version"] == "1.0.0"


def test_an_int8_file_names_the_normalisation_of_the_real_values_that_it_quantizes(exported: Any) -> None:
    graph = labelled(exported.int8_onnx)
    image, _ = tensors(to_tflite_with_metadata(graph))
    assert image["process_units"] == [{"options": {"NormalizationOptions": {"mean": [128.0], "std": [128.0]}}}]
    assert "stats" not in image  # the schema's tools give them for float and uint8 only
    # pixel 0 is q = -128, real 0.5 * (-128 + 128) = 0; pixel 255 is real 127.5
    name = graph.inputs[0]
    qparams = QParams(np.array([0.5], np.float32), np.array([-128]))
    other = replace(graph, tensors={**graph.tensors, name: replace(graph.tensor(name), qparams=qparams)})
    image, _ = tensors(to_tflite_with_metadata(other))
    assert image["process_units"] == [{"options": {"NormalizationOptions": {"mean": [0.0], "std": [2.0]}}}]


def test_a_float_graph_that_names_no_normalisation_takes_raw_pixels(exported: Any) -> None:
    image, scores = tensors(to_tflite_with_metadata(replace(read_onnx(exported.float_onnx), metadata={})))
    assert image["process_units"] == [{"options": {"NormalizationOptions": {"mean": [0.0], "std": [1.0]}}}]
    assert image["stats"] == {"max": [255.0], "min": [0.0]}
    assert "associated_files" not in scores


def test_the_labels_stand_behind_the_flatbuffer_uncompressed(exported: Any) -> None:
    graph = labelled(exported.int8_onnx)
    content = to_tflite_with_metadata(graph)
    archive = zipfile.ZipFile(io.BytesIO(content))
    (file,) = archive.infolist()
    assert (file.filename, file.compress_type, file.compress_size) == ("labels.txt", zipfile.ZIP_STORED, file.file_size)
    assert archive.read(file).decode().splitlines() == json.loads(graph.metadata["labels"])
    metadata = entry(content)
    assert metadata._tab.Vector(metadata._tab.Offset(4)) % 16 == 0
    flatbuffer = to_tflite(graph, {"TFLITE_METADATA": metadata.DataAsNumpy().tobytes()})
    assert content.startswith(flatbuffer)
    assert file.header_offset == len(flatbuffer)


def test_the_same_graph_gives_the_same_bytes_at_any_time(exported: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = labelled(exported.float_onnx)
    first = to_tflite_with_metadata(graph)
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)
    assert to_tflite_with_metadata(graph) == first


def test_a_stripped_file_carries_neither(exported: Any) -> None:
    from ai_edge_litert import schema_py_generated as schema

    content = to_tflite(labelled(exported.int8_onnx))
    assert content == exported.int8_tflite.read_bytes()
    assert schema.Model.GetRootAs(content, 0).MetadataLength() == 0
    assert not zipfile.is_zipfile(io.BytesIO(content))


@pytest.mark.parametrize("kind", ["litert", "litert-reference", "tflm", "interpreter"])
def test_an_int8_file_with_metadata_computes_the_same_on_every_runtime(
    exported: Any, tmp_path: Path, kind: Any
) -> None:
    if kind == "tflm":
        pytest.importorskip("tflite_micro")
    path = tmp_path / "mobile.tflite"
    path.write_bytes(to_tflite_with_metadata(labelled(exported.int8_onnx)))
    expected = load_runner(exported.int8_tflite, kind).classify(exported.pixels)
    np.testing.assert_array_equal(load_runner(path, kind).classify(exported.pixels), expected)


def test_parity_accepts_an_int8_file_with_metadata(exported: Any, tmp_path: Path) -> None:
    path = tmp_path / "mobile.tflite"
    path.write_bytes(to_tflite_with_metadata(labelled(exported.int8_onnx)))
    inputs = (exported.pixels.astype(np.int16) - 128).astype(np.int8)
    assert parity(path, exported.int8_onnx, inputs) == parity(exported.int8_tflite, exported.int8_onnx, inputs)


@pytest.mark.parametrize("convert", [lambda graph: graph, to_float16, to_dynamic_range])
def test_a_float_file_with_metadata_is_still_given_its_own_normalisation(
    exported: Any, tmp_path: Path, convert: Any
) -> None:
    path = tmp_path / "mobile.tflite"
    path.write_bytes(to_tflite_with_metadata(convert(labelled(exported.float_onnx))))
    expected = load_runner(exported.float_onnx).classify(exported.pixels)
    actual = load_runner(path).classify(exported.pixels)
    np.testing.assert_allclose(actual, expected, atol=0.01 * np.abs(expected).max())


def test_labels_that_do_not_fit_are_refused(exported: Any) -> None:
    graph = labelled(exported.float_onnx)
    labels = json.loads(graph.metadata["labels"])
    with pytest.raises(
        ExportError, match=rf"{len(labels) - 1} labels do not name the {len(labels)} scores of 'logits'"
    ):
        to_tflite_with_metadata(replace(graph, metadata={"labels": json.dumps(labels[1:])}))
    for label in ("two\nlines", ""):
        with pytest.raises(ExportError, match=r"the label '.*' is not one line; labels.txt has one a line"):
            to_tflite_with_metadata(replace(graph, metadata={"labels": json.dumps([label, *labels[1:]])}))


@pytest.mark.filterwarnings("ignore")  # another package's
@pytest.mark.parametrize("convert", [lambda graph: graph, to_float16, to_dynamic_range])
def test_mediapipes_image_classifier_gives_the_same_scores_by_name(exported: Any, tmp_path: Path, convert: Any) -> None:
    mediapipe = pytest.importorskip("mediapipe", reason="pip install mediapipe, which brings a second OpenCV")
    from mediapipe.tasks.python import BaseOptions, vision

    path = tmp_path / "mobile.tflite"
    path.write_bytes(to_tflite_with_metadata(convert(labelled(exported.float_onnx))))
    expected = load_runner(path).classify(exported.pixels)
    options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=str(path)))
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for pixels, scores in zip(exported.pixels[:4], expected, strict=False):
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
            (head,) = classifier.classify(image).classifications
            named = {category.category_name: category.score for category in head.categories}
            assert list(named) == [f"class {i}" for i in np.argsort(-scores, kind="stable")]
            actual = [named[f"class {i}"] for i in range(len(scores))]
            np.testing.assert_allclose(actual, scores, atol=1e-5 * np.abs(scores).max())


def test_what_reads_the_file_still_finds_the_graph(exported: Any) -> None:
    plain, mobile = (
        read_tflite(exported.int8_tflite),
        read_tflite(to_tflite_with_metadata(labelled(exported.int8_onnx))),
    )
    assert [(n.op, n.inputs, n.outputs, n.options) for n in plain.nodes] == [
        (n.op, n.inputs, n.outputs, n.options) for n in mobile.nodes
    ]
