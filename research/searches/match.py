"""The search against random search with several times its measurements, on a real supernet.

The random subnets of a seed are what the search's own first iteration would be if it were so long: random, feasible,
fitted to the budgets, and not the same for two seeds. Hypervolumes are of (clean error, mean R, MACs / budget) up to
(1, 1, 1), fixed before anything is measured. Measurements go through the store: seeds share the subnets that they
have in common, and a comparison that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flatnas.search.search import Evaluate, Generation, Map, Objective, Plan, clean_errors, hypervolume, search
from flatnas.space.arch import SearchSpace
from flatnas.space.lowering import lower
from hardware_profiles.footprint import excess, footprint
from hardware_profiles.profile import HardwareProfile

_RANDOM_SEEDS = 1000  # apart from those of the searches: random search draws subnets of its own


@dataclass(frozen=True, slots=True)
class Match:
    """One seed's two searches.

    Attributes:
        searched: evaluations of NSGA-II with surrogates.
        random: evaluations of random search.
        searched_hypervolume: at the end of the search.
        random_hypervolume: of all the random subnets.
        equal_hypervolume: of as many of the random subnets, the first ones, as the search measured.
        searched_error: least clean error that the search found, in [0, 1].
        random_error: of all the random subnets.
    """

    seed: int
    searched: int
    random: int
    searched_hypervolume: float
    random_hypervolume: float
    equal_hypervolume: float
    searched_error: float
    random_error: float


def match(
    space: SearchSpace,
    profile: HardwareProfile,
    evaluate: Evaluate,
    objective: Objective,
    *,
    plan: Plan,
    times: int,
    seed: int,
    mapper: Map = map,
) -> Match:
    """Search by a plan, and randomly with `times` as many measurements as the search took.

    Args:
        evaluate: measures one feasible subnet; the same function for both.
        mapper: applies it to several.
    """

    def searching(plan: Plan, seed: int) -> Iterator[Generation]:
        return search(
            space,
            lambda arch: footprint(lower(space, arch), profile),
            lambda cost: tuple(excess(cost, profile.budget).values()),
            evaluate,
            plan=plan,
            objective=objective,
            macs_budget=profile.budget.macs,
            seed=seed,
            mapper=mapper,
        )

    *_, found = searching(plan, seed)
    n = len(found.evaluations)
    many = times * n
    drawn = next(searching(Plan(initial=many, batch=1, evaluations=many, most=many), seed + _RANDOM_SEEDS))
    return Match(
        seed,
        n,
        len(drawn.evaluations),
        found.hypervolume,
        drawn.hypervolume,
        hypervolume(drawn.evaluations[:n], objective, profile.budget.macs),
        float(clean_errors(found.evaluations).min()),
        float(clean_errors(drawn.evaluations).min()),
    )
