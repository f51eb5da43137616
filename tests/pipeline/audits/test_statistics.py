from __future__ import annotations

import numpy as np
import pytest

from flatnas.corruptions import STANDARD_15
from pipeline.audits.predictions import Predictions
from pipeline.audits.result import Delta
from pipeline.audits.statistics import (
    by_corruption,
    calibration,
    error_rates,
    expected_calibration_error,
    falls_below,
    flips,
    holm,
    mce,
    mcnemar,
    mean_error,
    mean_error_interval,
    normalised_mce,
    paired_delta,
    relative_mce,
)


def predictions(*rows: list[int]) -> Predictions:
    classes = np.array(rows, np.int64)
    return Predictions(classes, np.ones(classes.shape, np.float32))


LABELS = np.array([0, 1, 0, 1], np.int64)
RIGHT, FLIPPED = [0, 1, 0, 1], [1, 1, 0, 1]
FOG = ["fog"]


def test_error_rates_and_their_means_are_those_worked_by_hand() -> None:
    said = predictions(RIGHT, RIGHT, FLIPPED, FLIPPED, RIGHT, [1, 0, 1, 0])
    rates = error_rates(said, LABELS)
    assert rates.tolist() == [0, 0, 0.25, 0.25, 0, 1]
    assert by_corruption(rates, FOG) == {"fog": (0, 0.25, 0.25, 0, 1)}
    assert mean_error(rates) == 0.3
    assert mce(rates, FOG) is None
    assert falls_below(rates, FOG, 0.75) == {"fog": 5}
    assert falls_below(rates, FOG, 0.76) == {"fog": 2}
    assert falls_below(rates, FOG, 0.0) == {"fog": None}


def test_mce_counts_the_fifteen_standard_corruptions_only() -> None:
    names = [*STANDARD_15[:7], "saturate", *STANDARD_15[7:]]
    rates = np.concatenate([[0.0], np.full(35, 0.2), np.full(5, 1.0), np.full(40, 0.2)])
    assert mce(rates, names) == pytest.approx(0.2)
    assert mean_error(rates) == pytest.approx((75 * 0.2 + 5) / 80)


def test_normalised_and_relative_mce_are_means_of_ratios() -> None:
    names = list(STANDARD_15)
    ours = np.concatenate([[0.1], np.full(70, 0.3), np.full(5, 0.5)])
    theirs = np.concatenate([[0.2], np.full(70, 0.3), np.full(5, 0.4)])
    assert normalised_mce(ours, theirs, names) == pytest.approx((14 * 1 + 0.5 / 0.4) / 15)
    assert relative_mce(ours, theirs, names) == pytest.approx((14 * 0.2 / 0.1 + 0.4 / 0.2) / 15)
    assert relative_mce(ours, np.full(76, 0.3), names) is None  # corruption costs the baseline nothing
    assert normalised_mce(ours[:6], theirs[:6], names[:1]) is None


def test_delta_is_paired_and_positive_where_the_model_is_worse() -> None:
    ours, theirs = predictions(RIGHT, *[FLIPPED] * 5), predictions(RIGHT, RIGHT, *[FLIPPED] * 4)
    delta = paired_delta(ours, theirs, LABELS, FOG)
    assert delta.mean == pytest.approx(1 / 20)  # one of 5 x 4 answers
    assert paired_delta(ours, ours, LABELS, FOG) == Delta(mean=0, ci95=(0, 0))
    assert paired_delta(theirs, ours, LABELS, FOG).mean == pytest.approx(-1 / 20)


def test_delta_is_of_mce_where_all_fifteen_ran() -> None:
    names = [*STANDARD_15, "saturate"]
    ours, theirs = predictions(*[RIGHT] * 76, *[FLIPPED] * 5), predictions(*[RIGHT] * 81)
    assert paired_delta(ours, theirs, LABELS, names).mean == 0
    assert paired_delta(ours, theirs, LABELS, [*STANDARD_15[:-1], "saturate", "pixelate"]).mean > 0


def test_the_interval_of_delta_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    n, hits, hits_alone = 200, 0, 0
    zeros = np.zeros(n, np.int64)
    for trial in range(100):
        worse = rng.random(n) < 0.1  # a tenth of the images is wrong under every severity: one cluster each
        ours = predictions(*([[0] * n] + [worse.astype(int).tolist()] * 5))
        low, high = paired_delta(ours, predictions(*([[0] * n] * 6)), zeros, FOG, seed=trial).ci95
        hits += low <= 0.1 <= high
        low, high = mean_error_interval(ours, zeros, FOG, trial)
        hits_alone += low <= 0.1 <= high
    assert 88 <= hits <= 100
    assert hits_alone == hits  # the same numbers: the baseline makes no error


def test_a_smaller_subset_has_a_wider_interval() -> None:
    rng = np.random.default_rng(1)
    wrong = (rng.random((6, 4000)) < 0.3).astype(int)
    zeros = np.zeros(4000, np.int64)
    whole = mean_error_interval(predictions(*wrong.tolist()), zeros, FOG, 0)
    part = mean_error_interval(predictions(*wrong[:, :250].tolist()), zeros[:250], FOG, 0)
    # A sixteenth of the images: four times as wide.
    assert (part[1] - part[0]) / (whole[1] - whole[0]) == pytest.approx(4, rel=0.2)


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.55, 0.55], np.float32)
    correct = np.array([True, True, False, False, True, True])
    # Bins [.8667, .9333) and [.5333, .6): 4/6 * |.5 - .9| + 2/6 * |1 - .55|
    assert expected_calibration_error(correct, confidence) == pytest.approx(4 / 6 * 0.4 + 2 / 6 * 0.45)
    sure = Predictions(np.array([RIGHT, FLIPPED]), np.ones((2, 4), np.float32))
    assert calibration(sure, LABELS).tolist() == [0, 0.25]


def test_mcnemar_equals_the_binomial_test_worked_by_hand_and_holm_steps_down() -> None:
    n = 12
    labels, right = np.zeros(n, np.int64), [0] * n
    ours = predictions(right, [1] * 8 + [0] * 4, right)
    theirs = predictions(right, right, [1] + [0] * 11)
    first, second = mcnemar(ours, theirs, labels)
    assert (first.lost, first.gained, second.lost, second.gained) == (8, 0, 0, 1)
    assert first.p == pytest.approx(2 / 2**8)
    assert second.p == 1
    assert first.p_holm == pytest.approx(2 * 2 / 2**8)
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]


def test_flips_count_what_was_lost_and_gained_of_each_image() -> None:
    lost, gained = flips(predictions(FLIPPED, FLIPPED, RIGHT), predictions(RIGHT, RIGHT, [0, 0, 0, 1]), LABELS)
    assert lost.tolist() == [2, 0, 0, 0]
    assert gained.tolist() == [0, 1, 0, 0]
