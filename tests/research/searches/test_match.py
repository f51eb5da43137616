from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pymoo")

from flatnas.search.measured import Flatness, Measured
from flatnas.search.search import Objective, Plan
from flatnas.space.arch import Arch
from flatnas.space.lowering import lower
from flatnas.space.spaces import mcu_space
from hardware_profiles.footprint import excess, footprint
from hardware_profiles.profile import load_profile
from research.searches.match import match

SPACE, PROFILE = mcu_space(10), load_profile("cortex-m7")


def test_both_sides_get_what_they_are_due_and_only_feasible_subnets() -> None:
    asked: list[Arch] = []

    def evaluate(arch: Arch) -> Measured:
        asked.append(arch)
        error = float(0.5 - 0.3 * np.mean(SPACE.encode(arch)) / 4)
        return Measured(arch, error, (Flatness("gaussian-0.05", error / 10, 0.0, 1.0),))

    plan = Plan(initial=6, batch=3, evaluations=12, most=12, population=12, generations=3)
    objective = Objective(0.5, (0.05,))
    first, second = (match(SPACE, PROFILE, evaluate, objective, plan=plan, times=3, seed=s) for s in (0, 1))
    assert (first.searched, first.random) == (12, 36)
    searched, random, others = asked[:12], asked[12:48], asked[60:96]
    assert len(set(random)) == 36
    assert len(set(searched) & set(random)) < 6  # draws of its own, not the search's first subnets again
    assert set(others) != set(random)  # another seed draws others
    assert all(max(excess(footprint(lower(SPACE, a), PROFILE), PROFILE.budget).values()) <= 0 for a in asked)
    assert 0 < first.equal_hypervolume <= first.random_hypervolume < 1
    assert second.seed == 1


def test_random_search_stays_random_where_few_subnets_fit() -> None:
    smallest = footprint(lower(SPACE, SPACE.smallest), PROFILE).macs
    tight = load_profile("cortex-m7", {"budget.macs": str(int(1.02 * smallest))})
    asked: list[Arch] = []

    def evaluate(arch: Arch) -> Measured:
        asked.append(arch)
        return Measured(arch, 0.4, (Flatness("gaussian-0.05", 0.1 + 1e-3 * len(asked), 0.0, 1.0),))

    plan = Plan(initial=40, batch=1, evaluations=60, most=60, population=12, generations=3)
    found = match(SPACE, tight, evaluate, Objective(0.5, (0.05,)), plan=plan, times=4, seed=0)
    assert found.random < 4 * found.searched  # no more were found by drawing, and none was searched for
    assert asked[: found.searched][0] == SPACE.smallest
    assert found.equal_hypervolume <= found.random_hypervolume
