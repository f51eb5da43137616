"""Search: NSGA-II over the supernet's subnets inside the target's budgets."""

from __future__ import annotations

import json
from dataclasses import dataclass

from flatnas.search.measured import Measured
from flatnas.search.search import Generation, Objective, search
from flatnas.space.arch import Arch
from flatnas.space.lowering import lower
from hardware_profiles.footprint import excess, footprint
from hardware_profiles.profile import HardwareProfile
from pipeline.config import InputsName
from pipeline.feasibility import own_pictures, searched_space
from pipeline.files import write_bytes
from pipeline.results.search import Front
from pipeline.runs.layout import EVALUATIONS, FRONT, SUPERNET
from pipeline.runs.stage import Stage, StageContext
from pipeline.searching import Searching
from pipeline.values import plain, write_value


@dataclass(frozen=True, slots=True)
class Settings:
    """What a search measures, and on which target it counts."""

    searching: Searching
    profile: HardwareProfile
    inputs: InputsName
    dataset: str


def _run(context: StageContext[Settings]) -> None:
    from flatnas.nets.supernet_file import read_space
    from pipeline.evaluations import stored_evaluator, watched

    searching, profile = context.settings.searching, context.settings.profile
    whole, objective = read_space(context.path(SUPERNET)), searching.judging.merit
    space = searched_space(whole, context.settings.inputs, own_pictures(context.settings.dataset), profile)
    if space.resolutions != whole.resolutions:
        sizes = ", ".join(map(str, space.resolutions))
        context.report.line(f"    inputs of {sizes} pixels are searched (--inputs all searches every size)")
    generations: list[Generation] = []
    with context.report.track("searching") as advance:
        evaluate = stored_evaluator(
            searching.measurement, searching.evaluator, context.path(SUPERNET), context.data, fallback=context.work
        )
        seen = set[Arch]()

        def show(measured: Measured) -> None:
            seen.add(measured.arch)
            tau = generations[-1].kendall_tau if generations else None
            note = f"{measured.arch}: error {measured.clean_error:.3f}" + (
                f", tau {tau:.2f}" if tau is not None else ""
            )
            advance(len(seen), max(len(seen), searching.plan.evaluations), note)

        for generation in search(
            space,
            lambda arch: footprint(lower(space, arch), profile),
            lambda cost: tuple(excess(cost, profile.budget).values()),
            evaluate,
            plan=searching.plan,
            objective=objective,
            macs_budget=profile.budget.macs,
            seed=searching.seed,
            mapper=watched(show),
        ):
            generations.append(generation)
    _write(context, generations, objective)


def _write(context: StageContext[Settings], generations: list[Generation], objective: Objective) -> None:
    last = generations[-1]
    lines = [json.dumps(plain(e)) for e in last.evaluations]
    write_bytes(context.path(EVALUATIONS), ("\n".join(lines) + "\n").encode())
    front = Front(
        objective=objective.kind,
        alpha=objective.alpha,
        sigmas=objective.sigmas,
        front=last.front,
        hypervolume=tuple(g.hypervolume for g in generations),
        kendall_tau=tuple(g.kendall_tau for g in generations),
        proposer=tuple(g.proposer for g in generations),
    )
    write_value(context.path(FRONT), front)


STAGE = Stage("search", reads=(SUPERNET,), writes=(EVALUATIONS, FRONT), settings=Settings, run=_run)
