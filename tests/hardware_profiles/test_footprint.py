from __future__ import annotations

import pytest

from hardware_profiles.footprint import excess, footprint, op_costs, runtime_state_bytes, violations
from hardware_profiles.latency import CYCLES, cycles
from hardware_profiles.ops import OpSpec, TensorSpec, macs, params
from hardware_profiles.profile import CORES, load_profile

X = TensorSpec("x", (1, 8, 8, 16))
CONV = OpSpec(
    "conv",
    "CONV_2D",
    (X,),
    TensorSpec("y", (1, 4, 4, 32)),
    (3, 3),
    (2, 2),
    weights=3 * 3 * 16 * 32,
    biases=32,
    channel_scales=32,
)
DEPTHWISE = OpSpec(
    "depthwise_conv",
    "DEPTHWISE_CONV_2D",
    (CONV.output,),
    TensorSpec("z", (1, 4, 4, 32)),
    (5, 5),
    weights=5 * 5 * 32,
    biases=32,
    channel_scales=32,
)


def test_macs_and_params_are_those_worked_by_hand() -> None:
    assert macs(CONV) == 4 * 4 * 32 * 3 * 3 * 16
    assert macs(DEPTHWISE) == 4 * 4 * 32 * 5 * 5
    assert params(CONV) == 4608 + 32
    assert macs(OpSpec("add", "ADD", (X, X), X)) == 0


def test_a_pointwise_convolution_is_cheaper_per_mac_than_a_depthwise_one() -> None:
    pointwise = OpSpec("conv", "CONV_2D", (X,), TensorSpec("y", (1, 8, 8, 16)), weights=256)
    for core in CORES:
        per_mac = cycles(pointwise, core).mid / macs(pointwise)
        assert per_mac < cycles(DEPTHWISE, core).mid / macs(DEPTHWISE)


def test_every_core_has_ordered_cycle_intervals() -> None:
    assert set(CYCLES) == set(CORES)
    for row in CYCLES.values():
        for interval in (row.conv, row.pointwise, row.depthwise, row.fully_connected, row.element):
            assert 0 < interval.low <= interval.mid <= interval.high


def test_tflite_micro_state_of_resnet8_is_what_was_measured() -> None:
    # 16 operators and 346 output channels: 54,340 bytes used, of which 49,152 were the arena's head.
    channels = [OpSpec("conv", "CONV_2D", (X,), X, channel_scales=346)]
    others = [OpSpec("add", "ADD", (X, X), X)] * 15
    assert runtime_state_bytes(channels + others, "tflm") == pytest.approx(54_340 - 49_152, rel=0.01)


def test_violations_name_the_resource_with_need_and_limit() -> None:
    profile = load_profile("cortex-m7", {"budget.macs": "1000", "budget.sram_bytes": "1KiB"})
    cost = footprint([CONV, DEPTHWISE], profile)
    found = {v.resource: (v.needs, v.has) for v in violations(cost, profile.budget)}
    assert found == {"macs": (cost.macs, 1000), "sram_bytes": (cost.sram_bytes, 1024)}
    assert excess(cost, profile.budget)["macs"] == cost.macs / 1000 - 1
    assert excess(cost, profile.budget)["flash_bytes"] < 0


def test_an_operator_of_unknown_cost_is_named_and_not_silently_free() -> None:
    strange = OpSpec("unknown", "FANCY_OP", (X,), X)
    assert footprint([strange], load_profile("cortex-m7")).unknown == ("FANCY_OP",)


def test_the_peak_operator_is_marked_once() -> None:
    rows = op_costs([CONV, DEPTHWISE])
    assert [row.live_bytes for row in rows] == [1024 + 512, 512 + 512]
    assert [row.peak for row in rows] == [True, False]
