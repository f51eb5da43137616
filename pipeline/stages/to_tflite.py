"""TFLite: int8 with the scales of the ONNX taken over exactly; on mobile float, float16 and dynamic range, too.

Mobile files carry TFLite's own metadata and the labels; a microcontroller's are stripped to what runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hardware_profiles.profile import HardwareProfile
from pipeline.artifacts import write_bytes, write_json
from pipeline.config import RunConfig
from pipeline.runner import Stage, StageContext

_MODEL, _INT8 = "model/model.json", "model/model.int8.tflite"
_MOBILE = ("model/model.float.tflite", "model/model.float16.tflite", "model/model.dynamic.tflite")


def _run(context: StageContext) -> None:
    from export.mobile import to_dynamic_range, to_float16
    from export.read_onnx import read_onnx
    from export.tflite_metadata import to_tflite_with_metadata
    from export.to_tflite import to_tflite

    mobile = context.profile.kind == "mobile"
    graph = read_onnx(context.path("model/model.int8.onnx"))
    content = to_tflite_with_metadata(graph) if mobile else to_tflite(graph)
    write_bytes(context.path(_INT8), content)
    real = read_onnx(context.path("model/model.float.onnx"))
    for name, made in zip(_MOBILE, (None, to_float16, to_dynamic_range), strict=True):
        if mobile:
            write_bytes(context.path(name), to_tflite_with_metadata(made(real) if made else real))
        else:
            context.path(name).unlink(missing_ok=True)
    image, logits = graph.tensor(graph.inputs[0]), graph.tensor(graph.outputs[0])
    assert image.qparams is not None
    assert logits.qparams is not None
    value = {
        "file": Path(_INT8).name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "labels": list(context.data.class_names),
        "input": {
            "layout": "NHWC",
            "shape": list(image.shape),
            "dtype": "int8",
            "scale": float(image.qparams.scale.item()),
            "zero_point": int(image.qparams.zero_point.item()),
            "pixel": "q = pixel - 128 for RGB pixels 0..255",
            "resize": "area",
        },
        "output": {
            "shape": list(logits.shape),
            "dtype": "int8",
            "scale": float(logits.qparams.scale.item()),
            "zero_point": int(logits.qparams.zero_point.item()),
            "meaning": "logits, in the order of labels",
        },
    }
    write_json(context.path(_MODEL), value)


def _settings(config: RunConfig, profile: HardwareProfile) -> Mapping[str, Any]:
    return {"kind": profile.kind}


STAGE = Stage(
    "to_tflite",
    needs=("model/model.float.onnx", "model/model.int8.onnx"),
    gives=(_INT8, _MODEL),
    settings=_settings,
    run=_run,
    may_give=_MOBILE,
    version=3,
    names_classes=True,
)
