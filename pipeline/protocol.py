"""How a run searches and fine-tunes: our way, or the way FlatNAS was published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from flatnas.search import paper
from flatnas.search.evaluation import Effort, InheritedEvaluator
from flatnas.search.search import Evaluate, Objective, Plan
from pipeline.config import RunConfig

_MEASUREMENT = 1  # version of what measures a subnet; raise it where the same subnet would measure other numbers
_RHO = {
    "sam": 0.05,
    "asam": 0.5,
    "sgd": 0.0,
}  # on CIFAR-10: Foret et al. 2020, section 3.1; Kwon et al. 2021, section 5

if TYPE_CHECKING:
    from flatnas.data.dataset import Dataset
    from flatnas.nets.supernet import Supernet
    from flatnas.training.train import Recipe


@dataclass(frozen=True, slots=True)
class Protocol:
    """What differs between the two.

    Attributes:
        plan: how many subnets are measured, and when.
        objective: what the search minimises and the selection weighs.
        measurement: JSON values of all that a measurement depends on, beside the supernet and the data.
        error_images: validation images behind a subnet's clean error, as far as there are as many.
        evaluator: makes the function that measures a subnet.
        recipe: of the fine-tuning.
        label_smoothing: of its loss.
        finetune_images: training images of one of its epochs, at most; all where it is None.
    """

    plan: Plan
    objective: Objective
    measurement: Mapping[str, Any]
    error_images: int
    evaluator: Callable[[Supernet, Dataset], Evaluate]
    recipe: Callable[[Dataset], Recipe]
    label_smoothing: float
    finetune_images: int | None


def run_protocol(config: RunConfig) -> Protocol:
    """The protocol that a run follows."""
    return _published(config) if config.protocol == "paper" else _fast(config)


def _published(config: RunConfig) -> Protocol:
    def evaluator(supernet: Supernet, data: Dataset) -> Evaluate:
        from export.fold import fold_in_place

        return paper.TrainedEvaluator(supernet, data, seed=config.seed, fold=fold_in_place)

    return Protocol(
        paper.PLAN,
        paper.objective(config.alpha),
        {"version": _MEASUREMENT, "protocol": "paper", "seed": config.seed},
        paper.ERROR_IMAGES,
        evaluator,
        partial(paper.recipe, seed=config.seed),
        label_smoothing=paper.LABEL_SMOOTHING,
        finetune_images=None,
    )


def _fast(config: RunConfig) -> Protocol:
    counts = config.counts
    effort = Effort(counts.error_images, counts.r_images, counts.r_draws, counts.recalibration_images)
    bits = (8, 4) if counts.roundings else ()

    def evaluator(supernet: Supernet, data: Dataset) -> Evaluate:
        from export.fold import fold_in_place
        from pipeline.rounding import rounding

        return InheritedEvaluator(
            supernet,
            data,
            effort,
            sigmas=config.sigmas,
            seed=config.seed,
            fold=fold_in_place,
            roundings={f"int{b}": partial(rounding, bits=b) for b in bits},
            recalibrated=counts.recalibrated,
        )

    def recipe(data: Dataset) -> Recipe:
        from flatnas.training.train import Recipe

        return Recipe(
            epochs=counts.finetune_epochs,
            learning_rate=counts.finetune_rate,
            seed=config.seed,
            rho=_RHO[config.optimizer],
            sam_after=counts.plain_share,
            adaptive=config.optimizer == "asam",
            mirror=data.mirrors,
            shift=data.shift,
            augmix=config.augment == "augmix",
        )

    measurement = {
        "version": _MEASUREMENT,
        "effort": [effort.error_images, effort.r_images, effort.draws, effort.recalibration_images],
        "sigmas": list(config.sigmas),
        "rounded_bits": list(bits),
        "seed": config.seed,
    }
    if counts.recalibrated:
        measurement["recalibrated"] = True
    plan = Plan(counts.initial, counts.batch, counts.evaluations, counts.most)
    return Protocol(
        plan,
        Objective(config.alpha, config.sigmas),
        measurement,
        counts.error_images,
        evaluator,
        recipe,
        label_smoothing=0.05,
        finetune_images=counts.finetune_images,
    )
