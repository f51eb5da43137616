"""Noise: Gaussian, shot, impulse and speckle noise.

Hendrycks & Dietterich, ICLR 2019, arXiv 1903.12261, section 3. The published files were drawn without a seed, so these
are equal to them in distribution, not in bytes. Each channel of each pixel draws its own number, and each image has its
own generator.
"""

from __future__ import annotations

import numpy as np

from flatnas.corruptions.corruption import Generators, Pixels, Values
from flatnas.corruptions.severities import BySeverity, Level

GAUSSIAN_SIGMA = BySeverity(
    (0.04, 0.06, 0.08, 0.09, 0.10), (0.04, 0.08, 0.12, 0.15, 0.18), (0.08, 0.12, 0.18, 0.26, 0.38)
)


def gaussian_noise(images: Pixels, level: Level, generators: Generators) -> Values:
    """Add normal noise of standard deviation sigma to x in [0, 1]: poor light."""
    noise = level.of(GAUSSIAN_SIGMA) * _standard_normal(images.shape, generators)
    return np.clip(images / 255.0 + noise, 0, 1) * 255


SHOT_PHOTONS = BySeverity(
    (500, 250, 100, 75, 50),
    (250, 100, 50, 30, 15),
    (60, 25, 12, 5, 3),
)


def shot_noise(images: Pixels, level: Level, generators: Generators) -> Values:
    """Count photons, Poisson(x * c) / c with c photons at full white: the light's own discreteness."""
    photons = level.of(SHOT_PHOTONS)
    expected = images / 255.0 * photons
    counts = np.stack([generator.poisson(image) for image, generator in zip(expected, generators, strict=True)])
    return np.clip(counts / photons, 0, 1) * 255


IMPULSE_AMOUNT = BySeverity(
    (0.01, 0.02, 0.03, 0.05, 0.07), (0.01, 0.02, 0.05, 0.08, 0.14), (0.03, 0.06, 0.09, 0.17, 0.27)
)


def impulse_noise(images: Pixels, level: Level, generators: Generators) -> Values:
    """Set a share of the values to 0 or 255, either with half its probability: salt and pepper, bit errors."""
    amount = level.of(IMPULSE_AMOUNT)
    u = np.stack([generator.random(image.shape) for image, generator in zip(images, generators, strict=True)])
    return np.where(u < amount / 2, np.uint8(0), np.where(u < amount, np.uint8(255), images))


SPECKLE_SIGMA = BySeverity(
    (0.06, 0.1, 0.12, 0.16, 0.2),
    (0.15, 0.2, 0.25, 0.3, 0.35),
    (0.15, 0.2, 0.35, 0.45, 0.6),
)


def speckle_noise(images: Pixels, level: Level, generators: Generators) -> Values:
    """Add noise in proportion to the value: x + x * sigma * n, with n standard normal."""
    x = images / 255.0
    noise = level.of(SPECKLE_SIGMA) * _standard_normal(images.shape, generators)
    return np.clip(x + x * noise, 0, 1) * 255


def _standard_normal(shape: tuple[int, ...], generators: Generators) -> Values:
    """Standard normal numbers of `shape` (N, H, W, 3), image i from generator i."""
    noise = np.empty(shape)
    for image, generator in zip(noise, generators, strict=True):
        generator.standard_normal(out=image)
    return noise
