"""What is lost by JPEG: compress with libjpeg 9b's defaults and decompress again, in numpy, whole batches at once.

The published CIFAR-10-C file was made with libjpeg 9b, which Pillow's own packages carried in 2018. Since version 7
that library halves the resolution of colour inside the transform (16 x 16 pixels to 8 x 8 coefficients and back),
whereas libjpeg-turbo, which Pillow uses today, averages pixels before it: hence other bytes. Entropy coding loses
nothing and is left out. ITU-T T.81 (1992), annexes A and K; the transforms are Loeffler, Ligtenberg & Moschytz
(ICASSP 1989) in 13-bit fixed point.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import numpy.typing as npt

from flatnas.corruptions.corruption import Pixels

Float64Array = npt.NDArray[np.float64]  # whole numbers below 2**53 throughout, so that products through BLAS are exact

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


def jpeg_round_trip(images: Pixels, quality: int) -> Pixels:
    """Images (N, H, W, 3) after compression at a quality of 1 to 100."""
    _n, height, width, _c = images.shape
    # A picture is continued by its edge to whole blocks of 16 x 16.
    padded = np.pad(images, ((0, 0), (0, -height % 16), (0, -width % 16), (0, 0)), mode="edge")
    luma, blue, red = _to_ycc(padded)
    luma = _coded(luma, _scaled(_LUMINANCE, quality), 8, _OFF_8, _OFF_8)
    chroma_table = _scaled(_CHROMINANCE, quality)
    blue, red = (_coded(plane, chroma_table, 16, _OFF_16_FORWARD, _OFF_16_INVERSE) for plane in (blue, red))
    return _to_rgb(luma, blue, red)[:, :height, :width]


def _coded(
    plane: Float64Array,
    table: Float64Array,
    side: int,
    off_forward: Mapping[tuple[int, int], int],
    off_inverse: Mapping[tuple[int, int], int],
) -> Float64Array:
    """One colour component (N, H, W) after transform, quantization and back; blocks of side x side pixels."""
    n, height, width = plane.shape
    blocks = plane.reshape(n, height // side, side, width // side, side).transpose(0, 1, 3, 2, 4)
    forward, inverse = _cosines(side, tuple(off_forward.items())), _cosines(side, tuple(off_inverse.items()))
    coefficients = blocks @ forward.T
    coefficients[..., 0] -= side * 128 * 2**13
    coefficients = forward @ _shifted(coefficients, 11)
    coefficients = _shifted(coefficients, 15 if side == 8 else 17)  # 8 times a true DCT's
    steps = np.floor((np.abs(coefficients) + 4 * table) / (8 * table)) * np.sign(coefficients)
    pixels = _shifted(_shifted(inverse.T @ (steps * table), 11) @ inverse, 18)
    whole = np.clip(pixels + 128, 0, 255).transpose(0, 1, 3, 2, 4)
    return whole.reshape(n, height, width)


@cache
def _cosines(side: int, off: tuple[tuple[tuple[int, int], int], ...]) -> Float64Array:
    """sqrt(2) * cos((2x + 1) k pi / (2 side)) in 13 bits, shape (8 frequencies, side positions); 1 for k = 0."""
    k, x = np.arange(8)[:, None], np.arange(side)
    cosines = np.sqrt(2) * np.cos((2 * x + 1) * k * np.pi / (2 * side))
    cosines[0] = 1
    fixed: Float64Array = np.rint(2**13 * cosines)
    for (frequency, position), by in off:
        fixed[frequency, position] += by
        fixed[frequency, side - 1 - position] += by if frequency % 2 == 0 else -by
    return fixed


def _shifted(x: Float64Array, bits: int) -> Float64Array:
    """Divided by 2**bits, rounded to the nearest, halves up."""
    return np.floor(x * 2.0**-bits + 0.5)


def _scaled(table: npt.NDArray[np.int64], quality: int) -> Float64Array:
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((table * percent + 50) // 100, 1, 255).astype(np.float64)


def _fixed(x: float) -> int:
    return int(x * 2**16 + 0.5)


def _to_ycc(rgb: Pixels) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Luminance and the two colour differences, each (N, H, W), by ITU-R BT.601 in 16-bit fixed point."""
    r, g, b = np.moveaxis(rgb.astype(np.int64), -1, 0)
    half, centre = 2**15, 128 * 2**16 + 2**15 - 1
    y = (_fixed(0.299) * r + _fixed(0.587) * g + _fixed(0.114) * b + half) >> 16
    blue = (-_fixed(0.168735892) * r - _fixed(0.331264108) * g + _fixed(0.5) * b + centre) >> 16
    red = (_fixed(0.5) * r - _fixed(0.418687589) * g - _fixed(0.081312411) * b + centre) >> 16
    return y.astype(np.float64), blue.astype(np.float64), red.astype(np.float64)


def _to_rgb(luma: Float64Array, blue: Float64Array, red: Float64Array) -> Pixels:
    y, b, r = (plane.astype(np.int64) for plane in (luma, blue - 128, red - 128))
    half = 2**15
    rgb = (
        y + ((_fixed(1.402) * r + half) >> 16),
        y + ((-_fixed(0.344136286) * b - _fixed(0.714136286) * r + half) >> 16),
        y + ((_fixed(1.772) * b + half) >> 16),
    )
    pixels: Pixels = np.clip(np.stack(rgb, axis=-1), 0, 255).astype(np.uint8)
    return pixels
