from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from flatnas.space.lowering import lower
from flatnas.space.spaces import mcu_space
from hardware_profiles.cost.ops import OpSpec, TensorSpec, macs, params
from hardware_profiles.cost.rescale import RescaleError, as_int8, is_float, rescale, without

Network = tuple[OpSpec, ...]


def test_a_subnet_rescaled_to_another_side_is_the_subnet_lowered_at_that_side() -> None:
    space, rng = mcu_space(10), np.random.default_rng(0)
    for arch in (space.smallest, space.largest, *(space.sample(rng) for _ in range(10))):
        large, small = (lower(space, replace(arch, resolution=side)) for side in (32, 24))
        assert rescale(large, side=24) == small


def test_a_network_rescaled_to_itself_is_itself(mlperf_tiny: Mapping[str, Network]) -> None:
    for ops in mlperf_tiny.values():
        assert rescale(ops) == ops


def test_half_the_width_keeps_image_and_classes_and_counts_what_is_worked_by_hand(
    mlperf_tiny: Mapping[str, Network],
) -> None:
    # ResNet8 of 8, 16 and 32 channels: 3x3x3x8 + 2x(9x8x8) = 1,368 weights at 32x32; 9x8x16 + 9x16x16 + 8x16 = 3,584
    # at 16x16; 9x16x32 + 9x32x32 + 16x32 = 14,336 at 8x8; 32x10 = 320.
    ops = rescale(mlperf_tiny["ic"], width=0.5)
    assert ops[0].inputs[0].shape == (1, 32, 32, 3)
    assert ops[-1].output.shape == (1, 10)
    assert sum(op.weights for op in ops) == 1368 + 3584 + 14_336 + 320
    assert sum(macs(op) for op in ops) == 1368 * 1024 + 3584 * 256 + 14_336 * 64 + 320
    assert sum(params(op) for op in ops if op.kind == "conv") == 1368 + 3584 + 14_336 + 3 * 8 + 3 * 16 + 3 * 32


def test_a_depthwise_net_keeps_its_groups(mlperf_tiny: Mapping[str, Network]) -> None:
    ops = rescale(mlperf_tiny["vww"], width=0.5, side=48)
    for op in ops:
        if op.kind == "depthwise_conv":
            assert op.weights == 9 * op.output.shape[3] == 9 * op.inputs[0].shape[3]
    pool = next(op for op in ops if op.kind == "avg_pool")
    assert (pool.inputs[0].shape, pool.kernel_hw, pool.output.shape) == ((1, 2, 2, 128), (2, 2), (1, 1, 1, 128))


def test_squeeze_excite_padding_flattening_and_valid_windows_follow() -> None:
    image = TensorSpec("image", (1, 16, 16, 3))
    padded, a = TensorSpec("padded", (1, 18, 18, 3)), TensorSpec("a", (1, 16, 16, 16))
    pooled, gate, gated = TensorSpec("p", (1, 16)), TensorSpec("g", (1, 1, 1, 16)), TensorSpec("gated", a.shape)
    half, flat, logits = TensorSpec("half", (1, 8, 8, 16)), TensorSpec("flat", (1, 1024)), TensorSpec("logits", (1, 10))
    ops = (
        OpSpec("pad", "PAD", (image,), padded),
        OpSpec("conv", "CONV_2D", (padded,), a, (3, 3), weights=27 * 16, biases=16, channel_scales=16),
        OpSpec("mean", "MEAN", (a,), pooled),
        OpSpec("reshape", "RESHAPE", (pooled,), gate),
        OpSpec("mul", "MUL", (a, gate), gated),
        OpSpec("max_pool", "MAX_POOL_2D", (gated,), half, (2, 2), (2, 2)),
        OpSpec("reshape", "RESHAPE", (half,), flat),
        OpSpec("fully_connected", "FULLY_CONNECTED", (flat,), logits, weights=10_240, biases=10, channel_scales=1),
    )
    small = rescale(ops, side=8, width=0.5)
    shapes = {op.output.name: op.output.shape for op in small}
    assert shapes == {
        "padded": (1, 10, 10, 3),
        "a": (1, 8, 8, 8),
        "p": (1, 8),
        "g": (1, 1, 1, 8),
        "gated": (1, 8, 8, 8),
        "half": (1, 4, 4, 8),
        "flat": (1, 128),
        "logits": (1, 10),
    }
    assert (small[1].weights, small[-1].weights, small[-1].channel_scales) == (27 * 8, 1280, 1)


def test_what_can_not_be_rescaled_is_an_error_that_names_the_operator() -> None:
    x, y = TensorSpec("x", (1, 8, 8, 16)), TensorSpec("y", (1, 8, 8, 16))
    with pytest.raises(RescaleError, match="EINSUM 'y' is not known well enough"):
        rescale([OpSpec("unknown", "EINSUM", (x,), y)], width=0.5)
    grouped = OpSpec("conv", "CONV_2D", (x,), y, weights=16 * 16 // 16)
    after = OpSpec("conv", "CONV_2D", (y,), TensorSpec("z", (1, 8, 8, 10)), weights=160)
    with pytest.raises(RescaleError, match="CONV_2D 'y' has 16 groups"):
        rescale([grouped, after], width=0.5)
    with pytest.raises(RescaleError, match=r"input 'x' of shape \(1, 640\) is no picture"):
        rescale([OpSpec("activation", "RELU", (TensorSpec("x", (1, 640)),), TensorSpec("y", (1, 640)))], side=8)
    window = OpSpec("max_pool", "MAX_POOL_2D", (x,), TensorSpec("y", (1, 1, 1, 16)), (5, 5), (4, 4))
    with pytest.raises(RescaleError, match="has a window of 5, larger than its input of 4"):
        rescale([window], side=4)


def test_activations_taken_away_leave_their_readers_reading_what_they_read() -> None:
    x, a, b, c = (TensorSpec(name, (1, 4, 4, 8)) for name in "xabc")
    ops = (
        OpSpec("conv", "CONV_2D", (x,), a, weights=64),
        OpSpec("activation", "HARD_SWISH", (a,), b),
        OpSpec("add", "ADD", (x, b), c),
    )
    assert without(ops, "HARD_SWISH") == (ops[0], OpSpec("add", "ADD", (x, a), c))


def test_a_float_network_as_int8_takes_a_quarter_and_has_a_scale_per_channel() -> None:
    x, y = TensorSpec("x", (1, 4, 4, 8), 4), TensorSpec("y", (1, 4, 4, 16), 4)
    ops = (OpSpec("conv", "CONV_2D", (x,), y, weights=128, weight_itemsize=4, biases=16),)
    (op,) = as_int8(ops)
    assert is_float(ops)
    assert not is_float((op,))
    assert (op.output.nbytes, op.weight_itemsize, op.channel_scales) == (256, 1, 16)


def test_an_int8_network_with_float_input_and_output_is_no_float_network() -> None:
    image, x, y = TensorSpec("image", (1, 4, 4, 8), 4), TensorSpec("x", (1, 4, 4, 8)), TensorSpec("y", (1, 4, 4, 16))
    ops = (
        OpSpec("quantize", "QUANTIZE", (image,), x),
        OpSpec("conv", "CONV_2D", (x,), y, weights=128, biases=16, channel_scales=16),
        OpSpec("quantize", "DEQUANTIZE", (y,), TensorSpec("z", (1, 4, 4, 16), 4)),
    )
    assert not is_float(ops)
