"""The robustness audit: what corruption does to the exact bytes of a model.

From Python:

    from pipeline.audit import audit
    found = audit("int8.tflite", baseline="float.tflite", limit=1000)
    print(found.result.robustness.mce, found.result.robustness.delta)
"""

from __future__ import annotations

from pipeline.audit.compare import compare as compare
from pipeline.audit.run import Audit as Audit
from pipeline.audit.run import audit as audit
from pipeline.audit.subject import Subject as Subject
