"""How a run searches: our way, or the way FlatNAS was published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from flatnas.search import paper
from flatnas.search.evaluation import Effort, InheritedEvaluator
from flatnas.search.search import Evaluate, Objective, Plan
from pipeline.choices import ProtocolName
from pipeline.runs.code import code_sha256

if TYPE_CHECKING:
    from flatnas.data.dataset import Dataset
    from flatnas.nets.supernet import Supernet


@dataclass(frozen=True, slots=True)
class Judging:
    """What decides which of the measured subnets is better; see `pipeline.config`."""

    protocol: ProtocolName
    alpha: float
    sigmas: tuple[float, ...]
    error_images: int

    @property
    def objective(self) -> Objective:
        """What the search minimises and the selection weighs."""
        return paper.objective(self.alpha) if self.protocol == "paper" else Objective(self.alpha, self.sigmas)

    @property
    def images(self) -> int:
        """Validation images behind a subnet's clean error, as far as there are as many."""
        return paper.ERROR_IMAGES if self.protocol == "paper" else self.error_images


@dataclass(frozen=True, slots=True)
class Searching:
    """What a search measures, beside the supernet and the data, and how often; see `pipeline.config`."""

    judging: Judging
    seed: int
    initial: int
    batch: int
    evaluations: int
    most: int
    r_images: int
    r_draws: int
    recalibration_images: int
    roundings: bool
    recalibrated: bool

    @property
    def plan(self) -> Plan:
        """How many subnets are measured, and when."""
        if self.judging.protocol == "paper":
            return paper.PLAN
        return Plan(self.initial, self.batch, self.evaluations, self.most)

    @property
    def measurement(self) -> Mapping[str, Any]:
        """JSON values of all that a measurement depends on, beside the supernet and the data."""
        if self.judging.protocol == "paper":
            return {"code": code_sha256("flatnas.search.paper"), "protocol": "paper", "seed": self.seed}
        return {
            "code": code_sha256("flatnas.search.evaluation"),
            "effort": [self.judging.error_images, self.r_images, self.r_draws, self.recalibration_images],
            "sigmas": list(self.judging.sigmas),
            "rounded_bits": list(self._bits),
            "recalibrated": self.recalibrated,
            "seed": self.seed,
        }

    @property
    def evaluator(self) -> Callable[[Supernet, Dataset], Evaluate]:
        """Makes the function that measures a subnet."""
        from export.write.fold import fold_in_place

        if self.judging.protocol == "paper":
            return partial(paper.TrainedEvaluator, seed=self.seed, fold=fold_in_place)
        from pipeline.rounding import rounding

        return partial(
            InheritedEvaluator,
            effort=Effort(self.judging.error_images, self.r_images, self.r_draws, self.recalibration_images),
            sigmas=self.judging.sigmas,
            seed=self.seed,
            fold=fold_in_place,
            roundings={f"int{bits}": partial(rounding, bits=bits) for bits in self._bits},
            recalibrated=self.recalibrated,
        )

    @property
    def _bits(self) -> tuple[int, ...]:
        return (8, 4) if self.roundings else ()
