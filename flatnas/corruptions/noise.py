"""Noise: Gaussian, shot, impulse and speckle noise with CIFAR-10-C's parameters.

Hendrycks & Dietterich, ICLR 2019, arXiv 1903.12261, section 3; parameters as in `make_cifar_c.py` of
https://github.com/hendrycks/robustness. The published files were drawn without a seed, so these are equal to them in
distribution, not in bytes. Each channel of each pixel draws its own number, and each image has its own generator.
"""

from __future__ import annotations

import numpy as np

from flatnas.corruptions.corruption import Generators, Pixels, Values

GAUSSIAN_SIGMA = (0.04, 0.06, 0.08, 0.09, 0.10)


def gaussian_noise(images: Pixels, severity: int, generators: Generators) -> Values:
    """Add normal noise of standard deviation sigma to x in [0, 1]: poor light."""
    noise = GAUSSIAN_SIGMA[severity - 1] * _standard_normal(images.shape, generators)
    return np.clip(images / 255.0 + noise, 0, 1) * 255


SHOT_PHOTONS = (500, 250, 100, 75, 50)


def shot_noise(images: Pixels, severity: int, generators: Generators) -> Values:
    """Count photons, Poisson(x * c) / c with c photons at full white: the light's own discreteness."""
    photons = SHOT_PHOTONS[severity - 1]
    expected = images / 255.0 * photons
    counts = np.stack([generator.poisson(image) for image, generator in zip(expected, generators, strict=True)])
    return np.clip(counts / photons, 0, 1) * 255


IMPULSE_AMOUNT = (0.01, 0.02, 0.03, 0.05, 0.07)


def impulse_noise(images: Pixels, severity: int, generators: Generators) -> Values:
    """Set a share of the values to 0 or 255, either with half its probability: salt and pepper, bit errors."""
    amount = IMPULSE_AMOUNT[severity - 1]
    u = np.stack([generator.random(image.shape) for image, generator in zip(images, generators, strict=True)])
    return np.where(u < amount / 2, np.uint8(0), np.where(u < amount, np.uint8(255), images))


SPECKLE_SIGMA = (0.06, 0.1, 0.12, 0.16, 0.2)


def speckle_noise(images: Pixels, severity: int, generators: Generators) -> Values:
    """Add noise in proportion to the value: x + x * sigma * n, with n standard normal."""
    x = images / 255.0
    noise = SPECKLE_SIGMA[severity - 1] * _standard_normal(images.shape, generators)
    return np.clip(x + x * noise, 0, 1) * 255


def _standard_normal(shape: tuple[int, ...], generators: Generators) -> Values:
    """Standard normal numbers of `shape` (N, H, W, 3), image i from generator i."""
    noise = np.empty(shape)
    for image, generator in zip(noise, generators, strict=True):
        generator.standard_normal(out=image)
    return noise
