"""The subnets of a search that are trained for a while before one of them is chosen.

A supernet's weights do best in the middle of what they were trained for: they rank subnets of one resolution, and
mislead between resolutions. Over CIFAR-10 the released supernet's best subnet at 24 pixels errs on 17.6 % of validation
images and the one at 32 on 21.4 %; after four epochs of training it is 14.5 and 14.1 %. So the best of each resolution
is trained, and what that gives decides (successive halving with one round, Jamieson and Talwalkar 2016,
arXiv 1502.07943).
"""

from __future__ import annotations

from collections.abc import Sequence

from flatnas.search.measured import Evaluation

_WORST = 1.5  # a resolution whose least error is so many times the least of all is not worth a training


def finalists(evaluations: Sequence[Evaluation]) -> tuple[Evaluation, ...]:
    """The subnet of least clean error at each resolution, the most accurate first; no resolution that is far behind."""
    best: dict[int, Evaluation] = {}
    for evaluation in sorted(evaluations, key=lambda e: (e.clean_error, e.footprint.macs)):
        best.setdefault(evaluation.arch.resolution, evaluation)
    chosen = list(best.values())
    return tuple(e for e in chosen if e.clean_error <= _WORST * chosen[0].clean_error)


def select_finalist(chosen: Sequence[Evaluation], errors: Sequence[float]) -> Evaluation:
    """The finalist of least error after training, of equal ones the one of fewer MACs.

    R has no say: it was measured with weights that none of them has any more.

    Args:
        errors: of the finalists after training, in [0, 1].
    """
    _, _, best = min((error, e.footprint.macs, i) for i, (error, e) in enumerate(zip(errors, chosen, strict=True)))
    return chosen[best]
