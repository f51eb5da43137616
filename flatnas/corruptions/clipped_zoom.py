"""Enlarging the middle of an image by linear interpolation, as `scipy.ndimage.zoom` does it, whole batches at once."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt


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


def zoomed(x: npt.NDArray[np.float64], rows: Taps, columns: Taps) -> npt.NDArray[np.float64]:
    """Interpolate (H, W, N, C) along H and W, multiplied and summed in scipy's order: (x * w_row) * w_column."""
    upper = x[rows.i0] * rows.w0[:, None, None, None]
    lower = x[rows.i1] * rows.w1[:, None, None, None]
    w0, w1 = columns.w0[:, None, None], columns.w1[:, None, None]
    total: npt.NDArray[np.float64] = upper[:, columns.i0] * w0
    total += upper[:, columns.i1] * w1
    total += lower[:, columns.i0] * w0
    total += lower[:, columns.i1] * w1
    return total
