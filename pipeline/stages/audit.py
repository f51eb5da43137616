"""Audit: float and int8 on the clean and corrupted test images, paired; the only stage that opens the test set.

It is the audit of `pipeline audit`, which gives the same figures for the run's directory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from pipeline import AuditRequest, Subject, audit
from pipeline.audits.device import run_subjects
from pipeline.files import write_json
from pipeline.runs.layout import AUDIT, FLOAT_ONNX, INT8_ONNX, INT8_TFLITE, PREDICTIONS
from pipeline.runs.stage import Stage, StageContext

ROLES = {"model": "int8", "baseline": "float"}  # of an audit, and what they are in a run


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
    answers = found.predictions
    replace(
        answers,
        models={ROLES[role]: file for role, file in answers.models.items()},
        predictions={ROLES[role]: given for role, given in answers.predictions.items()},
    ).write(context.path(PREDICTIONS))
    result = found.result.with_roles(ROLES)
    onnx = found.clean_accuracy(Subject(context.path(INT8_ONNX)))
    write_json(context.path(AUDIT), replace(result, accuracy={**result.accuracy, "onnx": onnx}).to_json())


STAGE = Stage(
    "audit",
    reads=(FLOAT_ONNX, INT8_ONNX, INT8_TFLITE),
    writes=(AUDIT, PREDICTIONS),
    settings=Auditing,
    run=_run,
    opens_test_images=True,
)
