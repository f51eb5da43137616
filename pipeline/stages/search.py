"""Search: NSGA-II over the supernet's subnets inside the target's budgets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flatnas.arch import Arch
from flatnas.lowering import lower
from flatnas.search import Evaluation, Generation, search
from hardware_profiles.footprint import Footprint, excess, footprint
from hardware_profiles.profile import HardwareProfile
from pipeline.artifacts import write_bytes, write_json
from pipeline.config import RunConfig
from pipeline.records import evaluation_record, read_evaluation
from pipeline.runner import Stage, StageContext

_EVALUATIONS, _FRONT = "search/evaluations.jsonl", "search/front.json"


def _run(context: StageContext) -> None:
    from flatnas.flatness import common_noise, flatness
    from flatnas.supernet_file import load_supernet
    from flatnas.train import classification_error, predict, recalibrate

    supernet = load_supernet(context.path("search/supernet.safetensors"))
    counts, config, profile = context.counts, context.config, context.profile
    space = supernet.space
    calibration = context.data.train.subset(counts.recalibration_images)
    judged, shaken = context.data.val.subset(counts.error_images), context.data.val.subset(counts.r_images)
    noise = common_noise(supernet, counts.r_draws, config.seed)

    def measure(arch: Arch, cost: Footprint) -> Evaluation:
        net = supernet.extract(arch)
        recalibrate(net, calibration.pixels_nhwc, arch.resolution)
        clean_error = classification_error(predict(net, judged.pixels_nhwc, arch.resolution), judged.labels)
        flat = flatness(net, arch, noise, config.sigma, shaken)
        return Evaluation(arch, clean_error, flat.r, flat.ci95, flat.sigma, cost)

    journal = _Journal(context.work / "evaluations.jsonl")
    generations: list[Generation] = []
    with context.report.track("searching") as advance:

        def evaluate(arch: Arch, cost: Footprint) -> Evaluation:
            evaluation = journal.known.get(arch) or journal.append(measure(arch, cost))
            done = len(journal.used) + 1
            journal.used.add(arch)
            advance(
                done, max(done, counts.evaluations), f"{arch}: error {evaluation.clean_error:.3f}, R {evaluation.r:.3f}"
            )
            return evaluation

        generations.extend(
            search(
                space,
                lambda arch: footprint(lower(space, arch), profile),
                lambda cost: tuple(excess(cost, profile.budget).values()),
                evaluate,
                evaluations=counts.evaluations,
                population=counts.population,
                alpha=config.alpha,
                macs_budget=profile.budget.macs,
                seed=config.seed,
            )
        )
    last = generations[-1]
    lines = [json.dumps(evaluation_record(e).model_dump(), sort_keys=True) for e in last.evaluations]
    write_bytes(context.path(_EVALUATIONS), ("\n".join(lines) + "\n").encode())
    front = [evaluation_record(e).model_dump() for e in last.front]
    write_json(context.path(_FRONT), {"front": front, "hypervolume": [g.hypervolume for g in generations]})


class _Journal:
    """Evaluations stored as they come, so that a killed search replays instead of measuring again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.known: dict[Arch, Evaluation] = {}
        self.used: set[Arch] = set()
        for line in path.read_text().splitlines() if path.exists() else ():
            try:
                evaluation = read_evaluation(line)
            except ValueError:  # the line that a kill cut off
                continue
            self.known[evaluation.arch] = evaluation

    def append(self, evaluation: Evaluation) -> Evaluation:
        with self._path.open("a") as file:
            file.write("\n" + json.dumps(evaluation_record(evaluation).model_dump()))
        return evaluation


def _settings(config: RunConfig, profile: HardwareProfile) -> Mapping[str, Any]:
    counts = config.counts
    return {
        "seed": config.seed,
        "alpha": config.alpha,
        "sigma": config.sigma,
        "budget": profile.budget.model_dump(),
        "counts": [
            counts.evaluations,
            counts.population,
            counts.error_images,
            counts.r_images,
            counts.r_draws,
            counts.recalibration_images,
        ],
        "cost": [profile.runtime, profile.core, profile.clock_hz],
    }


STAGE = Stage(
    "search", needs=("search/supernet.safetensors",), gives=(_EVALUATIONS, _FRONT), settings=_settings, run=_run
)
