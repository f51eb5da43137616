"""AugMix (Hendrycks et al., ICLR 2020, arXiv 1912.02781) on whole batches, without its consistency loss.

Three chains of one to three operations each are mixed by Dirichlet weights, and the mixture with the image by a Beta
weight, as published: severity 3, and none of the operations is one that CIFAR-10-C tests with.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from flatnas.data.resize import Pixels

_WIDTH, _DEPTH, _SEVERITY, _LEVELS = 3, 3, 3.0, 10.0
Float64Array = npt.NDArray[np.float64]


def augmix(pixels_nhwc: Pixels, rng: np.random.Generator) -> Pixels:
    """A mixed copy of a uint8 batch (B, H, W, 3)."""
    n = len(pixels_nhwc)
    weights = rng.dirichlet(np.ones(_WIDTH), n).astype(np.float32)
    share = rng.beta(1.0, 1.0, n).astype(np.float32)[:, None, None, None]
    mixed = np.zeros(pixels_nhwc.shape, np.float32)
    for chain in range(_WIDTH):
        mixed += weights[:, chain, None, None, None] * _chain(pixels_nhwc, rng)
    mixed = (1 - share) * pixels_nhwc + share * mixed
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _chain(pixels_nhwc: Pixels, rng: np.random.Generator) -> Pixels:
    """One to three random operations on each image."""
    chained, operations = pixels_nhwc.copy(), list(_OPERATIONS)
    depth = rng.integers(1, _DEPTH + 1, len(chained))
    for step in range(_DEPTH):
        chosen = np.where(depth > step, rng.integers(len(operations), size=len(chained)), -1)
        for index, operation in enumerate(operations):
            images = np.flatnonzero(chosen == index)
            if len(images):
                level = rng.uniform(0.1, _SEVERITY, len(images)) / _LEVELS
                chained[images] = operation(chained[images], level, rng)
    return chained


def _autocontrast(x: Pixels, level: Float64Array, rng: np.random.Generator) -> Pixels:
    """Each channel stretched to 0..255."""
    low, high = x.min((1, 2), keepdims=True).astype(np.float32), x.max((1, 2), keepdims=True).astype(np.float32)
    span = np.where(high > low, high - low, 1)
    return np.where(high > low, (x - low) * (255 / span), x).astype(np.uint8)


def _equalize(x: Pixels, level: Float64Array, rng: np.random.Generator) -> Pixels:
    """Each channel's histogram flattened, by the rule of Pillow's `ImageOps.equalize`."""
    n, h, w, c = x.shape
    planes = x.transpose(0, 3, 1, 2).reshape(n * c, h * w)
    rows = np.arange(n * c)[:, None]
    histogram = np.bincount((rows * 256 + planes).ravel(), minlength=n * c * 256).reshape(n * c, 256)
    last = np.take_along_axis(histogram, planes.max(1)[:, None], 1)  # of the brightest value that occurs
    step = (h * w - last) // 255
    below = np.cumsum(histogram, 1) - histogram
    table = np.clip((below + step // 2) // np.maximum(step, 1), 0, 255)
    table = np.where(step > 0, table, np.arange(256))
    return table[rows, planes].astype(np.uint8).reshape(n, c, h, w).transpose(0, 2, 3, 1)


def _posterize(x: Pixels, level: Float64Array, rng: np.random.Generator) -> Pixels:
    """Only the leading 4 bits or fewer."""
    dropped = 4 + (level * 4).astype(np.uint8)[:, None, None, None]
    kept: Pixels = (x >> dropped) << dropped
    return kept


def _solarize(x: Pixels, level: Float64Array, rng: np.random.Generator) -> Pixels:
    """Values from a threshold upwards inverted."""
    threshold = 256 - (level * 256).astype(np.int64)[:, None, None, None]
    return np.where(x >= threshold, 255 - x, x)


def _rotate(x: Pixels, level: Float64Array, rng: np.random.Generator) -> Pixels:
    """By up to 9 degrees about the centre."""
    angle = np.deg2rad(_signed((level * 30).astype(np.int64), rng))
    cos, sin = np.cos(angle), np.sin(angle)
    cy, cx = (x.shape[1] - 1) / 2, (x.shape[2] - 1) / 2
    matrix = np.stack([cos, sin, cx - cos * cx - sin * cy, -sin, cos, cy + sin * cx - cos * cy], 1)
    return _warp(x, matrix.reshape(-1, 2, 3))


def _shear_x(x: Pixels, level: Float64Array, rng: np.random.Generator) -> Pixels:
    return _warp(x, _affine(len(x), 0, 1, _signed(level * 0.3, rng)))


def _shear_y(x: Pixels, level: Float64Array, rng: np.random.Generator) -> Pixels:
    return _warp(x, _affine(len(x), 1, 0, _signed(level * 0.3, rng)))


def _translate_x(x: Pixels, level: Float64Array, rng: np.random.Generator) -> Pixels:
    return _warp(x, _affine(len(x), 0, 2, _signed((level * x.shape[2] / 3).astype(np.int64), rng)))


def _translate_y(x: Pixels, level: Float64Array, rng: np.random.Generator) -> Pixels:
    return _warp(x, _affine(len(x), 1, 2, _signed((level * x.shape[1] / 3).astype(np.int64), rng)))


def _affine(n: int, row: int, column: int, values: Float64Array) -> Float64Array:
    """Identity maps from output to input pixels (n, 2, 3) with one entry replaced."""
    matrices = np.repeat(np.eye(2, 3)[None], n, 0)
    matrices[:, row, column] = values
    return matrices


def _signed(values: Float64Array | npt.NDArray[np.int64], rng: np.random.Generator) -> Float64Array:
    signed: Float64Array = np.where(rng.random(len(values)) < 0.5, -values, values).astype(np.float64)
    return signed


def _warp(x: Pixels, output_to_input: Float64Array) -> Pixels:
    """Bilinear, black where the input ends."""
    import cv2

    size = (x.shape[2], x.shape[1])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.stack([cv2.warpAffine(image, m, size, flags=flags) for image, m in zip(x, output_to_input, strict=True)])


_OPERATIONS: tuple[Callable[[Pixels, Float64Array, np.random.Generator], Pixels], ...] = (
    _autocontrast,
    _equalize,
    _posterize,
    _rotate,
    _solarize,
    _shear_x,
    _shear_y,
    _translate_x,
    _translate_y,
)
