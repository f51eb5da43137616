"""`search/front.json` and `search/finalists.json`: what the search ended with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from flatnas.search.measured import Evaluation
from flatnas.space.arch import Arch


@dataclass(frozen=True, slots=True)
class Finalist:
    """A subnet that was trained for a while before one was chosen: an entry of `search/finalists.json`.

    Attributes:
        inherited_error: on validation images with the supernet's weights.
        trained_error: on all validation images after the training.
    """

    arch: Arch
    inherited_error: float
    trained_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """`search/front.json`: what the search ended with; the last three have one value per iteration."""

    objective: Literal["flatness", "rounding", "corruptions"]
    alpha: float
    sigmas: tuple[float, ...]
    front: tuple[Evaluation, ...]
    hypervolume: tuple[float, ...]
    kendall_tau: tuple[float | None, ...]
    proposer: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search(Front):
    """What the search did.

    Attributes:
        evaluations: subnets measured.
        selected: what the search measured of the subnet that ships, which need not be on the front.
        finalists: empty where the search's own measurements chose.
    """

    evaluations: int
    selected: Evaluation | None
    finalists: tuple[Finalist, ...] = ()
