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


def one_over_one_plus(x: Ints) -> Ints:
    """1 / (1 + x) in Q0.31 of x in [0, 1) in Q0.31, by three Newton steps in Q2.29."""
    total = x + _MAX
    half_denominator = (total + 1) // 2
    y = 1515870810 + high_product(half_denominator, -1010580540)  # 48/17 - 32/17 d
    for _ in range(3):
        error = (1 << 29) - high_product(half_denominator, y)
        y = y + _saturate(high_product(y, error) << 2)
    return _saturate(y << 1)


def logistic(x: Ints) -> Ints:
    """1 / (1 + exp(-x)) in Q0.31 of x in Q4.27."""
    positive = one_over_one_plus(exp_of_negative(divide_by_power(-np.abs(x), 1)))
    return np.where(x == 0, 1 << 30, np.where(x > 0, positive, _MAX - positive))


def input_radius(integer_bits: int, left_shift: int) -> int:
    """Largest input that does not overflow when it is shifted into Q{integer_bits}."""
    return math.floor(((1 << integer_bits) - 1) * 2.0 ** (31 - integer_bits) / 2.0**left_shift)


def softmax(x: Ints, scale: float, beta: float) -> Ints:
    """int8 values of scale 1/256 and zero point -128 of rows of int8 scores with the given scale."""
    m, shift = quantize_multiplier(min(beta * scale * 2**26, 2**31 - 1.0))
    difference = x - x.max(-1, keepdims=True)
    counted = difference >= -input_radius(5, shift)
    exponents = exp_of_negative(rescale(np.where(counted, difference, 0), m, shift))
    total = np.where(counted, divide_by_power(exponents, 12), 0).sum(-1, keepdims=True)  # Q12.19
    leading_zeros = 32 - np.frexp(total.astype(np.float64))[1].astype(np.int64)
    inverse = one_over_one_plus((total << leading_zeros) - 2**31)
    values = divide_by_power(high_product(inverse, exponents), 12 - leading_zeros + 31 - 8)
    return np.where(counted, np.clip(values - 128, -128, 127), -128)


def logistic_table(scale: float, zero_point: int) -> Ints:
    """The int8 output (scale 1/256, zero point -128) of each of the 256 inputs, from -128 up."""
    m, shift = quantize_multiplier(scale * 2**27)
    x = np.arange(-128, 128, dtype=np.int64) - zero_point
    radius = input_radius(4, shift)
    inside = np.abs(x) < radius
    values = divide_by_power(logistic(rescale(np.where(inside, x, 0), m, shift)), 23) - 128
    return np.where(inside, np.clip(values, -128, 127), np.where(x > 0, 127, -128))


def hard_swish_table(input_scale: float, input_zero_point: int, output_scale: float, output_zero_point: int) -> Ints:
    """The int8 output of each of the 256 inputs, from -128 up; the kernel computes in 16 bits.

    relu6(x + 3) / 6 is held in Q0.15, x with seven more bits than its int8 value.
    """
    to_output, output_shift = _multiplier16(input_scale / 128 / output_scale)
    to_gate, gate_shift = _multiplier16(input_scale / 128 / (3 / 32768))
    x = (np.arange(-128, 128, dtype=np.int64) - input_zero_point) * 128
    gate = _saturate16(x << max(gate_shift - 1, 0))
    gate = _high_product16(gate, to_gate)
    gate = _saturate16(gate << 1) if gate_shift > 0 else divide_by_power(gate, -gate_shift)
    gate = (gate + 2**15) >> 1
    product = gate * _high_product16(x, to_output)
    preshift = np.where(product < 0, -(-product >> 15), product >> 15)  # towards zero
    return np.clip(divide_by_power(preshift, -output_shift) + output_zero_point, -128, 127)


def _multiplier16(real: float) -> tuple[int, int]:
    m, shift = quantize_multiplier(real)
    return min((m + 2**15) >> 16, 2**15 - 1), shift


def _high_product16(x: Ints, m: int) -> Ints:
    """round(x * m / 2^15), ties upwards, saturated to 16 bits."""
    return _saturate16((x * m + 2**14) >> 15)


def _saturate(x: Ints) -> Ints:
    return np.clip(x, _MIN, _MAX)


def _saturate16(x: Ints) -> Ints:
    return np.clip(x, -(2**15), 2**15 - 1)
