from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from flatnas.corruptions import STANDARD_15
from flatnas.datasets import Images, choose_images
from pipeline.audit import (
    Model,
    Predictions,
    by_corruption,
    device_arithmetic,
    error_rates,
    mce,
    mean_error,
    paired_delta,
    predict_all,
)
from pipeline.gates import audit_gates
from pipeline.results import Delta


def predictions(*rows: list[int]) -> Predictions:
    classes = np.array(rows, np.int64)
    return Predictions(classes, np.ones(classes.shape, np.float32))


LABELS = np.array([0, 1, 0, 1], np.int64)
RIGHT, FLIPPED = [0, 1, 0, 1], [1, 1, 0, 1]


def test_error_rates_and_their_means_are_those_worked_by_hand() -> None:
    said = predictions(RIGHT, RIGHT, FLIPPED, FLIPPED, RIGHT, [1, 0, 1, 0])
    rates = error_rates(said, LABELS)
    assert rates.tolist() == [0, 0, 0.25, 0.25, 0, 1]
    assert by_corruption(rates, ["fog"]) == {"fog": [0, 0.25, 0.25, 0, 1]}
    assert mean_error(rates) == 0.3
    assert mce(rates, ["fog"]) is None


def test_mce_counts_the_fifteen_standard_corruptions_only() -> None:
    names = [*STANDARD_15, "saturate"]
    rates = np.concatenate([[0.0], np.full(75, 0.2), np.full(5, 1.0)])
    assert mce(rates, names) == pytest.approx(0.2)
    assert mean_error(rates) == pytest.approx((75 * 0.2 + 5) / 80)


def test_delta_is_paired_and_positive_where_the_model_is_worse() -> None:
    model, baseline = predictions(RIGHT, FLIPPED, FLIPPED), predictions(RIGHT, RIGHT, FLIPPED)
    delta = paired_delta(model, baseline, LABELS)
    assert delta.mean == pytest.approx(1 / 8)  # one of 2 x 4 answers
    assert paired_delta(model, model, LABELS) == Delta(mean=0, ci95=(0, 0))
    assert paired_delta(baseline, model, LABELS).mean == pytest.approx(-1 / 8)


def test_the_interval_of_delta_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    n, hits = 200, 0
    for trial in range(100):
        worse = rng.random(n) < 0.1  # a tenth of the images is wrong under every corruption: one cluster each
        model = predictions(*([[0] * n] + [worse.astype(int).tolist()] * 5))
        low, high = paired_delta(
            model, predictions(*([[0] * n] * 6)), np.zeros(n, np.int64), resamples=300, seed=trial
        ).ci95
        hits += low <= 0.1 <= high
    assert 88 <= hits <= 100


def test_a_subset_is_stratified_seeded_and_sorted() -> None:
    labels = np.repeat(np.arange(10), [50, 150] * 5).astype(np.int64)
    chosen = choose_images(labels, 100, seed=0)
    assert np.bincount(labels[chosen]).tolist() == [5, 15] * 5
    assert (np.diff(chosen) > 0).all()
    assert (choose_images(labels, 100, seed=0) == chosen).all()
    assert (choose_images(labels, 100, seed=1) != chosen).any()
    assert choose_images(labels, None, 0).tolist() == list(range(1000))


def by_mean(threshold: float) -> Model:
    """Says class 1 for images brighter than the threshold."""

    def classify(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        bright = (pixels.mean((1, 2, 3)) > threshold).astype(np.float32)
        return np.stack([1 - bright, bright], 1)

    return Model(classify, 16)


def pictures() -> Images:
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    pixels = rng.integers(0, 60, (40, 32, 32, 3)) + 120 * labels[:, None, None, None]
    return Images(pixels.astype(np.uint8), labels.astype(np.int64))


def test_brightness_fools_a_model_that_looks_at_brightness_and_contrast_does_not() -> None:
    images, indices = pictures(), np.arange(40)
    said = predict_all({"m": by_mean(60.0)}, images, indices, ["brightness", "contrast"], lambda *_: None)
    rates = by_corruption(error_rates(said["m"], images.labels), ["brightness", "contrast"])
    assert error_rates(said["m"], images.labels)[0] == 0
    assert rates["brightness"][4] == 0.5  # the dark half turns bright
    assert rates["brightness"] == sorted(rates["brightness"])
    assert rates["contrast"][0] == 0


def test_a_subset_sees_the_same_corrupted_images_as_the_whole() -> None:
    images, some = pictures(), np.array([3, 7, 30])
    whole = predict_all({"m": by_mean(91.0)}, images, np.arange(40), ["gaussian_noise"], lambda *_: None)["m"]
    part = predict_all({"m": by_mean(91.0)}, images, some, ["gaussian_noise"], lambda *_: None)["m"]
    assert (part.classes == whole.classes[:, some]).all()


def test_the_device_is_compared_with_the_fast_kernels_on_the_same_images() -> None:
    images, indices = pictures(), np.arange(40)
    fast = predict_all({"m": by_mean(60.0)}, images, indices, ["brightness"], lambda *_: None)["m"]
    same = device_arithmetic(by_mean(60.0), "tflm", fast, images, indices, ["brightness"], 50, lambda *_: None)
    assert (same.images, same.disagreement) == (50, 0)
    assert same.mean_error_fast == same.mean_error_device
    other = device_arithmetic(by_mean(-1.0), "tflm", fast, images, indices, ["brightness"], 50, lambda *_: None)
    assert other.disagreement > 0
    assert other.mean_error_device == pytest.approx(0.5, abs=0.2)  # it always says bright


def test_gates_compare_the_upper_end_and_name_what_they_limit() -> None:
    delta = Delta(mean=0.01, ci95=(0.0, 0.03))
    gates = audit_gates(
        0.8, 0.3, delta, {"fog": [0.1, 0.3]}, min_accuracy=0.8, max_mce=0.29, max_delta=0.02, max_error={"fog": 0.2}
    )
    assert {g.name: g.passed for g in gates} == {
        "accuracy": True,
        "mCE": False,
        "delta (upper end)": False,
        "error under fog": True,
    }
    assert audit_gates(0.1, None, None, {}, min_accuracy=None, max_mce=None, max_delta=None, max_error={}) == []
