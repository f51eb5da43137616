"""Frosted glass: pixels that take, one after the other, the value of a pixel nearby.

Each step can see what the steps before it wrote, so that pixels of one picture can't be moved at once. Numba compiles
the loop where it is installed (`pip install 'flatnas-deploy[train]'`); else numpy makes each step for all pictures of
a batch. Both give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt

from flatnas.corruptions.corruption import Pixels

Offsets = npt.NDArray[np.int64]


def displaced(pixels: Pixels, offsets: Offsets, reach: int) -> Pixels:
    """The pictures after all steps.

    Args:
        pixels: shape (N, H, W, C).
        offsets: shape (N, iterations, H - 2 * reach, W - 2 * reach, 2), columns and rows to where each pixel is taken
            from, in -reach..reach - 1; from the last row and column but `reach - 1` upwards.
        reach: rows and columns at the edges that stay as they are, one less at the end.
    """
    moved = pixels.copy()
    run = _compiled() if find_spec("numba") else _by_steps
    run(moved, np.ascontiguousarray(offsets), reach)
    return moved


def _by_steps(pixels: Pixels, offsets: Offsets, reach: int) -> None:
    n, height, width, _c = pixels.shape
    x = np.ascontiguousarray(pixels.transpose(1, 2, 0, 3))  # H, W, N, C: a step reads and writes one run of memory
    every = np.arange(n)
    for iteration in np.moveaxis(offsets, 0, -1):
        for h, row_offsets in zip(range(height - reach, reach, -1), iteration, strict=True):
            for w, (dx, dy) in zip(range(width - reach, reach, -1), row_offsets, strict=True):
                x[h, w] = x[h + dy, w + dx, every]
    pixels[:] = x.transpose(2, 0, 1, 3)


def _loop(pixels: Pixels, offsets: Offsets, reach: int) -> None:
    n, height, width, channels = pixels.shape
    for i in range(n):
        for iteration in range(offsets.shape[1]):
            for row in range(offsets.shape[2]):
                for column in range(offsets.shape[3]):
                    h, w = height - reach - row, width - reach - column
                    dx, dy = offsets[i, iteration, row, column, 0], offsets[i, iteration, row, column, 1]
                    for c in range(channels):
                        pixels[i, h, w, c] = pixels[i, h + dy, w + dx, c]


@cache
def _compiled() -> Callable[[Pixels, Offsets, int], None]:
    import numba

    compiled: Callable[[Pixels, Offsets, int], None] = numba.njit(nogil=True)(_loop)
    return compiled
