"""Motion blur without ImageMagick: what `MagickMotionBlurImage` of its Q16 build computes, for a batch.

Half a Gaussian is laid from each pixel along a direction, and each tap reads the nearest pixel (ImageMagick 6,
`magick/effect.c`, described at https://imagemagick.org/script/command-line-options.php#motion-blur). Sums are made in
16 bits per channel and brought back to 8 by dropping the fraction: every byte equals version 6.9.11's.
"""

from __future__ import annotations

from math import ceil

import numpy as np
import numpy.typing as npt

from flatnas.corruptions.corruption import Pixels


def smear(images: npt.NDArray[np.uint8], radius: float, sigma: float, degrees: npt.NDArray[np.float64]) -> Pixels:
    """Smear each image along its own direction.

    Args:
        images: shape (N, H, W, C), any number of channels.
        radius: the kernel has 2 * ceil(radius) + 1 taps.
        sigma: of the Gaussian, in pixels.
        degrees: direction per image, shape (N,); positive angles point down, for rows count downwards.

    Returns:
        uint8, the same shape; beyond the edge the edge's pixels count.
    """
    n, height, width, _c = images.shape
    steps = np.arange(2 * ceil(radius) + 1)
    kernel = np.exp(-(steps**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    angle = np.deg2rad(degrees)[:, None]
    down = np.ceil(steps * np.sin(angle) - 0.5).astype(np.intp)  # N, taps
    right = np.ceil(steps * np.cos(angle) - 0.5).astype(np.intp)

    wide = images.astype(np.float64) * 257  # 8 bits to 16
    total = np.zeros(images.shape)
    every = np.arange(n)[:, None, None]
    for tap, weight in enumerate(kernel):
        rows = np.clip(np.arange(height) + down[:, tap, None], 0, height - 1)
        columns = np.clip(np.arange(width) + right[:, tap, None], 0, width - 1)
        total += weight * wide[every, rows[:, :, None], columns[:, None, :]]
    return (np.floor(total + 0.5) / 257).astype(np.uint8)
