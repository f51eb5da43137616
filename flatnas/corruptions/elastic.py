"""Elastic transform: a random affine map, then every pixel drawn to a place nearby (Simard et al., ICDAR 2003).

Lengths are shares of the picture's shorter side. ImageNet-C multiplies its shares by 244, not by its side of 224.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from flatnas.corruptions.corruption import Generators, Pixels, Values
from flatnas.corruptions.severities import BySeverity, Level

Float32Array = npt.NDArray[np.float32]
ALPHA_SIGMA_AFFINE = BySeverity(
    ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
    ((0, 0, 0.08), (0.05, 0.3, 0.06), (0.1, 0.08, 0.06), (0.1, 0.03, 0.03), (0.16, 0.03, 0.02)),
    ((2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02)),
)
_IMAGENET_C_STRETCH = 244 / 224


def elastic_transform(images: Pixels, level: Level, generators: Generators) -> Values:
    """Shift three corners of a square in the middle by up to `affine`, then each pixel by smoothed noise."""
    from scipy.ndimage import gaussian_filter

    n, height, width, _c = images.shape
    side = min(height, width) * (_IMAGENET_C_STRETCH if level.table == "imagenet-c" else 1)
    alpha, sigma, affine = (side * share for share in level.of(ALPHA_SIGMA_AFFINE))
    warped, noise = np.empty(images.shape, np.float32), np.empty((2, n, height, width))
    for i, generator in enumerate(generators):
        corners = generator.uniform(-affine, affine, (3, 2)).astype(np.float32)
        warped[i] = _warped(images[i].astype(np.float32) / np.float32(255), corners)
        noise[:, i] = generator.uniform(-1, 1, (2, height, width))
    shift = gaussian_filter(noise, sigma=(0, 0, sigma, sigma), mode="reflect", truncate=3) * alpha
    right, down = shift.astype(np.float32)
    rows, columns = np.arange(height)[:, None] + down.astype(float), np.arange(width) + right.astype(float)
    values: Values = np.clip(_bilinear(warped, rows, columns), 0, 1) * 255
    return values


def _warped(image: Float32Array, corner_shifts: Float32Array) -> Float32Array:
    """The affine map that takes three corners of the middle square to where they are shifted."""
    import cv2

    height, width, _c = image.shape
    centre, side = np.array([height // 2, width // 2], np.float32), min(height, width) // 3
    corners = np.array([centre + side, [centre[0] + side, centre[1] - side], centre - side], np.float32)
    matrix = cv2.getAffineTransform(corners, corners + corner_shifts)
    warped: Any = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(warped, np.float32).reshape(image.shape)  # OpenCV drops a single channel


def _bilinear(images: Float32Array, rows: npt.NDArray[np.float64], columns: npt.NDArray[np.float64]) -> Float32Array:
    """Values between pixels at (rows, columns), each (N, H, W); the picture is mirrored at its edges' outer side."""
    n, height, width, _c = images.shape
    every = np.arange(n)[:, None, None]
    top, left = np.floor(rows).astype(np.intp), np.floor(columns).astype(np.intp)
    down, right = rows - top, columns - left
    total = np.zeros(images.shape)
    for r, row_weight in ((top, 1 - down), (top + 1, down)):
        for c, column_weight in ((left, 1 - right), (left + 1, right)):
            weight = (row_weight * column_weight)[..., None]
            total += weight * images[every, _mirrored(r, height), _mirrored(c, width)]
    return total.astype(np.float32)


def _mirrored(index: npt.NDArray[np.intp], length: int) -> npt.NDArray[np.intp]:
    """..., 1, 0, 0, 1, ..., length - 1, length - 1, length - 2, ..."""
    wrapped = index % (2 * length)
    return np.minimum(wrapped, 2 * length - 1 - wrapped)
