"""Blur: defocus, glass, motion, zoom and Gaussian blur.

Defocus, zoom and Gaussian blur equal the published CIFAR-10-C files in every byte; the other two draw random numbers.
Parameters as in `make_cifar_c.py` of https://github.com/hendrycks/robustness (arXiv 1903.12261). Values are truncated
to uint8 afterwards, so in flat areas the last bit of the floating-point arithmetic decides between v and v - 1:
the order of operations below is the published one and must not be rearranged.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flatnas.corruptions.clipped_zoom import taps, zoomed
from flatnas.corruptions.corruption import Generators, Pixels, Values
from flatnas.corruptions.motion import smear

DEFOCUS_RADIUS_AND_ALIAS = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1))


def defocus_blur(images: Pixels, severity: int, _: Generators) -> Values:
    """Convolve with a disk, an out-of-focus lens: radius in pixels, its edge softened by a Gaussian of sigma alias."""
    import cv2

    kernel = _disk(*DEFOCUS_RADIUS_AND_ALIAS[severity - 1])
    # OpenCV filters with a kernel this large through a DFT: without its zeros it would round differently.
    blurred = np.stack([cv2.filter2D(image, -1, kernel) for image in images / 255.0])
    values: Values = np.clip(blurred, 0, 1) * 255
    return values


def _disk(radius: float, alias_sigma: float) -> npt.NDArray[np.float32]:
    """A disk of sum 1 on a grid of 17 x 17, as published for radii up to 8."""
    import cv2

    x, y = np.meshgrid(np.arange(-8, 9), np.arange(-8, 9))
    disk = (x**2 + y**2 <= radius**2).astype(np.float32)
    softened: npt.NDArray[np.float32] = cv2.GaussianBlur(disk / disk.sum(), ksize=(3, 3), sigmaX=alias_sigma)
    return softened


GLASS_SIGMA_AND_ITERATIONS = ((0.05, 1), (0.25, 1), (0.4, 1), (0.25, 2), (0.4, 2))


def glass_blur(images: Pixels, severity: int, generators: Generators) -> Values:
    """Blur, let pixels take the value of a neighbour above or to the left (frosted glass), and blur again.

    From the last pixel to the first, each takes the value at a random offset of -1 or 0 in either direction. The
    published code means to swap the two, but both of its names are views of one array, so that the other pixel keeps
    its value; that is kept here.
    """
    sigma, iterations = GLASS_SIGMA_AND_ITERATIONS[severity - 1]
    n, height, width, _c = images.shape
    x = (_gaussian(images / 255.0, sigma) * 255).astype(np.uint8).transpose(1, 2, 0, 3).copy()  # H, W, N, C
    rows, columns = range(height - 1, 1, -1), range(width - 1, 1, -1)
    size = (iterations, len(rows), len(columns), 2)  # the last axis is dx, dy
    offsets = np.stack([g.integers(-1, 1, size) for g in generators], axis=-1) if n else np.zeros((*size, 0), int)
    every = np.arange(n)
    for iteration in offsets:
        for h, row_offsets in zip(rows, iteration, strict=True):
            for w, (dx, dy) in zip(columns, row_offsets, strict=True):
                x[h, w] = x[h + dy, w + dx, every]
    values: Values = np.clip(_gaussian(x.transpose(2, 0, 1, 3) / 255.0, sigma), 0, 1) * 255
    return values


MOTION_RADIUS_AND_SIGMA = ((6, 1.0), (6, 1.5), (6, 2.0), (8, 2.0), (9, 2.5))


def motion_blur(images: Pixels, severity: int, generators: Generators) -> Values:
    """Smear along a direction of -45 to 45 degrees: a camera that moves."""
    radius, sigma = MOTION_RADIUS_AND_SIGMA[severity - 1]
    return smear(images, radius, sigma, np.array([generator.uniform(-45, 45) for generator in generators]))


ZOOM_STOP = (1.06, 1.11, 1.16, 1.21, 1.26)
"""Zoom factors are `np.arange(1, stop, 0.01)`: 7, 12, 16, 21, 26 of them, for rounding keeps 1.06 and 1.11 in.

They must be arange's: its 1.25 is larger by one bit, and enlarges 26 pixels to 33, not to 32.
"""


def zoom_blur(images: Pixels, severity: int, _: Generators) -> Values:
    """Average the image with its bilinear enlargements by 1.00, 1.01, ...: a camera that moves towards the object.

    Each enlargement is computed in float64, rounded to float32, and added in float32. Height and width are cropped each
    by its own length (the published code knows squares only).
    """
    _n, height, width, _c = images.shape
    # H, W, N, C: what one tap reads lies in one run of memory.
    x = np.ascontiguousarray((images / 255.0).astype(np.float32).transpose(1, 2, 0, 3))
    x64 = x.astype(np.float64)
    total = np.zeros_like(x)
    factors = np.arange(1, ZOOM_STOP[severity - 1], 0.01)
    for factor in factors:
        total += zoomed(x64, taps(height, factor), taps(width, factor)).astype(np.float32)
    mean = (x + total) / np.float32(len(factors) + 1)
    values: Values = (np.clip(mean, 0, 1) * 255).transpose(2, 0, 1, 3)
    return values


GAUSSIAN_BLUR_SIGMA = (0.4, 0.6, 0.7, 0.8, 1.0)


def gaussian_blur(images: Pixels, severity: int, _: Generators) -> Values:
    """Convolve with a Gaussian of sigma pixels."""
    values: Values = np.clip(_gaussian(images / 255.0, GAUSSIAN_BLUR_SIGMA[severity - 1]), 0, 1) * 255
    return values


def _gaussian(x: npt.NDArray[np.float64], sigma: float) -> npt.NDArray[np.float64]:
    """Filter (N, H, W, C) with a Gaussian of sigma pixels, cut off at 4 sigma, edge pixels repeated outwards."""
    from scipy.ndimage import gaussian_filter

    blurred: npt.NDArray[np.float64] = gaussian_filter(x, sigma=(0, sigma, sigma, 0), mode="nearest", truncate=4.0)
    return blurred
