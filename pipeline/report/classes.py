"""What page, card and terminal show of a classifier's classes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from pipeline.audits.result import Classifier, ClassScore
from pipeline.report.quantities import percent

MATRIX_CLASSES = 20  # a confusion matrix of more is no longer read
_CONFUSIONS = 10


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class as text; a rate of nothing is a dash.

    Attributes:
        recall: with its 95 % interval.
        precision: with its 95 % interval.
        worst: the corruption under which it is recognised least, and how often.
    """

    name: str
    images: int
    recall: str
    precision: str
    f1: str
    worst: str


@dataclass(frozen=True, slots=True)
class Confusion:
    """Images of one class that were taken for another."""

    true: str
    answer: str
    images: int
    share: str


def class_rows(classifier: Classifier) -> list[ClassRow]:
    """One row for each class, in the order of the outputs."""
    return [
        ClassRow(
            c.name,
            c.images,
            _with_interval(c.recall, c.recall_ci95),
            _with_interval(c.precision, c.precision_ci95),
            "–" if c.f1 is None else percent(c.f1),
            _worst(c),
        )
        for c in classifier.classes
    ]


def confusions(classifier: Classifier) -> list[Confusion]:
    """The confusions that happened most, at most 10."""
    n = len(classifier.classes)
    pairs = [(classifier.confusion[i][j], i, j) for i, j in product(range(n), repeat=2) if i != j]
    most = [pair for pair in sorted(pairs, key=lambda pair: (-pair[0], *pair[1:])) if pair[0]][:_CONFUSIONS]
    classes = classifier.classes
    return [Confusion(classes[i].name, classes[j].name, k, percent(k / classes[i].images)) for k, i, j in most]


def _worst(score: ClassScore) -> str:
    if not score.recall_under:
        return "–"
    under = min(score.recall_under, key=score.recall_under.__getitem__)
    return f"{percent(score.recall_under[under])} under {under.replace('_', ' ')}"


def _with_interval(rate: float | None, ci95: tuple[float, float] | None) -> str:
    if rate is None or ci95 is None:
        return "–"
    return f"{percent(rate)} ({percent(ci95[0]).removesuffix(' %')} to {percent(ci95[1]).removesuffix(' %')})"
