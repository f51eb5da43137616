"""What a study keeps of each subnet, and what it concludes: `study.json`. Rates are fractions in [0, 1]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from flatnas.search.measured import Evaluation

Training = Literal["inherited", "sgd", "sam"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a subnet that was trained in one way and quantized.

    Attributes:
        validation_error: of the float and the int8 model on all validation images.
        test_error: on the clean test images audited.
        mce: on the same images, corrupted.
        source: of the corrupted images.
    """

    validation_error: Mapping[Literal["float", "int8"], float]
    test_error: Mapping[Literal["float", "int8"], float]
    mce: Mapping[Literal["float", "int8"], float]
    source: Literal["official", "generated"]
    per_corruption: Mapping[str, Mapping[str, tuple[float, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One subnet: what the search would know of it, and what became of it by each way of training."""

    before: Evaluation
    after: Mapping[Training, Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """A rank correlation over subnets with its 95 % bootstrap interval."""

    rho: float
    ci95: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """How one number known beforehand goes with the int8 mCE.

    Attributes:
        alone: Spearman's correlation.
        beyond: the partial one, given clean error and MACs: what the number tells beyond the trivial predictors.
    """

    predictor: str
    alone: Correlation
    beyond: Correlation | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A paired difference of means over the same subnets, with its 95 % bootstrap interval."""

    what: str
    mean: float
    ci95: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConclusions:
    """What the subnets of one way of training show.

    Attributes:
        of_mce: predictors of the int8 mCE.
        of_loss: the same predictors of what quantization adds to the mCE.
        inherited_tau: Kendall's tau between inherited and trained validation error; absent for inherited weights.
        hardest: mean int8 error by corruption, the hardest first.
    """

    of_mce: tuple[Prediction, ...]
    of_loss: tuple[Prediction, ...]
    inherited_tau: Correlation | None
    hardest: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """`study.json`.

    Attributes:
        sam_against_sgd: SAM minus SGD on the same subnets; negative is better for SAM.
    """

    target: str
    dataset: str
    seed: int
    finetune_epochs: int
    audit_images: int
    supernet_sha256: str
    members: tuple[Member, ...]
    conclusions: Mapping[Training, TrainingConclusions]
    sam_against_sgd: tuple[Difference, ...]
