"""Select: one feasible subnet of those the search evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flatnas.search import select_from
from hardware_profiles.profile import HardwareProfile
from pipeline.artifacts import write_json
from pipeline.config import RunConfig
from pipeline.protocol import run_protocol
from pipeline.records import read_evaluation
from pipeline.runner import Stage, StageContext

_EVALUATIONS = "search/evaluations.jsonl"


def _run(context: StageContext) -> None:
    evaluations = [read_evaluation(line) for line in context.path(_EVALUATIONS).read_text().splitlines()]
    protocol = run_protocol(context.config)
    images = min(protocol.error_images, len(context.data.val))
    chosen = select_from(evaluations, protocol.objective, context.config.select, images)
    write_json(context.path("model/arch.json"), chosen.arch.to_json())


def _settings(config: RunConfig, profile: HardwareProfile) -> Mapping[str, Any]:
    return {
        "select": config.select,
        "alpha": config.alpha,
        "sigmas": list(config.sigmas),
        "protocol": config.protocol,
        "images": run_protocol(config).error_images,
    }


STAGE = Stage("select", needs=(_EVALUATIONS,), gives=("model/arch.json",), settings=_settings, run=_run)
