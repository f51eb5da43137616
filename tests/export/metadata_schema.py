"""A reader of TFLite Model Metadata that knows nothing but the public schema's own declarations.

They are those of `metadata_schema.fbs`, version 1.5.0, Apache-2.0, as far as an image classifier meets them, comments
left out: https://github.com/google-ai-edge/mediapipe/blob/master/mediapipe/tasks/metadata/metadata_schema.fbs
"""

from __future__ import annotations

import re
from typing import Any

import flatbuffers
from flatbuffers import number_types
from flatbuffers.table import Table

_SCHEMA = """
enum AssociatedFileType : byte { UNKNOWN, DESCRIPTIONS, TENSOR_AXIS_LABELS, TENSOR_VALUE_LABELS,
  TENSOR_AXIS_SCORE_CALIBRATION, VOCABULARY, SCANN_INDEX_FILE }
table AssociatedFile { name:string; description:string; type:AssociatedFileType; locale:string; version:string; }
table FeatureProperties { }
enum ColorSpaceType : byte { UNKNOWN, RGB, GRAYSCALE }
table ImageSize { width:uint; height:uint; }
table ImageProperties { color_space:ColorSpaceType; default_size:ImageSize; }
union ContentProperties { FeatureProperties, ImageProperties, BoundingBoxProperties, AudioProperties }
table ValueRange { min:int; max:int; }
table Content { content_properties:ContentProperties; range:ValueRange; }
table NormalizationOptions { mean:[float]; std:[float]; }
union ProcessUnitOptions { NormalizationOptions, ScoreCalibrationOptions, ScoreThresholdingOptions,
  BertTokenizerOptions, SentencePieceTokenizerOptions, RegexTokenizerOptions }
table ProcessUnit { options:ProcessUnitOptions; }
table Stats { max:[float]; min:[float]; }
table TensorMetadata { name:string; description:string; dimension_names:[string]; content:Content;
  process_units:[ProcessUnit]; stats:Stats; associated_files:[AssociatedFile]; }
table SubGraphMetadata { name:string; description:string; input_tensor_metadata:[TensorMetadata];
  output_tensor_metadata:[TensorMetadata]; associated_files:[AssociatedFile]; input_process_units:[ProcessUnit];
  output_process_units:[ProcessUnit]; input_tensor_groups:[TensorGroup]; output_tensor_groups:[TensorGroup];
  custom_metadata:[CustomMetadata]; }
table ModelMetadata { name:string; description:string; version:string; subgraph_metadata:[SubGraphMetadata];
  author:string; license:string; associated_files:[AssociatedFile]; min_parser_version:string; }
"""
_DECLARATIONS = {
    name: (kind, [entry.strip() for entry in re.split("[;,]", body) if entry.strip()])
    for kind, name, body in re.findall(r"(table|enum|union) (\w+)[^{]*\{([^}]*)\}", _SCHEMA)
}
_NUMBERS = {
    "byte": number_types.Int8Flags,
    "int": number_types.Int32Flags,
    "uint": number_types.Uint32Flags,
    "float": number_types.Float32Flags,
}


def metadata_of(content: bytes) -> dict[str, Any]:
    """A flatbuffer of the schema as nested dicts of the fields that are there."""
    assert content[4:8] == b"M001"
    at = flatbuffers.encode.Get(flatbuffers.packer.uoffset, content, 0)
    return _table(Table(bytearray(content), at), "ModelMetadata")


def _table(table: Table, name: str) -> dict[str, Any]:
    found, slot = {}, 0
    for declared in _DECLARATIONS[name][1]:
        field, kind = declared.split(":")
        union = _DECLARATIONS.get(kind, ("", []))[0] == "union"
        offset = table.Offset(4 + 2 * (slot + union))  # in front of a union stands the number of its member
        if offset and union:
            members = _DECLARATIONS[kind][1]
            member = members[table.Get(number_types.Uint8Flags, table.Pos + table.Offset(4 + 2 * slot)) - 1]
            inner = Table(table.Bytes, 0)
            table.Union(inner, offset)
            found[field] = {member: _table(inner, member)}
        elif offset:
            found[field] = _value(table, table.Pos + offset, kind)
        slot += 1 + union
    return found


def _value(table: Table, at: int, kind: str) -> Any:
    declaration, entries = _DECLARATIONS.get(kind, ("", []))
    if kind == "string":
        return table.String(at).decode()
    if kind in _NUMBERS:
        return table.Get(_NUMBERS[kind], at)
    if declaration == "enum":
        return entries[table.Get(number_types.Int8Flags, at)]
    if declaration == "table":
        return _table(Table(table.Bytes, table.Indirect(at)), kind)
    element = kind.strip("[]")
    start = table.Vector(at - table.Pos)
    return [_value(table, start + 4 * i, element) for i in range(table.VectorLen(at - table.Pos))]
