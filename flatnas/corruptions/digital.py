"""Digital: contrast, pixelate, JPEG and saturate, equal to the published CIFAR-10-C files in every byte.

Parameters as in `make_cifar_c.py` of https://github.com/hendrycks/robustness (arXiv 1903.12261).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flatnas.corruptions.corruption import Generators, Pixels, Values
from flatnas.corruptions.hsv import hsv_to_rgb, rgb_to_hsv
from flatnas.corruptions.jpeg import jpeg_round_trip

CONTRAST_KEPT = (0.75, 0.5, 0.4, 0.3, 0.15)


def contrast(images: Pixels, severity: int, _: Generators) -> Values:
    """Draw each channel towards its mean over the image, keeping a share of the difference."""
    x = images / 255.0
    means = x.mean(axis=(1, 2), keepdims=True)
    values: Values = np.clip((x - means) * CONTRAST_KEPT[severity - 1] + means, 0, 1) * 255
    return values


PIXELATE_SCALE = (0.95, 0.9, 0.85, 0.75, 0.65)


def pixelate(images: Pixels, severity: int, _: Generators) -> Values:
    """Shrink with a box filter to `int(scale * side)` pixels and enlarge again."""
    from PIL import Image

    scale = PIXELATE_SCALE[severity - 1]
    _n, height, width, _c = images.shape
    small_wh = (int(width * scale), int(height * scale))
    pictures = (Image.fromarray(image).resize(small_wh, Image.Resampling.BOX) for image in images)
    return np.stack([np.asarray(picture.resize((width, height), Image.Resampling.BOX)) for picture in pictures])


JPEG_QUALITY = (80, 65, 58, 50, 40)


def jpeg_compression(images: Pixels, severity: int, _: Generators) -> Values:
    """Compress as JPEG and decompress again."""
    return jpeg_round_trip(images, JPEG_QUALITY[severity - 1])


SATURATE_TIMES_AND_PLUS = ((0.3, 0.0), (0.1, 0.0), (1.5, 0.0), (2.0, 0.1), (2.5, 0.2))


def saturate(images: Pixels, severity: int, _: Generators) -> Values:
    """Multiply the saturation of HSV and add to it: paler at severities 1 and 2, gaudier from 3 on."""
    times, plus = SATURATE_TIMES_AND_PLUS[severity - 1]
    hsv = rgb_to_hsv(images / 255.0)
    gaudier = replace(hsv, saturation=np.clip(hsv.saturation * times + plus, 0, 1))
    return np.clip(hsv_to_rgb(gaudier), 0, 1) * 255
