"""Blur: defocus, zoom and Gaussian blur, equal to the published CIFAR-10-C files in every byte.

Parameters as in `make_cifar_c.py` of https://github.com/hendrycks/robustness (arXiv 1903.12261). Values are truncated
to uint8 afterwards, so in flat areas the last bit of the floating-point arithmetic decides between v and v - 1:
the order of operations below is the published one and must not be rearranged.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from flatnas.corruptions.corruption import Generators, Pixels, Values

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
        total += _zoomed(x64, _taps(height, factor), _taps(width, factor)).astype(np.float32)
    mean = (x + total) / np.float32(len(factors) + 1)
    values: Values = (np.clip(mean, 0, 1) * 255).transpose(2, 0, 1, 3)
    return values


@dataclass(frozen=True, slots=True, eq=False)
class _Taps:
    """Linear interpolation along one axis of length L: output i is w0[i] * x[i0[i]] + w1[i] * x[i1[i]]."""

    i0: npt.NDArray[np.intp]
    i1: npt.NDArray[np.intp]
    w0: npt.NDArray[np.float64]
    w1: npt.NDArray[np.float64]


def _taps(length: int, factor: float) -> _Taps:
    """Crop the middle `ceil(length / factor)` pixels, enlarge them as scipy.ndimage.zoom does, trim to `length`."""
    crop = ceil(length / factor)
    top = (length - crop) // 2
    enlarged = round(crop * factor)
    trim = (enlarged - length) // 2
    # End points map to end points; the last position may exceed crop - 1 by rounding.
    position = np.minimum((crop - 1) / (enlarged - 1) * np.arange(trim, trim + length), crop - 1)
    below = np.floor(position).astype(np.intp)
    w1 = position - below
    return _Taps(top + below, top + np.minimum(below + 1, crop - 1), 1 - w1, w1)


def _zoomed(x: npt.NDArray[np.float64], rows: _Taps, columns: _Taps) -> npt.NDArray[np.float64]:
    """Interpolate (H, W, N, C) along H and W, multiplied and summed in scipy's order: (x * w_row) * w_column."""
    upper = x[rows.i0] * rows.w0[:, None, None, None]
    lower = x[rows.i1] * rows.w1[:, None, None, None]
    w0, w1 = columns.w0[:, None, None], columns.w1[:, None, None]
    total: npt.NDArray[np.float64] = upper[:, columns.i0] * w0
    total += upper[:, columns.i1] * w1
    total += lower[:, columns.i0] * w0
    total += lower[:, columns.i1] * w1
    return total


GAUSSIAN_BLUR_SIGMA = (0.4, 0.6, 0.7, 0.8, 1.0)


def gaussian_blur(images: Pixels, severity: int, _: Generators) -> Values:
    """Convolve with a Gaussian of sigma pixels, cut off at 4 sigma, edge pixels repeated outwards."""
    from scipy.ndimage import gaussian_filter

    sigma = GAUSSIAN_BLUR_SIGMA[severity - 1]
    blurred = gaussian_filter(images / 255.0, sigma=(0, sigma, sigma, 0), mode="nearest", truncate=4.0)
    values: Values = np.clip(blurred, 0, 1) * 255
    return values
