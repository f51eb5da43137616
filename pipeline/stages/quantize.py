"""Quantize: int8 QDQ ONNX by post-training quantization, ranges from training images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hardware_profiles.profile import HardwareProfile
from pipeline.artifacts import read_json, write_bytes
from pipeline.config import RunConfig
from pipeline.runner import Stage, StageContext


def _run(context: StageContext) -> None:
    from export.calibrate import calibrate
    from export.quantize import quantize
    from flatnas.resize import resize

    resolution = read_json(context.path("model/arch.json"))["resolution"]
    images = context.data.train.subset(context.counts.calibration_images, context.config.seed)
    pixels = resize(images.pixels_nhwc, resolution)
    x = ((pixels.transpose(0, 3, 1, 2).astype(np.int16) - 128) / np.float32(128)).astype(np.float32)
    float_onnx = context.path("model/model.float.onnx").read_bytes()
    write_bytes(
        context.path("model/model.int8.onnx"),
        quantize(float_onnx, calibrate(float_onnx, x), input_scale=1 / 128),
    )


def _settings(config: RunConfig, profile: HardwareProfile) -> Mapping[str, Any]:
    return {"seed": config.seed, "calibration_images": config.counts.calibration_images}


STAGE = Stage(
    "quantize",
    needs=("model/arch.json", "model/model.float.onnx"),
    gives=("model/model.int8.onnx",),
    settings=_settings,
    run=_run,
)
