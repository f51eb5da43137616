"""What a classifier does class by class, against numbers worked by hand and scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from pipeline.audits.classifier import classifier_of, wilson
from pipeline.audits.predictions import Predictions

RNG = np.random.default_rng(0)


def test_scores_and_confusions_are_scikit_learns() -> None:
    labels = RNG.integers(0, 4, 300)
    predicted = np.where(RNG.random(300) < 0.7, labels, RNG.integers(0, 4, 300))
    found = classifier_of(Predictions(predicted[None], np.ones((1, 300), np.float32)), labels, "abcd", [])
    precision, recall, f1, images = precision_recall_fscore_support(labels, predicted)
    assert [c.precision for c in found.classes] == pytest.approx(precision)
    assert [c.recall for c in found.classes] == pytest.approx(recall)
    assert [c.f1 for c in found.classes] == pytest.approx(f1)
    assert [c.images for c in found.classes] == list(images)
    assert found.confusion[1][2] == int(((labels == 1) & (predicted == 2)).sum())
    assert sum(map(sum, found.confusion)) == 300


def test_recall_and_balanced_error_under_a_corruption_are_means_over_its_severities() -> None:
    labels = np.array([0, 0, 0, 0, 1])
    rows = [labels, labels, labels, labels, [1, 1, 0, 0, 1], [1, 1, 1, 1, 0]]  # clean, then five severities of fog
    found = classifier_of(Predictions(np.array(rows), np.ones((6, 5), np.float32)), labels, "ab", ["fog"])
    assert found.classes[0].recall_under == {"fog": pytest.approx((1 + 1 + 1 + 0.5 + 0) / 5)}
    assert found.classes[1].recall_under == {"fog": pytest.approx(0.8)}
    assert found.balanced_error == {"fog": pytest.approx(1 - (0.7 + 0.8) / 2)}
    assert found.balanced_mce is None  # not all 15 ran


def test_a_constant_net_has_no_precision_where_it_never_answers() -> None:
    labels = np.array([0, 0, 1])
    found = classifier_of(Predictions(np.zeros((1, 3), int), np.full((1, 3), 0.6, np.float32)), labels, "ab", [])
    assert (found.classes[1].precision, found.classes[1].recall, found.classes[1].f1) == (None, 0.0, 0.0)
    assert found.roc is not None
    assert found.roc.auc == 0.5


def test_the_area_under_the_curve_is_scikit_learns_with_ties() -> None:
    labels = RNG.integers(0, 2, 400)
    score = np.clip(np.round(0.3 * labels + RNG.random(400) * 0.7, 1), 0.02, 0.98)
    predicted, confidence = (score >= 0.5).astype(int), np.where(score >= 0.5, score, 1 - score)
    found = classifier_of(Predictions(predicted[None], confidence[None].astype(np.float32)), labels, ("no", "yes"), [])
    assert found.roc is not None
    assert found.roc.positive == "yes"
    assert found.roc.auc == pytest.approx(roc_auc_score(labels, score), abs=1e-6)
    assert found.roc.points[-1].recall == found.roc.points[-1].false_alarms == 1


def test_rejection_keeps_what_is_sure() -> None:
    labels = np.array([0, 0, 1, 1])
    sure = np.array([[0.95, 0.55, 0.95, 0.65]], np.float32)
    found = classifier_of(Predictions(np.array([[0, 1, 1, 0]]), sure), labels, "ab", [])
    by = {kept.confidence: kept for kept in found.rejection}
    assert (by[0.5].share, by[0.5].accuracy) == (1.0, 0.5)
    assert (by[0.9].share, by[0.9].accuracy) == (0.5, 1.0)
    assert by[0.99].accuracy is None


def test_wilsons_interval_is_the_textbooks() -> None:
    # 8 of 10: (0.8 + 1.92 / 10 ± 1.96 sqrt(0.16 / 10 + 0.9604 / 100)) / 1.384
    low, high = wilson(8, 10)
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert wilson(0, 5)[0] == 0
    assert wilson(5, 5)[1] == 1
