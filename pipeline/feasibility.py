"""What can meet a target's budgets, and which sizes of input are worth a search; asked before anything is trained."""

from __future__ import annotations

import math
from dataclasses import replace

from flatnas.data.registry import NAMES
from flatnas.space.arch import SearchSpace
from flatnas.space.lowering import lower
from hardware_profiles.footprint import excess, footprint, needs
from hardware_profiles.profile import HardwareProfile
from pipeline.config import InputsName
from pipeline.errors import InfeasibleBudgetError

_ENOUGH_PIXELS = 64  # at 40 pixels a scratch one pixel wide is gone: 77.6 % right, and 89.9 % at 64 (docs/results)


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


def own_pictures(dataset: str) -> bool:
    """Whether a data set is the user's own, of which nothing is known beforehand."""
    return dataset not in NAMES


def searched_space(space: SearchSpace, inputs: InputsName, own: bool, profile: HardwareProfile) -> SearchSpace:
    """The space with the input sizes that are searched; those that no subnet fits at are left out.

    Inherited weights favour the sizes that the supernet was trained at, where small things may be gone: so of own
    pictures only the sizes that keep them are searched, unless none of those fits.

    Args:
        own: whether the pictures are the user's own.
    """
    if inputs == "all" or (inputs == "auto" and not own):
        return space
    least = space.resolutions[-1] if inputs == "whole" else min(_ENOUGH_PIXELS, space.resolutions[-1])

    def fits(side: int) -> bool:
        cost = footprint(lower(space, replace(space.smallest, resolution=side)), profile)
        return max(excess(cost, profile.budget).values()) <= 0

    fitting = [side for side in space.resolutions if fits(side)]
    kept = [side for side in fitting if side >= least] or fitting[-1:]
    return replace(space, resolutions=tuple(kept)) if kept else space
