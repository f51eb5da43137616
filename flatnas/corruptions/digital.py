"""Digital: contrast, pixelate, JPEG and saturate, equal to the published CIFAR-10-C files in every byte."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flatnas.corruptions.corruption import Generators, Pixels, Values
from flatnas.corruptions.hsv import hsv_to_rgb, rgb_to_hsv
from flatnas.corruptions.jpeg import jpeg_round_trip
from flatnas.corruptions.severities import BySeverity, Level

CONTRAST_KEPT = BySeverity(
    (0.75, 0.5, 0.4, 0.3, 0.15),
    (0.4, 0.3, 0.2, 0.1, 0.05),
    (0.4, 0.3, 0.2, 0.1, 0.05),
)


def contrast(images: Pixels, level: Level, _: Generators) -> Values:
    """Draw each channel towards its mean over the image, keeping a share of the difference."""
    x = images / 255.0
    means = x.mean(axis=(1, 2), keepdims=True)
    values: Values = np.clip((x - means) * level.of(CONTRAST_KEPT) + means, 0, 1) * 255
    return values


PIXELATE_SCALE = BySeverity(
    (0.95, 0.9, 0.85, 0.75, 0.65),
    (0.9, 0.8, 0.7, 0.6, 0.5),
    (0.6, 0.5, 0.4, 0.3, 0.25),
)


def pixelate(images: Pixels, level: Level, _: Generators) -> Values:
    """Shrink with a box filter to `int(scale * side)` pixels and enlarge again."""
    from PIL import Image

    scale = level.of(PIXELATE_SCALE)
    _n, height, width, channels = images.shape
    small_wh = (int(width * scale), int(height * scale))
    flat = images[..., 0] if channels == 1 else images  # Pillow's grey pictures have no axis of channels
    pictures = (Image.fromarray(image).resize(small_wh, Image.Resampling.BOX) for image in flat)
    enlarged = [np.asarray(picture.resize((width, height), Image.Resampling.BOX)) for picture in pictures]
    return np.stack(enlarged).reshape(images.shape)


JPEG_QUALITY = BySeverity(
    (80, 65, 58, 50, 40),
    (65, 58, 50, 40, 25),
    (25, 18, 15, 10, 7),
)


def jpeg_compression(images: Pixels, level: Level, _: Generators) -> Values:
    """Compress as JPEG and decompress again."""
    return jpeg_round_trip(images, level.of(JPEG_QUALITY))


SATURATE_TIMES_AND_PLUS = BySeverity(
    ((0.3, 0.0), (0.1, 0.0), (1.5, 0.0), (2.0, 0.1), (2.5, 0.2)),
    ((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (30.0, 0.2)),
    ((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2)),
)


def saturate(images: Pixels, level: Level, _: Generators) -> Values:
    """Multiply the saturation of HSV and add to it: paler at severities 1 and 2, gaudier from 3 on."""
    times, plus = level.of(SATURATE_TIMES_AND_PLUS)
    hsv = rgb_to_hsv(images / 255.0)
    gaudier = replace(hsv, saturation=np.clip(hsv.saturation * times + plus, 0, 1))
    return np.clip(hsv_to_rgb(gaudier), 0, 1) * 255
