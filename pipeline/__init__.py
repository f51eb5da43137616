"""The command line, the stages, and the Python API, whose parts are imported when they are first used.

from pipeline import AuditRequest, audit
found = audit("int8.tflite", "float.tflite", AuditRequest(limit=1000))
print(found.result.robustness.mce, found.result.robustness.delta)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.audits.compare import compare as compare
    from pipeline.audits.request import AuditRequest as AuditRequest
    from pipeline.audits.run import Audit as Audit
    from pipeline.audits.run import audit as audit
    from pipeline.audits.subject import Subject as Subject
    from pipeline.predicting import predict as predict

_HOMES = {
    "Audit": "pipeline.audits.run",
    "AuditRequest": "pipeline.audits.request",
    "Subject": "pipeline.audits.subject",
    "audit": "pipeline.audits.run",
    "compare": "pipeline.audits.compare",
    "predict": "pipeline.predicting",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pipeline' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
