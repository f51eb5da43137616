"""What activation tensors were on calibration images: values that calibration makes and quantization uses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Range:
    """Least and greatest value that a tensor took on the calibration images."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One activation tensor on the calibration images.

    Attributes:
        bounds: least and greatest value.
        values: a sample of them, sorted.
        channel_largest: largest magnitude of each channel, shape (C,).
        channel_mean: mean of each channel, shape (C,).
    """

    bounds: Range
    values: Float32Array
    channel_largest: Float32Array
    channel_mean: npt.NDArray[np.float64]
