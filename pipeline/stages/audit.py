"""Audit: float and int8 on the clean and corrupted test images, paired; the only stage that opens the test set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from flatnas.corruptions import CORRUPTIONS
from flatnas.data.dataset import choose_images
from pipeline.artifacts import write_json
from pipeline.audit.cache import Cache
from pipeline.audit.device import compared, device_arithmetic, device_kernels
from pipeline.audit.images import CLEAN, AuditImages
from pipeline.audit.predictions import PredictionsFile, Request, predict, predict_all
from pipeline.audit.run import CACHE_LIMIT_BYTES, PREDICTIONS_LIMIT_BYTES, cache_folder, official_source
from pipeline.audit.statistics import by_corruption, error_rates, mce, mean_error, paired_delta
from pipeline.audit.subject import Subject
from pipeline.results import Accuracy, Pair, Robustness, Severities
from pipeline.runs.layout import AUDIT, FLOAT_ONNX, INT8_ONNX, INT8_TFLITE, PREDICTIONS
from pipeline.runs.stage import Stage, StageContext


@dataclass(frozen=True, slots=True)
class Auditing:
    """How many images, and on which arithmetic; see `pipeline.config`."""

    seed: int
    audit_images: int
    device_images: int
    kind: Literal["mcu", "mobile"]
    corrupted_files: str | None
    host_compiler: bool


def _run(context: StageContext[Auditing]) -> None:
    settings, corruptions, test = context.settings, list(CORRUPTIONS), context.data.test
    indices = choose_images(test.labels, settings.audit_images, settings.seed)
    labels = test.labels[indices]
    official = official_source(context.data.name, context.data_dir, "auto", corruptions, test.labels)
    images = AuditImages(test.pixels_nhwc, 0, official, Cache(cache_folder() / "pixels", CACHE_LIMIT_BYTES))
    store = Cache(cache_folder() / "predictions", PREDICTIONS_LIMIT_BYTES)
    int8 = context.path(INT8_TFLITE)
    kernels = device_kernels(int8) if settings.kind == "mcu" else "litert"
    exact = kernels == "firmware"
    fast = Subject(int8)
    subjects = {"float": Subject(context.path(FLOAT_ONNX)), "int8": Subject(int8, "firmware") if exact else fast}
    beside = {"xnnpack": fast} if exact else {}
    with context.report.track("auditing") as advance:
        every = predict_all(subjects | beside, images, indices, corruptions, store, lambda *_: None, advance)
    predictions = {name: every[name] for name in subjects}
    qdq = {"onnx": Subject(context.path(INT8_ONNX))}
    onnx = predict(qdq, images, [Request("onnx", CLEAN, indices)], store, lambda *_: None, lambda *_: None)[0]
    xnnpack = every["xnnpack" if exact else "int8"]
    device = compared("firmware", every["int8"], xnnpack, labels) if exact else None
    if settings.kind == "mcu" and settings.device_images and not exact:
        reference, wanted = Subject(int8, kernels), settings.device_images
        with context.report.track("the device's arithmetic") as advance:
            device = device_arithmetic(reference, xnnpack, images, indices, labels, corruptions, wanted, store, advance)
    rates = {name: error_rates(p, labels) for name, p in predictions.items()}
    tables = {name: by_corruption(r, corruptions) for name, r in rates.items()}
    robustness = Robustness(
        arithmetic="firmware" if exact else "litert",
        source=images.source,
        images=len(indices),
        corruptions=corruptions,
        mce=Pair(float=mce(rates["float"], corruptions), int8=mce(rates["int8"], corruptions)),
        mean_error=Pair(float=mean_error(rates["float"]), int8=mean_error(rates["int8"])),
        per_corruption={c: Severities(float=tables["float"][c], int8=tables["int8"][c]) for c in corruptions},
        delta=paired_delta(predictions["int8"], predictions["float"], labels, corruptions),
        device=device,
    )
    accuracy = Accuracy(
        float=1 - float(rates["float"][0]),
        onnx=float(np.mean(onnx["label"] == labels)),
        tflite_int8=1 - float(rates["int8"][0]),
        xnnpack=float(np.mean(xnnpack.classes[0] == labels)),
    )
    files = {name: subject.path.name for name, subject in subjects.items()}
    answers = PredictionsFile(
        indices, labels, tuple(corruptions), images.digest, context.data.name, images.source, files, predictions
    )
    answers.write(context.path(PREDICTIONS))
    write_json(context.path(AUDIT), {"accuracy": accuracy.model_dump(), "robustness": robustness.model_dump()})


STAGE = Stage(
    "audit",
    reads=(FLOAT_ONNX, INT8_ONNX, INT8_TFLITE),
    writes=(AUDIT, PREDICTIONS),
    settings=Auditing,
    run=_run,
    opens_test_images=True,
)
