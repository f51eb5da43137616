"""Weather: snow, frost, fog and brightness; brightness equals CIFAR-10-C's file in every byte."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from flatnas.corruptions.clipped_zoom import zoomed
from flatnas.corruptions.corruption import Generators, Pixels, Values
from flatnas.corruptions.frost_pictures import frost_pictures
from flatnas.corruptions.hsv import hsv_to_rgb, rgb_to_hsv
from flatnas.corruptions.motion import smear
from flatnas.corruptions.plasma import plasma
from flatnas.corruptions.severities import BySeverity, Level


@dataclass(frozen=True, slots=True)
class _Snow:
    """Flakes are normal numbers (mean, spread), enlarged, cut below a threshold and smeared; kept: of the picture."""

    mean: float
    spread: float
    zoom: float
    threshold: float
    radius: float
    sigma: float
    kept: float


SNOW = BySeverity(
    (
        _Snow(0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        _Snow(0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        _Snow(0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        _Snow(0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        _Snow(0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ),
    (
        _Snow(0.1, 0.2, 1, 0.6, 8, 3, 0.8),
        _Snow(0.1, 0.2, 1, 0.5, 10, 4, 0.8),
        _Snow(0.15, 0.3, 1.75, 0.55, 10, 4, 0.7),
        _Snow(0.25, 0.3, 2.25, 0.6, 12, 6, 0.65),
        _Snow(0.3, 0.3, 1.25, 0.65, 14, 12, 0.6),
    ),
    (
        _Snow(0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        _Snow(0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        _Snow(0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        _Snow(0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        _Snow(0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    ),
)


def snow(images: Pixels, level: Level, generators: Generators) -> Values:
    """Whiten the picture, and lay falling flakes over it, once as they are and once turned by 180 degrees."""
    import cv2

    p = level.of(SNOW)
    n, height, width, _c = images.shape
    flakes, degrees = np.empty((n, height, width)), np.empty(n)
    for i, generator in enumerate(generators):
        flakes[i] = generator.normal(p.mean, p.spread, (height, width))
        degrees[i] = generator.uniform(-135, -45)
    layer = zoomed(flakes, p.zoom)
    layer[layer < p.threshold] = 0
    grey8 = (np.clip(layer, 0, 1) * 255).astype(np.uint8)[..., None]
    fallen = smear(grey8, p.radius, p.sigma, degrees) / 255.0

    x = images.astype(np.float32) / np.float32(255)
    grey = cv2.cvtColor(x.reshape(n * height, width, 3), cv2.COLOR_RGB2GRAY).reshape(n, height, width, 1) if n else 0
    x = p.kept * x + (1 - p.kept) * np.maximum(x, grey * np.float32(1.5) + np.float32(0.5))
    values: Values = np.clip(x + fallen + fallen[:, ::-1, ::-1], 0, 1) * 255
    return values


FROST_KEPT_AND_ADDED = BySeverity(
    ((1.0, 0.2), (1.0, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
    ((1.0, 0.3), (0.9, 0.4), (0.8, 0.45), (0.75, 0.5), (0.7, 0.55)),
    ((1.0, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
)


def frost(images: Pixels, level: Level, generators: Generators) -> Values:
    """Add a random part of one of five photographs of frost."""
    kept, added = level.of(FROST_KEPT_AND_ADDED)
    _n, height, width, _c = images.shape
    pictures = frost_pictures(level.table, height, width)
    crystals = np.empty(images.shape)
    for part, generator in zip(crystals, generators, strict=True):
        picture = pictures[generator.integers(len(pictures))]
        top = generator.integers(picture.shape[0] - height)
        left = generator.integers(picture.shape[1] - width)
        part[:] = picture[top : top + height, left : left + width]
    values: Values = np.clip(kept * images + added * crystals, 0, 255)
    return values


FOG_STRENGTH_AND_DECAY = BySeverity(
    ((0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75)),
    ((0.4, 3.0), (0.7, 3.0), (1.0, 2.5), (1.5, 2.0), (2.0, 1.75)),
    ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)),
)


def fog(images: Pixels, level: Level, generators: Generators) -> Values:
    """Add a cloud (a plasma fractal) and scale back so that the lightest value stays where it was."""
    strength, decay = level.of(FOG_STRENGTH_AND_DECAY)
    n, height, width, _c = images.shape
    side = 1 << (max(height, width) - 1).bit_length()
    x = images / 255.0
    lightest = x.reshape(n, height * width * 3).max(axis=1)[:, None, None, None]
    x += strength * plasma(side, decay, generators)[:, :height, :width, None]
    values: Values = np.clip(x * lightest / (lightest + strength), 0, 1) * 255
    return values


BRIGHTNESS_ADDED = BySeverity((0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5), (0.1, 0.2, 0.3, 0.4, 0.5))


def brightness(images: Pixels, level: Level, _: Generators) -> Values:
    """Add to the value of HSV: daylight."""
    hsv = rgb_to_hsv(images / 255.0)
    brighter = replace(hsv, value=np.clip(hsv.value + level.of(BRIGHTNESS_ADDED), 0, 1))
    return np.clip(hsv_to_rgb(brighter), 0, 1) * 255
