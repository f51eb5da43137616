"""Spatter: drops of water on the lens at severities 1 to 3, of mud at 4 and 5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flatnas.corruptions.corruption import Generators, Pixels, Values
from flatnas.corruptions.severities import BySeverity, Level

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Spatter:
    """Liquid is smoothed normal noise (mean, spread, sigma) above a threshold.

    Attributes:
        amount: of water, its opacity; of mud, the sigma that softens its edges.
    """

    mean: float
    spread: float
    sigma: float
    threshold: float
    amount: float
    mud: bool


SPATTER = BySeverity(
    (
        _Spatter(0.62, 0.1, 0.7, 0.7, 0.5, False),
        _Spatter(0.65, 0.1, 0.8, 0.7, 0.5, False),
        _Spatter(0.65, 0.3, 1, 0.69, 0.5, False),
        _Spatter(0.65, 0.1, 0.7, 0.69, 0.6, True),
        _Spatter(0.65, 0.1, 0.5, 0.68, 0.6, True),
    ),
    (
        _Spatter(0.62, 0.1, 0.7, 0.7, 0.6, False),
        _Spatter(0.65, 0.1, 0.8, 0.7, 0.6, False),
        _Spatter(0.65, 0.3, 1, 0.69, 0.6, False),
        _Spatter(0.65, 0.1, 0.7, 0.68, 0.6, True),
        _Spatter(0.65, 0.1, 0.5, 0.67, 0.6, True),
    ),
    (
        _Spatter(0.65, 0.3, 4, 0.69, 0.6, False),
        _Spatter(0.65, 0.3, 3, 0.68, 0.6, False),
        _Spatter(0.65, 0.3, 2, 0.68, 0.5, False),
        _Spatter(0.65, 0.3, 1, 0.65, 1.5, True),
        _Spatter(0.67, 0.4, 1, 0.65, 1.5, True),
    ),
)
_WATER, _MUD = np.array([175, 238, 238]) / 255.0, np.array([63, 42, 20]) / 255.0
_LIGHT = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])  # an emboss filter: light from the upper left
_SOLID = 0.8  # softened mud thinner than this is none


def spatter(images: Pixels, level: Level, generators: Generators) -> Values:
    """Cover parts of the picture with water or mud."""
    p = level.of(SPATTER)
    noise = np.empty(images.shape[:3])
    for layer, generator in zip(noise, generators, strict=True):
        layer[:] = generator.normal(p.mean, p.spread, layer.shape)
    liquid = _gaussian(noise, p.sigma)
    liquid[liquid < p.threshold] = 0
    x = images.astype(np.float32) / np.float32(255)
    values: Values
    if p.mud:
        m = _gaussian((liquid > p.threshold).astype(np.float32), p.amount)
        m[m < _SOLID] = 0
        values = np.clip(x * (1 - m[..., None]) + _MUD * m[..., None], 0, 1) * 255
        return values
    drops = np.stack([_drops((layer * 255).astype(np.uint8)) for layer in liquid]) if len(liquid) else liquid
    values = np.clip(x + np.float32(p.amount) * drops[..., None] * _WATER.astype(np.float32), 0, 1) * 255
    return values


def _drops(liquid: Pixels) -> Float32Array:
    """Shaded drops in [0, 1], shape (H, W), from the thickness of the liquid."""
    import cv2

    depth: Any = cv2.distanceTransform(255 - cv2.Canny(liquid, 50, 150), cv2.DIST_L2, 5)
    depth = cv2.blur(np.minimum(depth, np.float32(20)), (3, 3)).astype(np.uint8)
    depth = cv2.filter2D(cv2.equalizeHist(depth), cv2.CV_8U, _LIGHT)
    shaded: Float32Array = liquid * cv2.blur(depth, (3, 3)).astype(np.float32)
    shaded /= max(shaded.max(), np.float32(1))  # where nothing is liquid, the greatest is 0
    return shaded


def _gaussian(x: npt.NDArray[Any], sigma: float) -> npt.NDArray[Any]:
    """Filter (N, H, W) as scikit-image does by default: edge pixels repeated, cut off at 4 sigma, the dtype kept."""
    from scipy.ndimage import gaussian_filter

    filtered: npt.NDArray[Any] = gaussian_filter(x, sigma=(0, sigma, sigma), mode="nearest", truncate=4.0)
    return filtered
