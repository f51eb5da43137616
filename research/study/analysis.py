"""What a population of subnets shows: rank correlations over subnets, every one with a bootstrap interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from flatnas.search.objective import figure_of_merit
from research.study.records import Correlation, Difference, Member, Outcome, Prediction, Training, TrainingConclusions

Float64Array = npt.NDArray[np.float64]

_TRIVIAL = ("clean error", "MACs")  # what any search knows
_ALPHAS = (0.1, 0.5, 0.9)  # of F_AR; 1 is the clean error alone
_DRAWS = 2000


def conclusions(members: Sequence[Member], training: Training, seed: int = 0) -> TrainingConclusions:
    """What the subnets of one way of training show."""
    before, after = [m.before for m in members], [m.after[training] for m in members]
    known = predictors(members)
    trivial = [known[name] for name in _TRIVIAL]
    mce = _column(after, lambda o: o.mce["int8"])
    added = mce - _column(after, lambda o: o.mce["float"])

    def predictions(outcome: Float64Array) -> tuple[Prediction, ...]:
        found = []
        for name, values in known.items():
            alone = correlation(spearman, [values, outcome], seed)
            beyond = None if name in _TRIVIAL else correlation(partial, [values, outcome, *trivial], seed)
            found.append(Prediction(predictor=name, alone=alone, beyond=beyond))
        return tuple(found)

    tau = None
    if training != "inherited":
        pair = [np.array([b.clean_error for b in before]), _column(after, lambda o: o.validation_error["float"])]
        tau = correlation(kendall, pair, seed)
    hardest = {c: float(np.mean([o.per_corruption[c]["int8"] for o in after])) for c in after[0].per_corruption}
    return TrainingConclusions(
        of_mce=predictions(mce),
        of_loss=predictions(added),
        inherited_tau=tau,
        hardest=dict(sorted(hardest.items(), key=lambda item: -item[1])),
    )


def predictors(members: Sequence[Member]) -> dict[str, Float64Array]:
    """What is known of each subnet before it is trained and quantized, by name, each of shape (subnets,)."""
    before = [m.before for m in members]
    known = {
        "clean error": np.array([b.clean_error for b in before]),
        "MACs": np.array([float(b.footprint.macs) for b in before]),
        "parameters": np.array([float(b.footprint.params) for b in before]),
    }
    for flatness in before[0].measured.flatness:
        values = [next(f.r for f in b.measured.flatness if f.perturbation == flatness.perturbation) for b in before]
        known[f"R, {flatness.perturbation}"] = np.array(values)
    for name in [name for name in known if name.startswith("R, gaussian")]:
        for alpha in _ALPHAS:
            merits = figure_of_merit(known["clean error"], known[name][:, None], alpha)
            known[f"F_AR, alpha {alpha:g}, {name.removeprefix('R, ')}"] = merits
    archs = [b.arch for b in before]
    known["resolution"] = np.array([float(a.resolution) for a in archs])
    known["depth"] = np.array([float(sum(len(s.blocks) for s in a.stages)) for a in archs])
    known["mean kernel"] = np.array([np.mean([b.kernel for s in a.stages for b in s.blocks]) for a in archs])
    known["mean expansion"] = np.array([np.mean([b.expand for s in a.stages for b in s.blocks]) for a in archs])
    known["squeeze-excite stages"] = np.array([float(sum(s.squeeze_excite for s in a.stages)) for a in archs])
    return known


def sam_against_sgd(members: Sequence[Member], seed: int = 0) -> tuple[Difference, ...]:
    """SAM minus SGD on the same subnets."""
    pairs = [(m.after["sam"], m.after["sgd"]) for m in members if {"sam", "sgd"} <= m.after.keys()]
    measures: dict[str, Callable[[Outcome], float]] = {
        "int8 clean error": lambda o: o.test_error["int8"],
        "int8 mCE": lambda o: o.mce["int8"],
        "mCE that int8 adds": lambda o: o.mce["int8"] - o.mce["float"],
    }
    if not pairs:
        return ()
    found = []
    for what, measure in measures.items():
        differences = np.array([measure(sam) - measure(sgd) for sam, sgd in pairs])
        means = differences[_resamples(len(pairs), seed)].mean(1)
        low, high = np.quantile(means, (0.025, 0.975))
        found.append(Difference(what=what, mean=float(differences.mean()), ci95=(float(low), float(high))))
    return tuple(found)


def correlation(statistic: Callable[..., Float64Array], columns: Sequence[Float64Array], seed: int) -> Correlation:
    """A statistic of columns of the same subnets, and its percentile interval over resampled subnets.

    Args:
        statistic: takes the columns, each of shape (..., subnets), and works along the last axis.
    """
    rows = _resamples(len(columns[0]), seed)
    low, high = np.quantile(statistic(*(column[rows] for column in columns)), (0.025, 0.975))
    return Correlation(rho=float(statistic(*columns)), ci95=(float(low), float(high)))


def spearman(x: Float64Array, y: Float64Array) -> Float64Array:
    """Spearman's rank correlation along the last axis, 0 where one side is constant."""
    return _cosine(_centred_ranks(x), _centred_ranks(y))


def partial(x: Float64Array, y: Float64Array, *given: Float64Array) -> Float64Array:
    """Spearman's partial correlation along the last axis: of the ranks, less their projection on the given ones'."""
    columns = np.stack([_centred_ranks(column) for column in given], -1)
    inverse = np.linalg.pinv(columns, rcond=1e-9)  # given columns may rank alike: those of a resample of few subnets do

    def rest(ranks: Float64Array) -> Float64Array:
        explained: Float64Array = (columns @ (inverse @ ranks[..., None]))[..., 0]
        return ranks - explained

    return _cosine(rest(_centred_ranks(x)), rest(_centred_ranks(y)))


def kendall(x: Float64Array, y: Float64Array) -> Float64Array:
    """Kendall's tau-b along the last axis, 0 where one side is constant."""

    def signs(values: Float64Array) -> Float64Array:
        pairs: Float64Array = np.sign(values[..., :, None] - values[..., None, :])
        return pairs.reshape(*values.shape[:-1], -1)

    return _cosine(signs(x), signs(y))


def _cosine(a: Float64Array, b: Float64Array) -> Float64Array:
    scale = np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    cosine: Float64Array = np.divide((a * b).sum(-1), scale, out=np.zeros(scale.shape), where=scale > 1e-9)
    return cosine


def _centred_ranks(values: Float64Array) -> Float64Array:
    from scipy.stats import rankdata

    ranks = rankdata(values, axis=-1)
    centred: Float64Array = ranks - ranks.mean(-1, keepdims=True)
    return centred


def _resamples(n: int, seed: int) -> npt.NDArray[np.int64]:
    """Rows drawn with replacement, shape (draws, n)."""
    return np.random.default_rng([seed, 7]).integers(0, n, (_DRAWS, n))


def _column(outcomes: Sequence[Outcome], of: Callable[[Outcome], float]) -> Float64Array:
    return np.array([of(outcome) for outcome in outcomes])
