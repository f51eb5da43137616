"""Why a fast kernel refuses a layer's numbers, and what it takes."""

from __future__ import annotations

import numpy as np
import pytest

from hardware_profiles.cost.ops import OpSpec, TensorSpec
from hardware_profiles.firmware.kernels import kernel_for, plain_reason
from hardware_profiles.firmware.layout import Layout, Multiplier
from hardware_profiles.firmware.requantize import refused_addition, refused_float_sums, refused_sums

EIGHTH = Multiplier(1 << 30, 2)  # 2^30 / 2^31 / 2^2


def layout(*factors: Multiplier, bias: int = 0, steps: int = 4) -> Layout:
    """Channels of so many weights of 1."""
    return Layout(np.ones((len(factors), steps), np.int8), np.full(len(factors), bias), factors)


@pytest.mark.parametrize(
    ("factors", "bias", "told"),
    [
        ((EIGHTH, EIGHTH), 0, None),
        ((EIGHTH, Multiplier(0, 0)), 0, "channel 1: its factor is 0 (sums to 512, factor 0; 1 such channels)"),
        (
            (Multiplier(1 << 30, 0), Multiplier(1 << 30, -1)),
            7,
            "channel 0: its factor is 1/2 or more (sums to 519, factor 0.5; 2 such channels)",
        ),
        (
            (EIGHTH,),
            2**30,
            "channel 0: its sums leave its factor no room to round (sums to 1,073,742,336, factor 0.125; "
            "1 such channels)",
        ),
        (
            (EIGHTH, Multiplier(1 << 30, 22)),  # rounding needs 8 bits more than the shift has
            0,
            "channel 1: its sums leave its factor no room to round (sums to 512, factor 1.19e-07; 1 such channels)",
        ),
    ],
)
def test_sums_are_refused_by_the_first_channel_that_does_not_do(
    factors: tuple[Multiplier, ...], bias: int, told: str | None
) -> None:
    assert refused_sums(layout(*factors, bias=bias)) == told


def test_float32_refuses_sums_that_it_does_not_hold() -> None:
    assert refused_float_sums(layout(EIGHTH, steps=2**17 - 1)) is None
    assert refused_float_sums(layout(EIGHTH, steps=2**17)) == "float32 does not hold its sums of up to 16,777,216"


def test_an_addition_is_refused_by_its_factors() -> None:
    assert refused_addition(Layout()) is None
    assert refused_addition(Layout(add=(EIGHTH, EIGHTH, EIGHTH))) is None
    assert refused_addition(Layout(add=(Multiplier(1 << 30, -1), EIGHTH, EIGHTH))) == (
        "the addition's factors are 1, 0.125, 0.125"
    )


def depthwise(kernel_hw: tuple[int, int], channels: int = 8) -> OpSpec:
    x, y = TensorSpec("x", (1, 8, 8, 8)), TensorSpec("y", (1, 8, 8, channels))
    return OpSpec("depthwise_conv", "DEPTHWISE_CONV_2D", (x,), y, kernel_hw=kernel_hw, weights=channels)


def test_a_shape_that_no_fast_kernel_takes_is_the_reason_before_any_number() -> None:
    refused = layout(Multiplier(0, 0))
    assert kernel_for("dsp", depthwise((5, 1), 16), refused).function == "nn_depthwise_c"
    assert plain_reason("dsp", depthwise((5, 1), 16), refused) == (
        "no fast kernel is 5x1 of stride 1x1 from 8 to 16 channels"
    )
    assert plain_reason("mve", depthwise((3, 3), 16), refused) == (
        "no fast kernel is 3x3 of stride 1x1 from 8 to 16 channels"
    )


def test_numbers_are_the_reason_where_the_shape_would_do() -> None:
    told = plain_reason("dsp", depthwise((3, 3)), layout(Multiplier(0, 0)))
    assert told == "channel 0: its factor is 0 (sums to 512, factor 0; 1 such channels)"


def test_a_layer_on_the_fastest_kernel_there_is_has_no_reason() -> None:
    assert plain_reason("dsp", depthwise((3, 3)), layout(EIGHTH)) is None
    assert plain_reason("scalar", depthwise((5, 1)), layout(Multiplier(0, 0))) is None
    pool = OpSpec("avg_pool", "AVERAGE_POOL_2D", (TensorSpec("x", (1, 2, 2, 8)),), TensorSpec("y", (1, 1, 1, 8)))
    assert plain_reason("dsp", pool, Layout()) is None
