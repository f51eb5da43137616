from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest

from hardware_profiles.cost.memory import TFLM_ORDER, plan_memory
from hardware_profiles.cost.ops import OpSpec, TensorSpec
from hardware_profiles.footprint import flatbuffer_bytes, footprint
from hardware_profiles.profile import load_profile


def chain(*sizes: int) -> list[OpSpec]:
    tensors = [TensorSpec(f"t{i}", (1, size)) for i, size in enumerate(sizes)]
    return [OpSpec("activation", "RELU", (a,), b) for a, b in pairwise(tensors)]


# The first activations of MLPerf Tiny's visual wake words net: 96x96x3, 48x48x8 twice, 48x48x16, 24x24x16, 24x24x32.
VISUAL_WAKE_WORDS = (27_648, 18_432, 18_432, 36_864, 9_216, 18_432)


def test_the_arena_of_tflite_micro_is_the_one_its_own_allocator_makes() -> None:
    # It reports a head of 73,728 bytes, though 18,432 + 36,864 = 55,296 would do with other offsets.
    assert plan_memory(chain(*VISUAL_WAKE_WORDS), (TFLM_ORDER,)).peak_bytes == 73_728
    assert plan_memory(chain(*VISUAL_WAKE_WORDS)).peak_bytes == 55_296


def test_sram_counts_the_arena_of_the_runtime_that_is_named() -> None:
    ops = chain(*VISUAL_WAKE_WORDS)
    small = chain(*[16] * len(VISUAL_WAKE_WORDS))  # the same operators with an arena of 32 bytes: the same state
    for target, runtime, arena in (("cortex-m7", "tflm", 73_728), ("raspberry-pi-4", "litert", 55_296)):
        large, least = (footprint(net, load_profile(target), runtime=runtime).sram_bytes for net in (ops, small))
        assert large - least == arena - 32


def test_of_equal_tensors_the_last_written_is_placed_first() -> None:
    # All of 16 bytes: t2 at 0, then t1 (alive with it) at 16, then t0 (alive with t1 only) at 0 again: 32. Placing t0
    # before t1, as a stable sort by first use would, leaves t1 no room below 32.
    assert plan_memory(chain(16, 16, 16), (TFLM_ORDER,)).offsets == {"t2": 0, "t1": 16, "t0": 0}


def pointwise_net(channels: Sequence[int]) -> list[OpSpec]:
    ops, x = [], TensorSpec("image", (1, 8, 8, 3))
    for i, count in enumerate(channels):
        y = TensorSpec(f"t{i}", (1, 8, 8, count))
        weights = x.shape[-1] * count
        ops.append(OpSpec("conv", "CONV_2D", (x,), y, weights=weights, biases=count, channel_scales=count))
        x = y
    return ops


def test_each_channel_costs_a_bias_a_scale_and_an_int64_zero_point_in_flash() -> None:
    # 3x100 weights, 100 biases of 4, scales of 4 and zero points of 8 bytes, less those of 50 channels
    assert flatbuffer_bytes(pointwise_net([100])) - flatbuffer_bytes(pointwise_net([50])) == 50 * (3 + 4 + 4 + 8)


@pytest.mark.parametrize("target", ["cortex-m7", "raspberry-pi-4"])
def test_the_arena_is_never_below_what_is_alive_at_once(target: str) -> None:
    ops = pointwise_net([16, 32, 8])
    assert footprint(ops, load_profile(target)).sram_bytes > 64 * (16 + 32)
