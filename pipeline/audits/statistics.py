"""Numbers that stand up: errors, mCE and its relatives, calibration, and two models compared on the same pictures.

mCE is the unnormalised mean error over the 15 standard corruptions at 5 severities (Hendrycks & Dietterich 2019, arXiv
1903.12261), null where not all 15 ran; `mean_error` covers the corruptions that did. Intervals are percentile
bootstraps by clean image: all variants of one are one cluster.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flatnas.corruptions import SEVERITIES, STANDARD_15
from pipeline.audits.images import Ints
from pipeline.audits.predictions import Predictions
from pipeline.audits.result import Delta, McNemar

Float64Array = npt.NDArray[np.float64]
_RESAMPLES = 2000
_BINS = 15


def error_rates(predictions: Predictions, labels: Ints) -> Float64Array:
    """Error of each row of `predictions`, shape (1 + 5 * corruptions,)."""
    rates: Float64Array = (predictions.classes != labels).mean(1)
    return rates


def by_corruption(rates: Float64Array, corruptions: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """The five error rates of each corruption, from `error_rates`."""
    table = rates[1:].reshape(len(corruptions), len(SEVERITIES))
    return {name: tuple(float(rate) for rate in row) for name, row in zip(corruptions, table, strict=True)}


def mean_error(rates: Float64Array) -> float:
    """Mean error over every corruption and severity that ran."""
    return float(rates[1:].mean())


def mce(rates: Float64Array, corruptions: Sequence[str]) -> float | None:
    """Mean error over the 15 standard corruptions, or None where one of them did not run."""
    if not set(STANDARD_15) <= set(corruptions):
        return None
    return float(rates[counted_rows(corruptions)].mean())


def counted_rows(corruptions: Sequence[str]) -> Ints:
    """The rows behind mCE; where not all 15 ran, those behind `mean_error`."""
    counted = STANDARD_15 if set(STANDARD_15) <= set(corruptions) else corruptions
    first = np.array([1 + len(SEVERITIES) * i for i, name in enumerate(corruptions) if name in counted])
    return (first[:, None] + np.arange(len(SEVERITIES))).ravel()


def normalised_mce(rates: Float64Array, baseline: Float64Array, corruptions: Sequence[str]) -> float | None:
    """mCE as the paper defines it (equation 1): each corruption's error as a multiple of the baseline's, then the mean.

    None where not all 15 ran, or the baseline makes no error under one of them.
    """
    return _mean_ratio(rates, baseline, corruptions)


def relative_mce(rates: Float64Array, baseline: Float64Array, corruptions: Sequence[str]) -> float | None:
    """Relative mCE (equation 2): as `normalised_mce`, of what each corruption adds to the clean error.

    None where not all 15 ran, or a corruption adds nothing to the baseline's error.
    """
    return _mean_ratio(rates - rates[0], baseline - baseline[0], corruptions)


def _mean_ratio(ours: Float64Array, theirs: Float64Array, corruptions: Sequence[str]) -> float | None:
    if not set(STANDARD_15) <= set(corruptions):
        return None
    numerators, denominators = (by_corruption(rates, corruptions) for rates in (ours, theirs))
    sums = [(sum(numerators[name]), sum(denominators[name])) for name in STANDARD_15]
    if any(below <= 0 for _, below in sums):
        return None
    return float(np.mean([above / below for above, below in sums]))


def mean_error_interval(predictions: Predictions, labels: Ints, corruptions: Sequence[str], seed: int) -> Interval:
    """95 % interval of mCE, or of the mean error where not all 15 ran."""
    wrong = predictions.classes[counted_rows(corruptions)] != labels
    return _bootstrap(wrong.mean(0), seed)


Interval = tuple[float, float]


def _bootstrap(per_image: Float64Array, seed: int) -> Interval:
    rng = np.random.default_rng([seed, 5])
    n = len(per_image)
    means = [per_image[rng.integers(0, n, n)].mean() for _ in range(_RESAMPLES)]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def paired_delta(
    model: Predictions, baseline: Predictions, labels: Ints, corruptions: Sequence[str], seed: int = 0
) -> Delta:
    """mCE of the model minus the baseline's on the same images (mean error where not all 15 ran); positive is worse."""
    rows = counted_rows(corruptions)
    wrong = (model.classes[rows] != labels).astype(np.float64) - (baseline.classes[rows] != labels)
    per_image = wrong.mean(0)
    return Delta(mean=float(per_image.mean()), ci95=_bootstrap(per_image, seed))


def falls_below(rates: Float64Array, corruptions: Sequence[str], accuracy: float) -> dict[str, int | None]:
    """The least severity of each corruption at which accuracy is under a threshold; None where it never is."""
    table = by_corruption(rates, corruptions)
    return {
        name: next((s for s, error in zip(SEVERITIES, row, strict=True) if 1 - error < accuracy), None)
        for name, row in table.items()
    }


def expected_calibration_error(correct: npt.NDArray[np.bool_], confidence: npt.NDArray[np.float32]) -> float:
    """ECE in 15 bins of equal width (Guo et al., ICML 2017, arXiv 1706.04599, equation 3).

    Args:
        correct: whether each answer was right, shape (n,).
        confidence: the probability given to it, same shape.
    """
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bins, correct.astype(np.float64) - confidence, _BINS)
    return float(np.abs(gaps).sum() / len(correct))


def calibration(predictions: Predictions, labels: Ints) -> Float64Array:
    """ECE of each row of `predictions`."""
    correct = predictions.classes == labels
    rows = zip(correct, predictions.confidence, strict=True)
    return np.array([expected_calibration_error(*row) for row in rows])


def mcnemar(model: Predictions, baseline: Predictions, labels: Ints) -> list[McNemar]:
    """The exact test (McNemar 1947, binomial) of each row but the clean one, with Holm's correction (1979)."""
    from scipy.stats import binomtest

    right, was_right = model.classes[1:] == labels, baseline.classes[1:] == labels
    lost, gained = (was_right & ~right).sum(1), (right & ~was_right).sum(1)
    p = np.array([binomtest(int(a), int(a + b)).pvalue if a + b else 1.0 for a, b in zip(lost, gained, strict=True)])
    corrected = holm(p)
    rows = zip(lost, gained, p, corrected, strict=True)
    return [McNemar(int(a), int(b), float(p_value), float(q)) for a, b, p_value, q in rows]


def holm(p: Float64Array) -> Float64Array:
    """Holm's step-down correction: the k-th smallest of m values times (m - k), never less than a smaller one's."""
    order = np.argsort(p, kind="stable")
    steps = np.minimum(np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))), 1.0)
    corrected = np.empty_like(p)
    corrected[order] = steps
    return corrected


def flips(model: Predictions, baseline: Predictions, labels: Ints) -> tuple[Ints, Ints]:
    """How often each image was lost and gained over all rows, clean included: two arrays of shape (images,).

    Lost: the baseline gets it right and the model wrong; gained: the other way round.
    """
    right, was_right = model.classes == labels, baseline.classes == labels
    return (was_right & ~right).sum(0), (right & ~was_right).sum(0)
