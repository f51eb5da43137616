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

Float32Array = npt.NDArray[np.float32]

_TOGETHER = 4  # images whose products are summed before they are added: so the accumulators are touched more rarely
_STRETCH = 512  # floats of a row between two taps: few enough that the next tap finds them in the first-level cache


def weight_gradient(
    pixels: Float32Array, outputs: Float32Array, kernel: int, stride: int, padding: int, threads: int
) -> Float32Array:
    """Gradient of the loss by the weights, shape (kernel, kernel, C).

    Args:
        pixels: input of the layer, (B, H, W, C), contiguous.
        outputs: gradient of the loss by the layer's output, (B, H', W', C), contiguous.
        padding: rows and columns of zeros on each side.
        threads: that share the images; the sum depends on their number in its last bits.
    """
    ends = [len(pixels) * part // threads for part in range(threads + 1)]
    parts = [(pixels[a:b], outputs[a:b]) for a, b in pairwise(ends) if a < b]

    def one(part: tuple[Float32Array, Float32Array]) -> Float32Array:
        return _of_images(*part, kernel, stride, padding)

    found = [one(parts[0])] if len(parts) == 1 else list(_pool(threads).map(one, parts))
    total: Float32Array = np.sum(found, axis=0)
    return total


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="depthwise-gradient")


def _of_images(pixels: Float32Array, outputs: Float32Array, kernel: int, stride: int, padding: int) -> Float32Array:
    _, _, columns, channels = outputs.shape
    width = max(columns, -(-(pixels.shape[2] + padding) // stride)) + kernel
    split = np.zeros(_TOGETHER * stride * width * channels, np.float32)
    sums = np.zeros(kernel * kernel * columns * channels, np.float32)
    _accumulate(pixels, outputs.reshape(-1), outputs.shape[1], kernel, stride, padding, split, sums)
    gradient: Float32Array = sums.reshape(kernel, kernel, columns, channels).sum(2)
    return gradient


@numba.njit(nogil=True, fastmath={"contract", "reassoc"})  # type: ignore[untyped-decorator]
def _accumulate(
    pixels: Float32Array,
    outputs: Float32Array,
    rows: int,
    kernel: int,
    stride: int,
    padding: int,
    split: Float32Array,
    sums: Float32Array,
) -> None:
    """Add the products of all images to `sums`.

    The innermost loop works on flat arrays and unsigned places. A slice of an array counts its references, which took
    longer than the products; a signed place may count from the end, and the test for that keeps SIMD away.

    Args:
        outputs: (B, H', W', C), flat.
        rows: H'.
        split: zeros, (images together, stride, at least (W' + kernel) C), flat; where padding stands, they stay.
        sums: (kernel, kernel, W' C), flat.
    """
    images, height, width, channels = pixels.shape
    stretch, per_image = sums.size // (kernel * kernel), split.size // _TOGETHER
    per_phase = per_image // stride
    for first in range(0, images, _TOGETHER):
        for row in range(height):
            for m in range(_TOGETHER):
                if first + m >= images:
                    split[m * per_image : (m + 1) * per_image] = 0
                    continue
                for column in range(width):
                    place, phase = (column + padding) // stride * channels, (column + padding) % stride
                    at = m * per_image + phase * per_phase + place
                    for c in range(channels):
                        split[at + c] = pixels[first + m, row, column, c]
            for i in range(kernel):
                y = (row + padding - i) // stride
                if row + padding < i or (row + padding - i) % stride or y >= rows:
                    continue
                last = images - 1
                b0 = np.uintp((first * rows + y) * stretch)
                b1 = np.uintp((min(first + 1, last) * rows + y) * stretch)
                b2 = np.uintp((min(first + 2, last) * rows + y) * stretch)
                b3 = np.uintp((min(first + 3, last) * rows + y) * stretch)
                for start in range(0, stretch, _STRETCH):
                    end = min(start + _STRETCH, stretch)
                    for j in range(kernel):
                        at_tap = np.uintp((i * kernel + j) * stretch)
                        shift = j % stride * per_phase + j // stride * channels
                        a0, a1 = np.uintp(shift), np.uintp(shift + per_image)
                        a2, a3 = np.uintp(shift + 2 * per_image), np.uintp(shift + 3 * per_image)
                        for n in range(np.uintp(start), np.uintp(end)):
                            sums[at_tap + n] += (
                                split[a0 + n] * outputs[b0 + n]
                                + split[a1 + n] * outputs[b1 + n]
                                + split[a2 + n] * outputs[b2 + n]
                                + split[a3 + n] * outputs[b3 + n]
                            )
