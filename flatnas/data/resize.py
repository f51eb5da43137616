"""The one way an image changes size, in training, in evaluation and in the audit; `model.json` calls it `area`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


def resize(pixels_nhwc: Pixels, resolution: int) -> Pixels:
    """Images (N, H, W, 3) to (N, resolution, resolution, 3) by OpenCV's area interpolation, which does not alias."""
    import cv2

    if pixels_nhwc.shape[1:3] == (resolution, resolution):
        return np.ascontiguousarray(pixels_nhwc)
    size = (resolution, resolution)
    return np.stack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in pixels_nhwc])
