"""Audit: float and int8 on the clean and corrupted test images, paired; the only stage that opens the test set.

It is the audit of `pipeline audit`, which gives the same figures for the run's directory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from pipeline import Audit, AuditRequest, Subject, audit
from pipeline.audits.device import run_subjects
from pipeline.files import write_json
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
    device_runtimes: tuple[str, ...]


def _run(context: StageContext[Auditing]) -> None:
    settings = context.settings
    model, beside = run_subjects(context.path(INT8_TFLITE), on_device=settings.kind == "mcu")
    found = audit(
        model,
        Subject(context.path(FLOAT_ONNX)),
        AuditRequest(
            limit=settings.audit_images,
            seed=settings.seed,
            device_images=settings.device_images if settings.kind == "mcu" else 0,
        ),
        data=context.data,
        beside=beside,
        data_dir=context.data_dir,
        track=context.report.track,
    )
    roles = {"float": "baseline", "int8": "model"}
    answers = found.predictions
    replace(
        answers,
        models={name: answers.models[role] for name, role in roles.items()},
        predictions={name: answers.predictions[role] for name, role in roles.items()},
    ).write(context.path(PREDICTIONS))
    onnx = found.clean_accuracy(Subject(context.path(INT8_ONNX)))
    accuracy, robustness = _records(found, onnx, exact=beside is not None)
    write_json(context.path(AUDIT), {"accuracy": accuracy.model_dump(), "robustness": robustness.model_dump()})


def _records(found: Audit, onnx: float, *, exact: bool) -> tuple[Accuracy, Robustness]:
    """The audit as a run's report has it: `int8` and `float` instead of `model` and `baseline`."""
    r, right = found.result.robustness, found.result.accuracy
    assert r.delta is not None  # there is a baseline
    device = found.result.device
    robustness = Robustness(
        arithmetic="firmware" if exact else "litert",
        source=r.source,
        images=r.images,
        corruptions=r.corruptions,
        mce=Pair(float=r.mce["baseline"], int8=r.mce["model"]),
        mean_error=Pair(float=r.mean_error["baseline"], int8=r.mean_error["model"]),
        per_corruption={
            name: Severities(float=row["baseline"], int8=row["model"]) for name, row in r.per_corruption.items()
        },
        delta=r.delta,
        device=device,
    )
    xnnpack = device.accuracy_fast if device is not None and exact else right["model"]
    return Accuracy(float=right["baseline"], onnx=onnx, tflite_int8=right["model"], xnnpack=xnnpack), robustness


STAGE = Stage(
    "audit",
    reads=(FLOAT_ONNX, INT8_ONNX, INT8_TFLITE),
    writes=(AUDIT, PREDICTIONS),
    settings=Auditing,
    run=_run,
    opens_test_images=True,
)
