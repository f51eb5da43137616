from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from hardware_profiles.cost.ops import OpSpec, TensorSpec
from hardware_profiles.cost.rescale import rescale
from hardware_profiles.footprint import footprint, violations
from hardware_profiles.profile import HardwareProfile, load_profile
from hardware_profiles.suggestions import Suggestion, suggestions

Network = tuple[OpSpec, ...]


def suggested(ops: Sequence[OpSpec], profile: HardwareProfile, file_bytes: int | None = None) -> tuple[Suggestion, ...]:
    """Of TFLite Micro's costs."""
    before = footprint(ops, profile, runtime="tflm", file_bytes=file_bytes)
    return suggestions(ops, profile, before, file_bytes=file_bytes)


def test_the_mildest_side_and_width_are_found_and_what_they_save_is_what_lowering_again_says(
    mlperf_tiny: Mapping[str, Network],
) -> None:
    ops, profile = (
        mlperf_tiny["ic"],
        load_profile("cortex-m7", {"runtime": "tflm", "budget.macs": "9M", "budget.latency_ms": "500"}),
    )
    side, width = suggested(ops, profile)
    # MACs go with the area: (28 / 32)^2 of 12.5 M are 9.6 M, over 9 M; at 24 they are 7.0 M.
    assert side.change == "drop the input to 24x24"
    before, after = (footprint(net, profile) for net in (ops, rescale(ops, side=24)))
    assert (side.saves["macs"], side.saves["sram_bytes"]) == (
        before.macs - after.macs,
        before.sram_bytes - after.sram_bytes,
    )
    assert side.saves["params"] == 0
    assert side.fits
    assert width.change == "drop the width to 0.5"  # 0.75 leaves 9.5 M, since 12 channels are rounded to 16
    assert violations(footprint(rescale(ops, width=0.75), profile), profile.budget)
    assert not violations(footprint(rescale(ops, width=0.5), profile), profile.budget)


def test_both_levers_are_pulled_only_where_neither_suffices(mlperf_tiny: Mapping[str, Network]) -> None:
    profile = load_profile("cortex-m7", {"runtime": "tflm", "budget.macs": "600K", "budget.latency_ms": "500"})
    (both,) = suggested(mlperf_tiny["ic"], profile)
    # A width of 0.35 (8, 8 and 24 channels) leaves 2.17 M MACs, and (20 / 32)^2 of them are 0.85 M; at 16x16 0.54 M.
    assert both.change == "drop the input to 16x16 and the width to 0.35"
    assert both.fits


def test_where_nothing_suffices_the_nearest_miss_is_named(mlperf_tiny: Mapping[str, Network]) -> None:
    profile = load_profile("cortex-m7", {"budget.macs": "1K"})
    (nearest,) = suggested(mlperf_tiny["ic"], profile)
    assert nearest.change == "drop the input to 16x16 and the width to 0.25"
    assert not nearest.fits


def test_a_hard_swish_without_a_kernel_is_replaced_before_the_network_is_shrunk() -> None:
    x = TensorSpec("x", (1, 32, 32, 16))
    a, b, y = (replace(x, name=name) for name in ("a", "b", "y"))
    ops = (
        OpSpec("conv", "CONV_2D", (x,), a, weights=256, biases=16, channel_scales=16),
        OpSpec("activation", "HARD_SWISH", (a,), b),
        OpSpec("conv", "CONV_2D", (b,), y, weights=256, biases=16, channel_scales=16),
    )
    profile = load_profile(
        "cortex-m4", {"runtime": "tflm", "budget.latency_ms": "14 ms"}
    )  # 13.1 ms without, 18.6 ms with it
    (found,) = suggested(ops, profile)
    assert found.change == "replace HARD_SWISH by RELU6"
    assert found.saves["latency_ms"] == pytest.approx(32 * 32 * 16 * 60 / 180e3)


def test_a_float_model_is_quantized_first_and_its_file_shrinks_by_the_estimate(
    mlperf_tiny: Mapping[str, Network],
) -> None:
    ops = tuple(
        replace(
            op,
            inputs=tuple(replace(t, itemsize=4) for t in op.inputs),
            output=replace(op.output, itemsize=4),
            weight_itemsize=4,
            channel_scales=0,
        )
        for op in mlperf_tiny["ic"]
    )
    profile = load_profile("cortex-m7", {"runtime": "tflm", "budget.latency_ms": "500"})
    (found,) = suggested(ops, profile, file_bytes=318_088)
    assert found.change == "quantize it to int8"
    weights = sum(op.weights for op in ops)
    channels = [op.output.shape[-1] for op in ops if op.weights]
    # a scale per channel; of each width one vector of zero points, with 90 bytes of structure
    new = 4 * sum(channels) + sum(8 * width + 90 for width in set(channels))
    assert found.saves["flash_bytes"] == 3 * weights - new


def test_an_operator_that_can_not_be_changed_gives_no_suggestion() -> None:
    x, y = TensorSpec("x", (1, 8, 8, 16)), TensorSpec("y", (1, 8, 8, 16))
    profile = load_profile("cortex-m7", {"budget.sram_bytes": "1 KiB"})
    assert suggested([OpSpec("unknown", "EINSUM", (x,), y)], profile) == ()


def test_operators_are_reordered_where_that_is_enough() -> None:
    # Two branches from x: as written, 4 + 4 + 3 kB are alive together; one branch after the other needs 9 kB at most.
    def tensor(name: str, kilobytes: int) -> TensorSpec:
        return TensorSpec(name, (1, 10, 10, 10 * kilobytes))

    x, big, mid = tensor("x", 4), tensor("big", 4), tensor("mid", 3)
    small = [tensor(f"small{i}", 1) for i in (1, 2)]
    ops = (
        OpSpec("conv", "CONV_2D", (x,), big, weights=1600),
        OpSpec("conv", "CONV_2D", (x,), mid, weights=1200),
        OpSpec("conv", "CONV_2D", (big,), small[0], weights=400),
        OpSpec("conv", "CONV_2D", (mid,), small[1], weights=300),
        OpSpec("add", "ADD", tuple(small), tensor("sum", 1)),
    )
    profile = load_profile("cortex-m4", {"budget.sram_bytes": "11 kB"})
    (found,) = suggested(ops, profile)
    assert found.change == "write its operators in another order"
    assert found.saves["sram_bytes"] == pytest.approx(2000, abs=32)  # tensors are aligned to 16 bytes
    assert found.saves["macs"] == 0
