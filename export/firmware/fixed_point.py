"""TFLite's fixed-point numbers: multipliers and the softmax's exponential, as integers computed offline.

Sources: TFLite's quantization_util and gemmlowp's fixedpoint (both Apache-2.0), by their published formulas; verified
against TFLite Micro in tests/export/test_firmware_numerics.py.
"""

from __future__ import annotations

import math
from typing import NamedTuple

_ONE = 1 << 31
_EXP_INTEGER_BITS = 5  # the softmax's input differences are Q5.26


class Multiplier(NamedTuple):
    """A real factor as mantissa / 2^31 / 2^shift; the mantissa is 0 or in [2^30, 2^31). Negative shifts go left."""

    mantissa: int
    shift: int


def multiplier(real: float) -> Multiplier:
    """The nearest multiplier; factors below 2^-32 become 0, as in TFLite."""
    if real == 0:
        return Multiplier(0, 0)
    fraction, exponent = math.frexp(real)
    mantissa = math.floor(fraction * _ONE + 0.5)
    if mantissa == _ONE:
        mantissa, exponent = mantissa // 2, exponent + 1
    if exponent < -31:
        return Multiplier(0, 0)
    return Multiplier(mantissa, -exponent)


def high_mul(a: int, b: int) -> int:
    """round(a * b / 2^31), saturating: gemmlowp's SaturatingRoundingDoublingHighMul."""
    return _ONE - 1 if a == b == -_ONE else (a * b + (1 << 30)) >> 31


def round_shift(x: int, shift: int) -> int:
    """x / 2^shift, rounded half away from zero: gemmlowp's RoundingDivideByPOT."""
    return x if shift == 0 else (x + (x >> 63) + (1 << (shift - 1))) >> shift


def softmax_exponentials(scale: float, beta: float) -> list[int]:
    """exp(-beta * scale * d) for d in 0 .. 255 as Q0.31; 0 where TFLite cuts off."""
    real = min(beta * scale * (1 << (31 - _EXP_INTEGER_BITS)), float(_ONE - 1))
    mantissa, shift = multiplier(real)
    largest = math.floor(((1 << _EXP_INTEGER_BITS) - 1) * (1 << (31 - _EXP_INTEGER_BITS)) / (1 << -shift))
    return [0 if d > largest else _exp_of_negative(high_mul(-d << -shift, mantissa)) for d in range(256)]


def _exp_of_negative(x: int) -> int:
    """exp of Q5.26, at most 0, as Q0.31: a polynomial on [-1/4, 0), then a factor for each power of two."""
    if x == 0:
        return _ONE - 1
    fraction_bits = 31 - _EXP_INTEGER_BITS
    quarter = 1 << (fraction_bits - 2)
    remainder = (x & (quarter - 1)) - quarter
    result = _exp_around_minus_eighth(remainder << _EXP_INTEGER_BITS)
    steps = remainder - x
    factors = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)  # exp(-2^e) for e from -2
    for exponent, factor in enumerate(factors, start=-2):
        if steps >> (fraction_bits + exponent) & 1:
            result = high_mul(result, factor)
    return result


def _exp_around_minus_eighth(x: int) -> int:
    """exp of Q0.31 in [-1/4, 0): Taylor's series around -1/8 to the fourth power."""
    x += 1 << 28
    square = high_mul(x, x)
    cube, fourth = high_mul(square, x), high_mul(square, square)
    series = round_shift(high_mul(round_shift(fourth, 2) + cube, 715827883) + square, 1)  # 1/3
    return 1895147668 + high_mul(1895147668, x + series)  # exp(-1/8)
