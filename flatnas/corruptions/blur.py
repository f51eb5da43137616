"""Blur: defocus, glass, motion, zoom and Gaussian blur.

Defocus, zoom and Gaussian blur equal the published CIFAR-10-C files in every byte; the other two draw random numbers.
Values are truncated to uint8 afterwards, so in flat areas the last bit of the floating-point arithmetic decides between
v and v - 1: the order of operations below is the published one and must not be rearranged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flatnas.corruptions.clipped_zoom import sum_of_zoomed
from flatnas.corruptions.corruption import Generators, Pixels, Values
from flatnas.corruptions.glass import displaced
from flatnas.corruptions.motion import smear
from flatnas.corruptions.severities import BySeverity, Level

DEFOCUS_RADIUS_AND_ALIAS = BySeverity(
    ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1)),
    ((0.5, 0.6), (1.0, 0.1), (1.5, 0.1), (2.5, 0.01), (3.0, 0.1)),
    ((3.0, 0.1), (4.0, 0.5), (6.0, 0.5), (8.0, 0.5), (10.0, 0.5)),
)


def defocus_blur(images: Pixels, level: Level, _: Generators) -> Values:
    """Convolve with a disk, an out-of-focus lens: radius in pixels, its edge softened by a Gaussian of sigma alias."""
    import cv2

    kernel = _disk(*level.of(DEFOCUS_RADIUS_AND_ALIAS))
    # OpenCV filters with a kernel this large through a DFT: without its zeros it would round differently.
    blurred = np.stack([cv2.filter2D(image, -1, kernel) for image in images / 255.0])
    values: Values = np.clip(blurred.reshape(images.shape), 0, 1) * 255  # OpenCV drops a single channel
    return values


def _disk(radius: float, alias_sigma: float) -> npt.NDArray[np.float32]:
    """A disk of sum 1 on a grid of 17 x 17, or just as large as the disk where its radius is more than 8."""
    import cv2

    reach, taps = (8.0, 3) if radius <= 8 else (radius, 5)
    x, y = np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1))
    disk = (x**2 + y**2 <= radius**2).astype(np.float32)
    softened: npt.NDArray[np.float32] = cv2.GaussianBlur(disk / disk.sum(), ksize=(taps, taps), sigmaX=alias_sigma)
    return softened


@dataclass(frozen=True, slots=True)
class _Glass:
    """Frosted glass: the sigma of both blurs, the furthest that a pixel is taken from, and how often that is done."""

    sigma: float
    reach: int
    iterations: int


GLASS = BySeverity(
    (_Glass(0.05, 1, 1), _Glass(0.25, 1, 1), _Glass(0.4, 1, 1), _Glass(0.25, 1, 2), _Glass(0.4, 1, 2)),
    (_Glass(0.1, 1, 1), _Glass(0.5, 1, 1), _Glass(0.6, 1, 2), _Glass(0.7, 2, 1), _Glass(0.9, 2, 2)),
    (_Glass(0.7, 1, 2), _Glass(0.9, 2, 1), _Glass(1.0, 2, 3), _Glass(1.1, 3, 2), _Glass(1.5, 4, 2)),
)


def glass_blur(images: Pixels, level: Level, generators: Generators) -> Values:
    """Blur, let pixels take the value of a neighbour (frosted glass), and blur again.

    From the last pixel to the first, each takes the value at a random offset of -reach to reach - 1 in either
    direction. The published code means to swap the two, but both of its names are views of one array, so that the other
    pixel keeps its value; that is kept here.
    """
    p = level.of(GLASS)
    _n, height, width, _c = images.shape
    pixels = (_gaussian(images / 255.0, p.sigma) * 255).astype(np.uint8)
    size = (p.iterations, max(0, height - 2 * p.reach), max(0, width - 2 * p.reach), 2)  # the last axis is dx, dy
    offsets = [generator.integers(-p.reach, p.reach, size) for generator in generators]
    if offsets:
        pixels = displaced(pixels, np.stack(offsets), p.reach)
    values: Values = np.clip(_gaussian(pixels / 255.0, p.sigma), 0, 1) * 255
    return values


MOTION_RADIUS_AND_SIGMA = BySeverity(
    ((6, 1.0), (6, 1.5), (6, 2.0), (8, 2.0), (9, 2.5)),
    ((10, 1.0), (10, 1.5), (10, 2.0), (10, 2.5), (12, 3.0)),
    ((10, 3.0), (15, 5.0), (15, 8.0), (15, 12.0), (20, 15.0)),
)


def motion_blur(images: Pixels, level: Level, generators: Generators) -> Values:
    """Smear along a direction of -45 to 45 degrees: a camera that moves."""
    radius, sigma = level.of(MOTION_RADIUS_AND_SIGMA)
    return smear(images, radius, sigma, np.array([generator.uniform(-45, 45) for generator in generators]))


ZOOM_STOP_AND_STEP = BySeverity(
    ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
    ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
    ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
)
"""Zoom factors are `np.arange(1, stop, step)`; CIFAR-10-C's are 7, 12, 16, 21, 26, for rounding keeps 1.06 and 1.11 in.

They must be arange's: its 1.25 is larger by one bit, and enlarges 26 pixels to 33, not to 32.
"""


def zoom_blur(images: Pixels, level: Level, _: Generators) -> Values:
    """Average the image with its bilinear enlargements by 1.00, 1.01, ...: a camera that moves towards the object.

    Each enlargement is computed in float64, rounded to float32, and added in float32.
    """
    n, height, width, channels = images.shape
    x = (images / 255.0).astype(np.float32).transpose(0, 3, 1, 2).reshape(n * channels, height, width)
    stop, step = level.of(ZOOM_STOP_AND_STEP)
    factors = np.arange(1, stop, step)
    mean = (x + sum_of_zoomed(x, factors)) / np.float32(len(factors) + 1)
    blurred = np.clip(mean, 0, 1) * 255
    values: Values = blurred.reshape(n, channels, height, width).transpose(0, 2, 3, 1)
    return values


GAUSSIAN_BLUR_SIGMA = BySeverity((0.4, 0.6, 0.7, 0.8, 1.0), (0.5, 0.75, 1.0, 1.25, 1.5), (1.0, 2.0, 3.0, 4.0, 6.0))


def gaussian_blur(images: Pixels, level: Level, _: Generators) -> Values:
    """Convolve with a Gaussian of sigma pixels."""
    values: Values = np.clip(_gaussian(images / 255.0, level.of(GAUSSIAN_BLUR_SIGMA)), 0, 1) * 255
    return values


def _gaussian(x: npt.NDArray[np.float64], sigma: float) -> npt.NDArray[np.float64]:
    """Filter (N, H, W, C) with a Gaussian of sigma pixels, cut off at 4 sigma, edge pixels repeated outwards."""
    from scipy.ndimage import gaussian_filter

    blurred: npt.NDArray[np.float64] = gaussian_filter(x, sigma=(0, sigma, sigma, 0), mode="nearest", truncate=4.0)
    return blurred
