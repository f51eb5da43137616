"""Enlarging the middle of an image by linear interpolation, as `scipy.ndimage.zoom` does it, whole batches at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

Planes = npt.NDArray[np.float64]
_SLAB_PIXELS = 24_576  # at once: what is between two steps stays in the processor's cache


@dataclass(frozen=True, slots=True, eq=False)
class Taps:
    """Linear interpolation along one axis of length L: output i is w0[i] * x[i0[i]] + w1[i] * x[i1[i]]."""

    i0: npt.NDArray[np.intp]
    i1: npt.NDArray[np.intp]
    w0: npt.NDArray[np.float64]
    w1: npt.NDArray[np.float64]


def taps(length: int, factor: float) -> Taps:
    """Crop the middle `ceil(length / factor)` pixels, enlarge them as scipy.ndimage.zoom does, trim to `length`."""
    crop = ceil(length / factor)
    top = (length - crop) // 2
    enlarged = round(crop * factor)
    trim = (enlarged - length) // 2
    # End points map to end points; the last position may exceed crop - 1 by rounding.
    position = np.minimum((crop - 1) / (enlarged - 1) * np.arange(trim, trim + length), crop - 1)
    below = np.floor(position).astype(np.intp)
    w1 = position - below
    return Taps(top + below, top + np.minimum(below + 1, crop - 1), 1 - w1, w1)


def zoomed(planes: Planes, factor: float) -> Planes:
    """Enlarge the middle of planes (n, H, W); height and width are cropped each by its own length."""
    _n, height, width = planes.shape
    buffers = [np.empty_like(planes) for _ in range(4)]
    return _interpolated(planes, taps(height, factor), taps(width, factor), buffers)


def sum_of_zoomed(planes: npt.NDArray[np.float32], factors: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The sum of planes (n, H, W) enlarged by each factor: computed in float64, rounded, and added in float32."""
    _n, height, width = planes.shape
    every = [(taps(height, factor), taps(width, factor)) for factor in factors]
    total = np.zeros_like(planes)
    step = max(1, _SLAB_PIXELS // (height * width))
    for start in range(0, len(planes), step):
        some, slab = total[start : start + step], planes[start : start + step].astype(np.float64)
        buffers, rounded = [np.empty_like(slab) for _ in range(4)], np.empty_like(some)
        for rows, columns in every:
            rounded[:] = _interpolated(slab, rows, columns, buffers)
            some += rounded
    return total


def _interpolated(planes: Planes, rows: Taps, columns: Taps, buffers: Sequence[Planes]) -> Planes:
    """Interpolate along H and W, multiplied and summed in scipy's order: (x * w_row) * w_column; in the buffers."""
    upper, lower, total, product = buffers
    # mode "raise" would copy once more
    np.take(planes, rows.i0, axis=1, out=upper, mode="clip")
    upper *= rows.w0[:, None]
    np.take(planes, rows.i1, axis=1, out=lower, mode="clip")
    lower *= rows.w1[:, None]
    np.take(upper, columns.i0, axis=2, out=total, mode="clip")
    total *= columns.w0
    for half, index, weight in (
        (upper, columns.i1, columns.w1),
        (lower, columns.i0, columns.w0),
        (lower, columns.i1, columns.w1),
    ):
        np.take(half, index, axis=2, out=product, mode="clip")
        product *= weight
        total += product
    return total
