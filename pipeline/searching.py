"""How a run searches: our way, or the way FlatNAS was published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from flatnas.search import paper
from flatnas.search.evaluation import Effort, InheritedEvaluator
from flatnas.search.search import Evaluate, Objective, Plan
from pipeline.config import ObjectiveName, ProtocolName
from pipeline.runs.code import code_sha256

# what a measurement is computed by: the last two are handed to the first, which doesn't import them
MEASURES = ("flatnas.search.evaluation", "export.write.fold", "pipeline.rounding")

if TYPE_CHECKING:
    from flatnas.data.dataset import Dataset
    from flatnas.nets.supernet import Supernet


@dataclass(frozen=True, slots=True)
class Judging:
    """What decides which of the measured subnets is better; see `pipeline.config`."""

    protocol: ProtocolName
    objective: ObjectiveName
    alpha: float
    sigmas: tuple[float, ...]
    error_images: int

    @property
    def merit(self) -> Objective:
        """What the search minimises and the selection weighs."""
        if self.protocol == "paper":
            return paper.objective(self.alpha)
        return Objective(self.alpha, self.sigmas, kind=self.objective)

    @property
    def images(self) -> int:
        """Validation images behind a subnet's clean error, as far as there are as many."""
        return self.error_images


@dataclass(frozen=True, slots=True)
class Searching:
    """What a search measures, beside the supernet and the data, and how often; see `pipeline.config`."""

    judging: Judging
    seed: int
    initial: int
    batch: int
    evaluations: int
    most: int
    population: int
    generations: int
    near: bool
    candidate_epochs: int
    r_images: int
    r_draws: int
    corrupted_images: int
    recalibration_images: int
    roundings: bool
    recalibrated: bool

    @property
    def plan(self) -> Plan:
        """How many subnets are measured, and when."""
        return Plan(self.initial, self.batch, self.evaluations, self.most, self.population, self.generations, self.near)

    @property
    def measurement(self) -> Mapping[str, Any]:
        """JSON values of all that a measurement depends on, beside the supernet and the data."""
        if self.judging.protocol == "paper":
            code = [code_sha256(name) for name in ("flatnas.search.paper", "export.write.fold")]
            effort = [self.candidate_epochs, self.r_images, self.r_draws]
            return {"code": code, "protocol": "paper", "effort": effort, "seed": self.seed}
        return {
            "code": [code_sha256(name) for name in MEASURES],
            "effort": asdict(self._effort),
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
            effort = paper.PublishedEffort(self.candidate_epochs, self.r_images, self.r_draws)
            return partial(paper.TrainedEvaluator, effort=effort, seed=self.seed, fold=fold_in_place)
        from pipeline.rounding import rounding

        return partial(
            InheritedEvaluator,
            effort=self._effort,
            sigmas=self.judging.sigmas,
            seed=self.seed,
            fold=fold_in_place,
            roundings={f"int{bits}": partial(rounding, bits=bits) for bits in self._bits},
            recalibrated=self.recalibrated,
        )

    @property
    def _bits(self) -> tuple[int, ...]:
        return (8, 4) if self.roundings or self.judging.objective == "rounding" else ()

    @property
    def _effort(self) -> Effort:
        corrupted = self.corrupted_images if self.judging.objective == "corruptions" else 0
        counts = self.judging.error_images, self.r_images, self.r_draws, self.recalibration_images
        return Effort(*counts, corrupted_images=corrupted)
