"""Select: one feasible subnet of those the search evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flatnas.search import select_from
from hardware_profiles.profile import HardwareProfile
from pipeline.artifacts import write_json
from pipeline.config import RunConfig
from pipeline.records import read_evaluation
from pipeline.runner import Stage, StageContext


def _run(context: StageContext) -> None:
    lines = context.path("search/evaluations.jsonl").read_text().splitlines()
    evaluations = [read_evaluation(line) for line in lines]
    chosen = select_from(evaluations, context.config.alpha, context.config.select)
    write_json(context.path("model/arch.json"), chosen.arch.to_json())


def _settings(config: RunConfig, profile: HardwareProfile) -> Mapping[str, Any]:
    return {"select": config.select, "alpha": config.alpha}


STAGE = Stage("select", needs=("search/evaluations.jsonl",), gives=("model/arch.json",), settings=_settings, run=_run)
