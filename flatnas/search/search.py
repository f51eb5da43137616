"""FlatNAS's search: NSGA-II over (F_AR, cost) with surrogates, every budget of the target a constraint.

Each iteration fits surrogates to what was measured, lets NSGA-II search them for the front (as MSuNAS does, Lu et al.
2020, arXiv 2007.10396), and measures the subnets that promise most hypervolume, of NSGA-II's and of those a few genes
from the measured front, where surrogates are right most often. Surrogates that can't rank held-out subnets are not
asked: NSGA-II's offspring of the measured front are measured instead.

Constraint domination, no penalties (Deb et al. 2002, section VI: a feasible point dominates any infeasible one; between
two infeasible ones the smaller violation wins). Cost is analytic and cheap, so an infeasible subnet is never measured.
F_AR is re-scored each iteration, since its normalisation is a mean over all measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from flatnas.search.candidates import Candidates, Constraints, Cost
from flatnas.search.measured import Evaluation, Measured, gaussian_name
from flatnas.search.nsga2 import nsga2, tell
from flatnas.search.objective import Float64Array, Selection, figure_of_merit, normalisation, select
from flatnas.search.surrogate import FOLDS, Surrogate, fit_surrogate, kendall_tau
from flatnas.space.arch import Arch, SearchSpace

Evaluate = Callable[[Arch], Measured]

ObjectiveKind = Literal["flatness", "rounding", "corruptions"]
ROUNDINGS = ("int8", "int4")  # perturbations of the weights, by name
_TRUSTED_TAU = 0.3  # below it, surrogates mislead more than they help
_PATIENCE = 3  # iterations without growth of the hypervolume that end a search
_GROWTH = 1e-3
_MOST_ACCURATE = 5  # measured subnets near which a more accurate one is looked for


class Map(Protocol):
    """The built-in `map`, or one that works in other processes, such as `ProcessPoolExecutor.map`."""

    def __call__(self, function: Evaluate, archs: Iterable[Arch], /) -> Iterable[Measured]:
        """Results in the order of the arguments."""


@dataclass(frozen=True, slots=True)
class Objective:
    """What the search minimises: F_AR of these terms, and a cost.

    Attributes:
        alpha: weight of the clean error.
        sigmas: of the weight noise of R.
        cost: which cost.
        kind: what stands beside the clean error: `flatness`, R of each sigma; `rounding`, R under rounding to int8 and
            int4; `corruptions`, R of each sigma and the error under the corruptions that may select.
    """

    alpha: float
    sigmas: tuple[float, ...]
    cost: Literal["macs", "params"] = "macs"
    kind: ObjectiveKind = "flatness"

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 1:
            raise ValueError(f"alpha must be in (0, 1], not {self.alpha}")
        if not self.sigmas or not all(0 < sigma <= 1 for sigma in self.sigmas):
            raise ValueError(f"every sigma must be in (0, 1], not {self.sigmas}")

    def terms(self, evaluations: Sequence[Evaluation]) -> Float64Array:
        """What stands beside the clean error of each evaluation, shape (n, terms)."""
        names = ROUNDINGS if self.kind == "rounding" else tuple(map(gaussian_name, self.sigmas))
        terms = [[e.flatness(name).r for name in names] for e in evaluations]
        if self.kind == "corruptions":
            for row, evaluation in zip(terms, evaluations, strict=True):
                if evaluation.measured.corrupted_error is None:
                    raise ValueError(f"the error of {evaluation.arch} under corruptions was not measured")
                row.append(evaluation.measured.corrupted_error)
        return np.array(terms)

    def costs(self, evaluations: Sequence[Evaluation]) -> Float64Array:
        """The second objective, shape (n,)."""
        return np.array([float(getattr(e.footprint, self.cost)) for e in evaluations])

    def merits(self, evaluations: Sequence[Evaluation]) -> Float64Array:
        """F_AR of each evaluation, normalised over all of them, shape (n,)."""
        return figure_of_merit(clean_errors(evaluations), self.terms(evaluations), self.alpha)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a search spends its measurements; counts, so that a seed gives the same search everywhere.

    Attributes:
        initial: random feasible subnets measured first.
        batch: subnets measured per iteration.
        evaluations: measured before the search may stop.
        most: never measured more, even where the hypervolume still grows.
        population: of NSGA-II on the surrogates.
        generations: of it, per iteration.
        near: whether subnets near the measured ones are considered beside NSGA-II's, as the published loop does not.
    """

    initial: int
    batch: int
    evaluations: int
    most: int
    population: int = 60
    generations: int = 30
    near: bool = True


@dataclass(frozen=True, slots=True)
class Generation:
    """The state of the search after one iteration.

    Attributes:
        evaluations: every subnet measured so far, in order; all of them feasible.
        front: those no other one dominates in (F_AR, cost), by ascending cost.
        hypervolume: of (clean error, mean R, MACs as a fraction of the budget) up to the reference point (1, 1, 1);
            fixed axes, so that iterations and runs can be compared.
        proposer: what proposed this iteration's subnets: `random`, `nsga2`, or the surrogates' names.
        kendall_tau: how well the surrogates ranked held-out subnets by F_AR; None where there were none.
    """

    evaluations: tuple[Evaluation, ...]
    front: tuple[Evaluation, ...]
    hypervolume: float
    proposer: str
    kendall_tau: float | None


def search(
    space: SearchSpace,
    cost: Cost,
    constraints: Constraints,
    evaluate: Evaluate,
    *,
    plan: Plan,
    objective: Objective,
    macs_budget: float,
    seed: int,
    mapper: Map = map,
) -> Iterator[Generation]:
    """Search until the plan is fulfilled or no new subnet is found; yields after each iteration.

    Args:
        cost: footprint of a subnet, analytic.
        constraints: excess of a footprint over each budget.
        evaluate: measures one feasible subnet; called once per subnet, so a caller can store and replay results.
        macs_budget: unit of the MACs axis of the hypervolume.
        seed: of everything random here.
        mapper: applies `evaluate` to the subnets of one iteration, here or elsewhere.

    Raises:
        ValueError: not even the smallest subnet is feasible.
    """
    candidates = Candidates(space, cost, constraints, seed)
    if not candidates.feasible(space.smallest):
        raise ValueError("no subnet of the space meets the budgets")
    done: dict[Arch, Evaluation] = {}
    volumes: list[float] = []
    proposal = _Proposal(candidates.random(plan.initial, done), "random", None)
    while proposal.archs:
        proposed = proposal.archs[: plan.most - len(done)]
        for measured in mapper(evaluate, proposed):
            done[measured.arch] = Evaluation(measured, candidates.cost(measured.arch))
        everything = tuple(done.values())
        volumes.append(hypervolume(everything, objective, macs_budget))
        front = front_of(everything, objective)
        yield Generation(everything, front, volumes[-1], proposal.proposer, proposal.kendall_tau)
        if len(done) >= plan.most or (len(done) >= plan.evaluations and _stalled(volumes)):
            return
        proposal = _propose(candidates, done, objective, plan)


def front_of(evaluations: Sequence[Evaluation], objective: Objective) -> tuple[Evaluation, ...]:
    """The evaluations that none dominates in (F_AR, cost), by ascending cost."""
    F = np.stack([objective.merits(evaluations), objective.costs(evaluations)], 1)
    front = [evaluations[i] for i in _non_dominated(F)]
    return tuple(sorted(front, key=lambda e: (getattr(e.footprint, objective.cost), e.clean_error)))


def select_from(evaluations: Sequence[Evaluation], objective: Objective, how: Selection, images: int) -> Evaluation:
    """The subnet to deploy: from the front, but `accuracy` from all evaluations, where F_AR hides the least error.

    Args:
        images: behind each clean error.
    """
    merits = dict(zip((e.arch for e in evaluations), objective.merits(evaluations), strict=True))
    chosen = evaluations if how == "accuracy" else front_of(evaluations, objective)
    merit = np.array([merits[e.arch] for e in chosen])
    return chosen[select(clean_errors(chosen), objective.costs(chosen), merit, how, images)]


def hypervolume(evaluations: Sequence[Evaluation], objective: Objective, macs_budget: float) -> float:
    """Hypervolume of (clean error, mean term, MACs / budget) against (1, 1, 1), in [0, 1]; larger is better."""
    from pymoo.indicators.hv import HV

    macs = np.array([e.footprint.macs for e in evaluations]) / macs_budget
    return float(
        HV(ref_point=np.ones(3))(np.stack([clean_errors(evaluations), objective.terms(evaluations).mean(1), macs], 1))
    )


def clean_errors(evaluations: Sequence[Evaluation]) -> Float64Array:
    """Clean error of each evaluation, shape (n,)."""
    return np.array([e.clean_error for e in evaluations])


@dataclass(frozen=True, slots=True)
class _Proposal:
    archs: list[Arch]
    proposer: str
    kendall_tau: float | None


def _propose(candidates: Candidates, done: dict[Arch, Evaluation], objective: Objective, plan: Plan) -> _Proposal:
    """The subnets to measure next; none when the feasible ones seem to be used up."""
    everything = tuple(done.values())
    tau, proposer, archs = None, "", list[Arch]()
    if len(everything) >= max(2 * plan.batch, FOLDS) and objective.merits(everything).std() > 0:
        predictor = _Predictor(candidates, everything, objective)
        tau = predictor.tau
        if tau >= _TRUSTED_TAU:
            proposer = predictor.names
            most_accurate, population = _considered(candidates, done, objective, plan, predictor)
            explored = candidates.random(1, [*done, *population])  # keeps the surrogates honest
            wanted = plan.batch - len(most_accurate) - len(explored)
            promising = _most_promising(population, done, candidates, objective, predictor, wanted)
            archs = list(dict.fromkeys([*most_accurate, *promising, *explored]))
    if not archs:
        proposer, archs = "nsga2", _offspring(candidates, done, objective, plan.batch)
    if not archs:
        proposer, archs = "random", candidates.random(plan.batch, done)
    return _Proposal(archs, proposer, tau)


class _Predictor:
    """F_AR of subnets that were not measured: one surrogate for the clean error and one for each sigma's R."""

    def __init__(self, candidates: Candidates, measured: Sequence[Evaluation], objective: Objective) -> None:
        X = candidates.features([e.arch for e in measured])
        errors, r = clean_errors(measured), objective.terms(measured)
        targets = [errors] if objective.alpha == 1 else [errors, *r.T]
        self._surrogates: list[Surrogate] = [fit_surrogate(X, y, candidates.seed) for y in targets]
        self._candidates, self._alpha, self._norm = candidates, objective.alpha, normalisation(errors, r)
        self.names = ", ".join(dict.fromkeys(s.name for s in self._surrogates))
        held_out = self._split([s.held_out for s in self._surrogates])
        self.tau = kendall_tau(figure_of_merit(*held_out, self._alpha, self._norm), objective.merits(measured))

    def predict(self, archs: Sequence[Arch]) -> tuple[Float64Array, Float64Array]:
        """Predicted clean errors, shape (n,), and R, shape (n, sigmas); R is 0 where alpha is 1."""
        X = self._candidates.features(archs)
        return self._split([s.predict(X) for s in self._surrogates])

    def merits(self, archs: Sequence[Arch]) -> Float64Array:
        """Predicted F_AR, shape (n,)."""
        return figure_of_merit(*self.predict(archs), self._alpha, self._norm)

    @staticmethod
    def _split(predictions: list[Float64Array]) -> tuple[Float64Array, Float64Array]:
        return predictions[0], np.stack(predictions[1:] or [np.zeros_like(predictions[0])], 1)


def _considered(
    candidates: Candidates, done: dict[Arch, Evaluation], objective: Objective, plan: Plan, predictor: _Predictor
) -> tuple[list[Arch], list[Arch]]:
    """What surrogates are asked about: the accurate end, its share of the iteration chosen; and all the others."""
    if not plan.near:
        return [], _evolve(candidates, done, objective, plan, predictor)
    most_accurate = _most_accurate(candidates, done, predictor, plan.batch // 4)
    everything = tuple(done.values())
    front = [everything[i].arch for i in _non_dominated(_axes(everything, objective))]
    return most_accurate, _evolve(candidates, done, objective, plan, predictor) + candidates.near(front, done)


def _evolve(
    candidates: Candidates, done: dict[Arch, Evaluation], objective: Objective, plan: Plan, predictor: _Predictor
) -> list[Arch]:
    """The feasible last population of NSGA-II on the surrogates that is not measured yet, the best front first."""
    space = candidates.space
    start = [*_by_rank(done, objective)[: plan.population // 2]]
    start += candidates.random(plan.population - len(start), start)
    algorithm = nsga2(candidates, start)
    for _ in range(plan.generations):
        asked = algorithm.ask()
        archs = [space.decode(code) for code in asked.get("X")]
        costs = [getattr(candidates.cost(arch), objective.cost) for arch in archs]
        tell(algorithm, asked, np.stack([predictor.merits(archs), np.array(costs, np.float64)], 1), candidates, archs)
    ranked = sorted(algorithm.pop, key=lambda individual: individual.get("rank"))
    archs = [space.decode(individual.get("X")) for individual in ranked]
    return [arch for arch in dict.fromkeys(archs) if arch not in done and candidates.feasible(arch)]


def _most_accurate(candidates: Candidates, done: dict[Arch, Evaluation], predictor: _Predictor, n: int) -> list[Arch]:
    """`n` near the most accurate measured ones, of the least predicted clean error.

    The end of the front that is deployed most often; a hypervolume alone would spread over all costs.
    """
    best = sorted(done.values(), key=lambda e: e.clean_error)[:_MOST_ACCURATE]
    near = candidates.near([e.arch for e in best], done)
    return [near[i] for i in predictor.predict(near)[0].argsort(kind="stable")[:n]] if near else []


def _most_promising(
    population: list[Arch],
    done: dict[Arch, Evaluation],
    candidates: Candidates,
    objective: Objective,
    predictor: _Predictor,
    n: int,
) -> list[Arch]:
    """`n` of the population, one after the other whichever adds most to the predicted hypervolume.

    It is that of (clean error, mean R, cost), as in `hypervolume`: F_AR alone would trade an error that counts for an R
    that hardly does. Up to 1, 1 and a little more than the highest cost; without R where alpha is 1.
    """
    from pymoo.indicators.hv import HV

    if not population:
        return []
    everything = tuple(done.values())
    predicted_errors, predicted_r = predictor.predict(population)
    costs = np.array([float(getattr(candidates.cost(arch), objective.cost)) for arch in population])
    new = np.stack([predicted_errors, np.maximum(predicted_r.mean(1), 0), costs], 1)
    front = _axes(everything, objective)
    limits = np.array([1, 1, 1.1 * max(front[:, 2].max(), costs.max())])
    volume, front, new = HV(ref_point=np.ones(3)), front[_non_dominated(front)] / limits, new / limits
    rest, chosen = list(range(len(population))), list[int]()
    while rest and len(chosen) < n:
        best = max(rest, key=lambda i: float(volume(np.vstack([front, new[i]]))))
        rest.remove(best)
        chosen.append(best)
        front = np.vstack([front, new[best]])
    return [population[i] for i in chosen]


def _offspring(candidates: Candidates, done: dict[Arch, Evaluation], objective: Objective, n: int) -> list[Arch]:
    """Feasible children that NSGA-II breeds from the measured subnets."""
    space, parents = candidates.space, _by_rank(done, objective)[:40]
    if len(parents) < 4:
        return []
    algorithm = nsga2(candidates, parents)
    chosen = [done[arch] for arch in parents]
    merits = dict(zip(done, objective.merits(tuple(done.values())), strict=True))
    F = np.stack([np.array([merits[arch] for arch in parents]), objective.costs(chosen)], 1)
    tell(algorithm, algorithm.ask(), F, candidates, parents)
    found = dict[Arch, None]()
    for _ in range(20):
        for code in algorithm.ask().get("X"):
            arch = space.decode(code)
            if arch not in done and candidates.feasible(arch):
                found[arch] = None
        if len(found) >= n:
            break
    return list(found)[:n]


def _axes(evaluations: Sequence[Evaluation], objective: Objective) -> Float64Array:
    """(Clean error, mean of the other terms, cost) of each evaluation, shape (n, 3); the mean is 0 where alpha is 1."""
    r = objective.terms(evaluations).mean(1) * (objective.alpha < 1)
    return np.stack([clean_errors(evaluations), r, objective.costs(evaluations)], 1)


def _by_rank(done: dict[Arch, Evaluation], objective: Objective) -> list[Arch]:
    """The measured subnets, non-dominated front by front."""
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    everything = tuple(done.values())
    F = np.stack([objective.merits(everything), objective.costs(everything)], 1)
    return [everything[int(i)].arch for front in NonDominatedSorting().do(F) for i in front]


def _non_dominated(F: Float64Array) -> list[int]:
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    return [int(i) for i in NonDominatedSorting().do(F, only_non_dominated_front=True)]


def _stalled(volumes: Sequence[float]) -> bool:
    return len(volumes) > _PATIENCE and volumes[-1] < volumes[-1 - _PATIENCE] * (1 + _GROWTH)
