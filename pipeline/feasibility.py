"""Can any subnet meet a target's budgets? Asked before anything is trained."""

from __future__ import annotations

import math

from flatnas.space.arch import SearchSpace
from flatnas.space.lowering import lower
from hardware_profiles.footprint import excess, footprint, needs
from hardware_profiles.profile import HardwareProfile
from pipeline.errors import InfeasibleBudgetError


def check_feasible(space: SearchSpace, profile: HardwareProfile) -> None:
    """The smallest subnet needs the least of every resource: where it does not fit, none does.

    Raises:
        InfeasibleBudgetError: names the tightest resource, and the least that the space needs of it.
    """
    least = footprint(lower(space, space.smallest), profile)
    over = excess(least, profile.budget)
    tightest = max(over, key=lambda resource: over[resource])
    if over[tightest] > 0:
        enough = math.ceil(1000 * needs(least)[tightest]) / 1000  # what is told is enough when it is typed
        raise InfeasibleBudgetError(
            f"no subnet meets the budgets of '{profile.name}': {tightest} is the tightest, "
            f"{getattr(profile.budget, tightest):,.10g} allowed, "
            f"and the smallest subnet of the space needs {enough:,.10g}; allow more with "
            f"--set budget.{tightest}=…, or choose a larger target ('pipeline targets' lists them)"
        )


def binding(space: SearchSpace, profile: HardwareProfile) -> bool:
    """Whether some budget excludes a subnet of the space: the largest needs the most of every resource."""
    return max(excess(footprint(lower(space, space.largest), profile), profile.budget).values()) > 0
