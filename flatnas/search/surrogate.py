"""Predictors of what a subnet would measure, from its genes and its costs; chosen by cross-validation each time.

Adaptive switching as in FlatNAS and CNAS: whichever regressor ranks held-out subnets best, by Kendall's tau, predicts.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]
FOLDS = 5  # of the cross-validation


class Regressor(Protocol):
    """The two methods of a scikit-learn regressor that are used here."""

    def fit(self, X: Float64Array, y: Float64Array) -> Any:
        """Learn from features (n, d) and targets (n,)."""

    def predict(self, X: Float64Array) -> Float64Array:
        """Predictions (n,) for features (n, d)."""


@dataclass(frozen=True, slots=True)
class Surrogate:
    """A fitted predictor.

    Attributes:
        name: of the regressor.
        tau: Kendall's rank correlation of held-out predictions with what was measured; 0 when it is undefined.
        held_out: the held-out predictions, shape (n,).
        predict: features (m, d) to predictions (m,).
    """

    name: str
    tau: float
    held_out: Float64Array
    predict: Callable[[Float64Array], Float64Array]


def fit_surrogate(X: Float64Array, y: Float64Array, seed: int) -> Surrogate:
    """The regressor with the best cross-validated Kendall tau, fitted to everything.

    Args:
        X: features, shape (n, d), n at least `FOLDS`.
        y: targets, shape (n,).
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # a hundred rows: threads would only wait for each other
        return _best(X, y, seed)


def _best(X: Float64Array, y: Float64Array, seed: int) -> Surrogate:
    parts = np.random.default_rng([seed, 6]).permutation(len(y)) % FOLDS
    best: tuple[float, str, Float64Array] | None = None
    for name, make in _REGRESSORS.items():
        held_out = np.empty(len(y))
        for part in range(FOLDS):
            inside, outside = parts != part, parts == part
            held_out[outside] = _fitted(make(seed), X[inside], y[inside]).predict(X[outside])
        tau = kendall_tau(held_out, y)
        if best is None or tau > best[0]:
            best = (tau, name, held_out)
    assert best is not None
    tau, name, held_out = best
    return Surrogate(name, tau, held_out, _fitted(_REGRESSORS[name](seed), X, y).predict)


def kendall_tau(a: Sequence[float] | Float64Array, b: Sequence[float] | Float64Array) -> float:
    """Kendall's tau-b, 0 where one side is constant."""
    from scipy.stats import kendalltau

    tau = float(kendalltau(a, b).statistic)
    return tau if np.isfinite(tau) else 0.0


def _fitted(regressor: Regressor, X: Float64Array, y: Float64Array) -> Regressor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bounds of kernel parameters and iteration limits; tau judges the result
        regressor.fit(X, y)
    return regressor


def _gaussian_process(seed: int) -> Regressor:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    kernel = ConstantKernel() * Matern(length_scale=3.0, nu=2.5) + WhiteKernel(0.1)
    return _scaled(GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed))


def _forest(seed: int) -> Regressor:
    from sklearn.ensemble import ExtraTreesRegressor

    regressor: Regressor = ExtraTreesRegressor(50, random_state=seed)
    return regressor


def _radial_basis(seed: int) -> Regressor:
    from sklearn.kernel_ridge import KernelRidge

    return _scaled(KernelRidge(alpha=0.1, kernel="rbf", gamma=0.02))


def _linear(seed: int) -> Regressor:
    from sklearn.linear_model import RidgeCV

    return _scaled(RidgeCV(np.logspace(-2, 3, 11)))


def _perceptron(seed: int) -> Regressor:
    from sklearn.neural_network import MLPRegressor

    return _scaled(MLPRegressor(hidden_layer_sizes=(64,), solver="lbfgs", alpha=1.0, max_iter=100, random_state=seed))


def _scaled(regressor: Any) -> Regressor:
    """Standardised features and targets around a regressor that needs them."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scaled: Regressor = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), regressor), transformer=StandardScaler()
    )
    return scaled


_REGRESSORS: dict[str, Callable[[int], Regressor]] = {
    "gaussian process": _gaussian_process,
    "tree ensemble": _forest,
    "radial basis functions": _radial_basis,
    "linear": _linear,
    "multilayer perceptron": _perceptron,
}
