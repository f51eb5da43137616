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
    steps = np.arange(2 * ceil(radius) + 1)
    kernel = np.exp(-(steps**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    angle = np.deg2rad(degrees)[:, None]
    down = np.ceil(steps * np.sin(angle) - 0.5).astype(np.intp)  # N, taps
    right = np.ceil(steps * np.cos(angle) - 0.5).astype(np.intp)
    smeared = np.empty_like(images, order="C")
    for out, image, rows, columns in zip(smeared, images, down, right, strict=True):
        out[:] = _smeared(image, kernel, rows, columns)
    return smeared


def _smeared(
    image: Pixels, kernel: npt.NDArray[np.float64], down: npt.NDArray[np.intp], right: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """The sum of an image's copies, each shifted as a whole: a stretch of every row of the image with a margin."""
    height, width, channels = image.shape
    above, left = max(0, -down.min()), max(0, -right.min())
    margins = ((above, max(0, down.max())), (left, max(0, right.max())), (0, 0))
    wide = np.pad(image.astype(np.float64) * 257, margins, mode="edge")  # 8 bits to 16
    wide = wide.reshape(len(wide), -1)
    total = np.zeros((height, width * channels))
    weighted = np.empty_like(total)
    for weight, row, column in zip(kernel, down + above, (right + left) * channels, strict=True):
        np.multiply(wide[row : row + height, column : column + width * channels], weight, out=weighted)
        total += weighted
    total += 0.5
    np.floor(total, out=total)
    total /= 257
    return total.reshape(image.shape)
