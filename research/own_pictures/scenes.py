"""Pictures that are drawn: emoji pasted on photographs, and surfaces of which few are scratched."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from research.own_pictures.packages import Emoji, Pixels

_TEST_FROM = 0.7  # share of a photograph's width behind which backgrounds of test pictures lie


def background(photographs: Sequence[Pixels], side: int, rng: np.random.Generator, *, test: bool) -> Pixels:
    """A random square of a random photograph, resized to (side, side, 3); test squares share no pixel with others."""
    photograph = photographs[int(rng.integers(len(photographs)))]
    border = int(_TEST_FROM * photograph.shape[1])
    area = photograph[:, border:] if test else photograph[:, :border]
    size = int(rng.uniform(0.5, 1.0) * min(area.shape[:2]))
    top, left = rng.integers(area.shape[0] - size + 1), rng.integers(area.shape[1] - size + 1)
    square = area[top : top + size, left : left + size]
    return np.asarray(cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def pasted(emoji: Emoji, ground: Pixels, rng: np.random.Generator) -> Pixels:
    """The emoji on the ground: 40 to 75 % of its side, turned by up to 25 degrees, anywhere inside."""
    side = len(ground)
    size = rng.uniform(0.4, 0.75) * side
    matrix = cv2.getRotationMatrix2D((31.5, 31.5), rng.uniform(-25, 25), size / 64)
    matrix[:, 2] += rng.uniform(size / 2, side - size / 2, 2) - 31.5
    rgba = emoji.rgba.astype(np.float32)
    rgba[..., :3] *= rgba[..., 3:] / 255  # premultiplied: a transparent pixel has no colour to bleed
    if size < 64:  # no aliasing
        rgba = cv2.GaussianBlur(rgba, (0, 0), 0.4 * 64 / size)
    placed = cv2.warpAffine(rgba, matrix, (side, side), flags=cv2.INTER_LINEAR)
    mixed = placed[..., :3] * rng.uniform(0.7, 1.0) + ground * (1 - placed[..., 3:] / 255)
    return _as_bytes(mixed)


def surface(side: int, rng: np.random.Generator, *, scratched: bool) -> Pixels:
    """A brushed or cast surface with uneven light and dust; where scratched, one thin bent line, darker or brighter."""
    grain = cv2.GaussianBlur(rng.standard_normal((side, side)), (0, 0), rng.uniform(0.6, 4), sigmaY=0.6)
    grain *= rng.uniform(6, 14) / grain.std()
    light = cv2.GaussianBlur(rng.standard_normal((side, side)), (0, 0), side / 4)
    light *= rng.uniform(5, 25) / light.std()
    gray = rng.uniform(90, 165) + grain + light
    for _ in range(rng.integers(0, 6)):  # dust: round, so that a dark spot alone is no scratch
        gray += _drawn([rng.uniform(0, side, 2)], rng.uniform(1.5, 4), side) * rng.uniform(-45, 45)
    if scratched:
        start, angle, bend = rng.uniform(0.15, 0.85, 2) * side, rng.uniform(0, 2 * np.pi), rng.uniform(-0.02, 0.02)
        steps = np.arange(rng.uniform(0.3, 0.7) * side)
        angles = angle + bend * steps
        line = start + np.cumsum(np.stack([np.cos(angles), np.sin(angles)], 1), 0)
        gray += _drawn(list(line), rng.uniform(0.9, 1.6), side) * rng.uniform(30, 70) * rng.choice([-1, 1])
    tint = rng.uniform(0.92, 1.08, 3)
    return _as_bytes(gray[..., None] * tint)


def _drawn(points: list[npt.NDArray[np.float64]], width: float, side: int) -> npt.NDArray[np.float64]:
    """A soft mask in [0, 1] of a line through these points, about `width` pixels wide."""
    rows, columns = np.mgrid[:side, :side]
    distance = np.full((side, side), np.inf)
    for x, y in points:
        distance = np.minimum(distance, (columns - x) ** 2 + (rows - y) ** 2)
    return np.asarray(np.exp(-distance / (2 * (width / 2) ** 2)))


def _as_bytes(values: npt.NDArray[np.floating]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)
