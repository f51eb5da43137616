"""What a stage's outcome depends on is among its settings, so that a changed profile is not answered with old files."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any

import numpy as np
import pytest

from flatnas.data.dataset import Dataset, Images
from hardware_profiles.profile import HardwareProfile, Source, load_profile
from pipeline.flow import STAGES
from pipeline.layers import configured
from pipeline.runs.facts import Origin
from pipeline.runs.runner import plain
from pipeline.runs.stage import Stage, settings_from
from pipeline.stages import firmware, search

M4 = load_profile("cortex-m4")
CONFIG = configured({"target": "cortex-m4", "dataset": "digits"})
IMAGES = Images(np.zeros((2, 8, 8, 3), np.uint8), np.arange(2))
DATA = Dataset("tiny", ("a", "b"), IMAGES, IMAGES, IMAGES, "digest")
MEASURED = Source(text="timer", date="2026-11-24", range=(1.2, 1.4))


def settings_of(stage: Stage[Any], profile: HardwareProfile) -> Any:
    return plain(settings_from(stage.settings, Origin(CONFIG, profile, DATA).value_of))


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
    stage: Stage[Any], changes: dict[str, object]
) -> None:
    assert settings_of(stage, M4) == settings_of(stage, load_profile("cortex-m4"))
    assert settings_of(stage, M4.model_copy(update=changes)) != settings_of(stage, M4)


def test_another_text_in_a_profile_redoes_nothing() -> None:
    renamed = M4.model_copy(update={"description": "the same board in other words"})
    assert all(settings_of(stage, renamed) == settings_of(stage, M4) for stage in STAGES)


def test_every_setting_of_every_stage_has_a_source() -> None:
    for stage in STAGES:
        assert is_dataclass(settings_from(stage.settings, Origin(CONFIG, M4, DATA).value_of))
    with pytest.raises(ValueError, match="no setting 'learning_speed'"):
        Origin(CONFIG, M4, DATA).value_of("learning_speed")
