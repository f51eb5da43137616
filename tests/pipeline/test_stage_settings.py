"""What a stage's outcome depends on is among its settings, so that a changed profile is not answered with old files."""

from __future__ import annotations

import pytest

from hardware_profiles.profile import Source, load_profile
from pipeline.config import RunConfig
from pipeline.runner import Stage
from pipeline.stages import firmware, search

M4 = load_profile("cortex-m4")
MEASURED = Source(text="timer", date="2026-11-24", range=(1.2, 1.4))


@pytest.mark.parametrize(
    ("stage", "changes"),
    [
        (search.STAGE, {"runtime": "tflm"}),
        (search.STAGE, {"features": ("fpu",)}),
        (search.STAGE, {"clock_hz": 100_000_000}),
        (search.STAGE, {"latency_factor": 1.3, "sources": {**M4.sources, "latency_factor": MEASURED}}),
        (firmware.STAGE, {"features": ("fpu",)}),
        (firmware.STAGE, {"compiler_flags": ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=soft")}),
    ],
)
def test_a_change_of_the_profile_that_changes_costs_or_code_redoes_the_stage(
    stage: Stage, changes: dict[str, object]
) -> None:
    config = RunConfig(target="cortex-m4", dataset="digits")
    changed = M4.model_copy(update=changes)
    assert stage.settings(config, M4) == stage.settings(config, load_profile("cortex-m4"))
    assert stage.settings(config, changed) != stage.settings(config, M4)
