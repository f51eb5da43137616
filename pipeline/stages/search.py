"""Search: NSGA-II over the supernet's subnets inside the target's budgets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from flatnas import paper
from flatnas.arch import Arch
from flatnas.evaluation import Effort, InheritedEvaluator, Measured
from flatnas.lowering import lower
from flatnas.search import Evaluate, Generation, Objective, Plan, search
from hardware_profiles.footprint import excess, footprint
from hardware_profiles.profile import HardwareProfile
from pipeline.artifacts import sha256_of, write_bytes, write_json
from pipeline.config import RunConfig
from pipeline.objective import run_objective
from pipeline.records import evaluation_record
from pipeline.runner import Stage, StageContext

if TYPE_CHECKING:
    from flatnas.supernet import Supernet

_SUPERNET = "search/supernet.safetensors"
_EVALUATIONS, _FRONT = "search/evaluations.jsonl", "search/front.json"


def _run(context: StageContext) -> None:
    from flatnas.supernet_file import load_supernet
    from pipeline.evaluations import EvaluationStore

    supernet = load_supernet(context.path(_SUPERNET))
    config, profile = context.config, context.profile
    space, plan, objective = supernet.space, _plan(config), run_objective(config)
    store = EvaluationStore(
        {
            "supernet": sha256_of(context.path(_SUPERNET)),
            "data": context.data.content_sha256,
            "measurement": _measurement(config),
        }
    )
    generations: list[Generation] = []
    with context.report.track("searching") as advance:
        evaluate = _evaluator(context, supernet)
        seen = set[Arch]()

        def stored(arch: Arch) -> Measured:
            measured = store.get(arch) or store.add(evaluate(arch))
            seen.add(arch)
            last = f", tau {generations[-1].kendall_tau:.2f}" if generations and generations[-1].kendall_tau else ""
            advance(len(seen), max(len(seen), plan.evaluations), f"{arch}: error {measured.clean_error:.3f}{last}")
            return measured

        for generation in search(
            space,
            lambda arch: footprint(lower(space, arch), profile),
            lambda cost: tuple(excess(cost, profile.budget).values()),
            stored,
            plan=plan,
            objective=objective,
            macs_budget=profile.budget.macs,
            seed=config.seed,
        ):
            generations.append(generation)
    _write(context, generations, objective)


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


def _plan(config: RunConfig) -> Plan:
    if config.protocol == "paper":
        return paper.PLAN
    counts = config.counts
    return Plan(counts.initial, counts.batch, counts.evaluations, counts.most)


def _effort(config: RunConfig) -> Effort:
    counts = config.counts
    return Effort(counts.error_images, counts.r_images, counts.r_draws, counts.recalibration_images)


def _evaluator(context: StageContext, supernet: Supernet) -> Evaluate:
    from export.fold import fold_batch_norm
    from pipeline.rounding import rounding

    config, data = context.config, context.data
    if config.protocol == "paper":
        return paper.TrainedEvaluator(supernet, data, seed=config.seed, fold=fold_batch_norm)
    roundings = {f"int{bits}": partial(rounding, bits=bits) for bits in (8, 4)} if config.counts.roundings else {}
    return InheritedEvaluator(
        supernet,
        data,
        _effort(config),
        sigmas=config.sigmas,
        seed=config.seed,
        fold=fold_batch_norm,
        roundings=roundings,
    )


def _measurement(config: RunConfig) -> dict[str, Any]:
    """All that a measurement depends on beside the supernet and the data."""
    if config.protocol == "paper":
        return {"protocol": "paper", "seed": config.seed}
    effort = _effort(config)
    return {
        "effort": [effort.error_images, effort.r_images, effort.draws, effort.recalibration_images],
        "sigmas": list(config.sigmas),
        "roundings": config.counts.roundings,
        "seed": config.seed,
    }


def _settings(config: RunConfig, profile: HardwareProfile) -> Mapping[str, Any]:
    plan = _plan(config)
    return {
        "measurement": _measurement(config),
        "alpha": config.alpha,
        "budget": profile.budget.model_dump(),
        "plan": [plan.initial, plan.batch, plan.evaluations, plan.most],
        "cost": [profile.runtime, profile.core, profile.clock_hz],
    }


STAGE = Stage("search", needs=(_SUPERNET,), gives=(_EVALUATIONS, _FRONT), settings=_settings, run=_run)
