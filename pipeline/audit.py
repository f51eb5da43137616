"""Robustness of any model file: its error on clean and on corrupted images, alone or paired with a baseline.

Images are corrupted at the data's own size, resized to the model's, and every model sees the same ones. mCE is the
unnormalised mean error over the 15 standard corruptions at 5 severities (Hendrycks & Dietterich 2019, arXiv
1903.12261), null where not all 15 ran; `mean_error` covers the corruptions that did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flatnas.corruptions import SEVERITIES, STANDARD_15, corrupt
from flatnas.datasets import Images
from flatnas.resize import resize
from pipeline.results import Delta, DeviceArithmetic

Classify = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]  # pixels (N, H, W, 3) -> scores (N, classes)
Progress = Callable[[int, int, str], None]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Model:
    """A model to audit: how it classifies pixels of its own resolution."""

    classify: Classify
    resolution: int


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What one model said: row 0 is the clean images, then five severities of each corruption in turn.

    Attributes:
        classes: predicted class, shape (1 + 5 * corruptions, images).
        confidence: its probability, the same shape.
    """

    classes: Ints
    confidence: npt.NDArray[np.float32]


def predict_all(
    models: Mapping[str, Model],
    images: Images,
    indices: Ints,
    corruptions: Sequence[str],
    progress: Progress,
    seed: int = 0,
) -> dict[str, Predictions]:
    """Run every model on the chosen images, clean and under each corruption and severity.

    Args:
        models: by name.
        images: the whole test set; `indices` chooses from it, and seeds the corruption of each image.
        corruptions: names in `flatnas.corruptions.CORRUPTIONS`.
        seed: of the corruptions' random numbers.
    """
    variants: list[tuple[str, int]] = [
        ("clean", 0),
        *((name, severity) for name in corruptions for severity in SEVERITIES),
    ]
    clean = images.pixels_nhwc[indices]
    scores: dict[str, list[tuple[Ints, npt.NDArray[np.float32]]]] = {name: [] for name in models}
    for done, (corruption, severity) in enumerate(variants):
        progress(done, len(variants), f"{corruption} {severity or ''}".strip())
        pixels = corrupt(clean, corruption, severity, indices, seed) if severity else clean
        for name, model in models.items():
            scores[name].append(_classes(model.classify(resize(pixels, model.resolution))))
    progress(len(variants), len(variants), "")
    return {
        name: Predictions(np.stack([c for c, _ in rows]), np.stack([p for _, p in rows]))
        for name, rows in scores.items()
    }


def error_rates(predictions: Predictions, labels: Ints) -> npt.NDArray[np.float64]:
    """Error of each row of `predictions`, shape (1 + 5 * corruptions,)."""
    rates: npt.NDArray[np.float64] = (predictions.classes != labels).mean(1)
    return rates


def by_corruption(rates: npt.NDArray[np.float64], corruptions: Sequence[str]) -> dict[str, list[float]]:
    """The five error rates of each corruption, from `error_rates`."""
    table = rates[1:].reshape(len(corruptions), len(SEVERITIES))
    return {name: [float(rate) for rate in row] for name, row in zip(corruptions, table, strict=True)}


def mean_error(rates: npt.NDArray[np.float64]) -> float:
    """Mean error over every corruption and severity that ran."""
    return float(rates[1:].mean())


def mce(rates: npt.NDArray[np.float64], corruptions: Sequence[str]) -> float | None:
    """Mean error over the 15 standard corruptions, or None where one of them did not run."""
    if not set(STANDARD_15) <= set(corruptions):
        return None
    table = by_corruption(rates, corruptions)
    return float(np.mean([table[name] for name in STANDARD_15]))


def paired_delta(
    model: Predictions, baseline: Predictions, labels: Ints, resamples: int = 2000, seed: int = 0
) -> Delta:
    """Mean corruption error of the model minus the baseline's on the same images; positive is worse.

    The interval is a percentile bootstrap over clean images: all variants of one are one cluster.
    """
    wrong = (model.classes[1:] != labels).astype(np.float64) - (baseline.classes[1:] != labels)
    per_image = wrong.mean(0)
    rng = np.random.default_rng([seed, 5])
    means = [per_image[rng.integers(0, len(per_image), len(per_image))].mean() for _ in range(resamples)]
    low, high = np.percentile(means, (2.5, 97.5))
    return Delta(mean=float(per_image.mean()), ci95=(float(low), float(high)))


def device_arithmetic(
    device: Model,
    runner: str,
    fast: Predictions,
    images: Images,
    indices: Ints,
    corruptions: Sequence[str],
    count: int,
    progress: Progress,
    seed: int = 0,
) -> DeviceArithmetic:
    """The device's kernels on a stratified subset of the corrupted images that `fast` has seen.

    Args:
        count: corrupted images in all, at least; spread evenly over corruptions and severities.
    """
    variants = [(name, severity) for name in corruptions for severity in SEVERITIES]
    each = min(-(-count // len(variants)), len(indices))
    rng = np.random.default_rng([seed, 6])
    truth, ours, theirs = [], [], []
    for row, (corruption, severity) in enumerate(variants, start=1):
        progress(row - 1, len(variants), f"{corruption} {severity}")
        picked = np.sort(rng.choice(len(indices), each, replace=False))
        chosen = indices[picked]
        pixels = corrupt(images.pixels_nhwc[chosen], corruption, severity, chosen, seed)
        ours.append(_classes(device.classify(resize(pixels, device.resolution)))[0])
        theirs.append(fast.classes[row, picked])
        truth.append(images.labels[chosen])
    labels, on_device, on_host = np.concatenate(truth), np.concatenate(ours), np.concatenate(theirs)
    return DeviceArithmetic(
        runner=runner,
        images=len(labels),
        disagreement=float(np.mean(on_device != on_host)),
        mean_error_fast=float(np.mean(on_host != labels)),
        mean_error_device=float(np.mean(on_device != labels)),
    )


def _classes(scores: npt.NDArray[np.float32]) -> tuple[Ints, npt.NDArray[np.float32]]:
    """Class and probability of each row; scores that already are probabilities are taken as such."""
    classes = scores.argmax(1)
    if scores.min() >= 0 and np.allclose(scores.sum(1), 1, atol=0.05):
        return classes, scores.max(1)
    exponents = np.exp(scores - scores.max(1, keepdims=True))
    return classes, (exponents.max(1) / exponents.sum(1)).astype(np.float32)
