"""RGB <-> HSV, whole batches at once, equal to scikit-image's rgb2hsv and hsv2rgb in every bit of float64.

Smith, "Color gamut transform pairs", SIGGRAPH 1978. Hue, saturation and value are all in [0, 1]. The published
corruptions go through this pair even where a shortcut exists (scaling the channels by V'/V rounds differently).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Hsv:
    """Hue, saturation and value, each of the images' shape without the channel axis."""

    hue: Float64Array
    saturation: Float64Array
    value: Float64Array


def rgb_to_hsv(rgb: Float64Array) -> Hsv:
    """Convert values in [0, 1], shape (..., 3); greys have hue and saturation 0."""
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    value = np.maximum(np.maximum(red, green), blue)
    chroma = value - np.minimum(np.minimum(red, green), blue)
    grey = chroma == 0
    # Dividing by 1 where the divisor is 0 keeps the quotient 0: chroma is 0 there, and so is every difference.
    saturation = chroma / np.where(value == 0, 1.0, value)

    # Where two channels share the maximum, the later of red, green, blue counts.
    is_blue, is_green = blue == value, green == value
    difference = np.where(is_blue, red - green, np.where(is_green, blue - red, green - blue))
    sector = np.where(is_blue, 4.0, np.where(is_green, 2.0, 0.0))
    hue = (sector + difference / np.where(grey, 1.0, chroma)) / 6.0
    hue = np.where(hue < 0, hue + 1.0, hue)
    return Hsv(np.where(grey, 0.0, hue), saturation, value)


def hsv_to_rgb(hsv: Hsv) -> Float64Array:
    """Convert back to values in [0, 1], shape (..., 3)."""
    scaled = hsv.hue * 6
    floor = np.floor(scaled)
    fraction = scaled - floor
    sector = floor.astype(np.uint8) % 6  # hue 1 is hue 0
    # In each sixth of the circle one channel is at the top, one at the bottom, one rises (even) or falls (odd).
    slope = np.where(sector % 2 == 0, 1 - fraction, fraction)
    top = hsv.value
    bottom = top * (1 - hsv.saturation)
    between = top * (1 - slope * hsv.saturation)

    rgb = np.empty((*top.shape, 3))
    for channel, (between_at, bottom_at) in enumerate((((1, 4), (2, 3)), ((0, 3), (4, 5)), ((2, 5), (0, 1)))):
        is_between = (sector == between_at[0]) | (sector == between_at[1])
        is_bottom = (sector == bottom_at[0]) | (sector == bottom_at[1])
        rgb[..., channel] = np.where(is_bottom, bottom, np.where(is_between, between, top))
    return rgb
