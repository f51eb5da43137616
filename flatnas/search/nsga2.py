"""NSGA-II of pymoo on genotypes, asked and told: every gene value is reachable, budgets are constraints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from flatnas.search.candidates import Candidates
from flatnas.search.objective import Float64Array
from flatnas.space.arch import Arch

Codes = npt.NDArray[np.int64]


def tell(algorithm: Any, asked: Any, F: Float64Array, candidates: Candidates, archs: Sequence[Arch]) -> None:
    """Tell the algorithm the objectives F, shape (n, 2), of the subnets it asked for; constraints are the budgets'."""
    asked.set("F", F)
    asked.set("G", np.array([candidates.constraints(arch) for arch in archs]))
    for individual in asked:
        individual.evaluated.update(("F", "G"))
    algorithm.tell(infills=asked)


def nsga2(candidates: Candidates, initial: Sequence[Arch]) -> Any:
    """NSGA-II, ready to be asked first for these subnets."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.mutation import Mutation
    from pymoo.core.problem import Problem
    from pymoo.core.repair import Repair
    from pymoo.core.termination import NoTermination
    from pymoo.operators.crossover.pntx import TwoPointCrossover

    space = candidates.space
    sizes = np.array([len(gene) for gene in space.genes])

    class ResetMutation(Mutation):  # type: ignore[misc]
        """Each gene, with probability 1 / n, takes any of its values: every one is reachable in one step."""

        def _do(self, problem: Any, X: Codes, *args: Any, random_state: Any = None, **kwargs: Any) -> Codes:
            hit = random_state.random(X.shape) < 1 / X.shape[1]
            return np.where(hit, random_state.integers(0, sizes, X.shape), X)

    class Canonical(Repair):  # type: ignore[misc]
        """Zero the genes of blocks that depth cuts off, so that equal subnets are equal genotypes."""

        def _do(self, problem: Any, X: Codes, **kwargs: Any) -> Codes:
            return np.stack([space.encode(space.decode(code)) for code in X])

    constraints = len(candidates.constraints(space.smallest))
    problem = Problem(n_var=len(sizes), n_obj=2, n_ieq_constr=constraints, xl=0, xu=sizes - 1, vtype=int)
    algorithm = NSGA2(
        pop_size=len(initial),
        sampling=np.stack([space.encode(arch) for arch in initial]),
        crossover=TwoPointCrossover(prob=0.9),
        mutation=ResetMutation(),
        repair=Canonical(),
        eliminate_duplicates=True,
    )
    algorithm.setup(problem, termination=NoTermination(), seed=int(candidates.rng.integers(2**31)), verbose=False)
    return algorithm
