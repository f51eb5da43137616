"""FlatNAS's search: NSGA-II over (F_AR, MACs) with every budget of the target as a constraint.

Constraint domination, no penalties (Deb et al. 2002, section VI: a feasible point dominates any infeasible one; between
two infeasible ones the smaller violation wins). Cost is analytic and cheap, so an infeasible offspring is never
evaluated on images. F_AR is re-scored each generation, since its normalisation is a mean over all evaluations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flatnas.arch import Arch, SearchSpace
from flatnas.objective import Floats, Selection, figure_of_merit, select
from hardware_profiles.footprint import Footprint

Cost = Callable[[Arch], Footprint]
Constraints = Callable[[Footprint], Sequence[float]]  # one number per resource; feasible where all are <= 0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured of one subnet; raw numbers, from which F_AR is computed when it is needed.

    Attributes:
        clean_error: top-1 error on validation images, in [0, 1].
        r: R(x, sigma), a fraction.
        r_ci95: half width of its 95 % interval over the noise draws.
        sigma: of the weight noise.
    """

    arch: Arch
    clean_error: float
    r: float
    r_ci95: float
    sigma: float
    footprint: Footprint


@dataclass(frozen=True, slots=True)
class Generation:
    """The state of the search after one generation.

    Attributes:
        evaluations: every subnet evaluated so far, in order; all of them feasible.
        front: those no other one dominates in (F_AR, MACs), by ascending MACs.
        hypervolume: of (clean error, R, MACs as a fraction of the budget) up to the reference point (1, 1, 1); fixed
            axes, so that generations and runs can be compared.
    """

    index: int
    evaluations: tuple[Evaluation, ...]
    front: tuple[Evaluation, ...]
    hypervolume: float


Evaluate = Callable[[Arch, Footprint], Evaluation]


def search(
    space: SearchSpace,
    cost: Cost,
    constraints: Constraints,
    evaluate: Evaluate,
    *,
    evaluations: int,
    population: int,
    alpha: float,
    macs_budget: float,
    seed: int,
) -> Iterator[Generation]:
    """Search until at least `evaluations` subnets were evaluated; yields after each generation.

    Args:
        cost: footprint of a subnet, analytic.
        constraints: excess of a footprint over each budget.
        evaluate: measures one feasible subnet; called once per subnet, so a caller can store and replay results.
        population: of NSGA-II.
        alpha: weight of the clean error in F_AR.
        macs_budget: unit of the MACs axis of the hypervolume.
        seed: of everything random here.

    Raises:
        ValueError: not even the smallest subnet is feasible.
    """
    if max(constraints(cost(space.smallest))) > 0:
        raise ValueError("no subnet of the space meets the budgets")
    done: dict[Arch, Evaluation] = {}
    algorithm = _nsga2(space, _initial_population(space, cost, constraints, population, seed), seed)
    index, idle = 0, 0
    while len(done) < evaluations and idle < 20:  # a tight budget may leave fewer subnets than asked for
        offspring = algorithm.ask()
        archs = [space.decode(code) for code in offspring.get("X")]
        G = np.array([list(constraints(cost(arch))) for arch in archs])
        new = [arch for arch, g in zip(archs, G, strict=True) if g.max() <= 0 and arch not in done]
        for arch in dict.fromkeys(new):
            done[arch] = evaluate(arch, cost(arch))
        idle = 0 if new else idle + 1
        offspring.set("F", _objectives(archs, done, alpha))
        offspring.set("G", G)
        for individual in offspring:
            individual.evaluated.update(("F", "G"))
        algorithm.tell(infills=offspring)
        _rescore(algorithm.pop, space, done, alpha)
        if new:
            measured = tuple(done.values())
            yield Generation(index, measured, front_of(measured, alpha), hypervolume(measured, macs_budget))
            index += 1


def front_of(evaluations: Sequence[Evaluation], alpha: float) -> tuple[Evaluation, ...]:
    """The evaluations that none dominates in (F_AR, MACs), by ascending MACs."""
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    F = np.stack([_merit(evaluations, alpha), _macs(evaluations)], 1)
    first = NonDominatedSorting().do(F, only_non_dominated_front=True)
    return tuple(sorted((evaluations[int(i)] for i in first), key=lambda e: (e.footprint.macs, e.clean_error)))


def select_from(evaluations: Sequence[Evaluation], alpha: float, how: Selection) -> Evaluation:
    """The subnet to deploy: from the front, but `accuracy` from all evaluations, where F_AR hides the least error."""
    merits = dict(zip((e.arch for e in evaluations), _merit(evaluations, alpha), strict=True))
    candidates = evaluations if how == "accuracy" else front_of(evaluations, alpha)
    merit = np.array([merits[e.arch] for e in candidates])
    return candidates[select(_errors(candidates), _r(candidates), _macs(candidates), merit, how)]


def hypervolume(evaluations: Sequence[Evaluation], macs_budget: float) -> float:
    """Hypervolume of (clean error, R, MACs / budget) against (1, 1, 1), in [0, 1]; larger is better."""
    from pymoo.indicators.hv import HV

    points = np.stack([_errors(evaluations), _r(evaluations), _macs(evaluations) / macs_budget], 1)
    return float(HV(ref_point=np.ones(3))(points))


def _errors(evaluations: Sequence[Evaluation]) -> Floats:
    return np.array([e.clean_error for e in evaluations])


def _r(evaluations: Sequence[Evaluation]) -> Floats:
    return np.array([e.r for e in evaluations])


def _macs(evaluations: Sequence[Evaluation]) -> Floats:
    return np.array([float(e.footprint.macs) for e in evaluations])


def _merit(evaluations: Sequence[Evaluation], alpha: float) -> Floats:
    return figure_of_merit(_errors(evaluations), _r(evaluations), alpha)


def _objectives(archs: Sequence[Arch], done: dict[Arch, Evaluation], alpha: float) -> Floats:
    """(F_AR, MACs) of each subnet; infeasible ones have none, and constraint domination never compares theirs."""
    merits = dict(zip(done, _merit(tuple(done.values()), alpha), strict=True))
    rows = [(merits[arch], done[arch].footprint.macs) if arch in done else (np.inf, np.inf) for arch in archs]
    return np.array(rows, np.float64)


def _rescore(population: Any, space: SearchSpace, done: dict[Arch, Evaluation], alpha: float) -> None:
    population.set("F", _objectives([space.decode(code) for code in population.get("X")], done, alpha))


def _initial_population(
    space: SearchSpace, cost: Cost, constraints: Constraints, size: int, seed: int
) -> npt.NDArray[np.int64]:
    """The smallest subnet and feasible random ones, shape (size, n_genes); infeasible ones fill up a tiny space."""
    rng = np.random.default_rng([seed, 3])
    feasible, rest = {space.smallest: None}, dict[Arch, None]()
    for _ in range(500 * size):
        arch = space.sample_by_size(rng)
        (feasible if max(constraints(cost(arch))) <= 0 else rest)[arch] = None
        if len(feasible) == size:
            break
    chosen = [*feasible, *rest][:size]
    return np.stack([space.encode(arch) for arch in chosen])


def _nsga2(space: SearchSpace, initial: npt.NDArray[np.int64], seed: int) -> Any:
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.mutation import Mutation
    from pymoo.core.problem import Problem
    from pymoo.core.repair import Repair
    from pymoo.core.termination import NoTermination
    from pymoo.operators.crossover.pntx import TwoPointCrossover

    sizes = np.array([len(gene) for gene in space.genes])

    class ResetMutation(Mutation):  # type: ignore[misc]
        """Each gene, with probability 1 / n, takes any of its values: every one is reachable in one step."""

        def _do(
            self, problem: Any, X: npt.NDArray[np.int64], *args: Any, random_state: Any = None, **kwargs: Any
        ) -> npt.NDArray[np.int64]:
            hit = random_state.random(X.shape) < 1 / X.shape[1]
            return np.where(hit, random_state.integers(0, sizes, X.shape), X)

    class Canonical(Repair):  # type: ignore[misc]
        """Zero the genes of blocks that depth cuts off, so that equal subnets are equal genotypes."""

        def _do(self, problem: Any, X: npt.NDArray[np.int64], **kwargs: Any) -> npt.NDArray[np.int64]:
            return np.stack([space.encode(space.decode(code)) for code in X])

    n_constraints = 5
    problem = Problem(n_var=len(sizes), n_obj=2, n_ieq_constr=n_constraints, xl=0, xu=sizes - 1, vtype=int)
    algorithm = NSGA2(
        pop_size=len(initial),
        sampling=initial,
        crossover=TwoPointCrossover(prob=0.9),
        mutation=ResetMutation(),
        repair=Canonical(),
        eliminate_duplicates=True,
    )
    algorithm.setup(problem, termination=NoTermination(), seed=seed, verbose=False)
    return algorithm
