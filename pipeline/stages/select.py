"""Select: one feasible subnet of those the search evaluated, or of its finalists where they were trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flatnas.search.finalists import select_finalist
from flatnas.search.search import select_from
from flatnas.space.arch import Arch
from hardware_profiles.profile import HardwareProfile
from pipeline.artifacts import read_json, write_json
from pipeline.config import RunConfig
from pipeline.protocol import run_protocol
from pipeline.records import read_evaluation
from pipeline.results import FinalistRecord
from pipeline.runner import Stage, StageContext

_EVALUATIONS, _FINALISTS = "search/evaluations.jsonl", "search/finalists.json"


def _run(context: StageContext) -> None:
    evaluations = [read_evaluation(line) for line in context.path(_EVALUATIONS).read_text().splitlines()]
    finalists = [FinalistRecord(**record) for record in read_json(context.path(_FINALISTS))]
    if finalists:
        by_arch = {evaluation.arch: evaluation for evaluation in evaluations}
        trained = [by_arch[Arch.from_json(finalist.arch)] for finalist in finalists]
        chosen = select_finalist(trained, [finalist.trained_error for finalist in finalists])
    else:
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


STAGE = Stage(
    "select", needs=(_EVALUATIONS, _FINALISTS), gives=("model/arch.json",), settings=_settings, run=_run, version=2
)
