"""Whether a layer's sums fit the int32 that integer kernels add them up in.

A real multiplier s_x * s_w / s_y of 1 or more is applied by shifting the sum to the left first, which overflows where
the output's scale is much finer than the products'.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from export.graph import Array, ExportError


def check_accumulator(where: str, weights: Array, bias: Array, multipliers: npt.NDArray[np.float64]) -> None:
    """Refuse a layer whose sums could leave int32 for some input.

    Args:
        where: the node, for the message.
        weights: int8, the output channel as first axis.
        bias: int32, shape (C,).
        multipliers: of each channel, shape (C,).

    Raises:
        ExportError: a channel can overflow.
    """
    largest = 255 * np.abs(weights.reshape(len(weights), -1).astype(np.int64)).sum(1) + np.abs(bias.astype(np.int64))
    left_shifts = np.maximum(np.frexp(multipliers)[1], 0)
    over = largest * 2.0**left_shifts >= 2**31
    if over.any():
        channel = int(np.argmax(over))
        raise ExportError(
            f"{where}: channel {channel} can overflow its int32 accumulator "
            f"({largest[channel]} shifted left by {left_shifts[channel]}); its output's range is too small for "
            "its weights, or it sums too many products"
        )
