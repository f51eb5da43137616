"""The figure of merit of FlatNAS, and the choice of one point of a front.

    F_AR(x, alpha, sigma) = alpha * Err(x) + (1 - alpha) * alpha_norm(sigma) * R(x, sigma)
    alpha_norm(sigma) = mean(Err) / mean(R(., sigma)) over every network evaluated so far

arXiv 2402.19102, section III. With several sigmas the second term is their mean. alpha = 1 is plain CNAS. Errors are
fractions, lower is better.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]
Selection = Literal["knee", "accuracy", "robust", "smallest"]


def normalisation(clean_error: Float64Array, r: Float64Array) -> Float64Array:
    """alpha_norm of each sigma, shape (sigmas,), from errors (n,) and R (n, sigmas); 0 for a sigma without effect."""
    mean_r = r.mean(0)
    factors: Float64Array = np.divide(clean_error.mean(), mean_r, out=np.zeros_like(mean_r), where=mean_r > 0)
    return factors


def figure_of_merit(
    clean_error: Float64Array, r: Float64Array, alpha: float, alpha_norm: Float64Array | None = None
) -> Float64Array:
    """F_AR of each network, shape (n,).

    Args:
        clean_error: top-1 errors, shape (n,).
        r: R(x, sigma), shape (n, sigmas).
        alpha: weight of the error, in (0, 1].
        alpha_norm: shape (sigmas,); by default that of these networks.

    Raises:
        ValueError: alpha out of range.
    """
    if not 0 < alpha <= 1:
        raise ValueError(f"alpha must be in (0, 1], not {alpha}")
    if alpha_norm is None:
        alpha_norm = normalisation(clean_error, r)
    merit: Float64Array = alpha * clean_error + (1 - alpha) * (r * alpha_norm).mean(1)
    return merit


def knee(F: Float64Array) -> int:
    """Index of the high-trade-off point: the farthest below the line between the ends of a two-objective front.

    Args:
        F: objective values of one non-dominated front, shape (n, 2).
    """
    span = np.ptp(F, axis=0)
    scaled = (F - F.min(0)) / np.where(span > 0, span, 1)
    return int(scaled.sum(1).argmin())


def select(clean_error: Float64Array, cost: Float64Array, merit: Float64Array, how: Selection, images: int) -> int:
    """Index of the network to deploy among feasible ones: those of one front for `knee`, else any.

    `robust` takes the lowest F_AR, `smallest` the lowest cost, `knee` the high-trade-off point between F_AR and cost;
    `accuracy` the lowest clean error, where those within one standard error of it, which so many images can't tell
    apart, are ranked by F_AR. Ties go to the lower cost.

    Args:
        clean_error: shape (n,).
        cost: shape (n,).
        merit: F_AR, shape (n,).
        images: behind each clean error.

    Raises:
        ValueError: no such way to select.
    """
    if how not in get_args(Selection):
        raise ValueError(f"unknown selection '{how}'; choose one of {', '.join(get_args(Selection))}")
    if how == "knee":
        return knee(np.stack([merit, cost], 1))
    least = clean_error.min()
    tied = clean_error <= least + np.sqrt(least * (1 - least) / images)
    key = {"accuracy": np.where(tied, merit, np.inf), "robust": merit, "smallest": cost}[how]
    return int(np.lexsort((cost, key))[0])
