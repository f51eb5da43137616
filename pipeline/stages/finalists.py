"""Finalists: the search's most accurate subnet of each resolution is fine-tuned briefly, so that one can be chosen.

Only where `--finalist-epochs` asks for it; it chooses by accuracy alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flatnas.search.finalists import finalists
from hardware_profiles.profile import HardwareProfile
from pipeline.artifacts import read_json, write_json
from pipeline.config import RunConfig
from pipeline.protocol import run_protocol
from pipeline.records import read_evaluation
from pipeline.results import FinalistRecord
from pipeline.runner import Stage, StageContext
from pipeline.training import LABELS, finetuned

if TYPE_CHECKING:
    from flatnas.nets.supernet import Supernet
    from flatnas.search.search import Evaluation
    from flatnas.training.train import Recipe

_SUPERNET, _EVALUATIONS = "search/supernet.safetensors", "search/evaluations.jsonl"
_FINALISTS = "search/finalists.json"


def _run(context: StageContext) -> None:
    found: list[FinalistRecord] = []
    if _epochs(context.config):
        found = _train(context)
    write_json(context.path(_FINALISTS), [finalist.model_dump() for finalist in found])


def _train(context: StageContext) -> list[FinalistRecord]:
    from flatnas.nets.supernet_file import load_supernet

    evaluations = [read_evaluation(line) for line in context.path(_EVALUATIONS).read_text().splitlines()]
    supernet, chosen = load_supernet(context.path(_SUPERNET)), finalists(evaluations)
    if len(chosen) == 1:
        return []
    found = []
    for number, evaluation in enumerate(chosen, 1):
        done = context.work / f"{number}.json"
        if not done.exists():
            error = _error(context, supernet, evaluation, f"finalist {number} of {len(chosen)}")
            finalist = FinalistRecord(
                arch=evaluation.arch.to_json(), inherited_error=evaluation.clean_error, trained_error=error
            )
            write_json(done, finalist.model_dump())
        found.append(FinalistRecord(**read_json(done)))
    return found


def _error(context: StageContext, supernet: Supernet, evaluation: Evaluation, what: str) -> float:
    """Error on all validation images after a brief training by plain SGD."""
    from flatnas.training.train import classification_error, predict

    arch, data = evaluation.arch, context.data
    protocol = run_protocol(context.config)
    recipe = recipe_of(protocol.recipe(data), context.config)
    net = finetuned(context, supernet, arch, protocol, recipe, what)
    return classification_error(predict(net, data.val.pixels_nhwc, arch.resolution), data.val.labels)


def recipe_of(recipe: Recipe, config: RunConfig) -> Recipe:
    """A finalist's training: plain SGD, whatever the chosen one is then trained by."""
    return replace(recipe, epochs=_epochs(config), rho=0.0, sam_after=0.0, adaptive=False)


def _epochs(config: RunConfig) -> int:
    """0 where nobody is asked for the most accurate subnet."""
    return config.finalist_epochs if config.select == "accuracy" and config.protocol == "fast" else 0


def _settings(config: RunConfig, profile: HardwareProfile) -> Mapping[str, Any]:
    if not _epochs(config):
        return {}
    return {
        "seed": config.seed,
        "augment": config.augment,
        "epochs": _epochs(config),
        "rate": config.counts.finetune_rate,
        "images": config.counts.finetune_images,
        "recalibration": config.counts.recalibration_images,
    }


STAGE = Stage("finalists", needs=(_EVALUATIONS, _SUPERNET, LABELS), gives=(_FINALISTS,), settings=_settings, run=_run)
