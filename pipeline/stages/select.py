"""Select: one feasible subnet of those the search evaluated, or of its finalists where they were trained."""

from __future__ import annotations

from dataclasses import dataclass

from flatnas.search.finalists import select_finalist
from flatnas.search.search import select_from
from flatnas.space.arch import Arch
from pipeline.config import SelectName
from pipeline.files import read_json, write_json
from pipeline.records import read_evaluation
from pipeline.results import FinalistRecord
from pipeline.runs.layout import ARCH, EVALUATIONS, FINALISTS
from pipeline.runs.stage import Stage, StageContext
from pipeline.searching import Judging


@dataclass(frozen=True, slots=True)
class Selecting:
    """Which subnet is wanted, and what is better."""

    select: SelectName
    judging: Judging


def _run(context: StageContext[Selecting]) -> None:
    evaluations = [read_evaluation(line) for line in context.path(EVALUATIONS).read_text().splitlines()]
    finalists = [FinalistRecord(**record) for record in read_json(context.path(FINALISTS))]
    if finalists:
        by_arch = {evaluation.arch: evaluation for evaluation in evaluations}
        trained = [by_arch[Arch.from_json(finalist.arch)] for finalist in finalists]
        chosen = select_finalist(trained, [finalist.trained_error for finalist in finalists])
    else:
        judging = context.settings.judging
        images = min(judging.images, len(context.data.val))
        chosen = select_from(evaluations, judging.merit, context.settings.select, images)
    write_json(context.path(ARCH), chosen.arch.to_json())


STAGE = Stage("select", reads=(EVALUATIONS, FINALISTS), writes=(ARCH,), settings=Selecting, run=_run)
