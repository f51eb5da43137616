"""The figure of merit of FlatNAS, and the choice of one point of a front.

    F_AR(x, alpha, sigma) = alpha * Err(x) + alpha_norm * (1 - alpha) * R(x, sigma)
    alpha_norm = mean(Err) / mean(R) over every network evaluated so far

arXiv 2402.19102, section III. alpha = 1 is plain CNAS. Errors are fractions, lower is better.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Selection = Literal["knee", "accuracy", "robust", "smallest"]


def figure_of_merit(clean_error: Floats, r: Floats, alpha: float) -> Floats:
    """F_AR of each network, shape (n,); all of them together give alpha_norm.

    Args:
        clean_error: top-1 errors, shape (n,).
        r: R(x, sigma), shape (n,).
        alpha: weight of the error, in (0, 1].
    """
    if not 0 < alpha <= 1:
        raise ValueError(f"alpha must be in (0, 1], not {alpha}")
    mean_r = r.mean()
    alpha_norm = clean_error.mean() / mean_r if mean_r > 0 else 0.0
    merit: Floats = alpha * clean_error + alpha_norm * (1 - alpha) * r
    return merit


def knee(F: Floats) -> int:
    """Index of the high-trade-off point: the farthest below the line between the ends of a two-objective front.

    Args:
        F: objective values of one non-dominated front, shape (n, 2).
    """
    span = np.ptp(F, axis=0)
    scaled = (F - F.min(0)) / np.where(span > 0, span, 1)
    return int(scaled.sum(1).argmin())


def select(clean_error: Floats, r: Floats, macs: Floats, merit: Floats, how: Selection) -> int:
    """Index of the network to deploy among the points of one feasible front.

    `accuracy` takes the lowest clean error, `robust` the lowest F_AR, `smallest` the fewest MACs, `knee` the
    high-trade-off point between F_AR and MACs. Ties go to the fewer MACs.
    """
    if how not in get_args(Selection):
        raise ValueError(f"unknown selection '{how}'; choose one of {', '.join(get_args(Selection))}")
    if how == "knee":
        return knee(np.stack([merit, macs], 1))
    key = {"accuracy": clean_error, "robust": merit, "smallest": macs}[how]
    return int(np.lexsort((macs, key))[0])
