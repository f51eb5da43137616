"""Parity: the int8 model on every runtime, on validation images, against the integer interpreter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hardware_profiles.profile import HardwareProfile
from pipeline.artifacts import read_json, write_json
from pipeline.config import RunConfig
from pipeline.records import parity_record
from pipeline.runner import Stage, StageContext


def _run(context: StageContext) -> None:
    from export.parity import parity
    from flatnas.data.resize import resize

    resolution = read_json(context.path("model/arch.json"))["resolution"]
    pixels = resize(context.data.val.subset(context.counts.parity_images).pixels_nhwc, resolution)
    inputs = (pixels.astype(np.int16) - 128).astype(np.int8)
    with context.report.track("comparing runtimes") as advance:
        rows = parity(
            context.path("model/model.int8.tflite"),
            context.path("model/model.int8.onnx"),
            inputs,
            progress=advance,
            fake_quantized=True,
        )
    write_json(context.path("audit/parity.json"), [parity_record(row).model_dump() for row in rows])


def _settings(config: RunConfig, profile: HardwareProfile) -> Mapping[str, Any]:
    return {"images": config.counts.parity_images}


STAGE = Stage(
    "parity",
    needs=("model/arch.json", "model/model.int8.tflite", "model/model.int8.onnx"),
    gives=("audit/parity.json",),
    settings=_settings,
    run=_run,
    version=6,
)
