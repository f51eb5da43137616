"""The one way an image changes size, in training, in evaluation and in the audit; `model.json` calls it `area`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


def resize(pixels_nhwc: Pixels, resolution: int) -> Pixels:
    """Images (N, H, W, C) to (N, resolution, resolution, C) by OpenCV's area interpolation, which does not alias."""
    if pixels_nhwc.shape[1:3] == (resolution, resolution):
        return np.ascontiguousarray(pixels_nhwc)
    return np.stack([resize_one(image, resolution, resolution) for image in pixels_nhwc])


def resize_one(image_hwc: Pixels, height: int, width: int) -> Pixels:
    """One image (H, W, C) to (height, width, C), likewise."""
    import cv2

    resized = cv2.resize(image_hwc, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.uint8).reshape(height, width, image_hwc.shape[2])  # OpenCV drops a single channel
