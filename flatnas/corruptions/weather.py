"""Weather: brightness, equal to the published CIFAR-10-C file in every byte.

Parameters as in `make_cifar_c.py` of https://github.com/hendrycks/robustness (arXiv 1903.12261).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flatnas.corruptions.corruption import Generators, Pixels, Values
from flatnas.corruptions.hsv import hsv_to_rgb, rgb_to_hsv

BRIGHTNESS_ADDED = (0.05, 0.1, 0.15, 0.2, 0.3)


def brightness(images: Pixels, severity: int, _: Generators) -> Values:
    """Add to the value of HSV: daylight."""
    hsv = rgb_to_hsv(images / 255.0)
    brighter = replace(hsv, value=np.clip(hsv.value + BRIGHTNESS_ADDED[severity - 1], 0, 1))
    return np.clip(hsv_to_rgb(brighter), 0, 1) * 255
