"""Subnets before they are measured: what they cost, whether they are feasible, how a surrogate sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache

import numpy as np

from flatnas.search.objective import Float64Array
from flatnas.space.arch import Arch, SearchSpace
from hardware_profiles.footprint import Footprint

Cost = Callable[[Arch], Footprint]
Constraints = Callable[[Footprint], Sequence[float]]  # one number per resource; feasible where all are <= 0

_TRIES = 20  # random subnets drawn for each that is asked for
_NEAR, _NEAR_GENES = 300, 4  # subnets near the measured ones that surrogates are asked about; genes they differ in


class Candidates:
    """The subnets of one space under the budgets of one target.

    Args:
        cost: footprint of a subnet, analytic.
        constraints: excess of a footprint over each budget.
        seed: of what is drawn.
    """

    def __init__(self, space: SearchSpace, cost: Cost, constraints: Constraints, seed: int) -> None:
        self.space, self.seed = space, seed
        self.rng = np.random.default_rng([seed, 3])
        self.cost = cache(cost)
        self.constraints = cache(lambda arch: tuple(constraints(self.cost(arch))))
        self._choices = np.array([len(gene) for gene in space.genes])

    def feasible(self, arch: Arch) -> bool:
        """Whether it meets every budget."""
        return max(self.constraints(arch)) <= 0

    def random(self, n: int, known: Iterable[Arch]) -> list[Arch]:
        """Up to `n` random feasible subnets that are not known; the smallest one first unless it is.

        An infeasible one is fitted to the budgets, so that tight ones are filled, too.
        """
        known, found = set(known), dict[Arch, None]()
        if self.space.smallest not in known and self.feasible(self.space.smallest):
            found[self.space.smallest] = None
        for _ in range(_TRIES * n):  # a tight budget may leave fewer subnets than asked for
            if len(found) >= n:
                break
            arch = self.space.sample_by_size(self.rng)
            if not self.feasible(arch):
                arch = self._fitted(arch)
            if arch not in known and self.feasible(arch):
                found[arch] = None
        return list(found)

    def _fitted(self, arch: Arch) -> Arch:
        """Cut random genes back, step by step, until the subnet fits; then let some grow as far as they can.

        Cutting alone would end far inside the budgets: one that binds, SRAM mostly, hangs on few genes.
        """
        genes = self.space.encode(arch)
        while not self.feasible(arch) and genes.any():
            genes[self.rng.choice(np.flatnonzero(genes))] -= 1
            arch = self.space.decode(genes)
            genes = self.space.encode(arch)
        for i in self.rng.permutation(len(genes))[: self.rng.integers(len(genes) + 1)]:
            for value in range(len(self.space.genes[i]) - 1, genes[i], -1):
                larger = genes.copy()
                larger[i] = value
                if self.feasible(self.space.decode(larger)):
                    arch = self.space.decode(larger)
                    genes = self.space.encode(arch)
                    break
        return arch

    def near(self, parents: Sequence[Arch], known: Iterable[Arch]) -> list[Arch]:
        """Feasible subnets that are not known and differ from one of `parents` in a few genes."""
        known, found = set(known), dict[Arch, None]()
        for _ in range(_TRIES * _NEAR):
            if len(found) >= _NEAR:
                break
            genes = self.space.encode(parents[int(self.rng.integers(len(parents)))])
            changed = self.rng.choice(len(genes), self.rng.integers(1, _NEAR_GENES + 1), replace=False)
            genes[changed] = self.rng.integers(self._choices[changed])
            arch = self.space.decode(genes)
            if arch not in known and self.feasible(arch):
                found[arch] = None
        return list(found)

    def features(self, archs: Sequence[Arch]) -> Float64Array:
        """Genes in [0, 1], logarithms of costs, and the resolution one-hot, shape (n, genes + 3 + resolutions).

        The error is no monotone function of the resolution: what counts is also what striding leaves of it.
        """
        genes = np.stack([self.space.encode(arch) for arch in archs]) / np.maximum(self._choices - 1, 1)
        costs = [(c.macs, c.params, c.sram_bytes) for c in map(self.cost, archs)]
        resolutions = [[arch.resolution == side for side in self.space.resolutions] for arch in archs]
        return np.hstack([genes, np.log(costs), resolutions])
