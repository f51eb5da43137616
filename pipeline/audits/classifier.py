"""What a classifier does class by class: confusions, precision and recall, clean and under each corruption.

Balanced accuracy is the mean of the classes' recalls, so that a common class can't hide a rare one (Brodersen et al.
2010, doi 10.1109/ICPR.2010.764). Its 95 % interval adds the variances of the recalls, each with two right and two wrong
answers added (Agresti and Coull 1998, doi 10.1080/00031305.1998.10480550): a recall of 0 or 1 has a variance, too. The
intervals of single rates are Wilson's (1927, doi 10.1080/01621459.1927.10502953).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
import numpy.typing as npt

from flatnas.corruptions import SEVERITIES, STANDARD_15
from pipeline.audits.images import Ints
from pipeline.audits.predictions import Predictions
from pipeline.audits.result import Classifier, ClassScore, Kept, Roc, RocPoint

_Z95 = 1.959964  # standard normal quantile at 0.975
_ADDED = 2
_CONFIDENCES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_ROC_POINTS = 50


def classifier_of(
    predictions: Predictions, labels: Ints, class_names: Sequence[str], corruptions: Sequence[str]
) -> Classifier:
    """Recalls, precisions, confusions and their like.

    Args:
        predictions: of one model; row 0 is the clean pictures.
        labels: true class of each picture, shape (n,); at least one picture.
        class_names: in the order of the outputs. A class without pictures has no recall and counts nowhere.
        corruptions: in the order of the rows.
    """
    clean, n = predictions.classes[0], len(class_names)
    confusion = np.bincount(labels * n + clean, minlength=n * n).reshape(n, n)
    images = confusion.sum(1)
    present = np.flatnonzero(images)
    recalls = _recalls(predictions.classes, labels, n)  # (rows, classes)
    under = recalls[1:].reshape(len(corruptions), len(SEVERITIES), n).mean(1)
    balanced = 1 - under[:, present].mean(1)
    mean, half = _balanced(confusion.diagonal()[present], images[present])
    standard = [corruptions.index(name) for name in STANDARD_15 if name in corruptions]
    right = int(confusion.trace())
    return Classifier(
        accuracy_ci95=wilson(right, len(labels)),
        balanced_accuracy=mean,
        ci95=(max(mean - half, 0.0), min(mean + half, 1.0)),
        classes=tuple(_score(i, confusion, under[:, i], class_names, corruptions) for i in range(n)),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        balanced_error={name: float(e) for name, e in zip(corruptions, balanced, strict=True)},
        balanced_mce=float(balanced[standard].mean()) if len(standard) == len(STANDARD_15) else None,
        roc=_roc(predictions, labels, class_names) if n == 2 and len(present) == 2 else None,
        rejection=_rejection(predictions, labels),
    )


def wilson(right: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a rate.

    Args:
        right: successes.
        of: trials, at least one.
    """
    rate, z2 = right / of, _Z95**2
    middle, half = rate + z2 / (2 * of), _Z95 * sqrt((rate * (1 - rate) + z2 / (4 * of)) / of)
    return max((middle - half) / (1 + z2 / of), 0.0), min((middle + half) / (1 + z2 / of), 1.0)


def _recalls(classes: Ints, labels: Ints, n: int) -> npt.NDArray[np.float64]:
    """Recall of each class in each row; NaN for a class without pictures."""
    recalls = np.full((len(classes), n), np.nan)
    for label in range(n):
        of_class = labels == label
        if of_class.any():
            recalls[:, label] = (classes[:, of_class] == label).mean(1)
    return recalls


def _balanced(right: Ints, images: Ints) -> tuple[float, float]:
    """The mean of the recalls, and half of its interval."""
    p = (right + _ADDED) / (images + 2 * _ADDED)
    variance = float((p * (1 - p) / (images + 2 * _ADDED)).sum())
    return float((right / images).mean()), _Z95 * sqrt(variance) / len(images)


def _score(
    label: int, confusion: Ints, under: npt.NDArray[np.float64], names: Sequence[str], corruptions: Sequence[str]
) -> ClassScore:
    right, images, answers = int(confusion[label, label]), int(confusion[label].sum()), int(confusion[:, label].sum())
    return ClassScore(
        name=names[label],
        images=images,
        recall=right / images if images else None,
        recall_ci95=wilson(right, images) if images else None,
        precision=right / answers if answers else None,
        precision_ci95=wilson(right, answers) if answers else None,
        f1=2 * right / (images + answers) if images else None,
        recall_under={name: float(r) for name, r in zip(corruptions, under, strict=True)} if images else {},
    )


def _roc(predictions: Predictions, labels: Ints, names: Sequence[str]) -> Roc:
    """Of the second class: how its recall goes with false alarms, as the threshold on its probability moves."""
    clean, confidence = predictions.classes[0], predictions.confidence[0].astype(np.float64)
    score = np.where(clean == 1, confidence, 1 - confidence)
    order = np.argsort(-score, kind="stable")
    hits, alarms = np.cumsum(labels[order] == 1), np.cumsum(labels[order] == 0)
    last = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)  # pictures of one score stand together
    recall = np.concatenate([[0.0], hits[last] / hits[-1]])
    alarm = np.concatenate([[0.0], alarms[last] / alarms[-1]])
    shown = np.unique(np.linspace(0, len(last) - 1, min(len(last), _ROC_POINTS)).round().astype(int))
    return Roc(
        positive=names[1],
        auc=float(np.trapezoid(recall, alarm)),
        points=tuple(RocPoint(float(score[order][last[i]]), float(recall[i + 1]), float(alarm[i + 1])) for i in shown),
    )


def _rejection(predictions: Predictions, labels: Ints) -> tuple[Kept, ...]:
    """What is left, and how right it is, where answers below a confidence are rejected."""
    right = predictions.classes[0] == labels
    kept = []
    for confidence in _CONFIDENCES:
        sure = predictions.confidence[0] >= confidence
        accuracy = float(right[sure].mean()) if sure.any() else None
        kept.append(Kept(confidence, float(sure.mean()), accuracy))
    return tuple(kept)
