"""Which numbers the fast kernels can hold: they requantize with one product, and shift to the right only."""

from __future__ import annotations

import numpy as np

from hardware_profiles.firmware.layout import Array, Layout, Multiplier


def doubled(factor: Multiplier) -> Multiplier:
    """2 * m - 2^32 and the shift: what SMMLAR wants, see nn_high_mul_twice.

    A shift of 0 can't be rounded to; a half, which has it, is said as 2^31 / 2^31 / 2^1 then.
    """
    if factor == Multiplier(1 << 30, 0):
        return Multiplier(0, 1)
    return Multiplier(2 * factor.mantissa - (1 << 32), factor.shift)


def refused_sums(layout: Layout) -> str | None:
    """Why SMMLAR can't requantize a layer's sums: it shifts to the right only, and its rounding needs some bits."""
    mantissas, shifts = (np.array(values) for values in zip(*layout.factors, strict=True))
    largest = _products(layout) + np.abs(layout.bias)
    for wrong, reason in (
        (mantissas <= 0, "its factor is 0"),
        (shifts < 1, "its factor is 1/2 or more"),
        (largest + 2.0 ** (shifts + 8) >= 2**30, "its sums leave its factor no room to round"),
    ):
        if wrong.any():
            i = int(np.argmax(wrong))
            factor, channels = mantissas[i] / 2.0 ** (31 + shifts[i]), int(np.count_nonzero(wrong))
            return f"channel {i}: {reason} (sums to {largest[i]:,}, factor {factor:.3g}; {channels} such channels)"
    return refused_addition(layout)


def refused_float_sums(layout: Layout) -> str | None:
    """The same where float32 must hold every sum exactly, too."""
    largest = int(_products(layout).max())
    return f"float32 does not hold its sums of up to {largest:,}" if largest >= 2**24 else refused_sums(layout)


def refused_addition(layout: Layout) -> str | None:
    """Why SMMLAR can't add: a factor of an ADD is not below 1, or so small that a summand would leave 2^28."""
    if all(doubled(f).shift >= 1 and f.mantissa > 0 for f in layout.add) and all(f.shift <= 22 for f in layout.add):
        return None
    factors = ", ".join(f"{f.mantissa / 2.0 ** (31 + f.shift):.3g}" for f in layout.add)
    return f"the addition's factors are {factors}"


def _products(layout: Layout) -> Array:
    """The largest sum of a channel's products."""
    largest: Array = 128 * np.abs(layout.weights.astype(np.int64)).sum(1)
    return largest
