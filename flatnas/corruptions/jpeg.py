"""What is lost by JPEG: compress with libjpeg 9b's defaults and decompress again, in numpy, whole batches at once.

The published CIFAR-10-C file was made with libjpeg 9b, which Pillow's own packages carried in 2018. Since version 7
that library halves the resolution of colour inside the transform (16 x 16 pixels to 8 x 8 coefficients and back),
whereas libjpeg-turbo, which Pillow uses today, averages pixels before it: hence other bytes. Entropy coding loses
nothing and is left out. ITU-T T.81 (1992), annexes A and K; the transforms are Loeffler, Ligtenberg & Moschytz
(ICASSP 1989) in 13-bit fixed point.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from flatnas.corruptions.corruption import Pixels

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
"""Whole numbers below 2**53 (of float32: up to 2**24) times a power of two: sums are exact in any order."""
Float = TypeVar("Float", np.float32, np.float64)

_SLAB_PIXELS = 25_600  # at once: what is between two steps stays in the processor's cache

_LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
_CHROMINANCE = np.full((8, 8), 99)
_CHROMINANCE[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]

# libjpeg adds up rounded constants, so that some of its cosines are off by one: (frequency, position in the left half).
_OFF_8 = {(1, 2): 1, (3, 1): 1, (3, 2): 1, (5, 0): 1, (5, 1): 1, (5, 2): 1, (6, 1): -1, (6, 2): 1}
_OFF_16_FORWARD = {(1, 7): -1, (5, 2): 1, (6, 3): -1, (6, 4): 1, (7, 3): 1, (7, 4): 1}
_OFF_16_INVERSE = {(2, 2): 1, (2, 5): -1, (3, 6): 1, (5, 2): 1, (5, 5): -1, (6, 0): -1, (6, 7): 1, (7, 3): 1}


@dataclass(frozen=True, slots=True, eq=False)
class _Transform:
    """Blocks of side x side pixels to 8 x 8 coefficients and back: products with matrices, each rounded on the way.

    Each matrix has the power of two by which its product is divided in it. The coefficients are 8 times a true DCT's.
    """

    rows: Float32Array
    columns: Float64Array
    columns_back: Float64Array
    rows_back: Float64Array


def jpeg_round_trip(images: Pixels, quality: int) -> Pixels:
    """Images (N, H, W, 3) after compression at a quality of 1 to 100."""
    _n, height, width, _c = images.shape
    # A picture is continued by its edge to whole blocks of 16 x 16.
    padded = np.pad(images, ((0, 0), (0, -height % 16), (0, -width % 16), (0, 0)), mode="edge")
    tall = padded.reshape(-1, padded.shape[2], 3)  # blocks know nothing of pictures
    luminance, chrominance = _scaled(_LUMINANCE, quality), _scaled(_CHROMINANCE, quality)
    coded = np.empty_like(tall)
    step = max(1, _SLAB_PIXELS // (16 * padded.shape[2])) * 16
    for start in range(0, len(tall), step):
        y, blue, red = planes = _to_ycc(tall[start : start + step])
        y[:] = _coded(y, luminance, _transform(8))
        blue[:] = _coded(blue, chrominance, _transform(16))
        red[:] = _coded(red, chrominance, _transform(16))
        coded[start : start + step] = _to_rgb(planes)
    return coded.reshape(padded.shape)[:, :height, :width]


def _coded(plane: Float32Array, table: Float64Array, transform: _Transform) -> Float64Array:
    """One colour component (H, W), from -128 to 127, after transform, quantization and back, from 0 to 255."""
    height, width = plane.shape
    side = len(transform.rows)
    rows = _rounded(plane.reshape(-1, side) @ transform.rows)
    x = _rounded(transform.columns @ rows.reshape(height // side, side, width // side * 8))
    steps = 8 * np.tile(table, width // side)
    x *= (1 + 1e-9) / steps  # the nearest multiple, halves away from zero: whole numbers below 2**16 by 8 to 2040
    np.rint(x, out=x)
    x *= steps / 8
    x = _rounded(transform.columns_back @ x)
    x = x.reshape(-1, 8) @ transform.rows_back
    x += 128.5
    np.floor(x, out=x)
    return np.clip(x, 0, 255, out=x).reshape(height, width)


@cache
def _transform(side: int) -> _Transform:
    forward, inverse = (_OFF_8, _OFF_8) if side == 8 else (_OFF_16_FORWARD, _OFF_16_INVERSE)
    to, back = _cosines(side, forward), _cosines(side, inverse)
    rows = (to.T * 2.0**-11).astype(np.float32)
    return _Transform(rows, to * (2.0**-15 if side == 8 else 2.0**-17), back.T * 2.0**-11, back * 2.0**-18)


def _cosines(side: int, off: Mapping[tuple[int, int], int]) -> Float64Array:
    """sqrt(2) * cos((2x + 1) k pi / (2 side)) in 13 bits, shape (8 frequencies, side positions); 1 for k = 0."""
    k, x = np.arange(8)[:, None], np.arange(side)
    cosines = np.sqrt(2) * np.cos((2 * x + 1) * k * np.pi / (2 * side))
    cosines[0] = 1
    fixed: Float64Array = np.rint(2**13 * cosines)
    for (frequency, position), by in off.items():
        fixed[frequency, position] += by
        fixed[frequency, side - 1 - position] += by if frequency % 2 == 0 else -by
    return fixed


def _rounded(x: npt.NDArray[Float]) -> npt.NDArray[Float]:
    """To the nearest whole number, halves up, in place."""
    x += 0.5
    return np.floor(x, out=x)


def _scaled(table: npt.NDArray[np.int64], quality: int) -> Float64Array:
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((table * percent + 50) // 100, 1, 255).astype(np.float64)


def _fixed(*values: float) -> Float32Array:
    """In 16 bits, for products that are whole multiples of 2**-16."""
    return np.array([int(abs(x) * 2**16 + 0.5) * np.sign(x) * 2.0**-16 for x in values], np.float32)


_TO_YCC = np.stack([
    _fixed(0.299, 0.587, 0.114),
    _fixed(-0.168735892, -0.331264108, 0.5),
    _fixed(0.5, -0.418687589, -0.081312411),
])  # fmt: skip
# libjpeg rounds colour differences down where they are halves
_YCC_ADDED = np.array([[0.5 - 128], [0.5 - 2.0**-16], [0.5 - 2.0**-16]], np.float32)
_TO_RGB = np.stack([_fixed(0, 1.402), _fixed(-0.344136286, -0.714136286), _fixed(1.772, 0)])


def _to_ycc(rgb: Pixels) -> Float32Array:
    """Luminance and the two colour differences minus 128, shape (3, H, W), by ITU-R BT.601 in 16-bit fixed point."""
    ycc = _TO_YCC @ rgb.reshape(-1, 3).astype(np.float32).T
    ycc += _YCC_ADDED
    np.floor(ycc, out=ycc)
    return ycc.reshape(3, *rgb.shape[:2])


def _to_rgb(ycc: Float32Array) -> Pixels:
    """Pixels (H, W, 3) of luminance and colour differences of 0 to 255, which are changed."""
    luma, colour = ycc[0].reshape(1, -1), ycc[1:].reshape(2, -1)
    colour -= 128
    rgb = _rounded(_TO_RGB @ colour)
    rgb += luma
    np.clip(rgb, 0, 255, out=rgb)
    return rgb.T.astype(np.uint8).reshape(*ycc.shape[1:], 3)
