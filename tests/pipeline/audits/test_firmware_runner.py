"""`--runner firmware`: our C, compiled for this machine, in the audit's worker processes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from export.runtime.build import host_compiler
from pipeline import AuditRequest, Subject, audit


@pytest.mark.skipif(host_compiler() is None, reason="no C compiler is installed")
def test_the_firmware_gives_the_answers_of_the_integer_interpreter(digit_models: Any) -> None:
    found = {
        kind: audit(
            Subject(digit_models.int8_tflite, runner=kind),
            request=AuditRequest(dataset="digits", limit=40, corruptions=("contrast",), cache_limit="0B"),
        )
        for kind in ("firmware", "interpreter")
    }
    got, wanted = (found[kind].predictions.predictions["model"] for kind in ("firmware", "interpreter"))
    np.testing.assert_array_equal(got.classes, wanted.classes)
    np.testing.assert_array_equal(got.confidence, wanted.confidence)
    assert found["firmware"].result.models["model"].runner == "firmware"
