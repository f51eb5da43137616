"""scikit-learn's handwritten digits: a data set that needs no download, for first tries and tests.

1,797 grey 8x8 images with values 0..16, the test part of Alpaydin & Kaynak 1998 (UCI, doi 10.24432/C50P49).
"""

from __future__ import annotations

import numpy as np

from flatnas.data.dataset import Dataset, Images, content_sha256, split_off

RESOLUTION = 32
_LARGEST_VALUE = 16


def load_digits() -> Dataset:
    """The digits, enlarged to 32x32 RGB by OpenCV's bilinear interpolation; 60 % train, 20 % val, 20 % test."""
    import cv2
    from sklearn.datasets import load_digits as sklearn_digits

    bunch = sklearn_digits()
    grey = np.rint(bunch.images * (255 / _LARGEST_VALUE)).astype(np.uint8)
    size = (RESOLUTION, RESOLUTION)
    enlarged = np.stack([cv2.resize(image, size, interpolation=cv2.INTER_LINEAR) for image in grey])
    everything = Images(np.repeat(enlarged[..., None], 3, axis=3), bunch.target.astype(np.int64))
    rest, test = split_off(everything, 0.2)
    train, val = split_off(rest, 0.25)
    names = tuple(str(digit) for digit in range(10))
    return Dataset("digits", names, train, val, test, content_sha256(train, val, test), mirrors=False, shift=2)
