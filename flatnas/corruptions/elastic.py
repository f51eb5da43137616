"""Elastic transform: a random affine map, then every pixel drawn to a place nearby (Simard et al., ICDAR 2003).

Parameters as in `make_cifar_c.py` of https://github.com/hendrycks/robustness (arXiv 1903.12261), in shares of the
picture's shorter side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from flatnas.corruptions.corruption import Generators, Pixels, Values

Float32Array = npt.NDArray[np.float32]
ALPHA_SIGMA_AFFINE = ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03))


def elastic_transform(images: Pixels, severity: int, generators: Generators) -> Values:
    """Shift three corners of a square in the middle by up to `affine`, then each pixel by smoothed noise."""
    from scipy.ndimage import gaussian_filter

    n, height, width, _c = images.shape
    alpha, sigma, affine = (min(height, width) * share for share in ALPHA_SIGMA_AFFINE[severity - 1])
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
    return np.asarray(warped, np.float32)


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
