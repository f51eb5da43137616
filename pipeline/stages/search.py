"""Search: NSGA-II over the supernet's subnets inside the target's budgets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flatnas.search.evaluation import Measured
from flatnas.search.search import Generation, Objective, search
from flatnas.space.arch import Arch
from flatnas.space.lowering import lower
from hardware_profiles.cycles_per_instruction import CYCLES_PER_INSTRUCTION
from hardware_profiles.footprint import excess, footprint
from hardware_profiles.profile import HardwareProfile
from pipeline.artifacts import write_bytes, write_json
from pipeline.config import RunConfig
from pipeline.protocol import run_protocol
from pipeline.records import evaluation_record
from pipeline.runner import Stage, StageContext

_SUPERNET = "search/supernet.safetensors"
_EVALUATIONS, _FRONT = "search/evaluations.jsonl", "search/front.json"


def _run(context: StageContext) -> None:
    from flatnas.nets.supernet_file import read_space
    from pipeline.evaluations import stored_evaluator, watched

    config, profile = context.config, context.profile
    space, protocol = read_space(context.path(_SUPERNET)), run_protocol(config)
    generations: list[Generation] = []
    with context.report.track("searching") as advance:
        evaluate = stored_evaluator(protocol, context.path(_SUPERNET), context.data, fallback=context.work)
        seen = set[Arch]()

        def show(measured: Measured) -> None:
            seen.add(measured.arch)
            tau = generations[-1].kendall_tau if generations else None
            note = f"{measured.arch}: error {measured.clean_error:.3f}" + (
                f", tau {tau:.2f}" if tau is not None else ""
            )
            advance(len(seen), max(len(seen), protocol.plan.evaluations), note)

        for generation in search(
            space,
            lambda arch: footprint(lower(space, arch), profile),
            lambda cost: tuple(excess(cost, profile.budget).values()),
            evaluate,
            plan=protocol.plan,
            objective=protocol.objective,
            macs_budget=profile.budget.macs,
            seed=config.seed,
            mapper=watched(show),
        ):
            generations.append(generation)
    _write(context, generations, protocol.objective)


def _write(context: StageContext, generations: list[Generation], objective: Objective) -> None:
    last = generations[-1]
    lines = [json.dumps(evaluation_record(e).model_dump(), sort_keys=True) for e in last.evaluations]
    write_bytes(context.path(_EVALUATIONS), ("\n".join(lines) + "\n").encode())
    write_json(
        context.path(_FRONT),
        {
            "alpha": objective.alpha,
            "sigmas": list(objective.sigmas),
            "front": [evaluation_record(e).model_dump() for e in last.front],
            "hypervolume": [g.hypervolume for g in generations],
            "kendall_tau": [g.kendall_tau for g in generations],
            "proposer": [g.proposer for g in generations],
        },
    )


def _settings(config: RunConfig, profile: HardwareProfile) -> Mapping[str, Any]:
    protocol = run_protocol(config)
    plan = protocol.plan
    cycles = CYCLES_PER_INSTRUCTION[profile.core] if profile.runtime == "firmware" else None
    per = (cycles.low, cycles.high) if cycles else ()  # the latency of other runtimes does not hang on them
    return {
        "measurement": protocol.measurement,
        "alpha": config.alpha,
        "budget": profile.budget.model_dump(),
        "plan": [plan.initial, plan.batch, plan.evaluations, plan.most],
        "cost": [
            profile.runtime,
            profile.core,
            list(profile.features),
            profile.clock_hz,
            profile.measured_latency,
            *per,
        ],
    }


STAGE = Stage("search", needs=(_SUPERNET,), gives=(_EVALUATIONS, _FRONT), settings=_settings, run=_run)
