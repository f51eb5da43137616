"""Audit: float and int8 on the clean and corrupted test images, paired; the only stage that opens the test set."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from flatnas.corruptions import CORRUPTIONS
from flatnas.datasets import choose_images
from hardware_profiles.profile import HardwareProfile
from pipeline.artifacts import write_bytes, write_json
from pipeline.audit import (
    Model,
    by_corruption,
    device_arithmetic,
    error_rates,
    mce,
    mean_error,
    paired_delta,
    predict_all,
)
from pipeline.config import RunConfig
from pipeline.results import Accuracy, Pair, Robustness, Severities
from pipeline.runner import Stage, StageContext

_INT8, _FLOAT, _QDQ = "model/model.int8.tflite", "model/model.float.onnx", "model/model.int8.onnx"


def _run(context: StageContext) -> None:
    from export.runners import Kind, Runner, load_runner, tflm_installed
    from flatnas.resize import resize

    def model(runner: Runner) -> Model:
        return Model(runner.classify, runner.resolution)

    counts, corruptions, test = context.counts, list(CORRUPTIONS), context.data.test
    indices = choose_images(test.labels, counts.audit_images, context.config.seed)
    labels = test.labels[indices]
    models = {"float": model(load_runner(context.path(_FLOAT))), "int8": model(load_runner(context.path(_INT8)))}
    with context.report.track("auditing") as advance:
        predictions = predict_all(models, test, indices, corruptions, advance)
    onnx_runner = load_runner(context.path(_QDQ))
    onnx_classes = onnx_runner.classify(resize(test.pixels_nhwc[indices], onnx_runner.resolution)).argmax(1)
    device = None
    if context.profile.kind == "mcu":
        kernels: Kind = "tflm" if tflm_installed() else "litert-reference"
        reference = model(load_runner(context.path(_INT8), kernels))
        with context.report.track("the device's arithmetic") as advance:
            device = device_arithmetic(
                reference, kernels, predictions["int8"], test, indices, corruptions, counts.device_images, advance
            )
    rates = {name: error_rates(p, labels) for name, p in predictions.items()}
    tables = {name: by_corruption(r, corruptions) for name, r in rates.items()}
    robustness = Robustness(
        source="generated",
        images=len(indices),
        corruptions=corruptions,
        mce=Pair(float=mce(rates["float"], corruptions), int8=mce(rates["int8"], corruptions)),
        mean_error=Pair(float=mean_error(rates["float"]), int8=mean_error(rates["int8"])),
        per_corruption={c: Severities(float=tables["float"][c], int8=tables["int8"][c]) for c in corruptions},
        delta=paired_delta(predictions["int8"], predictions["float"], labels),
        device=device,
    )
    accuracy = Accuracy(
        float=1 - float(rates["float"][0]),
        onnx=float(np.mean(onnx_classes == labels)),
        tflite_int8=1 - float(rates["int8"][0]),
    )
    arrays: dict[str, Any] = {"indices": indices, "labels": labels, "corruptions": np.array(corruptions)}
    for name, p in predictions.items():
        arrays |= {f"{name}_classes": p.classes.astype(np.int16), f"{name}_confidence": p.confidence.astype(np.float16)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_bytes(context.path("audit/predictions.npz"), buffer.getvalue())
    write_json(
        context.path("audit/audit.json"), {"accuracy": accuracy.model_dump(), "robustness": robustness.model_dump()}
    )


def _settings(config: RunConfig, profile: HardwareProfile) -> Mapping[str, Any]:
    return {
        "seed": config.seed,
        "images": config.counts.audit_images,
        "device_images": config.counts.device_images,
        "kind": profile.kind,
    }


STAGE = Stage(
    "audit",
    needs=(_FLOAT, _QDQ, _INT8),
    gives=("audit/audit.json", "audit/predictions.npz"),
    settings=_settings,
    run=_run,
)
