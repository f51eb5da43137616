"""Select: one feasible subnet of those the search evaluated, or of its finalists where they were trained."""

from __future__ import annotations

from dataclasses import dataclass

from flatnas.search.finalists import select_finalist
from flatnas.search.measured import Evaluation
from flatnas.search.search import select_from
from pipeline.config import SelectName
from pipeline.results.search import Finalist
from pipeline.runs.layout import ARCH, EVALUATIONS, FINALISTS
from pipeline.runs.stage import Stage, StageContext
from pipeline.searching import Judging
from pipeline.values import read_lines, read_value, write_value


@dataclass(frozen=True, slots=True)
class Selecting:
    """Which subnet is wanted, and what is better."""

    select: SelectName
    judging: Judging


def _run(context: StageContext[Selecting]) -> None:
    evaluations = read_lines(Evaluation, context.path(EVALUATIONS))
    finalists = read_value(tuple[Finalist, ...], context.path(FINALISTS))
    if finalists:
        by_arch = {evaluation.arch: evaluation for evaluation in evaluations}
        trained = [by_arch[finalist.arch] for finalist in finalists]
        chosen = select_finalist(trained, [finalist.trained_error for finalist in finalists])
    else:
        judging = context.settings.judging
        images = min(judging.images, len(context.data.val))
        chosen = select_from(evaluations, judging.merit, context.settings.select, images)
    write_value(context.path(ARCH), chosen.arch)


STAGE = Stage("select", reads=(EVALUATIONS, FINALISTS), writes=(ARCH,), settings=Selecting, run=_run)
