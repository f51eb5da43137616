"""RGB to grey, the one way: the luma of ITU-R BT.601."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def to_grey(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Luma of pixels (..., 3), shape (..., 1), in 16-bit fixed point, as Pillow's mode L computes it."""
    wide = rgb.astype(np.uint32)
    luma = (wide[..., 0] * 19595 + wide[..., 1] * 38470 + wide[..., 2] * 7471 + 0x8000) >> 16
    return luma.astype(np.uint8)[..., None]
