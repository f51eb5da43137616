"""Fixed-point arithmetic of the reference int8 kernels, on arrays of int64.

    multiplier   a real factor as m * 2^(shift - 31), m in [2^30, 2^31)
    high(x, m)   round(x * m / 2^31)
    rescale      round(high(x * 2^left, m) / 2^right): rounds twice, as TFLite Micro does
    Qi.f         i integer and f fraction bits in 32; exp and 1/(1 + x) are gemmlowp's polynomials and Newton steps

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018,
arXiv 1712.05877, section 2.2 and appendix B; gemmlowp, https://github.com/google/gemmlowp, `doc/quantization.md`.
Verified against the tflite-micro wheel.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from export.graph import ExportError

Ints = npt.NDArray[np.int64]
_MAX, _MIN = 2**31 - 1, -(2**31)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """(m, shift) of a factor that is not negative; (0, 0) where it is too small to matter.

    Raises:
        ExportError: it is too large for 32 bits.
    """
    if real == 0:
        return 0, 0
    if not real < 2**30:
        raise ExportError(f"its scales make a factor of {real:g}, and int8 arithmetic has none above 2^30")
    fraction, shift = math.frexp(real)
    m = math.floor(fraction * 2**31 + 0.5)
    if m == 2**31:
        m, shift = m // 2, shift + 1
    return (0, 0) if shift < -31 else (m, shift)


def high_product(x: Ints, m: Ints | int) -> Ints:
    """round(x * m / 2^31), ties upwards; the one product that overflows saturates."""
    product: Ints = np.minimum((x * m + 2**30) >> 31, _MAX)
    return product


def divide_by_power(x: Ints, power: Ints | int) -> Ints:
    """x / 2^power, ties away from zero."""
    power = np.asarray(power, np.int64)
    rounding = np.where(power > 0, np.int64(1) << np.maximum(power - 1, 0), 0)
    return (x + rounding - ((x < 0) & (power > 0))) >> power


def rescale(x: Ints, m: Ints | int, shift: Ints | int) -> Ints:
    """X times a quantized multiplier, rounding twice."""
    left, right = np.maximum(shift, 0), np.maximum(-np.asarray(shift, np.int64), 0)
    return divide_by_power(high_product(x << left, m), right)


def exp_of_negative(x: Ints) -> Ints:
    """exp(x) in Q0.31 of x <= 0 in Q5.26."""
    quarter = 1 << 24
    interval = (x & (quarter - 1)) - quarter  # [-1/4, 0)
    result = _exp_of_interval(interval << 5)
    remainder = interval - x
    # exp(-2^e) in Q0.31 for e = -2 to 4, one for each bit of the remainder
    for exponent, factor in zip(
        range(-2, 5), (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242), strict=True
    ):
        bit = (remainder >> (26 + exponent)) & 1
        result = np.where(bit, high_product(result, factor), result)
    return np.where(x == 0, _MAX, result)


def _exp_of_interval(x: Ints) -> Ints:
    """exp(x) in Q0.31 of x in [-1/4, 0), by its Taylor polynomial of degree 4 around -1/8."""
    exp_minus_eighth, third = 1895147668, 715827883
    y = x + (1 << 28)
    y2 = high_product(y, y)
    y3, y4 = high_product(y2, y), high_product(y2, y2)
    tail = divide_by_power(high_product(divide_by_power(y4, 2) + y3, third) + y2, 1)
    return exp_minus_eighth + high_product(y + tail, exp_minus_eighth)


def two_over_one_plus(x: Ints) -> Ints:
    """2 / (1 + x) in Q2.29 of x in [0, 1) in Q0.31, by three Newton steps."""
    total = x + _MAX
    half_denominator = (total + 1) // 2
    y = 1515870810 + high_product(half_denominator, -1010580540)  # 48/17 - 32/17 d
    for _ in range(3):
        error = (1 << 29) - high_product(half_denominator, y)
        y = y + saturate(high_product(y, error) << 2)
    return y


def one_over_one_plus(x: Ints) -> Ints:
    """1 / (1 + x) in Q0.31 of x in [0, 1) in Q0.31."""
    return saturate(two_over_one_plus(x) << 1)


def input_radius(integer_bits: int, left_shift: int) -> int:
    """Largest input that does not overflow when it is shifted into Q{integer_bits}."""
    return math.floor(((1 << integer_bits) - 1) * 2.0 ** (31 - integer_bits) / 2.0**left_shift)


def saturate(x: Ints) -> Ints:
    """The nearest number that 32 bits hold."""
    return np.clip(x, _MIN, _MAX)
