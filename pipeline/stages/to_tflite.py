"""TFLite: from the int8 ONNX with its scales taken over exactly; for mobile targets a float file, too."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hardware_profiles.profile import HardwareProfile
from pipeline.artifacts import write_bytes, write_json
from pipeline.config import RunConfig
from pipeline.runner import Stage, StageContext

_MODEL, _INT8, _FLOAT = "model/model.json", "model/model.int8.tflite", "model/model.float.tflite"


def _run(context: StageContext) -> None:
    from export.read_onnx import read_onnx
    from export.to_tflite import to_tflite

    graph = read_onnx(context.path("model/model.int8.onnx"))
    content = to_tflite(graph)
    write_bytes(context.path(_INT8), content)
    float_path = context.path(_FLOAT)
    if context.profile.kind == "mobile":
        write_bytes(float_path, to_tflite(read_onnx(context.path("model/model.float.onnx"))))
    else:
        float_path.unlink(missing_ok=True)
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
    may_give=(_FLOAT,),
)
