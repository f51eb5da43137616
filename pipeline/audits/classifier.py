"""What a classifier does class by class: recalls, and whether it is better than a constant answer.

Balanced accuracy is the mean of the classes' recalls, so that a common class can't hide a rare one (Brodersen et al.
2010, doi 10.1109/ICPR.2010.764). The 95 % interval adds the variances of the recalls, each with two right and two wrong
answers added (Agresti and Coull 1998, doi 10.1080/00031305.1998.10480550): a recall of 0 or 1 has a variance, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np

from pipeline.audits.images import Ints
from pipeline.audits.result import Classifier, ClassRecall

_Z95 = 1.959964  # standard normal quantile at 0.975
_ADDED = 2


def classifier_of(predicted: Ints, labels: Ints, class_names: Sequence[str]) -> Classifier:
    """Recalls and balanced accuracy.

    Args:
        predicted: class of each picture, shape (n,).
        labels: its true class, same shape; at least one picture.
        class_names: in the order of the outputs. A class without pictures has no recall and counts nowhere.
    """
    classes, recalls, variance = [], [], 0.0
    for index, name in enumerate(class_names):
        of_class = labels == index
        images = int(of_class.sum())
        right = int((predicted[of_class] == index).sum())
        classes.append(ClassRecall(name, images, right / images if images else None))
        if images:
            recalls.append(right / images)
            p = (right + _ADDED) / (images + 2 * _ADDED)
            variance += p * (1 - p) / (images + 2 * _ADDED)
    mean = float(np.mean(recalls))
    half = _Z95 * sqrt(variance) / len(recalls)
    return Classifier(mean, (max(mean - half, 0.0), min(mean + half, 1.0)), tuple(classes))
