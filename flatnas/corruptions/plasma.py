"""Plasma fractals: clouds by the diamond-square algorithm (Fournier, Fussell & Carpenter, CACM 25(6), 1982)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Maps = npt.NDArray[np.float64]
_FIRST_WIBBLE = 100.0


def plasma(side: int, decay: float, generators: Iterable[np.random.Generator]) -> Maps:
    """Height maps in [0, 1] that wrap around at the edges.

    Args:
        side: of the maps in pixels, a power of two.
        decay: the noise of each finer grid is smaller by this factor.
        generators: one per map.

    Returns:
        Shape (N, side, side).
    """
    # Each point but the first is set once, from one number; in every grid first squares, then two sorts of diamonds.
    numbers = np.array([generator.random(side * side - 1) for generator in generators]).reshape(-1, side * side - 1)
    maps = np.zeros((len(numbers), side, side))
    used, step, wibble = 0, side, _FIRST_WIBBLE
    while step >= 2:
        half, count = step // 2, (side // step) ** 2
        noise = wibble * (-wibble + 2 * wibble * numbers[:, used : used + 3 * count])
        squares, across, down = noise.reshape(-1, 3, side // step, side // step).transpose(1, 0, 2, 3)
        corners, centres = maps[:, ::step, ::step], maps[:, half::step, half::step]
        pairs = corners + np.roll(corners, -1, axis=1)
        centres[:] = (pairs + np.roll(pairs, -1, axis=2)) / 4 + squares
        beside = (centres + np.roll(centres, 1, axis=1)) + (corners + np.roll(corners, -1, axis=2))
        above = (centres + np.roll(centres, 1, axis=2)) + (corners + np.roll(corners, -1, axis=1))
        maps[:, ::step, half::step] = beside / 4 + across
        maps[:, half::step, ::step] = above / 4 + down
        used, step, wibble = used + 3 * count, half, wibble / decay
    maps -= maps.min(axis=(1, 2), keepdims=True)
    maps /= maps.max(axis=(1, 2), keepdims=True)
    return maps
