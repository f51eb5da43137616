"""Which numbers the fast kernels can hold: they requantize with one product, and shift to the right only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hardware_profiles.firmware.layout import Layout, Multiplier


def doubled(factor: Multiplier) -> Multiplier:
    """2 * m - 2^32 and the shift: what SMMLAR wants, see nn_high_mul_twice.

    A shift of 0 can't be rounded to; a half, which has it, is said as 2^31 / 2^31 / 2^1 then.
    """
    if factor == Multiplier(1 << 30, 0):
        return Multiplier(0, 1)
    return Multiplier(2 * factor.mantissa - (1 << 32), factor.shift)


def holds_sums(layout: Layout) -> bool:
    """Whether SMMLAR's requantization holds: shifts to the right, sums that leave room for the rounding's bits."""
    shifts = np.array([f.shift for f in layout.factors])
    largest = np.abs(layout.bias) + 128 * np.abs(layout.weights.astype(np.int64)).sum(1)
    mantissas = np.array([f.mantissa for f in layout.factors])
    holds = (mantissas > 0) & (shifts >= 1) & (largest + 2.0 ** (shifts + 8) < 2**30)
    return bool(holds.all()) and _adds(layout.add)


def holds_float_sums(layout: Layout) -> bool:
    """The same where float32 must hold every sum exactly, too."""
    largest = 128 * np.abs(layout.weights.astype(np.int64)).sum(1).max()
    return bool(largest < 2**24) and holds_sums(layout)


def holds_addition(layout: Layout) -> bool:
    """Whether SMMLAR's addition holds for the factors of an ADD: both summands stay below 2^28."""
    return _adds(layout.add)


def _adds(factors: Sequence[Multiplier]) -> bool:
    return all(doubled(f).shift >= 1 and f.mantissa > 0 for f in factors) and all(f.shift <= 22 for f in factors)
