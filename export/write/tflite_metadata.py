"""TFLite Model Metadata of an image classifier: what a phone's libraries read of a file beside its graph.

MediaPipe Tasks, TensorFlow Lite's Task Library and the code that Android Studio generates ask a file for

    the input's normalisation   (pixel - mean) / std, of the real values, also where the file quantizes them
    the names of its classes    `labels.txt`, one a line, in a zip that stands behind the flatbuffer uncompressed

and find both through a second flatbuffer, in the buffer that the model's metadata table calls TFLITE_METADATA.

Schema: `metadata_schema.fbs`, version 1.5.0, file identifier "M001"; Apache-2.0,
https://github.com/google-ai-edge/mediapipe/blob/master/mediapipe/tasks/metadata/metadata_schema.fbs, which continues
https://github.com/tensorflow/tflite-support/blob/master/tensorflow_lite_support/metadata/metadata_schema.fbs. The
dataclasses below are its tables, their fields in the schema's order, which numbers them; fields behind the last one
used here are left out, as flatbuffers allow.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from export.graph import Array, ExportError, Graph
from export.write.to_tflite import to_tflite

ENTRY_NAME, IDENTIFIER, LABELS_NAME = "TFLITE_METADATA", b"M001", "labels.txt"

_TENSOR_AXIS_LABELS = np.int8(2)  # of enum AssociatedFileType
_RGB = np.int8(1)  # of enum ColorSpaceType
_FEATURE, _IMAGE = np.uint8(1), np.uint8(2)  # of union ContentProperties
_NORMALIZATION = np.uint8(1)  # of union ProcessUnitOptions


@dataclass(frozen=True, slots=True)
class _AssociatedFile:
    name: str
    description: str
    type: np.int8


@dataclass(frozen=True, slots=True)
class _FeatureProperties:
    pass


@dataclass(frozen=True, slots=True)
class _ImageSize:
    width: np.uint32
    height: np.uint32


@dataclass(frozen=True, slots=True)
class _ImageProperties:
    color_space: np.int8
    default_size: _ImageSize


@dataclass(frozen=True, slots=True)
class _Content:
    content_properties_type: np.uint8
    content_properties: _FeatureProperties | _ImageProperties


@dataclass(frozen=True, slots=True, eq=False)
class _NormalizationOptions:
    mean: Array
    std: Array


@dataclass(frozen=True, slots=True, eq=False)
class _ProcessUnit:
    options_type: np.uint8
    options: _NormalizationOptions


@dataclass(frozen=True, slots=True, eq=False)
class _Stats:
    max: Array
    min: Array


@dataclass(frozen=True, slots=True, eq=False)
class _TensorMetadata:
    name: str
    description: str
    dimension_names: None
    content: _Content
    process_units: tuple[_ProcessUnit, ...] | None = None
    stats: _Stats | None = None
    associated_files: tuple[_AssociatedFile, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _SubGraphMetadata:
    name: None
    description: None
    input_tensor_metadata: tuple[_TensorMetadata, ...]
    output_tensor_metadata: tuple[_TensorMetadata, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _ModelMetadata:
    name: str
    description: str
    version: None
    subgraph_metadata: tuple[_SubGraphMetadata, ...]
    author: None
    license: None
    associated_files: None
    min_parser_version: str


def to_tflite_with_metadata(graph: Graph) -> bytes:
    """`to_tflite`, with metadata and, where the graph names its classes, the labels behind.

    The same graph gives the same bytes. MediaPipe Tasks and the Task Library themselves take float32 and uint8
    pictures only; of an int8 file they, and other programs, can read the metadata.

    Raises:
        ExportError: an operator that can't be written, labels that are not one line for each score.
    """
    labels = _labels(graph)
    content = to_tflite(graph, {ENTRY_NAME: _serialize(_classifier(graph, labels))})
    return content if labels is None else _with_file(content, LABELS_NAME, "".join(f"{name}\n" for name in labels))


def _labels(graph: Graph) -> list[str] | None:
    """The classes' names."""
    if "labels" not in graph.metadata:
        return None
    labels = [str(label) for label in json.loads(graph.metadata["labels"])]
    scores = graph.tensor(graph.outputs[0]).shape[-1]
    if len(labels) != scores:
        raise ExportError(f"{len(labels)} labels do not name the {scores} scores of '{graph.outputs[0]}'")
    if broken := [label for label in labels if len(label.splitlines()) != 1]:
        raise ExportError(f"the label {broken[0]!r} is not one line; {LABELS_NAME} has one a line")
    return labels


def _classifier(graph: Graph, labels: list[str] | None) -> _ModelMetadata:
    mean, std = _normalisation(graph)
    _, height, width, _ = graph.tensor(graph.inputs[0]).shape
    real = graph.tensor(graph.inputs[0]).dtype == "float32"
    image = _TensorMetadata(
        "image",
        f"RGB picture of {width} x {height} pixels; (pixel - {mean:g}) / {std:g}",
        None,
        _Content(_IMAGE, _ImageProperties(_RGB, _ImageSize(np.uint32(width), np.uint32(height)))),
        (_ProcessUnit(_NORMALIZATION, _NormalizationOptions(_floats(mean), _floats(std))),),
        _Stats(_floats((255 - mean) / std), _floats((0 - mean) / std)) if real else None,
    )
    named = "the classes' names, in the order of the scores"
    scores = _TensorMetadata(
        "scores",
        "one score for each class, the largest is the answer",
        None,
        _Content(_FEATURE, _FeatureProperties()),
        associated_files=None if labels is None else (_AssociatedFile(LABELS_NAME, named, _TENSOR_AXIS_LABELS),),
    )
    return _ModelMetadata(
        "image classifier",
        "Made by flatnas-deploy",
        None,
        (_SubGraphMetadata(None, None, (image,), (scores,)),),
        None,
        None,
        None,
        "1.0.0",  # the first parser knows all of it
    )


def _normalisation(graph: Graph) -> tuple[float, float]:
    """(mean, std) for real = (pixel - mean) / std, when an integer file's pixel is quantized to pixel - 128."""
    image = graph.tensor(graph.inputs[0])
    if image.qparams is not None:
        return 128 + float(image.qparams.zero_point[0]), 1 / float(image.qparams.scale[0])
    if "input_scale" not in graph.metadata:
        return 0.0, 1.0  # as every float file without a normalisation is read here
    return 128 + float(graph.metadata.get("input_zero_point", "0")), 1 / float(graph.metadata["input_scale"])


def _floats(value: float) -> Array:
    return np.array([value], np.float32)


def _serialize(metadata: _ModelMetadata) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(_pack(builder, metadata), IDENTIFIER)
    return bytes(builder.Output())


def _pack(builder: Any, value: Any) -> int:
    """Write a string, a vector or a table, what it points to first; its offset."""
    offset: int
    if isinstance(value, str):
        offset = builder.CreateString(value)
    elif isinstance(value, np.ndarray):
        offset = builder.CreateNumpyVector(value)
    elif isinstance(value, tuple):
        offsets = [_pack(builder, element) for element in value]
        builder.StartVector(4, len(offsets), 4)
        for element in reversed(offsets):
            builder.PrependUOffsetTRelative(element)
        offset = builder.EndVector()
    else:
        offset = _pack_table(builder, [getattr(value, field.name) for field in fields(value)])
    return offset


def _pack_table(builder: Any, values: list[Any]) -> int:
    slots = [v if v is None or isinstance(v, np.integer) else _pack(builder, v) for v in values]
    builder.StartObject(len(slots))
    prepend = {"int8": builder.PrependInt8Slot, "uint8": builder.PrependUint8Slot, "uint32": builder.PrependUint32Slot}
    for slot, value in enumerate(slots):
        if isinstance(value, np.integer):
            prepend[value.dtype.name](slot, int(value), 0)
        elif value is not None:
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
    offset: int = builder.EndObject()
    return offset


def _with_file(content: bytes, name: str, text: str) -> bytes:
    """A file behind a flatbuffer, as a zip that is read from its end; phones map it, so it is not compressed."""
    whole = io.BytesIO(content)
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))  # the earliest there is: bytes depend on no clock
    entry.create_system, entry.external_attr = 3, 0o644 << 16  # nor on the system
    with zipfile.ZipFile(whole, "a") as archive:
        archive.writestr(entry, text.encode(), zipfile.ZIP_STORED)
    return whole.getvalue()
