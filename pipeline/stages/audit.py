"""Audit: float and int8 on the clean and corrupted test images, paired; the only stage that opens the test set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flatnas.corruptions import CORRUPTIONS
from flatnas.data.dataset import Dataset, choose_images
from hardware_profiles.profile import HardwareProfile
from pipeline.artifacts import write_json
from pipeline.audit.cache import Cache
from pipeline.audit.device import device_arithmetic, device_kernels
from pipeline.audit.images import CLEAN, AuditImages
from pipeline.audit.predictions import PredictionsFile, Request, predict, predict_all
from pipeline.audit.run import CACHE_LIMIT_BYTES, PREDICTIONS_LIMIT_BYTES, cache_folder, official_source
from pipeline.audit.statistics import by_corruption, error_rates, mce, mean_error, paired_delta
from pipeline.audit.subject import Subject
from pipeline.config import RunConfig
from pipeline.results import Accuracy, Pair, Robustness, Severities
from pipeline.runner import Stage, StageContext

_INT8, _FLOAT, _QDQ = "model/model.int8.tflite", "model/model.float.onnx", "model/model.int8.onnx"


def _run(context: StageContext) -> None:
    counts, corruptions, test = context.counts, list(CORRUPTIONS), context.data.test
    indices = choose_images(test.labels, counts.audit_images, context.config.seed)
    labels = test.labels[indices]
    official = official_source(context.data.name, context.data_dir, "auto", corruptions, test.labels)
    images = AuditImages(test.pixels_nhwc, 0, official, Cache(cache_folder() / "pixels", CACHE_LIMIT_BYTES))
    store = Cache(cache_folder() / "predictions", PREDICTIONS_LIMIT_BYTES)
    subjects = {"float": Subject(context.path(_FLOAT)), "int8": Subject(context.path(_INT8))}
    with context.report.track("auditing") as advance:
        predictions = predict_all(subjects, images, indices, corruptions, store, lambda *_: None, advance)
    qdq = {"onnx": Subject(context.path(_QDQ))}
    onnx = predict(qdq, images, [Request("onnx", CLEAN, indices)], store, lambda *_: None, lambda *_: None)[0]
    device = None
    if context.profile.kind == "mcu" and counts.device_images:
        reference = Subject(context.path(_INT8), device_kernels())
        seen, wanted = predictions["int8"], counts.device_images
        with context.report.track("the device's arithmetic") as advance:
            device = device_arithmetic(reference, seen, images, indices, labels, corruptions, wanted, store, advance)
    rates = {name: error_rates(p, labels) for name, p in predictions.items()}
    tables = {name: by_corruption(r, corruptions) for name, r in rates.items()}
    robustness = Robustness(
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
    )
    files = {name: subject.path.name for name, subject in subjects.items()}
    answers = PredictionsFile(
        indices, labels, tuple(corruptions), images.digest, context.data.name, images.source, files, predictions
    )
    answers.write(context.path("audit/predictions.npz"))
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


def _official(data: Dataset, data_dir: Path | None) -> str | None:
    """What names the official corrupted files; None where they are generated."""
    from flatnas.data.cifar_c import find_corrupted, identity

    found = find_corrupted(data.name, data_dir)
    return None if found is None else identity(found, data.name)


STAGE = Stage(
    "audit",
    needs=(_FLOAT, _QDQ, _INT8),
    gives=("audit/audit.json", "audit/predictions.npz"),
    settings=_settings,
    run=_run,
    version=2,
    finds=_official,
)
