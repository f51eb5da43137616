"""The weight gradient of a depthwise convolution on a CPU, compiled by Numba on first use.

    dW[i, j, c] = sum over b, y, x of  in[b, s y + i - p, s x + j - p, c] * dout[b, y, x, c]

Channels are last. For one row of the output and one tap (i, j) that is a product of two stretches of memory without a
gap, of all columns and channels: each is added to a row of accumulators, and columns are summed at the very end. A
stride of s splits a row of the input into s rows of every s-th column, so that this holds for strides, too.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_TOGETHER = 4  # images whose products are summed before they are added: accumulators are read and written so much less
_STRETCH = 512  # floats of a row at a time: what one tap after the other reads again is still in the first-level cache


def weight_gradient(pixels: Floats, outputs: Floats, kernel: int, stride: int, padding: int, threads: int) -> Floats:
    """Gradient of the loss by the weights, shape (kernel, kernel, C).

    Args:
        pixels: input of the layer, (B, H, W, C), contiguous.
        outputs: gradient of the loss by the layer's output, (B, H', W', C), contiguous.
        padding: rows and columns of zeros on each side.
        threads: that share the images; the sum depends on their number in its last bits.
    """
    ends = [len(pixels) * part // threads for part in range(threads + 1)]
    parts = [(pixels[a:b], outputs[a:b]) for a, b in pairwise(ends) if a < b]

    def one(part: tuple[Floats, Floats]) -> Floats:
        return _of_images(*part, kernel, stride, padding)

    found = [one(parts[0])] if len(parts) == 1 else list(_pool(threads).map(one, parts))
    total: Floats = np.sum(found, axis=0)
    return total


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="depthwise-gradient")


def _of_images(pixels: Floats, outputs: Floats, kernel: int, stride: int, padding: int) -> Floats:
    images, rows, columns, channels = outputs.shape
    width = max(columns, -(-(pixels.shape[2] + padding) // stride)) + kernel
    split = np.zeros((_TOGETHER, stride, width * channels), np.float32)
    sums = np.zeros((kernel, kernel, columns * channels), np.float32)
    _accumulate(pixels, outputs.reshape(images, rows, -1), stride, padding, split, sums)
    gradient: Floats = sums.reshape(kernel, kernel, columns, channels).sum(2)
    return gradient


@numba.njit(nogil=True, fastmath={"contract", "reassoc"})  # type: ignore[untyped-decorator]
def _accumulate(pixels: Floats, outputs: Floats, stride: int, padding: int, split: Floats, sums: Floats) -> None:
    """Add the products of all images to `sums`, (kernel, kernel, W' C).

    Args:
        split: zeros, (images together, stride, at least (W' + kernel) C); where padding stands, they stay.
    """
    images, height, width, channels = pixels.shape
    kernel, stretch = sums.shape[0], sums.shape[2]
    for first in range(0, images, _TOGETHER):
        for row in range(height):
            for m in range(_TOGETHER):
                if first + m >= images:
                    split[m] = 0
                    continue
                for column in range(width):
                    place, phase = (column + padding) // stride * channels, (column + padding) % stride
                    for c in range(channels):
                        split[m, phase, place + c] = pixels[first + m, row, column, c]
            for i in range(kernel):
                if row + padding < i or (row + padding - i) % stride:
                    continue
                y = (row + padding - i) // stride
                if y >= outputs.shape[1]:
                    continue
                d0, d1 = outputs[first, y], outputs[min(first + 1, images - 1), y]
                d2, d3 = outputs[min(first + 2, images - 1), y], outputs[min(first + 3, images - 1), y]
                for start in range(0, stretch, _STRETCH):
                    end = min(start + _STRETCH, stretch)
                    for j in range(kernel):
                        phase, shift = j % stride, j // stride * channels
                        _add_products(
                            sums[i, j, start:end],
                            split[0, phase, shift + start : shift + end],
                            split[1, phase, shift + start : shift + end],
                            split[2, phase, shift + start : shift + end],
                            split[3, phase, shift + start : shift + end],
                            d0[start:end],
                            d1[start:end],
                            d2[start:end],
                            d3[start:end],
                        )


@numba.njit(nogil=True, fastmath={"contract", "reassoc"})  # type: ignore[untyped-decorator]
def _add_products(
    total: Floats, a0: Floats, a1: Floats, a2: Floats, a3: Floats, b0: Floats, b1: Floats, b2: Floats, b3: Floats
) -> None:
    for n in range(total.shape[0]):
        total[n] += a0[n] * b0[n] + a1[n] * b1[n] + a2[n] * b2[n] + a3[n] * b3[n]
